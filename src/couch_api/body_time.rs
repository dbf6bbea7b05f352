//! How long a request's body took to read, for `X-CouchDB-Body-Time`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Milliseconds from the first look at the body to its last bytes.
#[derive(Debug, Clone, Default)]
pub struct BodyTime(Arc<AtomicU64>);

impl BodyTime {
    /// Milliseconds; 0 for a body that nobody read.
    #[must_use]
    pub fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The same body, its reading timed.
    pub fn of(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Timed { body, started: None, time: self.clone() })
    }
}

struct Timed {
    body: Body,
    started: Option<Instant>,
    time: BodyTime,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let started = *this.started.get_or_insert_with(Instant::now);
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if frame.is_ready() {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            this.time.0.store(ms, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn reading_takes_the_time_until_the_last_bytes() {
        let time = BodyTime::default();
        let slow = stream::once(async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Ok::<_, axum::Error>(Bytes::from_static(b"x"))
        });
        let body = time.of(Body::from_stream(slow));
        assert_eq!(time.ms(), 0);
        let read = axum::body::to_bytes(body, 10).await.unwrap();
        assert_eq!(read.as_ref(), b"x");
        assert!(time.ms() >= 20, "{}", time.ms());
        let unread = BodyTime::default();
        drop(unread.of(Body::empty()));
        assert_eq!(unread.ms(), 0);
    }
}
