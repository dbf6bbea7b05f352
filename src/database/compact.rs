//! Compaction: drop the bodies and attachments that no leaf refers to.
//!
//! It runs in pages through the writer, so that it never races an edit, and by itself once more
//! is obsolete than alive; disk use stays bounded whether or not anybody calls it.

use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError};

use crate::document::DocId;
use crate::storage::{Direction, Table, keys};

use super::{Database, DatabaseError, IdRange};

/// Documents looked at in one page.
const PAGE_DOCUMENTS: usize = 1000;
/// Obsolete bytes below which nothing is done by itself.
const OBSOLETE_BYTES_MIN: u64 = 4 << 20;

impl Database {
    /// Whether a compaction is under way.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        *self.compacting.lock().unwrap_or_else(PoisonError::into_inner)
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
        let running = {
            let mut compacting = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *compacting, true)
        };
        if running {
            return Ok(false);
        }
        let result = self.compact_pages();
        *self.compacting.lock().unwrap_or_else(PoisonError::into_inner) = false;
        result.map(|()| true)
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
            self.compact_documents(ids)?.wait()?;
        }
        self.compacted()?.wait()?;
        let range = keys::database_range(self.number);
        for table in [Table::Heads, Table::Bodies, Table::Changes, Table::Blobs, Table::Chunks] {
            self.engine.compact(table, &range);
        }
        Ok(())
    }
}
