//! Accounts of the users database: read when somebody logs in, kept until the database changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};

use crate::auth::{AuthError, PasswordHash, UserRecord, Users, record_of, set_password};
use crate::blocking;
use crate::config::{AuthCacheSettings, Config, Settings};
use crate::database::{
    Admitted, Base, Database, DatabaseError, DatabaseName, Edit, EditAttachment, Registry, Source,
};
use crate::document::Attachment;

use super::{document_id, set_body};

/// The accounts of the database that `[chttpd_auth] authentication_db` names.
pub struct Accounts {
    registry: Arc<Registry>,
    config: Arc<Config>,
    cache: Mutex<Cache>,
    /// Names whose hashes are being replaced.
    upgrading: Arc<Mutex<HashSet<String>>>,
}

/// What the database said of names.
#[derive(Default)]
struct Cache {
    entries: HashMap<String, Entry>,
    /// Of all entries.
    bytes: usize,
}

/// What the database said of a name when it was at `at`.
struct Entry {
    at: At,
    account: Account,
    /// Of its document and its name.
    bytes: usize,
    since: Instant,
}

impl Cache {
    fn get(&self, name: &str, at: At, limits: &AuthCacheSettings) -> Option<&Account> {
        let entry = self.entries.get(name)?;
        let holds = entry.at == at && entry.since.elapsed() < limits.max_lifetime;
        holds.then_some(&entry.account)
    }

    fn insert(&mut self, name: &str, entry: Entry, limits: &AuthCacheSettings) {
        if let Some(old) = self.entries.remove(name) {
            self.bytes -= old.bytes;
        }
        if entry.bytes > limits.max_size_bytes {
            return;
        }
        if !self.has_room(entry.bytes, limits) {
            // Those read before the last change are of no use, and any other may be.
            let at = entry.at;
            let holds =
                |known: &Entry| known.at == at && known.since.elapsed() < limits.max_lifetime;
            self.entries.retain(|_, known| holds(known));
            self.bytes = self.entries.values().map(|known| known.bytes).sum();
            if !self.has_room(entry.bytes, limits) {
                *self = Self::default();
            }
        }
        self.bytes += entry.bytes;
        self.entries.insert(name.to_owned(), entry);
    }

    fn has_room(&self, bytes: usize, limits: &AuthCacheSettings) -> bool {
        self.entries.len() < limits.max_objects && self.bytes + bytes <= limits.max_size_bytes
    }
}

/// A state of a database: as long as it lasts, so does everything that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    database: u64,
    update_seq: u64,
    purge_seq: u64,
}

#[derive(Debug, Clone)]
struct Account {
    record: Option<UserRecord>,
    is_conflicted: bool,
}

impl Accounts {
    #[must_use]
    pub fn new(registry: Arc<Registry>, config: Arc<Config>) -> Self {
        Self { registry, config, cache: Mutex::default(), upgrading: Arc::default() }
    }

    fn account(&self, settings: &Settings, name: &str) -> Result<Account, DatabaseError> {
        let nobody = Account { record: None, is_conflicted: false };
        let database = DatabaseName::parse(settings.auth.users_database());
        let Ok(database) = database else { return Ok(nobody) };
        let db = match self.registry.get(&database) {
            Err(DatabaseError::NotFound) => return Ok(nobody),
            db => db?,
        };
        let state = db.state();
        let (update_seq, purge_seq) = (state.update_seq, state.purge_seq);
        let at = At { database: db.number().0, update_seq, purge_seq };
        let limits = &settings.auth_cache;
        if let Some(account) = lock(&self.cache).get(name, at, limits) {
            return Ok(account.clone());
        }
        let (account, bytes) = read(&db, name)?.unwrap_or((nobody, 0));
        let bytes = bytes + name.len() + size_of::<Entry>();
        let entry = Entry { at, account: account.clone(), bytes, since: Instant::now() };
        lock(&self.cache).insert(name, entry, limits);
        Ok(account)
    }
}

impl Accounts {
    pub(super) fn upgrade_job(&self, name: &str, password: &[u8], record: &UserRecord) -> Upgrade {
        Upgrade {
            registry: self.registry.clone(),
            settings: self.config.snapshot(),
            name: name.to_owned(),
            password: password.to_vec(),
            stored: record.password.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        lock(&self.cache).entries.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An account, and how large its document is.
fn read(db: &Database, name: &str) -> Result<Option<(Account, usize)>, DatabaseError> {
    let Some(id) = document_id(name) else { return Ok(None) };
    let Some(head) = db.head(&id)? else { return Ok(None) };
    let leaves = head.tree.leaves().into_iter().filter(|leaf| !leaf.deleted).count();
    let Some(winner) = db.winner(&id)?.filter(|winner| !winner.deleted) else { return Ok(None) };
    let body = serde_json::from_slice::<Map<String, Value>>(&winner.body);
    let record = body.ok().map(|body| record_of(&body));
    Ok(Some((Account { record, is_conflicted: leaves > 1 }, winner.body.len())))
}

impl Users for Accounts {
    fn find(&self, settings: &Settings, name: &str) -> Result<Option<UserRecord>, AuthError> {
        let account = self.account(settings, name).map_err(|error| {
            tracing::error!(%error, "an account cannot be read");
            AuthError::UsersUnreadable
        })?;
        if account.is_conflicted && !settings.auth.allow_conflicted_user_docs {
            return Err(AuthError::UserConflicts);
        }
        Ok(account.record)
    }

    fn upgrade(&self, name: &str, password: &[u8], record: &UserRecord) {
        if !lock(&self.upgrading).insert(name.to_owned()) {
            return;
        }
        let job = self.upgrade_job(name, password, record);
        let upgrading = self.upgrading.clone();
        blocking::start("upgrade a password hash", move || {
            match job.run() {
                Ok(()) => tracing::info!(user.name = job.name, "a password hash was upgraded"),
                Err(error) => {
                    tracing::warn!(user.name = job.name, %error, "a hash was not upgraded");
                }
            }
            lock(&upgrading).remove(&job.name);
        });
    }
}

/// Hashes a known password anew.
pub(super) struct Upgrade {
    registry: Arc<Registry>,
    settings: Arc<Settings>,
    name: String,
    password: Vec<u8>,
    stored: PasswordHash,
}

impl Upgrade {
    pub(super) fn run(&self) -> Result<(), DatabaseError> {
        let Ok(name) = DatabaseName::parse(self.settings.auth.users_database()) else {
            return Ok(());
        };
        let db = self.registry.get(&name)?;
        match self.edit(&db)? {
            // A conflict means that somebody else wrote the document: the next login tries again.
            Some(edit) => db.edit(Admitted::by_server(vec![edit]))?.wait().map(drop),
            None => Ok(()),
        }
    }

    /// Nothing where the document has another password by now.
    fn edit(&self, db: &Database) -> Result<Option<Edit>, DatabaseError> {
        let Some(id) = document_id(&self.name) else { return Ok(None) };
        let Some(winner) = db.winner(&id)?.filter(|winner| !winner.deleted) else {
            return Ok(None);
        };
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&winner.body) else {
            return Ok(None);
        };
        if record_of(&body).password != self.stored {
            return Ok(None);
        }
        // With the same salt the user's sessions go on: the password is the same.
        let salt = Some(self.stored.salt().to_owned()).filter(|salt| !salt.is_empty());
        let hash = PasswordHash::of_user(&self.password, salt, &self.settings.auth);
        let Some(hash) = hash else { return Ok(None) };
        let mut edit = Edit {
            id,
            base: Base::On(winner.rev),
            deleted: false,
            body: Vec::new(),
            body_term: Vec::new(),
            attachments: winner.attachments.into_iter().map(stay).collect(),
        };
        Ok(set_body(&mut edit, set_password(body, &hash)).ok().map(|()| edit))
    }
}

/// An attachment that the document keeps.
fn stay(attachment: Attachment) -> EditAttachment {
    let Attachment { name, revpos, .. } = attachment;
    EditAttachment { name, revpos: Some(revpos), source: Source::Stub }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT: At = At { database: 1, update_seq: 1, purge_seq: 0 };

    fn entry(at: At, bytes: usize) -> Entry {
        let account = Account { record: None, is_conflicted: false };
        Entry { at, account, bytes, since: Instant::now() }
    }

    #[test]
    fn accounts_are_kept_within_their_limits() {
        let mut limits = AuthCacheSettings {
            max_objects: 3,
            max_size_bytes: 100,
            max_lifetime: Duration::from_hours(1),
        };
        let mut cache = Cache::default();
        let known = |cache: &Cache, limits: &AuthCacheSettings| -> String {
            let names = ["a", "b", "c", "d"].into_iter();
            names.filter(|name| cache.get(name, AT, limits).is_some()).collect()
        };
        cache.insert("a", entry(AT, 40), &limits);
        cache.insert("b", entry(AT, 40), &limits);
        cache.insert("b", entry(AT, 50), &limits);
        assert_eq!((known(&cache, &limits).as_str(), cache.bytes), ("ab", 90));
        cache.insert("large", entry(AT, 101), &limits);
        assert_eq!(known(&cache, &limits), "ab");
        // There is no room, and nothing that is of no use.
        cache.insert("c", entry(AT, 20), &limits);
        assert_eq!((known(&cache, &limits).as_str(), cache.bytes), ("c", 20));
        let before = At { update_seq: 0, ..AT };
        cache.insert("d", entry(before, 80), &limits);
        cache.insert("a", entry(AT, 10), &limits);
        assert_eq!((known(&cache, &limits).as_str(), cache.bytes), ("ac", 30));
        cache.insert("b", entry(AT, 1), &limits);
        cache.insert("d", entry(AT, 1), &limits);
        assert_eq!(known(&cache, &limits), "d");
        limits.max_lifetime = Duration::ZERO;
        assert_eq!(known(&cache, &limits), "");
    }
}
