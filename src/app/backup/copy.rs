//! Files on their way into a backup and back: shared by hard links where that is safe and
//! possible, else copied; always with their SHA-256.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::manifest::BackupFile;
use super::{BackupError, Manifest};

const BUFFER_BYTES: usize = 1 << 20;
/// The end of a table names the session of the store that wrote it, the end of a blob file its
/// checksum: files of one name and length with one end are one file.
const END_BYTES: u64 = 64 << 10;

/// The backup before.
pub struct Previous {
    pub manifest: Manifest,
    pub folder: PathBuf,
}

/// A file that has been placed.
pub struct Placed {
    pub file: BackupFile,
    /// 0 where it is shared.
    pub copied_bytes: u64,
}

/// Whether the store never changes a file once it is written.
fn is_immutable(name: &str) -> bool {
    let kind = Path::new(name).extension();
    kind.is_some_and(|kind| kind == "sst" || kind == "blob")
}

/// Puts the file `source` at `folder/name`.
pub fn place(
    source: &Path,
    folder: &Path,
    name: &str,
    before: Option<&Previous>,
) -> Result<Placed, BackupError> {
    let target = folder.join(name);
    if is_immutable(name) {
        if let Some(file) = before.and_then(|before| share(source, &target, name, before)) {
            return Ok(Placed { file, copied_bytes: 0 });
        }
        if fs::hard_link(source, &target).is_ok() {
            let (bytes, sha256) = hash(&target)?;
            let file = BackupFile { path: name.to_owned(), bytes, sha256 };
            return Ok(Placed { file, copied_bytes: 0 });
        }
    }
    let (bytes, sha256) = copy(source, &target)?;
    let file = BackupFile { path: name.to_owned(), bytes, sha256 };
    Ok(Placed { file, copied_bytes: bytes })
}

/// Links to the same file in the backup before, if it has it.
fn share(source: &Path, target: &Path, name: &str, before: &Previous) -> Option<BackupFile> {
    let file = before.manifest.files.iter().find(|file| file.path == name)?;
    let old = before.folder.join(name);
    let same = end_of(source).ok()? == end_of(&old).ok()?;
    (same && fs::hard_link(&old, target).is_ok()).then(|| file.clone())
}

/// A file's length and last bytes.
fn end_of(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok((length, end))
}

/// The length and the SHA-256 of a file.
pub fn hash(path: &Path) -> Result<(u64, String), BackupError> {
    let read = || through(&mut File::open(path)?, |_| Ok(()));
    read().map_err(|error| BackupError::file(path, error))
}

/// Copies a file and syncs it.
pub fn copy(source: &Path, target: &Path) -> Result<(u64, String), BackupError> {
    let mut from = File::open(source).map_err(|error| BackupError::file(source, error))?;
    let write = || {
        let mut to = create(target)?;
        let done = through(&mut from, |bytes| to.write_all(bytes))?;
        to.sync_all()?;
        Ok(done)
    };
    let mut write = write;
    write().map_err(|error| BackupError::file(target, error))
}

fn through(
    from: &mut File,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        each(bytes)?;
        length += read as u64;
    }
    Ok((length, HEXLOWER.encode(&hasher.finalize())))
}

/// Files of a backup hold password hashes and secrets: they are their owner's.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let write = || {
        let mut file = create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| BackupError::file(path, error))
}

pub fn make_private_folder(path: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| BackupError::file(path, error))
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| BackupError::file(path, error))
}

/// The files in a folder, by name.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(folder).map_err(|error| BackupError::file(folder, error))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(|error| BackupError::file(folder, error))?.path());
    }
    files.sort();
    Ok(files)
}
