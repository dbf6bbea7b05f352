//! A number that only grows, or a gauge that is set.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted from any thread.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    #[must_use]
    #[expect(clippy::new_without_default, reason = "counters are statics")]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// For what is looked up when somebody asks.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more until the guard is dropped.
    #[must_use]
    pub fn hold(&'static self) -> Held {
        self.add(1);
        Held(self)
    }
}

/// One that is counted while it lives.
#[derive(Debug)]
pub struct Held(&'static Counter);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted() {
        static COUNTER: Counter = Counter::new();
        let (one, two) = (COUNTER.hold(), COUNTER.hold());
        assert_eq!(COUNTER.get(), 2);
        drop(one);
        assert_eq!(COUNTER.get(), 1);
        drop(two);
        COUNTER.add(5);
        assert_eq!(COUNTER.get(), 5);
        COUNTER.set(3);
        assert_eq!(COUNTER.get(), 3);
    }
}
