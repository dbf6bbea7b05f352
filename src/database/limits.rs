//! Settings of the server that all its databases obey at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the configuration asks of every database.
#[derive(Debug)]
pub struct Limits {
    stem_interactive_updates: AtomicBool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stem_interactive_updates: AtomicBool::new(true) }
    }
}

impl Limits {
    /// Whether edits of clients shorten revision trees; replicated ones always do.
    pub fn set_stem_interactive_updates(&self, stem: bool) {
        self.stem_interactive_updates.store(stem, Ordering::Relaxed);
    }

    pub(super) fn stem_interactive_updates(&self) -> bool {
        self.stem_interactive_updates.load(Ordering::Relaxed)
    }
}
