//! The pools of connections: one for each way out, for as long as somebody uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

use super::{ClientError, HttpClient};

/// Connections that wait for their next request, for one server.
const IDLE_PER_HOST_MAX: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
/// So that a peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// All pools of the process.
#[derive(Debug, Default)]
pub struct HttpClients {
    tls: OnceLock<ClientConfig>,
    /// By proxy.
    pools: Mutex<HashMap<Option<String>, Weak<reqwest::Client>>>,
}

impl HttpClients {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The way out through `proxy` (`http://`, `https://`, `socks5://`), or straight.
    ///
    /// # Errors
    /// Where the proxy's address cannot be read.
    pub fn client(&self, proxy: Option<&str>) -> Result<HttpClient, ClientError> {
        let key = proxy.map(str::to_owned);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key).and_then(Weak::upgrade) {
            return Ok(HttpClient(pool));
        }
        let pool = Arc::new(self.pool(proxy)?);
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.insert(key, Arc::downgrade(&pool));
        Ok(HttpClient(pool))
    }

    fn pool(&self, proxy: Option<&str>) -> Result<reqwest::Client, ClientError> {
        let tls = match self.tls.get() {
            Some(tls) => tls,
            None => {
                let tls = tls()?;
                self.tls.get_or_init(|| tls)
            }
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tls_backend_preconfigured(tls.clone())
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEPALIVE);
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| bad_proxy())?);
        }
        Ok(builder.build()?)
    }
}

/// Its address may hold a password.
fn bad_proxy() -> ClientError {
    ClientError::Invalid("the proxy's address cannot be read".to_owned())
}

/// TLS with the certificates of the system. Where it has none, no `https` address can be reached,
/// but all others can.
fn tls() -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Invalid(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
