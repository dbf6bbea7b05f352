//! One connection: whether there is room for it, TLS, which HTTP it speaks, its limits, its end.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::http::StatusCode;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{LimitsSettings, SocketOptions};
use crate::couch_api::{Answered, Service};

use super::activity::{Activity, Verdict};
use super::admission::{Admission, connection_refusal};
use super::handover::{self, Handover};
use super::opening::{Opening, Protocol};
use super::patience::{HeadTooSlow, PatientIo, Waits};
use super::request_line::{Heads, LenientIo};
use super::requests::{Http, Requests};
use super::tls::{HTTP_2, Tls};
use super::watched::Watched;

/// The largest head of a request. Longer URIs than CouchDB takes must fit in, to be refused in
/// its words.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// The most bytes read or written at once.
const BUFFER_BYTES_MAX: usize = 128 << 10;
/// Of one request of HTTP/2: bytes that wait to be sent, and that its client may send ahead.
const STREAM_SEND_BYTES: usize = 64 << 10;
const STREAM_RECEIVE_BYTES: u32 = 256 << 10;
/// Streams that a client of HTTP/2 has reset before they were looked at; more is an attack.
const RESETS_MAX: usize = 20;
/// How often a client of HTTP/2 that says nothing is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a client of HTTP/2 may take to close what is idle.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);
/// Connections that are being told that there is no room. More are closed without a word.
const REFUSALS_MAX: usize = 256;
/// How long a refused client may take to read why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);

/// Requests as the HTTP library wants them.
type Served = TowerToHyperService<Requests>;

/// Serves connections, all in the same way.
pub struct Connections {
    service: Service,
    stopping: CancellationToken,
    open: Arc<Admission>,
    refused: Arc<Admission>,
    requests: Arc<Admission>,
}

impl Connections {
    pub fn new(service: Service, stopping: CancellationToken) -> Self {
        let [open, refused, requests] = std::array::from_fn(|_| Arc::default());
        Self { service, stopping, open, refused, requests }
    }

    /// Serves a connection until its client or the server ends it.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: IpAddr, tls: Option<Arc<Tls>>) {
        let settings = self.service.app().config.snapshot();
        let limits = settings.limits.clone();
        if let Err(error) = set_options(&stream, settings.chttpd.socket_options) {
            tracing::debug!(%error, "an option of a connection was not set");
        }
        drop(settings);
        let Some(_place) = self.open.enter(limits.connections.min(files_max())) else {
            return self.refuse(stream, peer, tls.is_some()).await;
        };
        let begun = match tls {
            None => self.begin(stream, &limits).await.map(|(stream, opening)| {
                let serve = self.serve_http(stream, opening, (peer, false), limits);
                Box::pin(serve) as Pin<Box<dyn Future<Output = ()> + Send>>
            }),
            Some(tls) => self.begin_tls(stream, &tls, &limits).await.map(|(stream, opening)| {
                let serve = self.serve_http(stream, opening, (peer, true), limits);
                Box::pin(serve) as Pin<Box<dyn Future<Output = ()> + Send>>
            }),
        };
        match begun {
            Ok(served) => served.await,
            Err(error) => tracing::debug!(%error, "a connection did not begin"),
        }
    }

    /// Tells that there is no room, in a way that the client sees it before the connection is cut.
    async fn refuse(&self, mut stream: TcpStream, peer: IpAddr, tls: bool) {
        Answered::unread(StatusCode::SERVICE_UNAVAILABLE).note_refusal(peer).await;
        let Some(_place) = self.refused.enter(REFUSALS_MAX) else { return };
        if tls {
            return;
        }
        let told = async {
            stream.write_all(connection_refusal().as_bytes()).await?;
            stream.shutdown().await?;
            // What is not read would cut the connection before the answer has arrived.
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // However it ends, the connection is closed.
        let _ = timeout(REFUSAL_TIME_MAX, told).await;
    }

    async fn begin(
        &self,
        mut stream: TcpStream,
        limits: &LimitsSettings,
    ) -> io::Result<(TcpStream, Opening)> {
        let opening = self.awaited(Opening::read(&mut stream), limits.idle_timeout).await?;
        Ok((stream, opening))
    }

    async fn begin_tls(
        &self,
        stream: TcpStream,
        tls: &Arc<Tls>,
        limits: &LimitsSettings,
    ) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, Opening)> {
        let handshake = async { tls.acceptor().await.accept(stream).await };
        let stream = Box::pin(self.awaited(handshake, limits.header_timeout)).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((stream, Opening::known(protocol)))
    }

    /// What a client does before it has sent a request; it may not take long.
    async fn awaited<T>(
        &self,
        begun: impl Future<Output = io::Result<T>>,
        most: Duration,
    ) -> io::Result<T> {
        tokio::select! {
            begun = timeout(most, begun) => begun?,
            () = self.stopping.cancelled() => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    async fn serve_http<S>(
        self: Arc<Self>,
        stream: S,
        opening: Opening,
        (peer, encrypted): (IpAddr, bool),
        limits: LimitsSettings,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (heads, http) = match opening.protocol {
            Protocol::Http1 => {
                let heads = Heads::new();
                (heads.clone(), Http::One(heads, Handover::default()))
            }
            Protocol::Http2 => (Heads::none(), Http::Two(Activity::new())),
        };
        let requests = Requests {
            service: self.service.clone(),
            peer,
            encrypted,
            admission: self.requests.clone(),
            http: http.clone(),
        };
        let begun = !opening.bytes.is_empty() && heads.awaited();
        let waits = Waits {
            header: limits.header_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        };
        let stream = PatientIo::new(stream, heads.clone(), begun, waits);
        let stream = LenientIo::new(stream, heads, opening.bytes);
        let ended = match http {
            Http::One(heads, handover) => {
                self.serve_http1(Watched::new(stream), requests, (&heads, &handover)).await
            }
            Http::Two(activity) => {
                let (stream, requests) = (TokioIo::new(stream), TowerToHyperService::new(requests));
                let serve = self.serve_http2(stream, requests, &activity, &limits);
                Box::pin(serve).await.map_err(BoxError::from)
            }
        };
        if let Err(error) = ended {
            let refusal = error.downcast_ref::<hyper::Error>().and_then(refusal_of_head);
            if let Some(status) = refusal {
                Answered::unread(status).note_refusal(peer).await;
            }
            tracing::debug!(%error, "a connection was cut");
        }
    }

    /// Has the HTTP library serve requests, and sends the answers itself that wait for news.
    async fn serve_http1<T>(
        &self,
        mut stream: Watched<T>,
        requests: Requests,
        taken: (&Heads, &Handover),
    ) -> Result<(), BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        loop {
            // In boxes, so that neither keeps room that it does not need.
            let served = Box::pin(self.serve_library(stream.clone(), &requests, taken));
            let Some(body) = served.await? else { return Ok(()) };
            let sent = Box::pin(handover::send(&mut stream, body)).await?;
            if !sent || self.stopping.is_cancelled() {
                return Ok(stream.shutdown().await?);
            }
        }
    }

    /// Until the connection ends, or an answer is to be taken over: then with its body.
    async fn serve_library<T>(
        &self,
        stream: Watched<T>,
        requests: &Requests,
        (heads, handover): (&Heads, &Handover),
    ) -> Result<Option<Body>, BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        // How long a client is waited for, and whether it is there, the stream knows.
        http.header_read_timeout(None);
        http.half_close(true);
        http.max_header_size(HEAD_BYTES_MAX as usize);
        http.max_buf_size(BUFFER_BYTES_MAX);
        let service = TowerToHyperService::new(requests.clone());
        let mut connection = http.serve_connection(TokioIo::new(stream.clone()), service);
        let (mut stopping, mut told) = (pin!(self.stopping.cancelled()), false);
        let body = poll_fn(|context| {
            if !told && stopping.as_mut().poll(context).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(ended.map(|()| None).map_err(BoxError::from));
            }
            match handover.take(heads) {
                Some(body) => Poll::Ready(Ok(Some(body))),
                None => stream.poll_gone(context).map(|gone| Ok(gone.map(|()| None)?)),
            }
        });
        let Some(body) = body.await? else { return Ok(None) };
        stream.take_back(&connection.into_parts().read_buf);
        Ok(Some(body))
    }

    async fn serve_http2<I>(
        &self,
        stream: I,
        requests: Served,
        activity: &Activity,
        limits: &LimitsSettings,
    ) -> hyper::Result<()>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new());
        http.max_concurrent_streams(limits.http2_streams);
        http.max_header_list_size(HEAD_BYTES_MAX);
        http.max_pending_accept_reset_streams(RESETS_MAX);
        http.max_send_buf_size(STREAM_SEND_BYTES);
        http.initial_stream_window_size(STREAM_RECEIVE_BYTES);
        http.keep_alive_interval(PING_INTERVAL);
        let mut connection = pin!(http.serve_connection(stream, requests));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return connection.await;
            }
            verdict = activity.watch(limits.idle_timeout, limits.write_timeout) => match verdict {
                // Left alone, it is cut.
                Verdict::Stalled => return Ok(()),
                Verdict::Idle => connection.as_mut().graceful_shutdown(),
            }
        }
        // A last request may have come meanwhile.
        tokio::select! {
            ended = connection => ended,
            _ = activity.watch(GOODBYE_TIME_MAX, limits.write_timeout) => Ok(()),
        }
    }
}

/// The files of the process that connections may take; the store opens files, too.
fn files_max() -> usize {
    let files = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    usize::try_from(files / 4 * 3).unwrap_or(usize::MAX)
}

fn set_options(stream: &TcpStream, options: SocketOptions) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(options.nodelay)?;
    if options.keepalive {
        socket.set_keepalive(true)?;
    }
    if let Some(bytes) = options.sndbuf {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.recbuf {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// What the HTTP library has told a client whose request it could not read. One that takes too
/// long for its head is told nothing, as by CouchDB, but counts as one that was.
fn refusal_of_head(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if error.is_parse() {
        return Some(StatusCode::BAD_REQUEST);
    }
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    cause.get_ref()?.is::<HeadTooSlow>().then_some(StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn options_of_sockets() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut options = SocketOptions {
            nodelay: true,
            keepalive: true,
            sndbuf: Some(8192),
            recbuf: Some(9000),
        };
        set_options(&stream, options).unwrap();
        let socket = SockRef::from(&stream);
        // Systems give more than they are asked for, some twice as much.
        let near = |found: usize, asked: usize| (asked..=2 * asked).contains(&found);
        assert!(near(socket.send_buffer_size().unwrap(), 8192));
        assert!(near(socket.recv_buffer_size().unwrap(), 9000));
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        options.nodelay = false;
        set_options(&stream, options).unwrap();
        assert!(!stream.nodelay().unwrap());
    }
}
