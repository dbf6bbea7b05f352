//! `settee backup` and `settee restore`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::backup::{self, Made};
use crate::app::control::{Answer, Request};

use super::super::arguments::DataDir;
use super::{StoreError, control, readable};

/// `settee backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Folder of backups; each gets a folder of its own in it
    folder: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// Keep so many backups in the folder, and remove older ones
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
}

/// `settee restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup, or a folder of backups, of which the newest is taken
    backup: PathBuf,
    #[command(flatten)]
    data: DataDir,
}

/// A checkpoint that was made here, and goes again.
struct OwnCheckpoint(PathBuf);

impl Drop for OwnCheckpoint {
    fn drop(&mut self) {
        // What is left is removed when a server is next started.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does something with a checkpoint of what is committed now.
pub fn with_checkpoint<T>(
    data_dir: &Path,
    work: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if let Some(mut server) = control::connect(data_dir)? {
        return match server.ask(&Request::Checkpoint)? {
            // The connection is open until the work is done.
            Answer::Checkpoint(folder) => work(&folder),
            _ => Err(StoreError::Refused("it made no checkpoint".to_owned())),
        };
    }
    let folder = data_dir.join("tmp").join(format!("checkpoint-{}", std::process::id()));
    let scratch = data_dir.join("tmp");
    if !data_dir.join("store").is_dir() {
        return Err(backup::BackupError::NoStore(data_dir.join("store")).into());
    }
    fs::create_dir_all(&scratch)?;
    let own = OwnCheckpoint(folder);
    backup::checkpoint(data_dir, &own.0)?;
    work(&own.0)
}

/// Makes a backup.
pub fn back_up(arguments: &Backup) -> Result<(), StoreError> {
    let data_dir = &arguments.data.folder()?;
    let Made { folder, files, bytes, copied_bytes } = with_checkpoint(data_dir, |checkpoint| {
        Ok(backup::back_up(checkpoint, data_dir, &arguments.folder, arguments.keep)?)
    })?;
    println!(
        "{}: {files} files, {}, of which {} were copied",
        folder.display(),
        readable(bytes),
        readable(copied_bytes)
    );
    Ok(())
}

/// Makes a data folder out of a backup.
pub fn restore(arguments: &Restore) -> Result<(), StoreError> {
    let data_dir = &arguments.data.folder()?;
    fs::create_dir_all(data_dir)?;
    let taken = backup::restore(&arguments.backup, data_dir)?;
    println!("{} is in {} again", taken.display(), data_dir.display());
    Ok(())
}
