//! TLS and HTTP/2, with real clients.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Running, exchange, run, run_with};

const UP: &str = "GET /_up HTTP/1.1\r\nhost: x\r\n\r\n";

/// An authority, and files for a server.
struct Certificates {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { folder: tempfile::tempdir().unwrap(), authority };
        fs::write(this.path("ca"), this.authority.pem()).unwrap();
        this.renew();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    fn signed(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    fn renew(&self) {
        let (certificate, key) = self.signed();
        fs::write(self.path("cert"), certificate).unwrap();
        fs::write(self.path("key"), key).unwrap();
    }

    fn run(&self, settings: &[(&str, &str)]) -> Running {
        let path = |name| self.path(name).to_str().unwrap().to_owned();
        let (cert, key, ca) = (path("cert"), path("key"), path("ca"));
        let files = [("enable", "true"), ("cert_file", &*cert), ("key_file", &*key)];
        let files = files.into_iter().chain([("cacert_file", &*ca)]);
        let settings: Vec<_> =
            files.chain(settings.iter().copied()).map(|(key, value)| ("ssl", key, value)).collect();
        run_with(&settings)
    }

    async fn connect(
        &self,
        server: &Running,
        versions: &[&'static SupportedProtocolVersion],
        client: Client,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder =
            builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let mut config = if client.certified {
            let (certificate, key) = self.signed();
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols =
            client.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(server.https.unwrap()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

#[derive(Clone, Copy, Default)]
struct Client {
    certified: bool,
    protocols: &'static [&'static str],
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

#[tokio::test]
async fn both_versions_and_only_those_that_are_wanted() {
    let certificates = Certificates::new();
    let (only12, only13) = ([&version::TLS12], [&version::TLS13]);
    let any = certificates.run(&[]);
    for (versions, expect) in
        [(&only12, ProtocolVersion::TLSv1_2), (&only13, ProtocolVersion::TLSv1_3)]
    {
        let mut stream = certificates.connect(&any, versions, Client::default()).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expect));
        for _ in 0..2 {
            let answer = exchange(&mut stream, UP).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    }
    let strict = certificates.run(&[("tls_versions", "['tlsv1.3']")]);
    assert!(certificates.connect(&strict, &only12, Client::default()).await.is_err());
    assert!(certificates.connect(&strict, BOTH, Client::default()).await.is_ok());
}

#[tokio::test]
async fn cookies_are_secure_and_addresses_https() {
    let certificates = Certificates::new();
    let server = certificates.run(&[]);
    let mut stream = certificates.connect(&server, BOTH, Client::default()).await.unwrap();
    let body = "name=admin&password=adminpw";
    let login = format!(
        "POST /_session?next=/db HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&mut stream, &login).await;
    assert!(answer.contains("location: https://x/db\r\n"), "{answer}");
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie:")).unwrap();
    assert!(cookie.to_ascii_lowercase().contains("; secure"), "{cookie}");
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(&mut plain, &login).await;
    assert!(answer.contains("location: http://x/db\r\n"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("; secure"), "{answer}");
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let certificates = Certificates::new();
    let server = certificates.run(&[]);
    let connect = async || certificates.connect(&server, BOTH, Client::default()).await.unwrap();
    let shown = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].as_ref().to_vec()
    };
    let mut open = connect().await;
    let first = shown(&open);
    certificates.renew();
    let renewed = async {
        loop {
            let found = shown(&connect().await);
            if found != first {
                return found;
            }
        }
    };
    let second = renewed.await;
    fs::write(certificates.path("cert"), "no certificate").unwrap();
    // Longer than it takes until the files are looked at again.
    let looked = std::time::Instant::now();
    while looked.elapsed() < std::time::Duration::from_millis(1500) {
        assert_eq!(shown(&connect().await), second);
    }
    let answer = exchange(&mut open, UP).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn certificates_of_clients() {
    let certificates = Certificates::new();
    let ask = async |server: &Running, certified: bool| {
        let client = Client { certified, ..Client::default() };
        // With TLS 1.2 the refusal is part of the handshake.
        certificates.connect(server, &[&version::TLS12], client).await.is_ok()
    };
    let verify = ("verify_ssl_certificates", "true");
    let optional = certificates.run(&[verify]);
    assert!(ask(&optional, true).await);
    assert!(ask(&optional, false).await);
    let required = certificates.run(&[verify, ("fail_if_no_peer_cert", "true")]);
    assert!(ask(&required, true).await);
    assert!(!ask(&required, false).await);
    // Another authority, from the next look at the files on.
    fs::write(certificates.path("ca"), Certificates::new().authority.pem()).unwrap();
    while ask(&required, true).await {}
}

async fn http2<S>(stream: S) -> SendRequest<Body>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn send(
    client: &mut SendRequest<Body>,
    method: &str,
    uri: &str,
    body: impl Into<Body>,
) -> (u16, Bytes) {
    let request = axum::http::Request::builder()
        .method(method)
        .uri(uri)
        .header("authorization", "Basic YWRtaW46YWRtaW5wdw==")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    client.ready().await.unwrap();
    let response = client.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn http_2_in_tls_and_by_prior_knowledge() {
    let certificates = Certificates::new();
    let server = certificates.run(&[]);
    let client = Client { protocols: &["h2", "http/1.1"], ..Client::default() };
    let secure = certificates.connect(&server, BOTH, client).await.unwrap();
    assert_eq!(secure.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut secure = http2(secure).await;
    let mut plain = http2(TcpStream::connect(server.address).await.unwrap()).await;
    assert_eq!(send(&mut secure, "PUT", "https://x/db", "").await.0, 201);
    let large = "x".repeat(300_000);
    let body = format!("{{\"large\":\"{large}\"}}");
    assert_eq!(send(&mut plain, "PUT", "http://x/db/a", body).await.0, 201);
    for (client, scheme) in [(&mut secure, "https"), (&mut plain, "http")] {
        let (status, body) = send(client, "GET", &format!("{scheme}://x/db/a"), "").await;
        assert_eq!(status, 200);
        assert!(body.len() > 300_000 && body.ends_with(b"\"}\n"));
        let (status, body) = send(client, "GET", &format!("{scheme}://x/db/b"), "").await;
        assert_eq!((status, body.starts_with(b"{\"error\":\"not_found\"")), (404, true));
    }
}

#[tokio::test]
async fn stopping_says_goodbye_to_http_2_and_ends_feeds() {
    let server = run();
    let mut client = http2(TcpStream::connect(server.address).await.unwrap()).await;
    assert_eq!(send(&mut client, "PUT", "http://x/db", "").await.0, 201);
    let mut feeding = client.clone();
    let feed = tokio::spawn(async move {
        let uri = "http://x/db/_changes?feed=continuous&heartbeat=60000";
        send(&mut feeding, "GET", uri, "").await
    });
    // The feed has begun when its first line is on its way; both orders are right.
    assert_eq!(send(&mut client, "GET", "http://x/_up", "").await.0, 200);
    server.stop.send(()).unwrap();
    server.served.await.unwrap().unwrap();
    let (status, body) = feed.await.unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("\"last_seq\""), "{body:?}");
    assert!(client.ready().await.is_err() || client.is_closed());
}
