//! A server with one database, `db`, and how tests talk to it. Each test adds what it needs.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{ADMIN, PASSWORD, Port, Server};
use crate::wire::{Client, Response};

const READ_DEADLINE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct Stage {
    pub client: Client,
    pub server: Server,
    folder: TempDir,
}

pub type Headers<'a> = &'a [(&'a str, &'a str)];

impl Stage {
    pub fn new() -> Self {
        Self::with(|_| Vec::new())
    }

    /// With the arguments that `prepare` answers, once it has put into the folder what they name.
    pub fn with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = prepare(folder.path());
        let server = Server::start_with(folder.path(), Port::Free, &arguments);
        let stage = Self { client: Client::new(server.port()), server, folder };
        assert_eq!(stage.ask("PUT", "/db", None).status, 201);
        stage
    }

    /// The same after a power cut: killed, and started again on its data and its port.
    pub fn killed_and_started_again(self) -> Self {
        let Self { client, server, folder } = self;
        let port = server.port();
        server.kill();
        let server = Server::start(folder.path(), Port::Same(port));
        Self { client, server, folder }
    }

    /// Where its data lies, in `data`, and what was prepared.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the server with SIGTERM and returns how it ended.
    pub fn stop(self) -> ExitStatus {
        self.server.stop()
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("settee.log")).unwrap()
    }

    /// Sends a request as the server's admin, unless the headers say otherwise.
    pub fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: &str) -> Response {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<_> = headers.iter().map(owned).collect();
        let body = (!body.is_empty()).then_some(body.as_bytes());
        self.client.send(method, path, &headers, body).unwrap()
    }

    /// Sends JSON, or no body.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &[("Content-Type", "application/json")], &body)
    }

    /// Saves something; the answer.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Value {
        let response = self.ask("PUT", path, Some(body));
        assert!(response.status < 300, "{path}: {}", text(&response));
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Sends a request and leaves its answer unread.
    pub fn ask_and_hold(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.client.host).unwrap();
        let pair = STANDARD.encode(format!("{ADMIN}:{PASSWORD}"));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {pair}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(READ_DEADLINE)).unwrap();
        stream
    }
}

/// The body of an answer.
pub fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).trim_end().to_owned()
}
