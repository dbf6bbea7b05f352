//! A request's body on its way in: it must go on coming, lends the request's place to others while
//! it does not, and tells when it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::couch_api::BodyTooSlow;

use super::admission::Place;
use super::request_line::Heads;

/// What must come at least while `body_timeout` is waited.
const PROGRESS_BYTES: u64 = 4 << 10;

/// A body from a client.
pub struct RequestBody {
    incoming: Incoming,
    heads: Option<Heads>,
    place: Arc<Place>,
    pace: Pace,
}

impl RequestBody {
    pub fn new(
        incoming: Incoming,
        heads: Option<Heads>,
        place: Arc<Place>,
        timeout: Duration,
    ) -> Self {
        if let Some(heads) = &heads {
            heads.body_wanted(true);
        }
        Self { incoming, heads, place, pace: Pace::new(timeout) }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(heads) = &self.heads {
            heads.body_wanted(false);
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) else {
            this.place.lend();
            ready!(this.pace.poll_wait(context));
            return Poll::Ready(Some(Err(BodyTooSlow.into())));
        };
        this.place.take_back();
        if let Some(Ok(frame)) = &frame {
            this.pace.came(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        if frame.is_none() || this.incoming.is_end_stream() {
            this.heads.take().iter().for_each(Heads::body_ended);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Measures how long a client is waited for, not how long the server takes for what has come.
struct Pace {
    timeout: Duration,
    /// Since the last progress.
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(timeout: Duration) -> Self {
        Self { timeout, bytes: 0, waited: Duration::ZERO, waits_since: None, timer: None }
    }

    fn came(&mut self, bytes: u64) {
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= PROGRESS_BYTES {
            self.bytes = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// Ready when it was waited for too long.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waits_since.is_none() {
            let now = Instant::now();
            self.waits_since = Some(now);
            let end = now + self.timeout.saturating_sub(self.waited);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(sleep_until(end))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::sleep;

    use super::*;

    /// Bytes that come after seconds of waiting, and when it was too long.
    async fn check(comes: &[(u64, u64)], expect: Option<u64>) {
        let started = Instant::now();
        let mut pace = Pace::new(Duration::from_mins(1));
        let mut found = None;
        for &(seconds, bytes) in comes {
            let wait = poll_fn(|context| pace.poll_wait(context));
            tokio::select! {
                () = wait => {
                    found = Some(started.elapsed().as_secs());
                    break;
                }
                () = sleep(Duration::from_secs(seconds)) => pace.came(bytes),
            }
            // The server's own time does not count.
            sleep(Duration::from_mins(2)).await;
        }
        assert_eq!(found, expect, "{comes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_goes_on_or_is_given_up() {
        check(&[(59, 5000), (59, 5000), (59, 1)], None).await;
        check(&[(61, 5000)], Some(60)).await;
        check(&[(30, 1), (29, 1), (2, 5000)], Some(30 + 120 + 29 + 120 + 1)).await;
        check(&[(30, 3000), (29, 3000), (59, 1)], None).await;
    }
}
