//! Settings of the server that all its databases obey at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the configuration asks of every database.
#[derive(Debug)]
pub struct Limits {
    stem_interactive_updates: AtomicBool,
    disk_full_for_writes: AtomicBool,
    disk_full_for_indexes: AtomicBool,
    disk_full_for_builds_ahead: AtomicBool,
    /// In bytes; 0: there is none.
    max_partition_size: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stem_interactive_updates: AtomicBool::new(true),
            disk_full_for_writes: AtomicBool::new(false),
            disk_full_for_indexes: AtomicBool::new(false),
            disk_full_for_builds_ahead: AtomicBool::new(false),
            max_partition_size: AtomicU64::new(0),
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

    /// From which size on a partition takes nothing that makes it larger; 0 lifts the limit.
    pub fn set_max_partition_size(&self, bytes: u64) {
        self.max_partition_size.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn max_partition_size(&self) -> Option<u64> {
        Some(self.max_partition_size.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Whether the disk is too full for documents, and for updates of indexes.
    pub fn set_disk_full(&self, for_writes: bool, for_indexes: bool) {
        self.disk_full_for_writes.store(for_writes, Ordering::Relaxed);
        self.disk_full_for_indexes.store(for_indexes, Ordering::Relaxed);
    }

    pub(super) fn disk_full_for_writes(&self) -> bool {
        self.disk_full_for_writes.load(Ordering::Relaxed)
    }

    /// Whether the disk is too full for indexes that nobody waits for.
    pub fn set_disk_full_for_builds_ahead(&self, full: bool) {
        self.disk_full_for_builds_ahead.store(full, Ordering::Relaxed);
    }

    /// Whether no index is built now that nobody waits for.
    pub fn disk_full_for_builds_ahead(&self) -> bool {
        self.disk_full_for_builds_ahead.load(Ordering::Relaxed)
    }

    /// Whether no index may grow now.
    pub fn disk_full_for_indexes(&self) -> bool {
        self.disk_full_for_indexes.load(Ordering::Relaxed)
    }
}
