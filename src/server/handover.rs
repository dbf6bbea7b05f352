//! Answers that wait for news, sent without the HTTP library: it keeps two buffers of 8 KiB for a
//! connection, more than all else that somebody who listens to a feed needs.
//!
//! The library writes the head of such an answer and gets a body that says nothing. Once the head
//! has left, the connection is taken from it and the real body is sent in chunks. What the client
//! sends meanwhile is for the next connection of the library.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{self, HeaderMap, Method, Version, header};
use axum::response::Response;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::couch_api::Waits;

use super::request_line::Heads;
use super::watched::Watched;

/// The answer of a connection of HTTP/1 that is to be taken over.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Nothing,
    /// The library is about to write the head.
    Offered(Body),
    /// It waits for a body that will never come.
    Headed(Body),
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the body of an answer that waits for news, and leaves the library one that says
    /// nothing in its place.
    pub fn offer(&self, response: Response, heads: &Heads) -> Response {
        let waits = response.extensions().get::<Waits>().is_some()
            && response.body().size_hint().exact().is_none();
        // Where a request's body was not read to its end, the library has to do it.
        if !waits || !heads.awaited() {
            return response;
        }
        response.map(|body| {
            *self.lock() = State::Offered(body);
            Body::new(Silent(self.clone()))
        })
    }

    /// The body to send, when the library has written the head.
    pub fn take(&self, heads: &Heads) -> Option<Body> {
        let mut state = self.lock();
        if !matches!(*state, State::Headed(_)) || heads.is_sending() {
            return None;
        }
        match std::mem::take(&mut *state) {
            State::Headed(body) => Some(body),
            State::Nothing | State::Offered(_) => None,
        }
    }
}

/// Whether the answer to this request may be taken over: it is sent in chunks, and the connection
/// goes on afterwards.
pub fn is_possible<B>(request: &http::Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() != Method::HEAD
        && !closes(request.headers())
}

fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| !option.trim_ascii().eq_ignore_ascii_case(b"keep-alive"))
    })
}

/// A body that never comes. The library asks for it when it has written the head.
struct Silent(Handover);

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.0.lock();
        *state = match std::mem::take(&mut *state) {
            State::Offered(body) => State::Headed(body),
            other => other,
        };
        Poll::Pending
    }
}

/// Sends the body of an answer in chunks, and says whether the client was there until its end.
///
/// # Errors
/// Those of the connection and of the body; what was sent ends in the middle then.
pub async fn send<T>(stream: &mut Watched<T>, mut body: Body) -> io::Result<bool>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            gone = poll_fn(|context| stream.poll_gone(context)) => return gone.map(|()| false),
        };
        match frame.transpose().map_err(io::Error::other)? {
            Some(frame) => match frame.into_data() {
                Ok(data) if !data.is_empty() => send_chunk(stream, data).await?,
                Ok(_) | Err(_) => {}
            },
            None => {
                stream.write_all(b"0\r\n\r\n").await?;
                stream.flush().await?;
                return Ok(true);
            }
        }
    }
}

async fn send_chunk<S: AsyncWrite + Unpin>(stream: &mut S, data: Bytes) -> io::Result<()> {
    let length = format!("{:x}\r\n", data.len());
    let mut chunk = Buf::chain(length.as_bytes(), data).chain(b"\r\n".as_slice());
    stream.write_all_buf(&mut chunk).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::super::patience::{PatientIo, Waits};
    use super::super::request_line::LenientIo;
    use super::*;

    fn body_of(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, io::Error>(*chunk)).collect();
        Body::from_stream(stream::iter(chunks))
    }

    /// A client, and the connection on which its request has come.
    fn connected() -> (DuplexStream, Watched<DuplexStream>) {
        let second = Duration::from_secs(1);
        let waits = Waits { header: second, idle: second, write: second };
        let (client, server) = duplex(1000);
        let heads = Heads::new();
        heads.request(true);
        let server = PatientIo::new(server, heads.clone(), false, waits);
        (client, Watched::new(LenientIo::new(server, heads, Vec::new())))
    }

    #[tokio::test]
    async fn bodies_are_sent_in_chunks() {
        let (mut client, mut server) = connected();
        let body = body_of(&["seventeen letters", "", "x"]);
        assert!(send(&mut server, body).await.unwrap());
        drop(server);
        let mut sent = String::new();
        client.read_to_string(&mut sent).await.unwrap();
        assert_eq!(sent, "11\r\nseventeen letters\r\n1\r\nx\r\n0\r\n\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_ahead_is_kept_in_order_and_bounded() {
        let (mut client, mut server) = connected();
        server.take_back(b"GET /a?");
        client.write_all(b"k=\"1\"").await.unwrap();
        client.write_all(&[b'x'; 900]).await.unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<io::Result<&'static str>>();
        let body = Body::from_stream(stream::once(async { ended.await.unwrap() }));
        let ending = async {
            // Longer than a request may be waited for.
            tokio::time::sleep(Duration::from_hours(1)).await;
            end.send(Ok("row")).unwrap();
        };
        let (sent, ()) = tokio::join!(send(&mut server, body), ending);
        assert!(sent.unwrap());
        let mut come = [0; 7 + 5 + 900];
        server.read_exact(&mut come).await.unwrap();
        assert!(come.starts_with(b"GET /a?k=\"1\"xx"), "{:?}", come.get(..20));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_is_not_waited_for_and_failures_cut() {
        let (client, mut server) = connected();
        drop(client);
        let endless = Body::from_stream(stream::pending::<io::Result<&'static str>>());
        assert!(!send(&mut server, endless).await.unwrap());
        let (_client, mut server) = connected();
        let failing = Body::from_stream(stream::once(async {
            Err::<&'static str, _>(io::Error::other("broken"))
        }));
        assert!(send(&mut server, failing).await.is_err());
    }

    #[test]
    fn only_what_is_sent_in_chunks_and_goes_on() {
        let check = |version: Version, connection: &str, expect: bool| {
            let request = http::Request::get("/").version(version).header("connection", connection);
            let request = request.body(()).unwrap();
            assert_eq!(is_possible(&request), expect, "{version:?} {connection}");
        };
        check(Version::HTTP_11, "keep-alive", true);
        check(Version::HTTP_11, "Keep-Alive, close", false);
        check(Version::HTTP_11, "close", false);
        check(Version::HTTP_11, "upgrade", false);
        check(Version::HTTP_10, "keep-alive", false);
    }
}
