//! How often a call is made again, and how long is waited before it.

use std::time::Duration;

use super::PeerError;

/// CouchDB's first wait, which doubles from attempt to attempt, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How patient a replication is with a peer: `retries_per_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Calls after the first one.
    pub count: u32,
    /// Before the second call.
    pub wait: Duration,
}

impl Retries {
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self { count, wait: WAIT_FIRST }
    }

    /// The attempts of one call.
    #[must_use]
    pub fn attempts(self) -> Attempts {
        Attempts { left: self.count, wait: self.wait }
    }
}

/// What is left of a call's attempts.
#[derive(Debug)]
pub struct Attempts {
    left: u32,
    wait: Duration,
}

impl Attempts {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error` itself where there is none left, or where trying again makes no sense.
    pub async fn wait(&mut self, error: PeerError) -> Result<(), PeerError> {
        self.wait_at_least(Duration::ZERO, error).await
    }

    /// As [`Self::wait`], for as long as the peer asked for, within reason.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub async fn wait_at_least(
        &mut self,
        asked_for: Duration,
        error: PeerError,
    ) -> Result<(), PeerError> {
        tokio::time::sleep(self.pause(asked_for, error)?).await;
        Ok(())
    }

    /// How long to wait before the next attempt.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn pause(&mut self, asked_for: Duration, error: PeerError) -> Result<Duration, PeerError> {
        if self.left == 0 || !error.is_transient() {
            return Err(error);
        }
        self.left -= 1;
        let pause = self.wait.max(asked_for).min(WAIT_MAX);
        self.wait = (self.wait * 2).min(WAIT_MAX);
        Ok(pause)
    }
}
