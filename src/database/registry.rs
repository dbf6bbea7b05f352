//! All databases of the server: creating, deleting, finding, listing.
//!
//! A handle lives while somebody uses it, and a while longer; an idle database is a few records
//! on disk and nothing in memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{broadcast, watch};

use crate::design::Validator;
use crate::metrics;
use crate::storage::keys::{self, DbNumber};
use crate::storage::values::{self, DatabaseEntry, EventKind};
use crate::storage::{
    Batch, Compression, Direction, Durability, Engine, KeyRange, StorageError, Table,
};

use super::attachments::remove_upload;
use super::events::Events;
use super::handle::{Shared, creation_error, write_creation};
use super::{
    Admitted, Compaction, Database, DatabaseError, DatabaseName, EventRow, Limits, Reply,
    WriteRules,
};

/// Handles kept open for databases that nobody uses at the moment.
const IDLE_HANDLES_MAX: usize = 4096;
/// Names of new databases that are kept for one who listens slowly.
const CREATED_MAX: usize = 1024;
/// Database numbers reserved in one write.
const NUMBERS_RESERVED: u64 = 4096;

/// How a database is created.
#[derive(Debug, Clone, Copy)]
pub struct CreateOptions {
    pub partitioned: bool,
    /// The number of shards to show: there is always one.
    pub q: u64,
    /// Seconds since 1970.
    pub created_s: u64,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { partitioned: false, q: 1, created_s: 0 }
    }
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    reserved: u64,
}

/// The databases of one store.
#[derive(Debug)]
pub struct Registry {
    shared: Shared,
    open: Mutex<HashMap<DatabaseName, Arc<Database>>>,
    numbers: Mutex<Numbers>,
    /// The security object of databases that have none of their own.
    default_security: RwLock<Arc<[u8]>>,
    created: broadcast::Sender<DatabaseName>,
}

impl Registry {
    /// Opens the catalogue, and removes what uploads of an earlier run left behind. `validator`
    /// runs the functions that writes are asked for.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn open(
        engine: Arc<dyn Engine>,
        default_security: Arc<[u8]>,
        validator: Arc<dyn Validator>,
    ) -> Result<Self, DatabaseError> {
        let next = match engine.get(Table::Catalogue, &keys::catalogue_next_number())? {
            Some(value) => values::decode_number(Table::Catalogue, &value)?,
            None => 1,
        };
        let mut left = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            left.extend(keys::upload_parts(key));
            ControlFlow::Continue(())
        };
        let uploads = keys::uploads();
        engine.snapshot().scan(Table::Catalogue, &uploads, Direction::Forward, &mut visit)?;
        for (db, blob) in left {
            remove_upload(engine.as_ref(), db, blob)?;
        }
        let events = Arc::new(Events::open(engine.clone())?);
        Ok(Self {
            shared: Shared {
                engine,
                events,
                designs: Arc::default(),
                validator,
                rules: Vec::new(),
                limits: Arc::default(),
            },
            open: Mutex::default(),
            numbers: Mutex::new(Numbers { next, reserved: next }),
            default_security: RwLock::new(default_security),
            created: broadcast::Sender::new(CREATED_MAX),
        })
    }

    /// With more rules of the server's own for what may be written. A database has those that
    /// apply to it first.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<dyn WriteRules>) -> Self {
        self.shared.rules.push(rules);
        self
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseName, Arc<Database>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all databases obey; it may be changed at any time.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// What databases are created with from now on.
    pub fn set_default_security(&self, json: Arc<[u8]>) {
        *self.default_security.write().unwrap_or_else(PoisonError::into_inner) = json;
    }

    fn next_number(&self) -> Result<DbNumber, DatabaseError> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.next == numbers.reserved {
            let reserved = numbers.next + NUMBERS_RESERVED;
            let mut batch = Batch::default();
            let value = values::encode_number(reserved);
            batch.put(Table::Catalogue, keys::catalogue_next_number(), value);
            self.shared.engine.commit(batch, Durability::Synced)?;
            numbers.reserved = reserved;
        }
        numbers.next += 1;
        Ok(DbNumber(numbers.next - 1))
    }

    /// Creates a database durably, with what its rules begin it with. Blocks.
    ///
    /// # Errors
    /// [`DatabaseError::Exists`].
    pub fn create(&self, name: &DatabaseName, options: CreateOptions) -> Result<(), DatabaseError> {
        if self.exists(name)? {
            return Err(DatabaseError::Exists);
        }
        let entry = DatabaseEntry {
            number: self.next_number()?,
            incarnation: rand::random(),
            created_s: options.created_s,
            partitioned: options.partitioned,
            q: options.q,
        };
        let mut batch = Batch::default();
        write_creation(&mut batch, name, &entry);
        let security = self.default_security.read().unwrap_or_else(PoisonError::into_inner).clone();
        batch.put(Table::Databases, keys::security(entry.number), values::encode_json(&security));
        let previous = self.shared.events.newest_of(name.as_str())?;
        let event =
            self.shared.events.write(&mut batch, name.as_str(), EventKind::Created, previous);
        let committed =
            self.shared.engine.commit(batch, Durability::Synced).map_err(creation_error);
        committed?;
        if let Some(event) = event {
            event.committed();
        }
        let rules = self.shared.rules.iter().find(|rules| rules.apply_to(name));
        let first = rules.map(|rules| rules.first_edits(name)).unwrap_or_default();
        if !first.is_empty() {
            self.get(name)?.edit(Admitted::by_server(first))?.wait()?;
        }
        // Where nobody listens there is nobody to tell.
        let _ = self.created.send(name.clone());
        Ok(())
    }

    /// The databases that are created from now on. One who listens too slowly is told so, and
    /// has to look through [`Self::names`].
    #[must_use]
    pub fn subscribe_created(&self) -> broadcast::Receiver<DatabaseName> {
        self.created.subscribe()
    }

    /// Deletes a database durably; its readers and feeds end.
    pub fn delete(&self, name: &DatabaseName) -> Result<Reply<()>, DatabaseError> {
        self.get(name)?.destroy()
    }

    /// Whether there is a database of that name.
    pub fn exists(&self, name: &DatabaseName) -> Result<bool, DatabaseError> {
        let key = keys::catalogue_database(name.as_str());
        Ok(self.shared.engine.get(Table::Catalogue, &key)?.is_some())
    }

    /// The handle of a database.
    ///
    /// # Errors
    /// [`DatabaseError::NotFound`].
    pub fn get(&self, name: &DatabaseName) -> Result<Arc<Database>, DatabaseError> {
        let mut open = self.lock();
        match open.get(name) {
            Some(db) if !db.is_deleted() => return Ok(db.clone()),
            Some(_) => drop(open.remove(name)),
            None => {}
        }
        let started = Instant::now();
        let key = keys::catalogue_database(name.as_str());
        let value =
            self.shared.engine.get(Table::Catalogue, &key)?.ok_or(DatabaseError::NotFound)?;
        let entry = DatabaseEntry::decode(&value)?;
        let everyone: Arc<[u8]> = b"{}".as_slice().into();
        let db = Arc::new(Database::open(&self.shared, name.clone(), entry, everyone)?);
        if open.len() >= IDLE_HANDLES_MAX {
            open.retain(|_, db| Arc::strong_count(db) > 1);
        }
        open.insert(name.clone(), db.clone());
        metrics::DB_OPEN_TIME.update(started.elapsed().as_secs_f64() * 1000.0);
        Ok(db)
    }

    /// The databases whose compaction is under way, by name.
    #[must_use]
    pub fn compacting(&self) -> Vec<(Arc<Database>, Compaction)> {
        let open: Vec<Arc<Database>> = self.lock().values().cloned().collect();
        let busy = open.into_iter().filter_map(|db| Some((db.clone(), db.compaction()?)));
        let mut busy: Vec<_> = busy.collect();
        busy.sort_by(|(one, _), (two, _)| one.name().cmp(two.name()));
        busy
    }

    /// Makes a store in `folder` out of everything that is committed now.
    ///
    /// # Errors
    /// Where the engine keeps nothing on disk, or cannot write there.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), DatabaseError> {
        Ok(self.shared.engine.checkpoint(folder)?)
    }

    /// Compresses files that are written from now on in this way.
    ///
    /// # Errors
    /// Where the engine does not take it.
    pub fn set_compression(&self, compression: Compression) -> Result<(), StorageError> {
        self.shared.engine.set_compression(compression)
    }

    /// Lets the engine reclaim the space of all that was deleted, in every table.
    pub fn compact_store(&self) {
        for table in Table::ALL {
            self.shared.engine.compact(table, &KeyRange::prefix(&[]));
        }
    }

    /// Shows the names of `range` in byte order, or against it, until told to stop.
    pub fn names(
        &self,
        range: (Bound<&str>, Bound<&str>),
        direction: Direction,
        visit: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        let after = |name: &str| [&keys::catalogue_database(name)[..], &[0]].concat();
        let mut names = keys::catalogue_databases();
        match range.0 {
            Bound::Included(start) => names.start = keys::catalogue_database(start),
            Bound::Excluded(start) => names.start = after(start),
            Bound::Unbounded => {}
        }
        match range.1 {
            Bound::Included(end) => names.end = after(end),
            Bound::Excluded(end) => names.end = keys::catalogue_database(end),
            Bound::Unbounded => {}
        }
        let mut each = |key: &[u8], _: &[u8]| {
            keys::database_name(key).map_or(ControlFlow::Continue(()), &mut *visit)
        };
        Ok(self.shared.engine.snapshot().scan(Table::Catalogue, &names, direction, &mut each)?)
    }

    /// Up to `limit` events of `_db_updates` after (or, backward, before) `since`.
    pub fn events(
        &self,
        since: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<EventRow>, DatabaseError> {
        self.shared.events.page(since, direction, limit)
    }

    /// Whether [`Self::take_untold_events`] is to have anything from now on.
    pub fn keep_untold_events(&self, keep: bool) {
        self.shared.events.keep_untold(keep);
    }

    /// Whether [`Self::take_untold_events`] has anything now.
    #[must_use]
    pub fn has_untold_events(&self) -> bool {
        self.shared.events.has_untold()
    }

    /// What happened to databases since the last call: other than in [`Self::events`], all that
    /// did, and each once. [`Self::subscribe`] wakes where there is more.
    #[must_use]
    pub fn take_untold_events(&self) -> BTreeSet<(EventKind, String)> {
        self.shared.events.take_untold()
    }

    /// The newest visible event's sequence; wakes on new ones.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.events.subscribe()
    }

    /// Bytes on disk of all databases, about.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let all = KeyRange { start: Vec::new(), end: vec![0xff; 64] };
        Table::ALL.iter().map(|table| self.shared.engine.approximate_bytes(*table, &all)).sum()
    }

    /// Databases whose handle is open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.lock().len()
    }

    /// Makes everything durable; the registry is not used afterwards.
    pub fn close(&self) -> Result<(), StorageError> {
        self.shared.engine.close()
    }
}
