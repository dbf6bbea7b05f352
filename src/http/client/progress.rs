//! Waiting that ends when nothing moves, however long the whole takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::ClientError;

/// Counts what was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for `future` as long as there is some progress in each `patience`.
    pub(super) async fn watch<T>(
        &self,
        patience: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let mut future = std::pin::pin!(future);
        loop {
            let before = self.0.load(Ordering::Relaxed);
            if let Ok(ended) = timeout(patience, &mut future).await {
                return Ok(ended);
            }
            if self.0.load(Ordering::Relaxed) == before {
                return Err(ClientError::Silent(patience));
            }
        }
    }
}
