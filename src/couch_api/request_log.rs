//! What stays of a request in the counters and in the log, whoever answered it.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;
use data_encoding::HEXLOWER;

use crate::blocking::RequestContext;
use crate::metrics;

/// A request that has its answer.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    pub method: &'a str,
    /// Never with the query, which may hold secrets.
    pub path: &'a str,
    pub status: StatusCode,
    pub took: Duration,
}

impl Answered<'_> {
    /// One of which nothing could be read but that it is to be refused.
    #[must_use]
    pub fn unread(status: StatusCode) -> Self {
        Answered { method: "-", path: "-", status, took: Duration::ZERO }
    }

    /// Counts and logs it; as a warning where it took as long as `slow_ms`.
    pub fn note(self, slow_ms: Option<u64>) {
        let Self { method, path, status, took } = self;
        let status = status.as_u16();
        metrics::answered(method, status, took);
        let took_ms = took.as_secs_f64() * 1000.0;
        if slow_ms.is_some_and(|slow_ms| took.as_millis() >= u128::from(slow_ms)) {
            tracing::warn!(
                http.method = method,
                http.path = path,
                http.status = status,
                took_ms,
                "slow request"
            );
        } else {
            tracing::info!(
                http.method = method,
                http.path = path,
                http.status = status,
                took_ms,
                "request"
            );
        }
    }

    /// The same for one that was refused before it had an id.
    pub async fn note_refusal(self, peer: IpAddr) {
        let context = RequestContext::new(new_id(), Some(peer));
        context.scope(async { self.note(None) }).await;
    }
}

/// Ten hexadecimal digits.
pub fn new_id() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 5]>())
}
