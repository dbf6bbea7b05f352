//! Whether shards may be split, as far as a server shows it whose databases have one shard each.

use std::sync::{Mutex, PoisonError};

/// Running, or stopped for a reason.
#[derive(Debug, Default)]
pub struct Resharding {
    stopped: Mutex<Option<String>>,
}

impl Resharding {
    /// Why it was stopped, if it was.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops it for a reason, or lets it go on.
    pub fn set(&self, stopped: Option<String>) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = stopped;
    }
}
