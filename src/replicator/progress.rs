//! How far a running replication has come, for those who watch it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::Statistics;

/// What is known of a run at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub statistics: Statistics,
    /// The newest sequence that was read from the source.
    pub source_seq: Value,
    /// Everything up to here has been written to the target.
    pub through_seq: Value,
    /// Everything up to here is in a checkpoint.
    pub checkpointed_seq: Value,
    /// Changes that the source has after those that were read.
    pub changes_pending: Option<u64>,
}

impl Snapshot {
    /// The members of `info` in `_scheduler/jobs`, which `_active_tasks` shows too.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let done = &self.statistics;
        let members = json!({
            "revisions_checked": done.missing_checked,
            "missing_revisions_found": done.missing_found,
            "docs_read": done.docs_read,
            "docs_written": done.docs_written,
            "changes_pending": self.changes_pending,
            "doc_write_failures": done.doc_write_failures,
            "bulk_get_docs": done.bulk_get_docs,
            "bulk_get_attempts": done.bulk_get_attempts,
            "checkpointed_source_seq": self.checkpointed_seq,
            "source_seq": self.source_seq,
            "through_seq": self.through_seq,
        });
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

/// A [`Snapshot`] that a run writes and others read.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Snapshot>);

impl Progress {
    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
