//! Which ini files a path stands for: itself, or what CouchDB reads from a folder.
//!
//! CouchDB's `etc` holds `default.ini`, `default.d/`, `local.ini` and `local.d/`, read in this
//! order; in any other folder all ini files are read. Files of a folder come by their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// The files that the paths stand for, in the order in which they are read. Each path must exist.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for path in paths {
        match expand_one(path) {
            Ok(found) => files.extend(found),
            Err(source) => return Err(ConfigError::Read { path: path.clone(), source }),
        }
    }
    Ok(files)
}

fn expand_one(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let parts = ["default.ini", "default.d", "local.ini", "local.d"].map(|name| path.join(name));
    if parts.iter().all(|part| !part.exists()) {
        return ini_files(path);
    }
    let mut files = Vec::new();
    for part in parts {
        if part.is_dir() {
            files.extend(ini_files(&part)?);
        } else if part.exists() {
            files.push(part);
        }
    }
    Ok(files)
}

fn ini_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "ini") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_for_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &str, expect: &[&str]| {
            let path = folder.path().join(path);
            let found = expand(std::slice::from_ref(&path)).unwrap();
            let expect: Vec<_> = expect.iter().map(|name| path.join(name)).collect();
            assert_eq!(found, expect, "{path:?}");
        };
        for file in [
            "etc/local.ini",
            "etc/default.ini",
            "etc/local.d/20-b.ini",
            "etc/local.d/10-a.ini",
            "etc/local.d/notes.txt",
            "etc/default.d/x.ini",
            "etc/other.ini",
            "plain/2.ini",
            "plain/1.ini",
            "plain/vm.args",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        check(
            "etc",
            &[
                "default.ini",
                "default.d/x.ini",
                "local.ini",
                "local.d/10-a.ini",
                "local.d/20-b.ini",
            ],
        );
        check("plain", &["1.ini", "2.ini"]);
        let file = folder.path().join("plain/2.ini");
        assert_eq!(expand(std::slice::from_ref(&file)).unwrap(), [file]);
        // Whoever reads a file that is not there says so.
        let gone = folder.path().join("gone.ini");
        assert_eq!(expand(std::slice::from_ref(&gone)).unwrap(), [gone]);
    }
}
