//! Why there is no backup.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::storage::StorageError;

/// What went wrong with a backup or with restoring it.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("there is no store at {}", .0.display())]
    NoStore(PathBuf),
    #[error("there is no backup in {}", .0.display())]
    NoBackup(PathBuf),
    #[error("{} is a backup of a newer settee", .0.display())]
    NewerFormat(PathBuf),
    #[error("{}: its list of files cannot be read", .0.display())]
    BadManifest(PathBuf),
    #[error("{} is not the file that was backed up", .0.display())]
    Damaged(PathBuf),
    #[error("{} holds databases already: restore into a folder without", .0.display())]
    NotEmpty(PathBuf),
}

impl BackupError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
