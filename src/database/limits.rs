//! Settings of the server that all its databases obey at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the configuration asks of every database.
#[derive(Debug)]
pub struct Limits {
    stem_interactive_updates: AtomicBool,
    disk_full_for_writes: AtomicBool,
    disk_full_for_indexes: AtomicBool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stem_interactive_updates: AtomicBool::new(true),
            disk_full_for_writes: AtomicBool::new(false),
            disk_full_for_indexes: AtomicBool::new(false),
        }
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

    /// Whether the disk is too full for documents, and for updates of indexes.
    pub fn set_disk_full(&self, for_writes: bool, for_indexes: bool) {
        self.disk_full_for_writes.store(for_writes, Ordering::Relaxed);
        self.disk_full_for_indexes.store(for_indexes, Ordering::Relaxed);
    }

    pub(super) fn disk_full_for_writes(&self) -> bool {
        self.disk_full_for_writes.load(Ordering::Relaxed)
    }

    /// Whether no index may grow now.
    pub fn disk_full_for_indexes(&self) -> bool {
        self.disk_full_for_indexes.load(Ordering::Relaxed)
    }
}
