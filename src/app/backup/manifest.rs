//! The list of a backup's files, `backup.json`, and the backups of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::http::date::iso_date;

use super::super::now_s;
use super::{BackupError, copy};

const NAME: &str = "backup.json";
/// Of the list and of the layout.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub settee_backup: u32,
    /// When it was made (RFC 3339).
    pub created: String,
    /// The version that made it.
    pub version: String,
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Below the backup's folder, with `/`.
    pub path: String,
    pub bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn new() -> Self {
        Self {
            settee_backup: FORMAT,
            created: iso_date(now_s()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: Vec::new(),
        }
    }

    /// Reads the list of a backup.
    ///
    /// # Errors
    /// Where it is not there, or not of this format.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let text = fs::read(folder.join(NAME));
        let text = text.map_err(|_| BackupError::NoBackup(folder.to_owned()))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|_| BackupError::BadManifest(folder.to_owned()))?;
        if manifest.settee_backup > FORMAT {
            return Err(BackupError::NewerFormat(folder.to_owned()));
        }
        // A path decides where a file is written when it is restored.
        let inside = |file: &BackupFile| {
            let name = file.path.strip_prefix("store/").unwrap_or(&file.path);
            !name.is_empty() && !name.contains(['/', '\\']) && name != ".."
        };
        if !manifest.files.iter().all(inside) {
            return Err(BackupError::BadManifest(folder.to_owned()));
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        copy::write_synced(&path, &text)
    }
}

/// The complete backups below a folder, oldest first.
fn all(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(folder).map_err(|error| BackupError::file(folder, error))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_backup = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.join(NAME).is_file()
    };
    let mut backups: Vec<PathBuf> = paths.filter(is_backup).collect();
    backups.sort();
    Ok(backups)
}

/// The newest backup below a folder, or the folder itself where it is one.
///
/// # Errors
/// Where the folder cannot be read.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, BackupError> {
    if folder.join(NAME).is_file() {
        return Ok(Some(folder.to_owned()));
    }
    Ok(all(folder)?.pop())
}

/// Removes all but the newest `keep` backups.
pub(super) fn drop_old(folder: &Path, keep: usize) -> Result<(), BackupError> {
    let backups = all(folder)?;
    let old = backups.len().saturating_sub(keep);
    for backup in backups.into_iter().take(old) {
        fs::remove_dir_all(&backup).map_err(|error| BackupError::file(&backup, error))?;
    }
    Ok(())
}
