//! `[ssl]`: HTTPS. Where it is on, the server listens at a second port.

use std::path::PathBuf;

use super::reader::{Reader, split_list};

/// A version of TLS that the server may speak; older ones are broken and not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// `[ssl]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslSettings {
    pub enable: bool,
    pub port: u16,
    /// The server's certificate and those that lead to its authority, in PEM.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The authorities of clients' certificates.
    pub cacert_file: Option<PathBuf>,
    /// Whether clients are asked for a certificate, which must be valid if they have one.
    pub verify_ssl_certificates: bool,
    /// Whether clients must have one.
    pub fail_if_no_peer_cert: bool,
    /// Never empty.
    pub tls_versions: Vec<TlsVersion>,
    /// Names of cipher suites; empty where all good ones may be used.
    pub ciphers: Vec<String>,
}

impl SslSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["ssl"]);
        let path = |text: Option<&str>| text.map(PathBuf::from);
        Self {
            enable: section.boolean("enable", false),
            port: section.number("port", 6984, 0..=u16::MAX),
            cert_file: path(section.text("cert_file")),
            key_file: path(section.text("key_file")),
            cacert_file: path(section.text("cacert_file")),
            verify_ssl_certificates: section.boolean("verify_ssl_certificates", false),
            fail_if_no_peer_cert: section.boolean("fail_if_no_peer_cert", false),
            tls_versions: section.parsed(
                "tls_versions",
                vec![TlsVersion::Tls12, TlsVersion::Tls13],
                "a list with 'tlsv1.2' or 'tlsv1.3'",
                tls_versions,
            ),
            ciphers: section.text("ciphers").map(erlang_list).unwrap_or_default(),
        }
    }
}

/// Older versions in the list are left out.
fn tls_versions(text: &str) -> Option<Vec<TlsVersion>> {
    let versions = erlang_list(text);
    let known = versions.iter().filter_map(|version| match version.as_str() {
        "tlsv1.2" => Some(TlsVersion::Tls12),
        "tlsv1.3" => Some(TlsVersion::Tls13),
        _ => None,
    });
    let known: Vec<_> = known.collect();
    (!known.is_empty()).then_some(known)
}

/// `['a', "b", c]` or `a, b, c`.
fn erlang_list(text: &str) -> Vec<String> {
    let elements = split_list(text.trim().trim_start_matches('[').trim_end_matches(']'));
    elements.iter().map(|text| text.trim_matches(['\'', '"']).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Values};

    #[test]
    fn as_couchdb_writes_them() {
        let check = |versions: &str, expect: &[TlsVersion], warnings: usize| {
            let mut values = Values::new();
            let section = values.entry("ssl".to_owned()).or_default();
            section.insert("tls_versions".to_owned(), versions.to_owned());
            section.insert("ciphers".to_owned(), "[\"A-B\", \"C\"]".to_owned());
            let settings = Settings::read(&values);
            assert_eq!(settings.ssl.tls_versions, expect, "{versions}");
            assert_eq!(settings.ssl.ciphers, ["A-B", "C"]);
            assert_eq!(settings.warnings.len(), warnings, "{versions}");
        };
        let both = [TlsVersion::Tls12, TlsVersion::Tls13];
        check("['tlsv1.2', 'tlsv1.3']", &both, 0);
        check("['tlsv1.1', 'tlsv1.2']", &[TlsVersion::Tls12], 0);
        check("tlsv1.3", &[TlsVersion::Tls13], 0);
        check("[tlsv1]", &both, 1);
        check("", &both, 0);
    }
}
