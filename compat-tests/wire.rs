//! A tiny HTTP/1.1 client over one TCP connection a request. It sends exactly the headers and
//! bytes it is given (bodies that are chunked already, odd headers), which a real client library
//! would not, and shows the answer's header lines and body as they came, only unchunked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::server::{ADMIN, PASSWORD};

/// Stands at the end of a body that broke off.
const BROKEN_OFF: &[u8] = b"\n<<the body did not end>>";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests to one server as its admin.
#[derive(Debug)]
pub struct Client {
    /// `127.0.0.1:PORT`
    pub host: String,
}

/// An answer; header names are in lower case, in the order they came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self { host: format!("127.0.0.1:{port}") }
    }

    /// Sends one request. Credentials are added unless `headers` say who asks (`Authorization`,
    /// `Cookie`) or that nobody does (`X-No-Auth`, which is not sent).
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&[u8]>,
    ) -> io::Result<Response> {
        let mut stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut request = self.head(method, path, headers, body).into_bytes();
        request.extend_from_slice(body.unwrap_or_default());
        let written = stream.write_all(&request);
        // A server may refuse a large body before it has read it: its answer counts then.
        read_response(&mut BufReader::new(stream), method)
            .map_err(|error| written.err().unwrap_or(error))
    }

    fn head(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&[u8]>,
    ) -> String {
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut lines = vec![format!("{method} {path} HTTP/1.1")];
        if !has("host") {
            lines.push(format!("Host: {}", self.host));
        }
        if !has("content-length") && !has("transfer-encoding") {
            match body {
                Some(body) => lines.push(format!("Content-Length: {}", body.len())),
                None if matches!(method, "POST" | "PUT" | "COPY") => {
                    lines.push("Content-Length: 0".to_owned());
                }
                None => {}
            }
        }
        if !has("authorization") && !has("cookie") && !has("x-no-auth") {
            let pair = STANDARD.encode(format!("{ADMIN}:{PASSWORD}"));
            lines.push(format!("Authorization: Basic {pair}"));
        }
        let sent = headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-no-auth"));
        lines.extend(sent.map(|(name, value)| format!("{name}: {value}")));
        lines.join("\r\n") + "\r\n\r\n"
    }
}

fn read_response(stream: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let status_line = read_line(stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| invalid(&format!("not a status line: {status_line:?}")))?;
    let headers = read_headers(stream)?;
    let mut response = Response { status, headers, body: Vec::new() };
    if method != "HEAD" && !matches!(status, 204 | 304) {
        response.body = read_body(stream, &response)?;
    }
    Ok(response)
}

fn read_headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| invalid(&format!("not a header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_body(stream: &mut impl BufRead, response: &Response) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let complete = if response.header("transfer-encoding") == Some("chunked") {
        read_chunks(stream, &mut body)
    } else if let Some(length) = response.header("content-length") {
        let length: u64 = length.parse().map_err(|_| invalid("a length that is no number"))?;
        stream.take(length).read_to_end(&mut body).map(|read| read as u64 == length)
    } else {
        stream.read_to_end(&mut body).map(|_| true)
    };
    if !matches!(complete, Ok(true)) {
        body.extend_from_slice(BROKEN_OFF);
    }
    Ok(body)
}

/// Whether the last chunk came; an error where the connection broke or a chunk is malformed.
fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let line = read_line(stream)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| invalid("not a chunk size"))?;
        if size == 0 {
            read_headers(stream)?;
            return Ok(true);
        }
        let read = stream.take(size).read_to_end(body)?;
        if read as u64 != size || !read_line(stream)?.is_empty() {
            return Ok(false);
        }
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
