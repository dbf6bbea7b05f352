//! The commands on a data folder: `settee backup`, `restore`, `verify` and `compact`. Where a
//! server runs on the folder it is asked to do its part; else the store is opened here.

mod backup;
mod compact;
mod control;
mod verify;

pub use backup::{Backup, Restore, back_up, restore};
pub use compact::{Compact, compact};
pub use verify::{Verify, verify};

use std::io;

use thiserror::Error;

use crate::app::StartError;
use crate::app::backup::BackupError;
use crate::config::ConfigError;

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the server did not do it: {0}")]
    Refused(String),
    #[error("the server cannot be asked: {0}")]
    Control(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Compaction(String),
    #[error("{0} problems were found")]
    Problems(u64),
}

/// A size for people.
fn readable(bytes: u64) -> indicatif::HumanBytes {
    indicatif::HumanBytes(bytes)
}
