//! Why a database could not do what it was asked. Outcomes of single edits are values instead.

use std::sync::Arc;

use thiserror::Error;

use crate::storage::StorageError;

/// The failure of a whole operation.
#[derive(Debug, Clone, Error)]
pub enum DatabaseError {
    #[error("Database does not exist.")]
    NotFound,
    #[error("The database could not be created, the file already exists.")]
    Exists,
    /// Too much is waiting for the writer; nothing was written.
    #[error("the database has too many writes waiting")]
    Overloaded,
    /// `[disk_monitor]`: documents are written again once there is room.
    #[error("database_dir is too full")]
    DiskFull,
    /// An attachment's bytes are gone: its document was purged or compacted meanwhile.
    #[error("the attachment's bytes are gone")]
    AttachmentGone,
    #[error(transparent)]
    Storage(Arc<StorageError>),
}

impl From<StorageError> for DatabaseError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}
