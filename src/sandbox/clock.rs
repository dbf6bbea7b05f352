//! The time that one call may take.
//!
//! A call goes in steps: a document of a batch, a row of a list. Each step has the whole time
//! limit, and what a step waits for outside of the engine does not count. The pool watches the
//! same steps through [`Progress`], to give up what the engine cannot interrupt.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who else wants to know that a call goes on.
pub(super) trait Progress: Send + Sync {
    /// A step begins now.
    fn restart(&self);
    /// The call waits for something outside of the engine, until it restarts.
    fn pause(&self);
}

/// How long the present step has taken.
pub(super) struct Clock {
    limit: Duration,
    begun: Cell<Instant>,
    progress: Arc<dyn Progress>,
}

impl Clock {
    /// A clock whose first step begins now.
    pub fn new(limit: Duration, progress: Arc<dyn Progress>) -> Self {
        Self { limit, begun: Cell::new(Instant::now()), progress }
    }

    /// Begins another step.
    pub fn restart(&self) {
        self.begun.set(Instant::now());
        self.progress.restart();
    }

    /// Does something that may take long without being the function's fault, then begins another
    /// step.
    pub fn outside<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.progress.pause();
        let answer = wait();
        self.restart();
        answer
    }

    /// Whether the step has taken its time.
    pub fn is_over(&self) -> bool {
        self.begun.get().elapsed() >= self.limit
    }
}
