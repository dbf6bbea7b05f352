//! Load: requests over keep-alive connections, each sent when the answer before it has come.
//!
//! All connections share one thread, so that the client takes at most one core.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::error::{BenchError, Result, unexpected};
use crate::http::Connection;

/// How much load, and when it ends: at the first of the two limits.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub duration: Duration,
    pub requests_max: usize,
    /// The status that every answer must have.
    pub status: u16,
}

impl Load {
    pub fn lasting(duration: Duration, connections: usize) -> Self {
        Self { connections, duration, requests_max: usize::MAX, status: 200 }
    }

    pub fn of_requests(requests: usize, connections: usize) -> Self {
        let duration = Duration::from_hours(1);
        Self { connections, duration, requests_max: requests, status: 200 }
    }

    pub fn answered(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn at_most(self, requests: usize) -> Self {
        Self { requests_max: requests, ..self }
    }
}

#[derive(Debug)]
pub struct Outcome {
    pub requests: usize,
    pub body_bytes: u64,
    latencies_us: Vec<u64>,
}

impl Outcome {
    /// Milliseconds within which this part (0 to 1) of the answers came.
    pub fn latency_ms(&self, part: f64) -> f64 {
        percentile(&self.latencies_us, part) / 1000.0
    }
}

/// The value below which this part (0 to 1) of `values` lies.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index and durations far below 2^52"
)]
pub fn percentile(values: &[u64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default() as f64
}

/// Sends `request(0)`, `request(1)`... from all connections and checks the status of each answer.
pub async fn run(
    address: SocketAddr,
    load: Load,
    request: impl Fn(usize) -> Bytes,
) -> Result<Outcome> {
    let next = Cell::new(0);
    let body_bytes = Cell::new(0);
    let latencies_us = RefCell::new(Vec::new());
    let opened = (0..load.connections).map(|_| Connection::open(address));
    let connections = try_join_all(opened).await?;
    let end = Instant::now() + load.duration;
    let clients = connections.into_iter().map(async |mut connection| {
        loop {
            let index = next.get();
            let start = Instant::now();
            if index >= load.requests_max || start >= end {
                return Ok::<(), BenchError>(());
            }
            next.set(index + 1);
            let request = request(index);
            connection.send(&request).await?;
            let (status, _) = connection.receive_head().await?;
            if status != load.status {
                return Err(unexpected(&request, status, &connection.receive_body().await?));
            }
            let length = connection.skim_body(|_| {}).await?;
            // Only now: other connections count while this one waits.
            body_bytes.set(body_bytes.get() + length);
            let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            latencies_us.borrow_mut().push(elapsed);
        }
    });
    try_join_all(clients).await?;
    let latencies_us = latencies_us.into_inner();
    Ok(Outcome { requests: latencies_us.len(), body_bytes: body_bytes.get(), latencies_us })
}
