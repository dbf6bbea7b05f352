//! A second address where metrics are shown without a password, and nothing else
//! (`[prometheus] additional_port`).

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::app::SharedApp;
use crate::couch_api::metrics_text;

use super::listeners::bind;

const PATH: &str = "/_node/_local/_prometheus";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=2.0");
/// Who collects metrics comes alone; a few are enough for several.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must have come in this time, and a connection may be idle for so long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves metrics where the settings ask for it, until the server stops.
pub async fn serve(app: SharedApp) {
    let mut restarted = app.restarted.subscribe();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = listen(&app) => {}
            // The app has the sender. Listens anew, perhaps elsewhere.
            Ok(()) = restarted.changed() => {}
        }
    }
}

/// Does not end.
async fn listen(app: &SharedApp) {
    let Some(address) = app.config.snapshot().monitoring.additional_address else {
        return pending().await;
    };
    let listener = match bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "metrics cannot be shown at their own address");
            return pending().await;
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!("metrics are at http://{address}{PATH}");
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(app.clone(), stream);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(app: SharedApp, stream: TcpStream) {
    let stopping = app.stopping.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let answer = service_fn(move |request| answer(app.clone(), request));
    let served = http.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection for metrics was cut");
            }
        }
        () = stopping.cancelled() => {}
    }
}

async fn answer(app: SharedApp, request: Request<Incoming>) -> Result<Response, Infallible> {
    let found = match (request.uri().path(), request.method().as_str()) {
        (PATH, "GET" | "HEAD") => {
            metrics_text(app).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        }
        (PATH, _) => Err(StatusCode::METHOD_NOT_ALLOWED),
        _ => Err(StatusCode::NOT_FOUND),
    };
    let mut response = Response::new(Body::empty());
    match found {
        Ok(text) => *response.body_mut() = text.into(),
        Err(status) => *response.status_mut() = status,
    }
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Ok(response)
}
