//! Compaction: drop the bodies and attachments that no leaf refers to.
//!
//! It runs in pages through the writer, so that it never races an edit, and by itself once more
//! is obsolete than alive; disk use stays bounded whether or not anybody calls it.

use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use crate::document::DocId;
use crate::storage::{Direction, Table, keys};

use super::{Database, DatabaseError, IdRange};

/// Documents looked at in one page.
const PAGE_DOCUMENTS: usize = 1000;
/// Obsolete bytes below which nothing is done by itself.
const OBSOLETE_BYTES_MIN: u64 = 4 << 20;

/// How far a compaction has come.
#[derive(Debug, Clone, Copy)]
pub struct Compaction {
    pub started: Instant,
    /// When the last page was done.
    pub updated: Instant,
    pub documents_done: u64,
    pub documents: u64,
}

impl Database {
    /// The compaction under way, if any.
    #[must_use]
    pub fn compaction(&self) -> Option<Compaction> {
        *self.lock_compaction()
    }

    /// Whether a compaction is under way.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.compaction().is_some()
    }

    fn lock_compaction(&self) -> MutexGuard<'_, Option<Compaction>> {
        self.compaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so much is obsolete that compaction pays.
    #[must_use]
    pub fn wants_compaction(&self) -> bool {
        let state = self.state();
        state.obsolete_bytes > OBSOLETE_BYTES_MIN.max(state.external_bytes) && !self.is_compacting()
    }

    /// Compacts all documents. `false`: another compaction is under way already.
    ///
    /// # Errors
    /// Where the store cannot be read or written; what was done stays done.
    pub fn compact(self: &Arc<Self>) -> Result<bool, DatabaseError> {
        let (now, state) = (Instant::now(), self.state());
        let fresh = Compaction {
            started: now,
            updated: now,
            documents_done: 0,
            documents: state.doc_count + state.doc_del_count,
        };
        {
            let mut compaction = self.lock_compaction();
            if compaction.is_some() {
                return Ok(false);
            }
            *compaction = Some(fresh);
        }
        let result = self.compact_pages();
        *self.lock_compaction() = None;
        result.map(|()| true)
    }

    fn note_compacted(&self, documents: u64) {
        if let Some(compaction) = self.lock_compaction().as_mut() {
            compaction.documents_done += documents;
            compaction.updated = Instant::now();
        }
    }

    fn compact_pages(self: &Arc<Self>) -> Result<(), DatabaseError> {
        let mut start = Bound::Unbounded;
        loop {
            let mut ids = Vec::new();
            let page = IdRange { start, end: Bound::Unbounded };
            self.scan_heads(&page, Direction::Forward, &mut |row| {
                ids.extend(DocId::parse(row.id));
                if ids.len() < PAGE_DOCUMENTS {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            let Some(last) = ids.last() else { break };
            start = Bound::Excluded(last.as_str().to_owned());
            let done = ids.len() as u64;
            self.compact_documents(ids)?.wait()?;
            self.note_compacted(done);
        }
        self.compacted()?.wait()?;
        let range = keys::database_range(self.number);
        for table in [Table::Heads, Table::Bodies, Table::Changes, Table::Blobs, Table::Chunks] {
            self.engine.compact(table, &range);
        }
        Ok(())
    }
}
