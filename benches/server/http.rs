//! A keep-alive HTTP/1.1 client that costs little beside the server it measures.
//!
//! Requests are bytes built beforehand; of an answer only the status and the framing are read.
//! Invariant: after an answer was received its connection holds no byte of it.

use std::net::SocketAddr;
use std::sync::LazyLock;

use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::{BenchError, Result, unexpected};

pub const ADMIN: &str = "admin:adminpw";

const JSON: &str = "application/json";
pub const BINARY: &str = "application/octet-stream";
const HEAD_BYTES_MAX: usize = 64 << 10;

static AUTHORIZATION: LazyLock<String> =
    LazyLock::new(|| base64::engine::general_purpose::STANDARD.encode(ADMIN));

pub fn get(path: &str) -> Bytes {
    head("GET", path, None).into()
}

pub fn delete(path: &str) -> Bytes {
    head("DELETE", path, None).into()
}

pub fn put(path: &str, body: &[u8]) -> Bytes {
    [&head("PUT", path, Some((JSON, body.len()))), body].concat().into()
}

pub fn post(path: &str, body: &[u8]) -> Bytes {
    [&head("POST", path, Some((JSON, body.len()))), body].concat().into()
}

/// What precedes an attachment of `length` bytes.
pub fn upload_head(path: &str, length: usize) -> Bytes {
    head("PUT", path, Some((BINARY, length))).into()
}

/// The number right behind the first `mark` in a line.
pub fn number_behind(line: &[u8], mark: &[u8]) -> Option<usize> {
    let at = line.windows(mark.len()).position(|window| window == mark)?;
    let rest = line.get(at + mark.len()..)?;
    let digits = rest.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `text` as the value of a query parameter.
pub fn in_query(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn head(method: &str, path: &str, body: Option<(&str, usize)>) -> Vec<u8> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {}\r\n",
        *AUTHORIZATION
    );
    if let Some((content_type, length)) = body {
        head += "Content-Type: ";
        head += content_type;
        head += "\r\nContent-Length: ";
        head += &length.to_string();
        head += "\r\n";
    }
    head += "\r\n";
    head.into_bytes()
}

/// An answer with its body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status line and the headers, with the empty line that ends them.
    pub head: Bytes,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// An answer whose body was not kept.
#[derive(Debug, Clone, Copy)]
pub struct Skimmed {
    pub status: u16,
    pub body_bytes: u64,
}

/// How the end of a body is told.
#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(Chunk),
}

/// Where a chunked body stands.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    /// Bytes asked for in one read.
    read_bytes: usize,
    framing: Framing,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        Self::open_sized(address, 64 << 10).await
    }

    /// A connection with a read buffer of `read_bytes`: many feeds want small ones.
    pub async fn open_sized(address: SocketAddr, read_bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new(), read_bytes, framing: Framing::Length(0) })
    }

    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Sends `request` and keeps the answer.
    pub async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request).await?;
        self.receive().await
    }

    /// Like [`Self::call`], for requests that must succeed.
    pub async fn expect(&mut self, request: &[u8]) -> Result<Answer> {
        let answer = self.call(request).await?;
        if answer.status < 300 {
            return Ok(answer);
        }
        Err(unexpected(request, answer.status, &answer.body))
    }

    pub async fn receive(&mut self) -> Result<Answer> {
        let (status, head) = self.receive_head().await?;
        Ok(Answer { status, head, body: self.receive_body().await? })
    }

    /// Shows the body to `see`, part by part, without keeping it.
    pub async fn watch(&mut self, see: impl FnMut(&[u8])) -> Result<Skimmed> {
        let (status, _) = self.receive_head().await?;
        Ok(Skimmed { status, body_bytes: self.skim_body(see).await? })
    }

    /// The body, after its head was received.
    pub async fn receive_body(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        self.skim_body(|part| body.extend_from_slice(part)).await?;
        Ok(body)
    }

    /// Shows the body to `see` and gives its length.
    pub async fn skim_body(&mut self, mut see: impl FnMut(&[u8])) -> Result<u64> {
        let mut body_bytes = 0;
        let mut sink = |part: &[u8]| {
            body_bytes += part.len() as u64;
            see(part);
        };
        while self.receive_part(&mut sink).await? {}
        Ok(body_bytes)
    }

    /// The status, the head; the body follows with [`Self::receive_part`].
    pub async fn receive_head(&mut self) -> Result<(u16, Bytes)> {
        let mut seen = 0;
        let length = loop {
            if let Some(end) = end_of_head(&self.buffer, seen) {
                break end;
            }
            seen = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(BenchError::Protocol("the head does not end"));
            }
            self.fill().await?;
        };
        let head = self.buffer.split_to(length).freeze();
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status.and_then(|digits| digits.parse().ok());
        self.framing = framing_of(&head)?;
        Ok((status.ok_or(BenchError::Protocol("no status"))?, head))
    }

    /// Waits for more of the body and shows it to `sink`; whether more may follow.
    pub async fn receive_part(&mut self, mut sink: impl FnMut(&[u8])) -> Result<bool> {
        loop {
            let before = self.buffer.len();
            let ended = match &mut self.framing {
                Framing::Length(left) => take(&mut self.buffer, left, &mut sink),
                Framing::Chunked(chunk) => take_chunks(&mut self.buffer, chunk, &mut sink)?,
            };
            if ended {
                return Ok(false);
            }
            if self.buffer.len() < before {
                return Ok(true);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(self.read_bytes);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(BenchError::Closed),
            _ => Ok(()),
        }
    }
}

/// The length of the head in `buffer`, whose first `seen` bytes hold no end of it.
fn end_of_head(buffer: &[u8], seen: usize) -> Option<usize> {
    let rest = buffer.get(seen..)?;
    let at = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(seen + at + 4)
}

fn framing_of(head: &[u8]) -> Result<Framing> {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(&value[1..]).unwrap_or_default().trim();
            let length = text.parse().map_err(|_| BenchError::Protocol("content-length"))?;
            return Ok(Framing::Length(length));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(Framing::Chunked(Chunk::Size));
        }
    }
    Ok(Framing::Length(0))
}

/// Shows up to `left` bytes to `sink`; whether none is left.
fn take(buffer: &mut BytesMut, left: &mut u64, sink: &mut impl FnMut(&[u8])) -> bool {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    if here > 0 {
        sink(&buffer[..here]);
        buffer.advance(here);
        *left -= here as u64;
    }
    *left == 0
}

/// Shows the data of all chunks in `buffer` to `sink`; whether the last chunk was there.
fn take_chunks(
    buffer: &mut BytesMut,
    chunk: &mut Chunk,
    sink: &mut impl FnMut(&[u8]),
) -> Result<bool> {
    loop {
        match chunk {
            Chunk::Size => {
                let Some(line) = take_line(buffer) else { return Ok(false) };
                let digits = line[..].split(|byte| *byte == b';').next().unwrap_or_default();
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let size = u64::from_str_radix(digits.trim(), 16)
                    .map_err(|_| BenchError::Protocol("the size of a chunk"))?;
                *chunk = if size == 0 { Chunk::Trailer } else { Chunk::Data(size) };
            }
            Chunk::Data(left) => {
                if !take(buffer, left, sink) {
                    return Ok(false);
                }
                *chunk = Chunk::DataEnd;
            }
            Chunk::DataEnd => {
                if take_line(buffer).is_none() {
                    return Ok(false);
                }
                *chunk = Chunk::Size;
            }
            Chunk::Trailer => {
                let Some(line) = take_line(buffer) else { return Ok(false) };
                if line.is_empty() {
                    *chunk = Chunk::Done;
                }
            }
            Chunk::Done => return Ok(true),
        }
    }
}

/// A line without its end.
fn take_line(buffer: &mut BytesMut) -> Option<BytesMut> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let mut line = buffer.split_to(end + 1);
    line.truncate(end.saturating_sub(1));
    Some(line)
}
