//! A whole server in this process, spoken to over sockets.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::app::{self, SharedApp, StartOptions, Storage};
use crate::config::Override;

use super::{Listeners, serve};

mod feeds;
mod limits;
mod tls;

struct Running {
    app: SharedApp,
    address: SocketAddr,
    /// Where HTTPS is on.
    https: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

fn run() -> Running {
    run_with(&[])
}

fn run_with(settings: &[(&str, &str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let defaults = [
        ("admins", "admin", "adminpw"),
        ("chttpd_auth", "iterations", "1"),
        ("chttpd", "admin_only_all_dbs", "false"),
        ("couchdb", "default_security", "everyone"),
        ("chttpd", "port", "0"),
        ("ssl", "port", "0"),
    ];
    let settings = defaults.iter().chain(settings);
    let options = StartOptions {
        data_dir: folder.path().to_owned(),
        config_files: Vec::new(),
        overrides: settings
            .map(|(section, key, value)| Override::new(*section, *key, *value))
            .collect(),
        storage: Storage::Memory,
        node_name: None,
    };
    let app = app::start(&options).unwrap().app;
    let listeners = Listeners::open(&app.config).unwrap();
    let address = listeners.http_address().unwrap();
    let https = listeners.https_address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(app.clone(), listeners, async {
        let _ = stopped.await;
    }));
    Running { app, address, https, stop, served, _folder: folder }
}

/// Sends a request and reads an answer of known length or in chunks.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "cut: {text}");
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let ended = match length {
            Some(length) => body.len() == length.parse::<usize>().unwrap(),
            None => body.ends_with("0\r\n\r\n"),
        };
        if ended {
            return text;
        }
        assert!(count > 0, "cut: {text}");
    }
}

#[tokio::test]
async fn quotes_in_urls_also_after_a_body() {
    let server = run();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let list = "GET /_all_dbs?startkey=\"_r\"&endkey=\"_s\" HTTP/1.1\r\nhost: x\r\n\r\n";
    // The body looks like a request line with quotes: its length must not change.
    let body = "GET /\"\"\" HTTP/1.1\r\n\r\n";
    let post = format!(
        "POST /_session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..2 {
        let answer = exchange(&mut stream, list).await;
        assert!(answer.contains("[\"_replicator\"]"), "{answer}");
        let answer = exchange(&mut stream, &post).await;
        assert!(answer.contains("invalid UTF-8 JSON"), "{answer}");
    }
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_the_server() {
    let server = run();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(&mut stream, "GET /_up HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    server.stop.send(()).unwrap();
    server.served.await.unwrap().unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn large_lists_are_compressed_on_request() {
    let server = run();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut head = async |path: &str, encodings: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: {encodings}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !(answer.ends_with(b"0\r\n\r\n") || answer.ends_with(b"}\n")) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            answer.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.split_once("\r\n\r\n").unwrap().0.to_owned()
    };
    let lists = "/_uuids?count=500";
    assert!(!head(lists, "identity").await.contains("content-encoding"));
    let compressed = head(lists, "gzip").await;
    assert!(compressed.contains("content-encoding: gzip"), "{compressed}");
    assert!(compressed.contains("vary: accept-encoding"), "{compressed}");
    assert!(head(lists, "gzip, zstd").await.contains("content-encoding: zstd"));
    let small = head("/", "gzip").await;
    assert!(!small.contains("content-encoding") && !small.contains("vary"), "{small}");
}
