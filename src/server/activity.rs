//! What goes on in a connection of HTTP/2, whose requests are many: whether there are any, and
//! whether the client takes their answers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// How often it is looked, in parts of the shortest time.
const LOOKS: u32 = 4;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There was no request for long.
    Idle,
    /// A client takes nothing of an answer.
    Stalled,
}

/// The requests of a connection.
#[derive(Debug)]
pub struct Activity(Mutex<Table>);

#[derive(Debug)]
struct Table {
    last: u64,
    /// Requests that have not ended, and since when the client has not taken what there is.
    open: HashMap<u64, Option<Instant>>,
    quiet_since: Instant,
}

impl Activity {
    pub fn new() -> Arc<Self> {
        let quiet_since = Instant::now();
        Arc::new(Self(Mutex::new(Table { last: 0, open: HashMap::new(), quiet_since })))
    }

    /// A request, until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Active {
        let mut table = self.table();
        table.last += 1;
        let id = table.last;
        table.open.insert(id, None);
        Active { activity: self.clone(), id }
    }

    /// Requests that are worked on, those that were reset too.
    pub fn open(&self) -> usize {
        self.table().open.len()
    }

    /// Ends when the connection should.
    pub async fn watch(&self, idle: Duration, stall: Duration) -> Verdict {
        loop {
            sleep(idle.min(stall) / LOOKS).await;
            let table = self.table();
            if table.open.is_empty() && table.quiet_since.elapsed() >= idle {
                return Verdict::Idle;
            }
            if table.open.values().flatten().any(|since| since.elapsed() >= stall) {
                return Verdict::Stalled;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has not ended.
#[derive(Debug)]
pub struct Active {
    activity: Arc<Activity>,
    id: u64,
}

impl Active {
    /// Watches over the answer's body.
    pub fn over(self, body: Body) -> Body {
        Body::new(WatchedBody { body, active: self })
    }

    fn waits(&self, since: Option<Instant>) {
        self.activity.table().open.insert(self.id, since);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut table = self.activity.table();
        table.open.remove(&self.id);
        table.quiet_since = Instant::now();
    }
}

/// A body that knows whether the client takes it: who has taken a part asks for the next.
struct WatchedBody {
    body: Body,
    active: Active,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        this.active.waits(frame.is_ready().then(Instant::now));
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
    use http_body_util::BodyExt as _;

    use super::*;

    const IDLE: Duration = Duration::from_secs(75);
    const STALL: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn idle_and_stalled_connections_end() {
        let activity = Activity::new();
        let started = Instant::now();
        assert_eq!(activity.watch(IDLE, STALL).await, Verdict::Idle);
        assert_eq!(started.elapsed(), IDLE);

        let chunks = futures_util::stream::iter(["a", "b"].map(Ok::<_, axum::Error>));
        // Bodies that wait for news: nobody is late.
        let endless = futures_util::StreamExt::chain(chunks, futures_util::stream::pending());
        let mut body = activity.begin().over(Body::from_stream(endless));
        body.frame().await.unwrap().unwrap();
        let long = Duration::from_hours(1);
        let taken = async {
            sleep(Duration::from_secs(50)).await;
            body.frame().await.unwrap().unwrap();
            tokio::time::timeout(long, body.frame()).await
        };
        tokio::select! {
            verdict = activity.watch(IDLE, STALL) => panic!("{verdict:?}"),
            waited = taken => assert!(waited.is_err()),
        }
        drop(body);
        let mut body = activity.begin().over(Body::from("x".to_owned()));
        body.frame().await.unwrap().unwrap();
        let started = Instant::now();
        assert_eq!(activity.watch(IDLE, STALL).await, Verdict::Stalled);
        assert_eq!(started.elapsed(), STALL);
    }
}
