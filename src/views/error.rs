//! Why an index cannot be built or asked.

use crate::database::{DatabaseError, StorageError};
use crate::sandbox::CallError;

/// Why an index cannot be built or asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ViewsError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A function broke a limit, or cannot be compiled.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A built-in reduce met a value that it cannot take; the reason. CouchDB's `invalid_value`.
    #[error("{0}")]
    InvalidValue(String),
    /// No engine here runs this language.
    #[error("{0}")]
    UnknownLanguage(String),
    /// A document whose id names no partition, in an index that is kept by partition.
    #[error("{0} is in no partition")]
    NoPartition(String),
    /// `[disk_monitor]`: the index is updated again once there is room.
    #[error("not enough room to update index")]
    DiskFull,
    /// Not all that an answer needs is in memory, and no more may be read for it.
    #[error("not in memory")]
    NotInMemory,
    /// The index was dropped while it was being used.
    #[error("Design document was updated or deleted.")]
    Dropped,
    /// Who had the duty to update the index gave it up.
    #[error("the update of the index was interrupted")]
    Interrupted,
}

impl From<StorageError> for ViewsError {
    fn from(error: StorageError) -> Self {
        Self::Database(error.into())
    }
}
