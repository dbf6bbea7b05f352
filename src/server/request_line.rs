//! Lets clients put raw quotes into URLs, as CouchDB's users do: `?startkey="a"`.
//!
//! The HTTP library refuses `"`, `<`, `>` and what is no UTF-8 in a request line. So they are
//! percent-encoded on their way in, which is what the client meant. Only the first line of a head
//! is ever touched, never a byte whose number somebody counts: the connection says when the
//! bytes that come next can be no body (`Heads`), and then a line must look like a request's.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::PatientIo;

/// The most that is read of what a client sends ahead of an answer's end.
const AHEAD_BYTES_MAX: usize = 256;
/// The longest method, with the space after it.
const METHOD_BYTES_MAX: usize = 32;

/// What a connection of HTTP/1 knows of its requests' heads, and of the bytes of its answers.
#[derive(Debug, Clone)]
pub struct Heads(Arc<State>);

#[derive(Debug)]
struct State {
    /// The next bytes from the client can only belong to the head of a request.
    awaited: AtomicBool,
    seen: AtomicU32,
    /// What the client sends now, and how slowly, is looked after elsewhere.
    paced: AtomicBool,
    /// Bytes of an answer wait for room.
    sending: AtomicBool,
}

impl Heads {
    /// A new connection begins with a head.
    pub fn new() -> Self {
        Self::starting(true)
    }

    /// HTTP/2 has none, and its own ways to see that a client is silent.
    pub fn none() -> Self {
        Self::starting(false)
    }

    fn starting(awaited: bool) -> Self {
        let [awaited, paced, sending] = [awaited, !awaited, false].map(AtomicBool::new);
        Self(Arc::new(State { awaited, seen: AtomicU32::new(0), paced, sending }))
    }

    /// A head has come in. The next one follows at once where it has no body.
    pub fn request(&self, next: bool) {
        self.0.seen.fetch_add(1, Ordering::Relaxed);
        self.0.awaited.store(next, Ordering::Relaxed);
    }

    /// A body has ended.
    pub fn body_ended(&self) {
        self.0.awaited.store(true, Ordering::Relaxed);
        self.body_wanted(false);
    }

    pub fn awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed)
    }

    /// Somebody wants a body, or not any more, read to its end or not.
    pub fn body_wanted(&self, wanted: bool) {
        self.0.paced.store(wanted, Ordering::Relaxed);
    }

    /// Whether the connection itself does not have to look after how long its client is silent.
    pub fn is_paced(&self) -> bool {
        self.0.paced.load(Ordering::Relaxed)
    }

    /// A write has ended, or waits for room.
    pub fn written(&self, waits: bool) {
        self.0.sending.store(waits, Ordering::Relaxed);
    }

    /// Whether bytes of an answer wait for room.
    pub fn is_sending(&self) -> bool {
        self.0.sending.load(Ordering::Relaxed)
    }

    /// How many there were.
    pub fn seen(&self) -> u32 {
        self.0.seen.load(Ordering::Relaxed)
    }
}

/// A connection whose request lines are made readable.
#[derive(Debug)]
pub struct LenientIo<T> {
    inner: T,
    heads: Heads,
    /// The last bytes were the begin of a request line that has not ended yet.
    in_line: bool,
    /// Bytes that had no room.
    left: Vec<u8>,
}

impl<T> LenientIo<T> {
    /// `opening` has been read from the connection already.
    pub fn new(inner: T, heads: Heads, opening: Vec<u8>) -> Self {
        let mut this = Self { inner, heads, in_line: false, left: Vec::new() };
        this.left = this.readable(&opening).unwrap_or(opening);
        this
    }

    /// Gives back bytes that were read: they come again, before all others.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.left.splice(..0, bytes.iter().copied());
    }

    /// What to show instead of `bytes`, which have just come; `None` where they may stay.
    fn readable(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let begins = self.heads.awaited() && begins_request(bytes);
        if !std::mem::take(&mut self.in_line) && !begins {
            return None;
        }
        let end = bytes.iter().position(|&byte| byte == b'\n');
        self.in_line = end.is_none();
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if !line.iter().any(|&byte| is_refused(byte)) {
            return None;
        }
        let mut shown = Vec::with_capacity(bytes.len() + 64);
        for &byte in line {
            if is_refused(byte) {
                shown.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                shown.push(byte);
            }
        }
        shown.extend_from_slice(rest);
        Some(shown)
    }
}

fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>') || byte >= 0x80
}

/// `GET /`, perhaps after empty lines.
fn begins_request(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start();
    let method = line.iter().take(METHOD_BYTES_MAX).position(|byte| !byte.is_ascii_uppercase());
    method.is_some_and(|end| end > 0 && line.get(end..end + 2) == Some(b" /"))
}

impl<T> LenientIo<PatientIo<T>> {
    /// Gives up what is only needed to wait for requests.
    pub fn rest(&mut self) {
        self.inner.rest();
    }
}

impl<T: AsyncRead + Unpin> LenientIo<PatientIo<T>> {
    /// Ready when the client has gone. What it sends ahead of the time is kept, but not much of
    /// it: then it is not known any more whether it is there.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.left.is_empty() || self.heads.is_paced() {
            return Poll::Pending;
        }
        let mut room = [MaybeUninit::uninit(); AHEAD_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(self.inner.poll_ahead(context, &mut buffer))?;
        let come = buffer.filled();
        if come.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.left = self.readable(come).unwrap_or_else(|| come.to_vec());
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LenientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
            let come = buffer.filled().get(before..).unwrap_or_default();
            let Some(shown) = self.readable(come) else { return Poll::Ready(Ok(())) };
            buffer.set_filled(before);
            self.left = shown;
        }
        let fits = self.left.len().min(buffer.remaining());
        let rest = self.left.split_off(fits);
        buffer.put_slice(&self.left);
        self.left = rest;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LenientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Feeds chunks one after the other (the first may have been read as the opening) and reads
    /// with a buffer of `room` bytes.
    async fn read(chunks: &[&[u8]], [head_next, opened]: [bool; 2], room: usize) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let heads = if head_next { Heads::new() } else { Heads::none() };
        let opening = if opened { chunks[0].to_vec() } else { Vec::new() };
        let mut lenient = LenientIo::new(server, heads, opening);
        let mut shown = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            if !opened || at > 0 {
                tokio::io::AsyncWriteExt::write_all(&mut client, chunk).await.unwrap();
            }
            let mut buffer = vec![0; room];
            loop {
                let count = lenient.read(&mut buffer).await.unwrap();
                shown.extend_from_slice(&buffer[..count]);
                if lenient.left.is_empty() {
                    break;
                }
            }
        }
        shown
    }

    #[tokio::test]
    async fn only_request_lines_are_changed() {
        let check = async |chunks: &[&str], head_next: bool, expect: &str| {
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            for opened in [false, true] {
                let found = read(&chunks, [head_next, opened], 4096).await;
                assert_eq!(String::from_utf8(found).unwrap(), expect, "{chunks:?} {opened}");
            }
        };
        let head = "GET /d?k=\"a\" HTTP/1.1\r\nif-match: \"x\"\r\n\r\n";
        let shown = "GET /d?k=%22a%22 HTTP/1.1\r\nif-match: \"x\"\r\n\r\n";
        check(&[head], true, shown).await;
        check(&[head], false, head).await;
        check(&["\r\n", head], true, &format!("\r\n{shown}")).await;
        check(
            &["GET /d?k=\"", "a\" HT", "TP/1.1\r\nx: \"\r\n"],
            true,
            "GET /d?k=%22a%22 HTTP/1.1\r\nx: \"\r\n",
        )
        .await;
        check(&["GET /ä<> HTTP/1.1\r\n"], true, "GET /%C3%A4%3C%3E HTTP/1.1\r\n").await;
        for other in ["match: \"x\"\r\n", "get /\" HTTP/1.1\r\n", "{\"a\":1}\n", "GET\"/\n"] {
            check(&[other], true, other).await;
        }
        let posted = "POST /d HTTP/1.1\r\n\r\nGET /\"";
        check(&[posted], true, posted).await;
    }

    #[tokio::test]
    async fn what_grows_does_not_get_lost() {
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "\"".repeat(500));
        let expect = head.replace('"', "%22");
        for room in [600, 700, 2000] {
            let found = read(&[head.as_bytes()], [true, false], room).await;
            assert_eq!(String::from_utf8(found).unwrap(), expect);
        }
    }
}
