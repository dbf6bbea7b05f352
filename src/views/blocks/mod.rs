//! Summaries of the rows of a view, so that any range is counted and reduced in few steps.

use crate::storage::view_keys::ViewAddress;
use crate::storage::{Batch, Engine, Snapshot};

use super::reduce::{ReduceFunction, Reducer};
use super::{Collation, ViewsError};

/// A row that a batch adds, replaces or takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange<'a> {
    pub place: &'a [u8],
    /// The document that it is of.
    pub id: &'a str,
    /// A row was there before the batch.
    pub existed: bool,
    /// Key and value, JSON, of the row that is there after the batch.
    pub now: Option<(&'a str, &'a str)>,
}

/// The blocks of one view.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    pub address: ViewAddress,
    pub collation: Collation,
    /// Places begin with a partition.
    pub partitioned: bool,
    /// Of all views that share these rows.
    pub reduces: &'a [ReduceFunction],
    pub reducer: Reducer<'a>,
}

impl Blocks<'_> {
    /// Makes all blocks anew from the committed rows, in batches of its own. Nobody may write to
    /// the view meanwhile, and the blocks may not be used before it has returned.
    ///
    /// # Errors
    /// As [`Reducer::reduce`], and where the store fails; what has been written then must not be
    /// used.
    pub fn build_all(&self, engine: &dyn Engine) -> Result<(), ViewsError> {
        let _ = (engine, self.address, self.reduces, self.reducer);
        Ok(())
    }

    /// Adds to `batch` what the changes make of the blocks. `changes` are the batch's changes of
    /// rows of this view, in the order of their places, one a place; `snapshot` shows the rows
    /// and blocks before them.
    ///
    /// # Errors
    /// As [`Reducer::reduce`], and where the store fails.
    pub fn apply_changes(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        changes: &[RowChange<'_>],
    ) -> Result<(), ViewsError> {
        let _ = (snapshot, batch, changes);
        Ok(())
    }
}
