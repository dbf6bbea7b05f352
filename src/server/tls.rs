//! TLS: what the server shows and asks of clients, read anew when its files or settings change.
//!
//! Connections that are open go on with what they began with. New files that cannot be used, or
//! do not belong together yet, change nothing but the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::blocking;
use crate::config::{Config, SslSettings, TlsVersion};

/// How long the files that were last seen are taken to be the newest.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// What clients may ask for inside, the better first.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// HTTP/2, as a client names it in its handshake.
pub const HTTP_2: &[u8] = b"h2";

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("[ssl] {0} is not set")]
    NotSet(&'static str),
    #[error("{}: {source}", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error(transparent)]
    ClientVerifier(#[from] VerifierBuilderError),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The server's side of every handshake.
pub struct Tls {
    config: Arc<Config>,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// What it was made of, or what could not be used since.
    seen: Source,
    looked: Instant,
}

/// Settings, and the files that they name as they lay there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    settings: SslSettings,
    files: Vec<Option<(SystemTime, u64)>>,
}

impl Source {
    fn look(settings: &SslSettings) -> Self {
        let files = [&settings.cert_file, &settings.key_file, &settings.cacert_file];
        let files = files.into_iter().flatten().map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        });
        Self { settings: settings.clone(), files: files.collect() }
    }
}

impl Tls {
    /// Reads the files that `[ssl]` names.
    ///
    /// # Errors
    /// Where they cannot be used.
    pub fn load(config: Arc<Config>) -> Result<Self, TlsError> {
        let seen = Source::look(&config.snapshot().ssl);
        let acceptor = acceptor(&seen.settings)?;
        let current = Mutex::new(Current { acceptor, seen, looked: Instant::now() });
        Ok(Self { config, current })
    }

    /// For a new connection.
    pub async fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let newest = {
            let mut current = self.current();
            let newest = current.looked.elapsed() < TRUSTED_FOR;
            if !newest {
                current.looked = Instant::now();
            }
            newest
        };
        if !newest {
            let this = self.clone();
            // Where it is interrupted, what is there still serves.
            let _ = blocking::run("look at the TLS files", move || this.renew()).await;
        }
        self.current().acceptor.clone()
    }

    fn renew(&self) {
        let found = Source::look(&self.config.snapshot().ssl);
        if self.current().seen == found {
            return;
        }
        let renewed = acceptor(&found.settings);
        let mut current = self.current();
        current.seen = found;
        match renewed {
            Ok(acceptor) => {
                current.acceptor = acceptor;
                tracing::info!("the TLS files were read anew");
            }
            Err(error) => tracing::warn!(%error, "the TLS files have changed and are not used"),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acceptor(settings: &SslSettings) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(set(settings.cert_file.as_deref(), "cert_file")?)?;
    let key_file = set(settings.key_file.as_deref(), "key_file")?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|source| TlsError::Pem { path: key_file.to_owned(), source })?;
    let provider = Arc::new(provider(&settings.ciphers));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&settings.tls_versions))?;
    let builder = match client_verifier(settings, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn set<'s>(path: Option<&'s Path>, key: &'static str) -> Result<&'s Path, TlsError> {
    path.ok_or(TlsError::NotSet(key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

fn versions(wanted: &[TlsVersion]) -> Vec<&'static SupportedProtocolVersion> {
    let versions = wanted.iter().map(|version| match version {
        TlsVersion::Tls12 => &version::TLS12,
        TlsVersion::Tls13 => &version::TLS13,
    });
    versions.collect()
}

/// The cipher suites that were named, as far as they are there. As in OpenSSL, a list that names
/// none of TLS 1.3 does not speak of them; one that names nothing that is there is left aside.
fn provider(names: &[String]) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let named = |suite: &rustls::SupportedCipherSuite| {
        let suite = format!("{:?}", suite.suite());
        names.iter().any(|name| cipher_name(name) == cipher_name(&suite))
    };
    if !provider.cipher_suites.iter().any(named) {
        if !names.is_empty() {
            tracing::warn!("[ssl] ciphers names none that is safe; all that are safe are used");
        }
        return provider;
    }
    let newest = provider.cipher_suites.iter().any(|suite| suite.tls13().is_some() && named(suite));
    provider.cipher_suites.retain(|suite| named(suite) || suite.tls13().is_some() && !newest);
    provider
}

/// `ECDHE-RSA-AES128-GCM-SHA256` (OpenSSL) and `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` are one.
fn cipher_name(name: &str) -> String {
    const NOT_TELLING: [&str; 5] = ["TLS", "TLS13", "WITH", "SHA256", "SHA384"];
    let name = name.to_ascii_uppercase();
    let parts = name.split(['-', '_']);
    parts.filter(|part| !NOT_TELLING.contains(part)).collect()
}

fn client_verifier(
    settings: &SslSettings,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if !settings.verify_ssl_certificates {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for authority in certificates(set(settings.cacert_file.as_deref(), "cacert_file")?)? {
        roots.add(authority)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier =
        if settings.fail_if_no_peer_cert { verifier } else { verifier.allow_unauthenticated() };
    Ok(Some(verifier.build()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_lists_in_both_spellings() {
        let check = |names: &[&str], expect: usize| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(provider(&names).cipher_suites.len(), expect, "{names:?}");
        };
        let all = ring::default_provider().cipher_suites.len();
        check(&[], all);
        check(&["ECDHE-RSA-AES128-SHA", "RC4-MD5"], all);
        // One of TLS 1.2, and the three of TLS 1.3.
        check(&["ECDHE-ECDSA-AES128-GCM-SHA256"], 4);
        check(&["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"], 4);
        check(&["ECDHE-RSA-CHACHA20-POLY1305", "TLS_AES_128_GCM_SHA256"], 2);
    }
}
