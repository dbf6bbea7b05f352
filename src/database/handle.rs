//! An open database: its counters, its settings, and who waits for its changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::design::Validator;
use crate::storage::keys::{self, DbNumber};
use crate::storage::values::{self, DatabaseEntry, EventKind, State};
use crate::storage::{Batch, Engine, Expect, StorageError, Table, view_keys};

use super::compact::Compaction;
use super::description::Description;
use super::design_cache::DesignCache;
use super::designs::Designs;
use super::events::{Events, PendingEvent};
use super::pending::Pendings;
use super::rank::Ranks;
use super::shared_pages::SharedPages;
use super::writer::{Queue, Setting};
use super::{DatabaseError, DatabaseName, Limits, Seq, WriteRules};

/// The revisions a branch keeps unless `_revs_limit` says otherwise.
pub const REVS_LIMIT: u64 = 1000;
/// The purges remembered unless `_purged_infos_limit` says otherwise.
pub const PURGED_INFOS_LIMIT: u64 = 1000;

/// What those who wait for a database are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub update_seq: u64,
    /// The database has been deleted; nothing more will come.
    pub deleted: bool,
}

#[derive(Debug, Clone)]
struct Settings {
    security: Arc<[u8]>,
    revs_limit: u64,
    purged_infos_limit: u64,
}

/// What `GET /{db}` tells.
#[derive(Debug, Clone)]
pub struct Info {
    pub created_s: u64,
    pub state: State,
    /// Bytes on disk, about.
    pub file_bytes: u64,
    pub partitioned: bool,
    pub q: u64,
    pub compacting: bool,
}

/// A remembered purge.
pub type PurgeInfo = values::Purge;

/// What all databases of a store use.
#[derive(Debug)]
pub(super) struct Shared {
    pub engine: Arc<dyn Engine>,
    pub events: Arc<Events>,
    pub designs: Arc<DesignCache>,
    pub validator: Arc<dyn Validator>,
    pub rules: Vec<Arc<dyn WriteRules>>,
    pub limits: Arc<Limits>,
}

/// A database that is open. There is one handle a database at a time; the registry sees to it.
#[derive(Debug)]
pub struct Database {
    pub(super) engine: Arc<dyn Engine>,
    events: Arc<Events>,
    name: DatabaseName,
    pub(super) number: DbNumber,
    entry: DatabaseEntry,
    state: Mutex<State>,
    settings: RwLock<Settings>,
    published: watch::Sender<Published>,
    pub(super) queue: Mutex<Queue>,
    /// Its newest event's sequence; 0 where it has none.
    event: AtomicU64,
    pub(super) ranks: Ranks,
    pub(super) pendings: Pendings,
    shared_pages: SharedPages,
    description: Description,
    pub(super) designs: Designs,
    pub(super) validator: Arc<dyn Validator>,
    /// Those for this database, if any.
    pub(super) rules: Option<Arc<dyn WriteRules>>,
    pub(super) limits: Arc<Limits>,
    pub(super) compaction: Mutex<Option<Compaction>>,
}

impl Database {
    /// Whether the disk is too full for indexes to be updated.
    #[must_use]
    pub fn indexes_may_not_grow(&self) -> bool {
        self.limits.disk_full_for_indexes()
    }

    /// Reads what is stored of a database.
    pub(super) fn open(
        shared: &Shared,
        name: DatabaseName,
        entry: DatabaseEntry,
        security: Arc<[u8]>,
    ) -> Result<Self, StorageError> {
        let Shared { engine, events, .. } = shared;
        let number = entry.number;
        let get = |key: Vec<u8>| engine.get(Table::Databases, &key);
        let state = match get(keys::state(number))? {
            Some(value) => State::decode(&value)?,
            None => State::default(),
        };
        let security = match get(keys::security(number))? {
            Some(value) => values::decode_json(Table::Databases, &value)?.into(),
            None => security,
        };
        let limit = |key: Vec<u8>, otherwise: u64| match get(key)? {
            Some(value) => values::decode_number(Table::Databases, &value),
            None => Ok(otherwise),
        };
        let settings = Settings {
            security,
            revs_limit: limit(keys::revs_limit(number), REVS_LIMIT)?,
            purged_infos_limit: limit(keys::purged_infos_limit(number), PURGED_INFOS_LIMIT)?,
        };
        let event = events.newest_of(name.as_str())?.unwrap_or(0);
        let published = Published { update_seq: state.update_seq, deleted: false };
        let rules = shared.rules.iter().find(|rules| rules.apply_to(&name)).cloned();
        Ok(Self {
            engine: engine.clone(),
            events: events.clone(),
            name,
            number,
            entry,
            state: Mutex::new(state),
            settings: RwLock::new(settings),
            published: watch::Sender::new(published),
            queue: Mutex::default(),
            event: AtomicU64::new(event),
            ranks: Ranks::default(),
            pendings: Pendings::default(),
            shared_pages: SharedPages::default(),
            description: Description::default(),
            designs: Designs::new(shared.designs.clone()),
            validator: shared.validator.clone(),
            rules,
            limits: shared.limits.clone(),
            compaction: Mutex::default(),
        })
    }

    #[must_use]
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.entry.partitioned
    }

    /// The store, for layers that keep records of their own beside the database's. What belongs
    /// to documents is written by the database alone.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The number that the keys of its records begin with.
    #[must_use]
    pub fn number(&self) -> DbNumber {
        self.number
    }

    /// Lets a batch commit only while there is this database, and never beside the batch that
    /// deletes it.
    pub fn expect_existence(&self, batch: &mut Batch) {
        let key = keys::catalogue_database(self.name.as_str());
        batch.expect(Table::Catalogue, key, Expect::Is(self.entry.encode()));
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn created_s(&self) -> u64 {
        self.entry.created_s
    }

    /// A sequence of this database.
    #[must_use]
    pub fn seq(&self, number: u64) -> Seq {
        Seq { number, incarnation: self.entry.incarnation }
    }

    /// Where a reader that gives `seq` goes on.
    #[must_use]
    pub fn number_of(&self, seq: Seq) -> u64 {
        seq.number_for(self.entry.incarnation)
    }

    /// The counters as of the newest commit.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest committed sequence, and whether the database still is; wakes on changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// How many wait for its changes.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.published.receiver_count()
    }

    /// What those who follow the database share.
    #[must_use]
    pub fn shared_pages(&self) -> &SharedPages {
        &self.shared_pages
    }

    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.published.borrow().deleted
    }

    /// The security object's JSON text.
    #[must_use]
    pub fn security(&self) -> Arc<[u8]> {
        self.settings().security
    }

    #[must_use]
    pub fn revs_limit(&self) -> u64 {
        self.settings().revs_limit
    }

    #[must_use]
    pub fn purged_infos_limit(&self) -> u64 {
        self.settings().purged_infos_limit
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `GET /{db}` tells.
    #[must_use]
    pub fn info(&self) -> Info {
        let range = keys::database_range(self.number);
        let file_bytes =
            Table::ALL.iter().map(|table| self.engine.approximate_bytes(*table, &range)).sum();
        Info {
            created_s: self.entry.created_s,
            state: self.state(),
            file_bytes,
            partitioned: self.entry.partitioned,
            q: self.entry.q,
            compacting: self.is_compacting(),
        }
    }

    /// The database's description in JSON, as `describe` makes it or has just made it.
    #[must_use]
    pub fn described(&self, describe: impl FnOnce() -> String) -> Arc<RawValue> {
        self.description.get(self.state(), describe)
    }

    /// Everything that goes when the database goes.
    ///
    /// # Errors
    /// Where the store cannot be read. The batch fails with [`StorageError::Precondition`] where
    /// the database gets its first index meanwhile, and is then to be made anew.
    pub(super) fn write_destruction(&self, batch: &mut Batch) -> Result<(), StorageError> {
        self.expect_existence(batch);
        self.write_destruction_of_indexes(batch)?;
        batch.delete(Table::Catalogue, keys::catalogue_database(self.name.as_str()));
        // A range tombstone slows everyone's reads for a while: the few records that every
        // database has go one by one, and an empty one has no others.
        for key in [keys::state, keys::security, keys::revs_limit, keys::purged_infos_limit] {
            batch.delete(Table::Databases, key(self.number));
        }
        let state = self.state();
        if state.purge_seq > 0 {
            batch.delete_range(Table::Databases, keys::purges(self.number));
        }
        if state == State::default() {
            return Ok(());
        }
        if self.is_partitioned() {
            batch.delete_range(Table::Databases, keys::partitions(self.number));
        }
        let range = keys::database_range(self.number);
        for table in [
            Table::Heads,
            Table::Bodies,
            Table::Changes,
            Table::Locals,
            Table::Blobs,
            Table::Chunks,
        ] {
            batch.delete_range(table, range.clone());
        }
        Ok(())
    }

    /// Nothing where the database never had an index, which the batch then relies on.
    fn write_destruction_of_indexes(&self, batch: &mut Batch) -> Result<(), StorageError> {
        let next = view_keys::next_index(self.number);
        let Some(value) = self.engine.get(Table::Indexes, &next)? else {
            batch.expect(Table::Indexes, next, Expect::Absent);
            return Ok(());
        };
        batch.expect(Table::Indexes, next, Expect::Is(value));
        let range = keys::database_range(self.number);
        for table in [Table::Indexes, Table::ViewRows, Table::ViewBlocks, Table::ViewEmits] {
            batch.delete_range(table, range.clone());
        }
        Ok(())
    }

    /// Adds this database's event to the batch that causes it.
    pub(super) fn write_event(
        &self,
        batch: &mut Batch,
        kind: EventKind,
    ) -> Option<PendingEvent<'_>> {
        let previous = match self.event.load(Ordering::Acquire) {
            0 => None,
            seq => Some(seq),
        };
        self.events.write(batch, self.name.as_str(), kind, previous)
    }

    /// The event's batch has committed.
    pub(super) fn note_event(&self, event: PendingEvent<'_>) {
        self.event.store(event.seq, Ordering::Release);
        event.committed();
    }

    /// Shows a commit to readers and to those who wait.
    pub(super) fn publish(&self, state: State, settings: Vec<Setting>, deleted: bool) {
        if !settings.is_empty() {
            let mut current = self.settings.write().unwrap_or_else(PoisonError::into_inner);
            for setting in settings {
                match setting {
                    Setting::Security(json) => current.security = json.into(),
                    Setting::RevsLimit(limit) => current.revs_limit = limit,
                    Setting::PurgedInfosLimit(limit) => current.purged_infos_limit = limit,
                }
            }
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        let published = Published { update_seq: state.update_seq, deleted };
        self.published.send_if_modified(|current| {
            let changed = *current != published;
            *current = published;
            changed
        });
    }
}

/// What a fresh database's records are, for the batch that creates it.
pub(super) fn write_creation(batch: &mut Batch, name: &DatabaseName, entry: &DatabaseEntry) {
    let key = keys::catalogue_database(name.as_str());
    batch.expect(Table::Catalogue, key.clone(), Expect::Absent);
    batch.put(Table::Catalogue, key, entry.encode());
    let state = State::default().encode();
    batch.put(Table::Databases, keys::state(entry.number), state);
}

/// A failed precondition on a name means that it is taken.
pub(super) fn creation_error(error: StorageError) -> DatabaseError {
    match error {
        StorageError::Precondition => DatabaseError::Exists,
        other => other.into(),
    }
}
