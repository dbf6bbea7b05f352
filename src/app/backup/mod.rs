//! Backups: folders that hold everything a server needs, as it was at one moment.
//!
//! A backup is a checkpoint of the store (files that never change are shared with it or with the
//! backup before, by hard links, where the file system can), `local.ini`, and a list of its files
//! with their SHA-256. It appears under its name only when it is complete and synced.

mod check;
mod copy;
mod error;
mod manifest;
mod restore;

pub use check::{verify_backup, verify_store};
pub use error::BackupError;
pub use manifest::{Manifest, newest};
pub use restore::restore;

use std::fs;
use std::path::{Path, PathBuf};

use crate::http::date::iso_date;
use crate::storage::{Engine as _, RocksEngine, RocksOptions};

use super::now_s;
use copy::Previous;

/// The files of the store, in a backup and in a data folder.
const STORE: &str = "store";
const LOCAL_INI: &str = "local.ini";

/// What a backup cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub folder: PathBuf,
    pub files: usize,
    pub bytes: u64,
    /// Bytes that were copied; all others are shared.
    pub copied_bytes: u64,
}

/// Makes a checkpoint of a store that no server uses.
///
/// # Errors
/// Where a server does use it, or there is none.
pub fn checkpoint(data_dir: &Path, into: &Path) -> Result<(), BackupError> {
    let folder = data_dir.join(STORE);
    if !folder.is_dir() {
        return Err(BackupError::NoStore(folder));
    }
    let engine = RocksEngine::open(&folder, &RocksOptions::default())?;
    engine.checkpoint(into)?;
    Ok(engine.close()?)
}

/// Makes a backup in a new folder below `folder`, out of a checkpoint and of the rest of the data
/// folder that it is from. Keeps the newest `keep` backups there, where that is said.
///
/// # Errors
/// Where files cannot be read or written; then there is no new backup.
pub fn back_up(
    checkpoint: &Path,
    data_dir: &Path,
    folder: &Path,
    keep: Option<usize>,
) -> Result<Made, BackupError> {
    copy::make_private_folder(folder)?;
    let before = match newest(folder)? {
        Some(folder) => Some(Previous { manifest: Manifest::read(&folder)?, folder }),
        None => None,
    };
    let name = free_name(folder);
    let partial = folder.join(format!(".{name}.partial"));
    let made = fill(&partial, checkpoint, data_dir, before.as_ref());
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            // What is left of it is in nobody's way.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
    };
    let complete = folder.join(&name);
    fs::rename(&partial, &complete).map_err(|error| BackupError::file(&complete, error))?;
    copy::sync_folder(folder)?;
    if let Some(keep) = keep {
        manifest::drop_old(folder, keep.max(1))?;
    }
    Ok(Made { folder: complete, ..made })
}

/// `20261122T105500Z`, or the first such name with a number behind it that is free.
fn free_name(folder: &Path) -> String {
    let time: String = iso_date(now_s()).chars().filter(|c| !"-:".contains(*c)).collect();
    let numbered = (2..).map(|number| format!("{time}-{number:03}"));
    let mut names = std::iter::once(time.clone()).chain(numbered);
    names.find(|name| !folder.join(name).exists()).unwrap_or(time)
}

fn fill(
    partial: &Path,
    checkpoint: &Path,
    data_dir: &Path,
    before: Option<&Previous>,
) -> Result<Made, BackupError> {
    let mut made = Made { folder: partial.into(), files: 0, bytes: 0, copied_bytes: 0 };
    let mut manifest = Manifest::new();
    copy::make_private_folder(&partial.join(STORE))?;
    let mut files = vec![(data_dir.join(LOCAL_INI), LOCAL_INI.to_owned())];
    for path in copy::files_in(checkpoint)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push((path.clone(), format!("{STORE}/{name}")));
    }
    for (source, name) in files {
        if name == LOCAL_INI && !source.exists() {
            continue;
        }
        let placed = copy::place(&source, partial, &name, before)?;
        made.files += 1;
        made.bytes += placed.file.bytes;
        made.copied_bytes += placed.copied_bytes;
        manifest.files.push(placed.file);
    }
    manifest.write(partial)?;
    copy::sync_folder(&partial.join(STORE))?;
    copy::sync_folder(partial)?;
    Ok(made)
}
