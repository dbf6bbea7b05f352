//! Reading ini files and replacing the data folder's `local.ini` as a whole.
//!
//! A reader of the file sees the old text or the new text, never a part, also after a crash: the
//! new text goes to a file beside it, is synced, and takes the old one's name. As the file holds
//! password hashes and the cookie secret, only its owner may read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::ConfigError;

/// The largest configuration file taken; CouchDB's own `default.ini` has about 40 kB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a file that does not exist stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    IsEmpty,
    IsError,
}

/// The text of an ini file.
pub fn read(path: &Path, missing: Missing) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && missing == Missing::IsEmpty => {
            return Ok(String::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    check_size(path, bytes.len())?;
    String::from_utf8(bytes).map_err(|_| ConfigError::NotUtf8 { path: path.to_owned() })
}

/// Puts `text` in the place of the file at `path`.
pub fn replace(path: &Path, text: &str) -> Result<(), ConfigError> {
    check_size(path, text.len())?;
    replace_atomically(path, text)
        .map_err(|source| ConfigError::Write { path: path.to_owned(), source })
}

fn check_size(path: &Path, bytes: usize) -> Result<(), ConfigError> {
    match u64::try_from(bytes) {
        Ok(bytes) if bytes <= FILE_BYTES_MAX => Ok(()),
        _ => Err(ConfigError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX }),
    }
}

fn replace_atomically(path: &Path, text: &str) -> io::Result<()> {
    // A link keeps being a link: the file behind it is the one to replace.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&folder)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    write_new(&beside, text)?;
    fs::rename(&beside, &target)?;
    sync_folder(&folder)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// Makes the new name itself durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
