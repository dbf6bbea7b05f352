//! One connection: its limits, and the way of a request through it.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::couch_api::{Service, serve_request};

use super::compression::{self, Wanted};
use super::request_line::{HeadNext, LenientIo};

/// A request's head must have come in this time, and a connection may be idle for so long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// The largest head of a request. Longer URIs than CouchDB takes must fit in, to be refused in
/// its words.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most bytes read or written at once.
const BUFFER_BYTES_MAX: usize = 128 << 10;

/// Serves connections, all in the same way.
pub struct Connections {
    http: http1::Builder,
    service: Service,
    stopping: CancellationToken,
}

impl Connections {
    pub fn new(service: Service, stopping: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        http.header_read_timeout(HEAD_TIME_MAX);
        http.max_header_size(HEAD_BYTES_MAX);
        http.max_buf_size(BUFFER_BYTES_MAX);
        Self { http, service, stopping }
    }

    /// Serves a connection until its client or the server ends it.
    pub fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> impl Future<Output = ()> + Send + use<> {
        let head_next = HeadNext::new();
        let requests =
            Requests { service: self.service.clone(), peer, head_next: head_next.clone() };
        let requests = TowerToHyperService::new(compression::layer(requests));
        // Without it answers wait for acknowledgements; with an error they are only slow.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(LenientIo::new(stream, head_next));
        let connection = self.http.serve_connection(stream, requests);
        let stopping = self.stopping.clone();
        async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopping.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection was cut");
            }
        }
    }
}

/// The requests of one connection.
#[derive(Clone)]
struct Requests {
    service: Service,
    peer: IpAddr,
    head_next: HeadNext,
}

impl tower::Service<http::Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    /// In a box, so that it leaves nothing behind once a long answer is on its way.
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let (service, peer) = (self.service.clone(), self.peer);
        let wanted = Wanted::of(&request);
        self.head_next.set(request.body().is_end_stream());
        let head_next = self.head_next.clone();
        let request = request.map(|incoming| Body::new(RequestBody { incoming, head_next }));
        Box::pin(async move {
            let settings = service.app().config.snapshot();
            let response = serve_request(service, Some(peer), request).await?;
            Ok(wanted.mark(response, &settings))
        })
    }
}

/// A request's body that tells when it has ended.
struct RequestBody {
    incoming: Incoming,
    head_next: HeadNext,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.head_next.set(true);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
