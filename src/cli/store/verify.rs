//! `settee verify`.

use std::path::PathBuf;

use clap::Args;

use crate::app::backup::{self, BackupError};
use crate::database::Findings;

use super::super::arguments::DataDir;
use super::StoreError;
use super::backup::with_checkpoint;

/// `settee verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A backup, or a folder of backups, of which the newest is checked [default: the data folder]
    backup: Option<PathBuf>,
    #[command(flatten)]
    data: DataDir,
}

/// Checks a backup or a data folder, and says what is wrong with it.
pub fn verify(arguments: &Verify) -> Result<(), StoreError> {
    let findings = match &arguments.backup {
        Some(folder) => {
            let newest = backup::newest(folder)?;
            let backup = newest.ok_or_else(|| BackupError::NoBackup(folder.clone()))?;
            backup::verify_backup(&backup)?
        }
        None => with_checkpoint(&arguments.data.folder()?, |checkpoint| {
            Ok(backup::verify_store(checkpoint)?)
        })?,
    };
    let Findings { databases, documents, bodies, attachments, indexes, rows, .. } = findings;
    println!(
        "{databases} databases, {documents} documents, {bodies} revisions, {attachments} \
         attachments, {indexes} indexes with {rows} rows"
    );
    for problem in &findings.problems {
        println!("{problem}");
    }
    match findings.problem_count {
        0 => Ok(()),
        count => Err(StoreError::Problems(count)),
    }
}
