//! The pools of connections: one for each way out, for as long as somebody uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::ClientTls;

use super::{ClientError, HttpClient, tls};

/// Connections that wait for their next request, for one server.
const IDLE_PER_HOST_MAX: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
/// So that a peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A proxy, and the options of TLS.
type WayOut = (Option<String>, ClientTls);

/// All pools of the process.
#[derive(Debug, Default)]
pub struct HttpClients {
    /// The options of the newest pool, and what was read for them.
    tls: Mutex<Option<(ClientTls, ClientConfig)>>,
    pools: Mutex<HashMap<WayOut, Weak<reqwest::Client>>>,
}

impl HttpClients {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The way out through `proxy` (`http://`, `https://`, `socks5://`), or straight.
    ///
    /// # Errors
    /// Where the proxy's address or a file of certificates cannot be read.
    pub fn client(&self, proxy: Option<&str>, tls: &ClientTls) -> Result<HttpClient, ClientError> {
        let key = (proxy.map(str::to_owned), tls.clone());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key).and_then(Weak::upgrade) {
            return Ok(HttpClient(pool));
        }
        let pool = Arc::new(self.pool(proxy, tls)?);
        pools.retain(|_, pool| pool.strong_count() > 0);
        pools.insert(key, Arc::downgrade(&pool));
        Ok(HttpClient(pool))
    }

    fn pool(&self, proxy: Option<&str>, tls: &ClientTls) -> Result<reqwest::Client, ClientError> {
        let mut newest = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let config = match newest.as_ref() {
            Some((options, config)) if options == tls => config.clone(),
            _ => newest.insert((tls.clone(), tls::config(tls)?)).1.clone(),
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tls_backend_preconfigured(config)
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
