//! Why a file cannot be read or written, and why an export or an import stopped.

use std::io;

use thiserror::Error;

use crate::blocking::Interrupted;
use crate::replicator::PeerError;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Bytes that are not what should stand there.
    #[error("line {line}: {reason}")]
    Broken { line: u64, reason: String },
    #[error("line {line}: a document of more than {most} bytes")]
    TooLong { line: u64, most: usize },
    #[error("line {line}: what begins here has no end")]
    Unclosed { line: u64 },
    #[error("the file was cut: its end is missing")]
    Truncated,
    /// Written by a later version.
    #[error("the file has version {0} of the format, which this settee does not know")]
    Version(u64),
    #[error("the file should have {announced} documents, but has {found}")]
    Incomplete { announced: u64, found: u64 },
}

/// Why an export or an import stopped.
#[derive(Debug, Error)]
pub enum TransferError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
