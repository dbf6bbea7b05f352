//! The memory that bodies of requests take, bounded for all of them together
//! (`[chttpd] max_request_memory`).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::LimitsSettings;

use super::error::ApiError;

/// Smaller bodies are not counted: the number of requests bounds them.
const COUNTED_BYTES: u64 = 64 << 10;

static HELD: AtomicU64 = AtomicU64::new(0);

/// What one request holds; given back when it is dropped.
#[derive(Debug, Default)]
pub struct BodyMemory(u64);

impl BodyMemory {
    /// Holds `bytes` in all, if it held fewer before.
    ///
    /// # Errors
    /// 413 where it would be too much for any request, 503 where others have taken what there is.
    pub fn hold(&mut self, bytes: u64, limits: &LimitsSettings) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.0);
        if bytes <= COUNTED_BYTES || more == 0 {
            return Ok(());
        }
        let most = limits.request_memory_bytes;
        if bytes > most {
            return Err(ApiError::BodyTooLarge);
        }
        if HELD.fetch_add(more, Ordering::Relaxed).saturating_add(more) > most {
            HELD.fetch_sub(more, Ordering::Relaxed);
            return Err(ApiError::Overloaded);
        }
        self.0 = bytes;
        Ok(())
    }

    /// How many bytes it could hold now in all.
    #[must_use]
    pub fn room(&self, limits: &LimitsSettings) -> u64 {
        let others = HELD.load(Ordering::Relaxed).saturating_sub(self.0);
        limits.request_memory_bytes.saturating_sub(others).max(COUNTED_BYTES)
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn requests_share_what_there_is() {
        // Far more than other tests hold at the same time.
        let unit = 1 << 50;
        let mut limits = Settings::default().limits;
        limits.request_memory_bytes = 3 * unit + (unit >> 1);
        let (mut one, mut two) = (BodyMemory::default(), BodyMemory::default());
        one.hold(unit, &limits).unwrap();
        one.hold(2 * unit, &limits).unwrap();
        one.hold(unit, &limits).unwrap();
        assert!(matches!(two.hold(2 * unit, &limits), Err(ApiError::Overloaded)));
        assert!(matches!(two.hold(4 * unit, &limits), Err(ApiError::BodyTooLarge)));
        two.hold(unit, &limits).unwrap();
        assert!(two.room(&limits) < 2 * unit && two.room(&limits) >= unit);
        drop(one);
        two.hold(3 * unit, &limits).unwrap();
        two.hold(10, &limits).unwrap();
    }
}
