//! The live configuration: layers of ini values, changed at run time and kept in `local.ini`.
//!
//! Layers, a later one wins: the given files in their order, the data folder's `local.ini`, the
//! caller's overrides (environment and flags). Defaults are no layer: they live in the typed
//! settings, and so are invisible to `get`, as in CouchDB. A change is on disk before it shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::persist::{self, Missing};
use super::{ConfigError, Settings, Sources, Warning, ini};

/// Section name -> key -> value, as ini files and changes set them.
pub type Values = BTreeMap<String, BTreeMap<String, String>>;

/// Limits of one change in bytes; the HTTP API takes no longer ones.
const NAME_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A value from the environment or the command line; it wins over every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub section: String,
    pub key: String,
    pub value: String,
}

impl Override {
    pub fn new(
        section: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self { section: section.into(), key: key.into(), value: value.into() }
    }
}

/// The lowest file, part of the program.
pub(super) const DEFAULT_INI: &str = include_str!("default.ini");

/// Whether a change outlives the process (`X-Couch-Persist`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    Yes,
    MemoryOnly,
}

/// The server's configuration, shared by all its parts.
pub struct Config {
    store: Mutex<Store>,
    settings: RwLock<Arc<Settings>>,
    version: AtomicU64,
}

struct Store {
    sources: Sources,
    layers: Layers,
    /// The warnings that somebody was told of.
    told: Vec<Warning>,
}

#[derive(Default)]
struct Layers {
    /// What the given files say, without `local.ini`.
    files: Values,
    /// The files and `local.ini`, without the overrides.
    disk: Values,
    /// What holds now.
    live: Values,
}

impl Config {
    /// Reads `files` (files and folders, which must exist), then `local_ini` (which need not) and
    /// lays the overrides on top.
    pub fn open(
        files: &[PathBuf],
        local_ini: PathBuf,
        overrides: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        Self::build(files.to_vec(), Some(local_ini), overrides)
    }

    /// A configuration without files: nothing it is told outlives the process.
    pub fn in_memory(overrides: Vec<Override>) -> Result<Self, ConfigError> {
        Self::build(Vec::new(), None, overrides)
    }

    fn build(
        paths: Vec<PathBuf>,
        local_ini: Option<PathBuf>,
        overrides: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        let sources = Sources { paths, local_ini, overrides };
        let layers = Layers::read(&sources)?;
        let settings = RwLock::new(Arc::new(Settings::read(&layers.live)));
        let store = Mutex::new(Store { sources, layers, told: Vec::new() });
        Ok(Self { store, settings, version: AtomicU64::new(1) })
    }

    /// The typed settings as they are now. Cheap: take one for each request.
    pub fn snapshot(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows with every change; who keeps something derived from settings compares it.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The value that a file or a change set; `None` where only a default holds.
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        self.lock().layers.live.get(section)?.get(key).cloned()
    }

    /// All keys of a section; empty when nobody named the section.
    pub fn section(&self, section: &str) -> BTreeMap<String, String> {
        self.lock().layers.live.get(section).cloned().unwrap_or_default()
    }

    /// Every section that has a key.
    pub fn all(&self) -> Values {
        self.lock().layers.live.clone()
    }

    /// What the files and `local.ini` say about a key that an override may hide.
    pub fn beneath_overrides(&self, section: &str, key: &str) -> Option<String> {
        self.lock().layers.disk.get(section)?.get(key).cloned()
    }

    /// Changes one key and answers what it was. An empty value shows as such until the next
    /// reload, and is a deleted key from then on.
    pub fn set(
        &self,
        section: &str,
        key: &str,
        value: &str,
        persist: Persist,
    ) -> Result<Option<String>, ConfigError> {
        check_change(section, key, value, persist)?;
        let mut store = self.lock();
        if persist == Persist::Yes {
            store.write(section, key, ini::Edit::Set(value))?;
            store.layers.set_on_disk(section, key, Some(value.trim()));
        }
        let old = put(&mut store.layers.live, section, key, value);
        self.publish(&store);
        Ok(old)
    }

    /// Deletes one key and answers what it was; `None` (and nothing is done) when it was not set.
    pub fn delete(
        &self,
        section: &str,
        key: &str,
        persist: Persist,
    ) -> Result<Option<String>, ConfigError> {
        let mut store = self.lock();
        let Some(old) = store.layers.live.get(section).and_then(|s| s.get(key)).cloned() else {
            return Ok(None);
        };
        if persist == Persist::Yes {
            store.write(section, key, store.layers.deletion(section, key)?)?;
            store.layers.set_on_disk(section, key, None);
        }
        take(&mut store.layers.live, section, key);
        self.publish(&store);
        Ok(Some(old))
    }

    /// Reads all files anew and forgets what lived in memory only. On an error nothing changes.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let mut store = self.lock();
        store.layers = Layers::read(&store.sources)?;
        self.publish(&store);
        Ok(())
    }

    /// The `[admins]` whose password still stands in clear text: (name, password).
    pub fn plain_text_admins(&self) -> Vec<(String, String)> {
        let admins = self.section("admins");
        admins.into_iter().filter(|(_, text)| !text.is_empty() && !is_password_hash(text)).collect()
    }

    /// What is wrong with the settings and was not answered here before.
    pub fn new_warnings(&self) -> Vec<Warning> {
        let warnings = self.snapshot().warnings.clone();
        let mut store = self.lock();
        let told = std::mem::replace(&mut store.told, warnings.clone());
        warnings.into_iter().filter(|warning| !told.contains(warning)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the store locked, so snapshots appear in the order of the changes.
    fn publish(&self, store: &Store) {
        let settings = Arc::new(Settings::read(&store.layers.live));
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl Store {
    /// Edits what the file holds now, so that a change made by hand meanwhile is kept.
    fn write(&self, section: &str, key: &str, edit: ini::Edit<'_>) -> Result<(), ConfigError> {
        let Some(path) = &self.sources.local_ini else { return Ok(()) };
        let text = persist::read(path, Missing::IsEmpty)?;
        persist::replace(path, &ini::edit(&text, section, key, edit))
    }
}

impl Layers {
    fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        let mut read = sources.read()?;
        let local_ini = read.pop();
        for (_, entries) in read {
            apply(&mut layers.files, entries);
        }
        layers.disk = layers.files.clone();
        if let Some((_, entries)) = local_ini {
            apply(&mut layers.disk, entries);
        }
        layers.live = layers.disk.clone();
        for set in &sources.overrides {
            put(&mut layers.live, &set.section, &set.key, &set.value);
        }
        Ok(layers)
    }

    /// How `local.ini` says that a key is gone.
    fn deletion(&self, section: &str, key: &str) -> Result<ini::Edit<'static>, ConfigError> {
        let below = self.files.get(section).is_some_and(|keys| keys.contains_key(key));
        match below {
            false => Ok(ini::Edit::Remove),
            true if ini::round_trips(section, key, "") => Ok(ini::Edit::Hide),
            true => Err(ConfigError::InvalidKey),
        }
    }

    fn set_on_disk(&mut self, section: &str, key: &str, value: Option<&str>) {
        match value {
            Some(value) if !value.is_empty() => put(&mut self.disk, section, key, value),
            _ => take(&mut self.disk, section, key),
        };
    }
}

/// Whether an `[admins]` value is a password hash in one of CouchDB's forms, else it is a password.
pub fn is_password_hash(text: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "-hashed-",
        "-pbkdf2-",
        "-pbkdf2:sha-",
        "-pbkdf2:sha224-",
        "-pbkdf2:sha256-",
        "-pbkdf2:sha384-",
        "-pbkdf2:sha512-",
    ];
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// CouchDB's rule for names and values, and: what goes to disk must come back from it.
fn check_change(
    section: &str,
    key: &str,
    value: &str,
    persist: Persist,
) -> Result<(), ConfigError> {
    let shown = |text: &str| text.chars().all(|c| c == '\t' || !c.is_control());
    let name_ok = |name: &str| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && shown(name)
            && !name.contains(['[', ']'])
    };
    if !name_ok(section) || !ini::round_trips(section, "key", "value") {
        return Err(ConfigError::InvalidSection);
    }
    if !name_ok(key) || !ini::round_trips(section, key, "value") {
        return Err(ConfigError::InvalidKey);
    }
    let kept = persist == Persist::MemoryOnly || ini::round_trips(section, key, value);
    if value.len() > VALUE_BYTES_MAX || !shown(value) || !kept {
        return Err(ConfigError::InvalidValue);
    }
    Ok(())
}

fn apply(values: &mut Values, entries: Vec<ini::Entry>) {
    for entry in entries {
        match entry.value {
            Some(value) => put(values, &entry.section, &entry.key, &value),
            None => take(values, &entry.section, &entry.key),
        };
    }
}

fn put(values: &mut Values, section: &str, key: &str, value: &str) -> Option<String> {
    values.entry(section.to_owned()).or_default().insert(key.to_owned(), value.to_owned())
}

fn take(values: &mut Values, section: &str, key: &str) -> Option<String> {
    let keys = values.get_mut(section)?;
    let old = keys.remove(key);
    if keys.is_empty() {
        values.remove(section);
    }
    old
}
