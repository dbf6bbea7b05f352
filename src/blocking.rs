//! The one door from async code to threads that may block: named, timed, traced.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::database::{DatabaseError, Reply};
use crate::design::{FunctionCall, FunctionError};
use crate::sandbox::{Asked, CallError, PoolError, Told};

/// Blocking work that did not come to its end: it panicked, or the server is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operation was interrupted")]
pub struct Interrupted;

#[cfg(test)]
thread_local! {
    static INLINE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work`, whose blocking parts stay on this thread: their order can be repeated then, which
/// simulations need.
#[cfg(test)]
pub fn inline<T>(work: impl FnOnce() -> T) -> T {
    INLINE.set(true);
    let result = work();
    INLINE.set(false);
    result
}

/// On whose behalf work is done, as the log tells it.
#[derive(Debug)]
pub struct RequestContext {
    id: String,
    peer: Option<IpAddr>,
    user: OnceLock<String>,
}

tokio::task_local! {
    static REQUEST: Arc<RequestContext>;
}

impl RequestContext {
    #[must_use]
    pub fn new(id: String, peer: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self { id, peer, user: OnceLock::new() })
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.get().map(String::as_str)
    }

    /// Says who sent the present request.
    pub fn set_user(name: &str) {
        if let Some(request) = Self::current() {
            // A rewritten request is of the same user.
            let _ = request.user.set(name.to_owned());
        }
    }

    fn current() -> Option<Arc<Self>> {
        REQUEST.try_with(Arc::clone).ok()
    }

    /// Looks at the present request, if there is one.
    pub fn with<T>(look: impl FnOnce(Option<&Self>) -> T) -> T {
        look(Self::current().as_deref())
    }

    /// Does `work` on behalf of this request.
    pub fn scope<F: Future>(self: Arc<Self>, work: F) -> impl Future<Output = F::Output> {
        REQUEST.scope(self, work)
    }

    /// The same for work that does not wait.
    pub fn sync_scope<T>(self: Arc<Self>, work: impl FnOnce() -> T) -> T {
        REQUEST.sync_scope(self, work)
    }
}

fn within<T>(request: Option<Arc<RequestContext>>, work: impl FnOnce() -> T) -> T {
    match request {
        Some(request) => REQUEST.sync_scope(request, work),
        None => work(),
    }
}

/// Operations slower than this are logged.
const SLOW_MS: u128 = 1000;

/// Runs `work` on a thread that may block.
///
/// # Errors
/// [`Interrupted`] where the work panicked.
pub async fn run<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Interrupted> {
    #[cfg(test)]
    if INLINE.get() {
        return Ok(work());
    }
    let started = Instant::now();
    let request = RequestContext::current();
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let result = tokio::task::spawn_blocking(move || within(request, work)).await;
    let took_ms = started.elapsed().as_millis();
    if took_ms >= SLOW_MS {
        tracing::info!(operation, took_ms, "a blocking operation was slow");
    }
    result.map_err(|error| {
        tracing::error!(operation, %error, "a blocking operation was interrupted");
        Interrupted
    })
}

/// Waits for a call of a function, without a thread. `begin` is given what to call once there is
/// an answer.
///
/// # Errors
/// Those of the call.
pub async fn called<T: Send + 'static>(
    begin: impl FnOnce(Told) -> Result<FunctionCall<T>, FunctionError>,
) -> Result<T, FunctionError> {
    let answered = Arc::new(Notify::new());
    let told = answered.clone();
    let mut waiting = Waiting { call: Some(begin(Arc::new(move || told.notify_one()))?) };
    loop {
        let Some(call) = &waiting.call else {
            return Err(CallError::from(PoolError::Crashed).into());
        };
        match call.ask() {
            Asked::Answer(answer) => {
                waiting.call = None;
                return answer;
            }
            Asked::Wait(left) => {
                let _ = tokio::time::timeout(left, answered.notified()).await;
            }
        }
    }
}

/// A call that is waited for. If its client goes, a thread waits, so that it still ends in time.
struct Waiting<T: Send + 'static> {
    call: Option<FunctionCall<T>>,
}

impl<T: Send + 'static> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take()
            && let Ok(runtime) = Handle::try_current()
        {
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            let _waits = runtime.spawn_blocking(|| call.wait().is_ok());
        }
    }
}

/// Starts `work` on a thread that may block; nobody waits for it.
pub fn start(operation: &'static str, work: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        // A panic is logged by `run`; there is nobody to tell.
        let _ = run(operation, work).await;
    });
}

/// Waits for a write to be durable, driving the database's writer if that fell to us.
///
/// # Errors
/// Those of the write.
pub async fn settle<T>(reply: Reply<T>) -> Result<T, DatabaseError> {
    if let Some(driver) = reply.driver {
        start("commit", || driver.run());
    }
    reply.answer.await.unwrap_or(Err(DatabaseError::Overloaded))
}

/// A stream of pages: each is made by one call of `next` on a thread that may block, when the
/// client has taken the one before. `next` returns `None` after the last page.
pub fn pages<S, E>(
    operation: &'static str,
    state: S,
    next: impl Fn(&mut S) -> Result<Option<Bytes>, E> + Clone + Send + Sync + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send
where
    S: Send + 'static,
    E: From<Interrupted> + Send + 'static,
{
    stream::try_unfold(state, move |mut state| {
        let next = next.clone();
        async move {
            let page = run(operation, move || {
                let page = next(&mut state);
                (page, state)
            });
            let (page, state) = page.await?;
            Ok(page?.map(|bytes| (bytes, state)))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::design::{Ddoc, Functions};
    use crate::document::{DocId, Document, Rev};
    use crate::sandbox::{Limits, Options, PoolOptions, Sandbox};

    /// A design document with one show function, `f`.
    fn with_show(source: &str) -> Ddoc {
        let document = Document {
            id: DocId::parse("_design/d").unwrap(),
            rev: Rev::parse("1-00000000000000000000000000000001").unwrap(),
            deleted: false,
            body: json!({"shows": {"f": source}}).to_string().into(),
            attachments: Vec::new(),
        };
        Ddoc::new(&document, None).unwrap()
    }

    #[tokio::test]
    async fn a_call_whose_client_has_gone_is_given_up() {
        let callers = PoolOptions {
            threads: 1,
            overruns_max: 1,
            wait: Duration::from_secs(1),
            ..PoolOptions::default()
        };
        let time = Duration::from_millis(20);
        let limits = Limits { time, ..Limits::default() };
        let options = Options { limits, callers, grace: time, ..Options::default() };
        let functions = Functions::new(Sandbox::new(options).unwrap());
        let show = |ddoc: &Ddoc, told| functions.show(ddoc, "f", "null".into(), "{}".into(), told);
        // One step, which the engine cannot interrupt, for longer than another call may wait.
        let step = "() => { var s = (1n << 1000000n) + 1n; return s + '' }";
        let stuck = with_show(step);
        let gone = tokio::time::timeout(Duration::ZERO, called(|told| show(&stuck, told))).await;
        assert!(gone.is_err());
        let quick = with_show("() => 'x'");
        assert!(called(|told| show(&quick, told)).await.is_ok(), "another thread has its place");
    }
}
