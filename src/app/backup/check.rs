//! Is a store whole? Of a backup, of a stopped server, or of a running one's checkpoint.

use std::path::Path;

use crate::database::{Findings, verify};
use crate::storage::RocksEngine;
use crate::views;

use super::{BackupError, Manifest, STORE, copy};

/// Checks every record of the store in `folder`, which no server may write to.
///
/// # Errors
/// Where it cannot be opened. What is wrong inside is a finding.
pub fn verify_store(folder: &Path) -> Result<Findings, BackupError> {
    if !folder.is_dir() {
        return Err(BackupError::NoStore(folder.to_owned()));
    }
    let engine = RocksEngine::open_read_only(folder)?;
    Ok(verify(&engine, &mut views::verify::verify)?)
}

/// Checks a backup: its files, and then the store that they are.
///
/// # Errors
/// Where it is none, or its store cannot be opened.
pub fn verify_backup(backup: &Path) -> Result<Findings, BackupError> {
    let manifest = Manifest::read(backup)?;
    let mut damaged = Findings::default();
    for file in &manifest.files {
        let path = backup.join(&file.path);
        let found = copy::hash(&path).map_err(|error| error.to_string());
        if found != Ok((file.bytes, file.sha256.clone())) {
            damaged.problem(&file.path, "it is not the file that was backed up");
        }
    }
    let mut findings = verify_store(&backup.join(STORE))?;
    findings.problem_count += damaged.problem_count;
    findings.problems.splice(0..0, damaged.problems);
    Ok(findings)
}
