//! The keys of bearer tokens that an issuer publishes at an address (`[jwt_auth] jwks_url`).
//!
//! They are read when they are first needed, again when they are old, and, once a second at most,
//! when a token names a key that is not among them: so an issuer may change its keys without
//! anybody being refused. While they cannot be read, those that were
//! read before hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::{JwtVerifier, KeySet};
use crate::config::{ClientTls, JwksSettings};
use crate::http::client::{Body, HttpClients, Method, Request};

/// How long the issuer may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
const SET_BYTES_MAX: usize = 1 << 20;
const REDIRECTS_MAX: usize = 3;
/// Keys are not read more often: who sends tokens with made-up keys must not cost the issuer
/// requests.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads keys, one reading at a time.
pub struct Jwks {
    clients: HttpClients,
    verifier: Arc<JwtVerifier>,
    last: Mutex<Option<Reading>>,
}

/// The last attempt.
#[derive(Debug)]
struct Reading {
    url: String,
    at: Instant,
    succeeded: bool,
}

impl Reading {
    fn due(&self, settings: &JwksSettings) -> bool {
        self.at.elapsed() >= if self.succeeded { settings.refresh } else { PAUSE }
    }
}

impl Jwks {
    /// Publishes the keys that it reads to `verifier`.
    #[must_use]
    pub fn new(verifier: Arc<JwtVerifier>) -> Self {
        Self { clients: HttpClients::new(), verifier, last: Mutex::default() }
    }

    /// Sees to it that there are keys, and that they do not become too old: only the first
    /// reading is waited for.
    pub async fn refresh(self: &Arc<Self>, settings: &JwksSettings) {
        let known = match self.last.try_lock() {
            Ok(last) => last.as_ref().map(|last| (last.url == settings.url, last.due(settings))),
            // Somebody reads them now; who has none is told so by the verifier, and waits then.
            Err(_) => return,
        };
        match known {
            Some((true, false)) => {}
            Some((true, true)) => {
                let (own, settings) = (self.clone(), settings.clone());
                tokio::spawn(async move { own.find_newer(&settings).await });
            }
            Some((false, _)) | None => self.find_newer(settings).await,
        }
    }

    /// Reads the keys again, for a token whose key is not known: the keys are then those of now.
    pub async fn find_newer(&self, settings: &JwksSettings) {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.url == settings.url) {
            // Whoever waited here has what somebody else read meanwhile.
            if last.at >= asked {
                return;
            }
            tokio::time::sleep_until(last.at + PAUSE).await;
        }
        let at = Instant::now();
        let keys = self.read(&settings.url).await;
        *last = Some(Reading { url: settings.url.clone(), at, succeeded: keys.is_ok() });
        match keys {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "read the keys of tokens");
                self.verifier.publish(keys);
            }
            Err(reason) => tracing::warn!(reason, "the keys of tokens could not be read"),
        }
    }

    async fn read(&self, url: &str) -> Result<KeySet, String> {
        let client =
            self.clients.client(None, &ClientTls::default()).map_err(|error| error.to_string())?;
        let request = Request {
            method: Method::Get,
            url: url.to_owned(),
            headers: vec![("accept", "application/json".to_owned())],
            private_headers: Vec::new(),
            body: Body::Empty,
            patience: PATIENCE,
            redirects_max: REDIRECTS_MAX,
        };
        let mut response = client.send(&request).await.map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("the answer has status {}", response.status()));
        }
        let body = response.read(SET_BYTES_MAX).await.map_err(|error| error.to_string())?;
        KeySet::parse(&body).ok_or_else(|| "the answer is no set of keys".to_owned())
    }
}
