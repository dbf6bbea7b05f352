//! What holds, key by key, and where each value comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::catalogue::{self, Treatment};
use super::persist::{self, Missing};
use super::store::{DEFAULT_INI, Values};
use super::{ConfigError, Override, Settings, Warning, files, ini};

/// Shown in the place of a secret.
const HIDDEN: &str = "********";

/// All that values may come from, the lowest first.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Files and folders; they must exist.
    pub paths: Vec<PathBuf>,
    /// The data folder's file, which need not exist. Without one there are no files at all.
    pub local_ini: Option<PathBuf>,
    pub overrides: Vec<Override>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    File(PathBuf),
    /// The command line or the environment.
    Override,
}

/// A key as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub section: String,
    pub key: String,
    /// Secrets are hidden.
    pub value: String,
    pub origin: Origin,
    /// `None` for a key that nobody knows, or that is the user's own.
    pub treatment: Option<Treatment>,
}

/// What a file says; the program's own file has no path.
type FileEntries = (Option<PathBuf>, Vec<ini::Entry>);

impl Sources {
    /// What the files say, the lowest first.
    pub(super) fn read(&self) -> Result<Vec<FileEntries>, ConfigError> {
        let Some(local_ini) = &self.local_ini else { return Ok(Vec::new()) };
        let mut read = vec![(None, ini::parse(DEFAULT_INI))];
        for path in files::expand(&self.paths)? {
            let entries = ini::parse(&persist::read(&path, Missing::IsError)?);
            read.push((Some(path), entries));
        }
        let entries = ini::parse(&persist::read(local_ini, Missing::IsEmpty)?);
        read.push((Some(local_ini.clone()), entries));
        Ok(read)
    }
}

/// Where `[couchdb] database_dir` of these files and folders says that data lies. It cannot stand
/// in the data folder's own file.
///
/// # Errors
/// Where a file cannot be read.
pub fn database_dir(paths: &[PathBuf]) -> Result<Option<PathBuf>, ConfigError> {
    let mut found = None;
    for path in files::expand(paths)? {
        for entry in ini::parse(&persist::read(&path, Missing::IsError)?) {
            if entry.section == "couchdb" && entry.key == "database_dir" {
                found = entry.value.filter(|folder| !folder.is_empty()).map(PathBuf::from);
            }
        }
    }
    Ok(found)
}

/// Every key that is known or set, by section and name, and what is wrong with the settings.
/// Nothing is written.
///
/// # Errors
/// Where a file cannot be read.
pub fn effective(sources: &Sources) -> Result<(Vec<Effective>, Vec<Warning>), ConfigError> {
    let mut held: BTreeMap<(String, String), (String, Origin)> = BTreeMap::new();
    for (path, entries) in sources.read()? {
        let origin = path.map_or(Origin::Default, Origin::File);
        for entry in entries {
            let key = (entry.section, entry.key);
            match entry.value {
                Some(value) => held.insert(key, (value, origin.clone())),
                None => held.remove(&key),
            };
        }
    }
    for set in &sources.overrides {
        let key = (set.section.clone(), set.key.clone());
        held.insert(key, (set.value.clone(), Origin::Override));
    }
    let mut values = Values::new();
    for ((section, key), (value, _)) in &held {
        values.entry(section.clone()).or_default().insert(key.clone(), value.clone());
    }
    for section in catalogue::sections() {
        for key in section.keys {
            let name = (section.name.to_owned(), key.name.to_owned());
            held.entry(name).or_insert_with(|| (key.default.to_owned(), Origin::Default));
        }
    }
    let shown = held.into_iter().map(|((section, key), (value, origin))| Effective {
        value: shown(&section, &key, &value),
        treatment: catalogue::find(&section, &key).map(|key| key.treatment),
        section,
        key,
        origin,
    });
    Ok((shown.collect(), Settings::read(&values).warnings))
}

fn shown(section: &str, key: &str, value: &str) -> String {
    if catalogue::is_secret(section, key) && !value.is_empty() {
        return HIDDEN.to_owned();
    }
    without_credentials(value)
}

/// The text with what stands between `://` and `@` of its addresses hidden.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', ' ', ',', '"', '\'']).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str(HIDDEN);
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_origin() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc");
        std::fs::create_dir_all(etc.join("local.d")).unwrap();
        let write = |name: &str, text: &str| {
            let path = etc.join(name);
            std::fs::write(&path, text).unwrap();
            Origin::File(path)
        };
        let default =
            write("default.ini", "[chttpd]\nport = 5984\n[uuids]\nmax_count = 7\n[cluster]\nn=3\n");
        let secrets =
            write("local.d/a.ini", "[admins]\nbob = -pbkdf2-x\n[chttpd_auth]\nsecret=s\n");
        write(
            "local.ini",
            "[uuids]\nmax_count =\n[nouveau]\nurl = http://a:b@host/x\nenable=true\n",
        );
        let local_ini = folder.path().join("local.ini");
        std::fs::write(&local_ini, "[chttpd]\nport = 80\nprot = 1\n").unwrap();
        let sources = Sources {
            paths: vec![etc],
            local_ini: Some(local_ini.clone()),
            overrides: vec![Override::new("log", "level", "debug")],
        };
        let (found, warnings) = effective(&sources).unwrap();
        let check = |section: &str, key: &str, value: &str, origin: &Origin| {
            let one = found.iter().find(|one| one.section == section && one.key == key).unwrap();
            assert_eq!((one.value.as_str(), &one.origin), (value, origin), "[{section}] {key}");
        };
        let local = Origin::File(local_ini);
        check("chttpd", "port", "80", &local);
        check("chttpd", "prot", "1", &local);
        check("chttpd", "max_uri_length", "8000", &Origin::Default);
        check("uuids", "max_count", "1000", &Origin::Default);
        check("log", "level", "debug", &Origin::Override);
        check("cluster", "n", "3", &default);
        check("admins", "bob", HIDDEN, &secrets);
        check("chttpd_auth", "secret", HIDDEN, &secrets);
        let url = found.iter().find(|one| one.key == "url").unwrap();
        assert_eq!(url.value, format!("http://{HIDDEN}@host/x"));
        let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        let expect = [
            "[chttpd] prot is no known setting; nothing reads it",
            "[nouveau] enable asks for full-text search, which this server does not have",
        ];
        assert_eq!(told, expect);
    }
}
