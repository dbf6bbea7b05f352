//! A backup becomes a data folder again.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::{self, BackupFile};
use super::{BackupError, LOCAL_INI, Manifest, STORE, copy};

/// Where the store is while it is not complete.
const PARTIAL: &str = "store.partial";

/// Puts a backup, or the newest one below `folder`, into a data folder without databases. A
/// `local.ini` that is there already stays. Returns the backup that was taken.
///
/// # Errors
/// Where a file is not what was backed up; then the data folder has no store.
pub fn restore(folder: &Path, data_dir: &Path) -> Result<PathBuf, BackupError> {
    let no_backup = || BackupError::NoBackup(folder.to_owned());
    if !folder.is_dir() {
        return Err(no_backup());
    }
    let backup = manifest::newest(folder)?.ok_or_else(no_backup)?;
    let manifest = Manifest::read(&backup)?;
    let store = data_dir.join(STORE);
    if store.exists() {
        return Err(BackupError::NotEmpty(data_dir.to_owned()));
    }
    let partial = data_dir.join(PARTIAL);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|error| BackupError::file(&partial, error))?;
    }
    copy::make_private_folder(&partial)?;
    for file in &manifest.files {
        let target = match file.path.strip_prefix("store/") {
            Some(name) => partial.join(name),
            None if file.path == LOCAL_INI && data_dir.join(LOCAL_INI).exists() => continue,
            None => data_dir.join(&file.path),
        };
        place(&backup, file, &target)?;
    }
    copy::sync_folder(&partial)?;
    fs::rename(&partial, &store).map_err(|error| BackupError::file(&store, error))?;
    copy::sync_folder(data_dir)?;
    Ok(backup)
}

/// Copied, not linked: what happens to the new store's disk blocks must not happen to the backup.
fn place(backup: &Path, file: &BackupFile, target: &Path) -> Result<(), BackupError> {
    let source = backup.join(&file.path);
    let copied = copy::copy(&source, target)?;
    if copied == (file.bytes, file.sha256.clone()) {
        return Ok(());
    }
    // A damaged file must not look like a restored one.
    let _ = fs::remove_file(target);
    Err(BackupError::Damaged(source))
}
