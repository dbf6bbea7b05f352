//! The indexes that are in use, by what they compute, and dropping those that nobody wants.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::config::{QueryServerSettings, Settings};
use crate::database::Database;
use crate::design::{Ddoc, Functions};
use crate::storage::keys::DbNumber;
use crate::storage::view_values::IndexEntry;
use crate::storage::{
    Batch, Direction, Durability, Expect, StorageError, Table, try_scan, view_keys,
};

use super::index::Index;
use super::mapper::sandbox_mapper;
use super::pages::Pages;
use super::updater::Building;
use super::{MakeMapper, Mapper, Reducer, ViewGroup, ViewsError};

/// Indexes kept open though nobody uses them at the moment.
const IDLE_INDEXES_MAX: usize = 1024;
/// How often an index is tried to be dropped while it is being updated.
const DROP_ATTEMPTS: usize = 256;

/// What all indexes share.
pub(super) struct Server {
    pub(super) functions: Arc<Functions>,
    reduce_settings: RwLock<QueryServerSettings>,
    languages: RwLock<HashMap<String, MakeMapper>>,
    pub(super) pages: Pages,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Calls reduce functions under the settings of this moment.
    pub(super) fn reducer(&self) -> Reducer<'_> {
        let settings = *self.reduce_settings.read().unwrap_or_else(PoisonError::into_inner);
        Reducer { sandbox: self.functions.sandbox(), settings }
    }

    fn mapper(&self, ddoc: &Ddoc, group: &ViewGroup) -> Result<Arc<dyn Mapper>, ViewsError> {
        let languages = self.languages.read().unwrap_or_else(PoisonError::into_inner);
        match languages.get(&group.language) {
            Some(make) => {
                let sources: Vec<_> = group.maps.iter().map(|map| &map.source).collect();
                make(ddoc, &sources)
            }
            None => sandbox_mapper(&self.functions, ddoc, group),
        }
    }
}

/// The view indexes of the server.
#[derive(Debug)]
pub struct Views {
    server: Arc<Server>,
    open: Mutex<HashMap<(DbNumber, String), Arc<Index>>>,
}

impl Views {
    #[must_use]
    pub fn new(functions: Arc<Functions>) -> Self {
        let server = Server {
            functions,
            reduce_settings: RwLock::new(Settings::default().query_server),
            languages: RwLock::default(),
            pages: Pages::default(),
        };
        Self { server: Arc::new(server), open: Mutex::default() }
    }

    #[cfg(test)]
    pub(super) fn functions(&self) -> Arc<Functions> {
        self.server.functions.clone()
    }

    /// Lets indexes of a language be built by mappers of its own.
    pub fn set_language(&self, language: &str, make: MakeMapper) {
        let mut languages = self.server.languages.write().unwrap_or_else(PoisonError::into_inner);
        languages.insert(language.to_owned(), make);
    }

    /// What reduce functions may answer from now on.
    pub fn set_query_server(&self, settings: QueryServerSettings) {
        *self.server.reduce_settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(DbNumber, String), Arc<Index>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a design document's views; nothing is built or written yet. That its language
    /// is not known shows when it is updated.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn index(&self, db: &Arc<Database>, ddoc: &Ddoc) -> Result<Arc<Index>, ViewsError> {
        let key = (db.number(), ddoc.signature().to_owned());
        let mut open = self.lock();
        if let Some(index) = open.get(&key).filter(|index| !index.is_dropped()) {
            return Ok(index.clone());
        }
        let group = ViewGroup::of(ddoc, db.is_partitioned());
        let mapper = self.server.mapper(ddoc, &group);
        let name = ddoc.id.as_str().to_owned();
        let index = Arc::new(Index::open(self.server.clone(), db.clone(), name, group, mapper)?);
        if open.len() >= IDLE_INDEXES_MAX {
            open.retain(|_, index| Arc::strong_count(index) > 1);
        }
        open.insert(key, index.clone());
        Ok(index)
    }

    /// The builds under way, by database and design document.
    #[must_use]
    pub fn building(&self) -> Vec<Building> {
        let open: Vec<Arc<Index>> = self.lock().values().cloned().collect();
        let mut busy: Vec<Building> = open.iter().filter_map(|index| index.building()).collect();
        busy.sort_by(|one, two| {
            let key = |busy: &Building| (busy.db.name().clone(), busy.design_document.clone());
            key(one).cmp(&key(two))
        });
        busy
    }

    /// The signatures of the indexes that lack purges of their database, and when the oldest such
    /// purge was, in seconds since 1970, where that is remembered.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn purge_lags(&self, db: &Database) -> Result<Vec<(String, u64)>, ViewsError> {
        let purge_seq = db.state().purge_seq;
        let mut behind = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            let entry = IndexEntry::decode(value)?;
            if entry.purge_seq < purge_seq {
                let signature = view_keys::signature_of(key).unwrap_or_default().to_owned();
                behind.push((signature, entry.purge_seq + 1));
            }
            Ok::<_, StorageError>(ControlFlow::Continue(()))
        };
        if purge_seq > 0 {
            let range = view_keys::indexes(db.number());
            let snapshot = db.engine().snapshot();
            let direction = Direction::Forward;
            try_scan(snapshot.as_ref(), Table::Indexes, &range, direction, &mut visit)?;
        }
        let mut lags = Vec::new();
        for (signature, first_missing) in behind {
            lags.extend(db.purged_s(first_missing)?.map(|purged_s| (signature, purged_s)));
        }
        Ok(lags)
    }

    /// Drops the indexes of a database whose signatures are not among those that `kept` gives;
    /// it is asked after the indexes were looked up, so that a design document saved meanwhile
    /// keeps its index. Who uses a dropped one is told [`ViewsError::Dropped`].
    ///
    /// # Errors
    /// Where the store fails; some may be dropped by then.
    pub fn cleanup(
        &self,
        db: &Arc<Database>,
        kept: impl FnOnce() -> Result<HashSet<String>, ViewsError>,
    ) -> Result<(), ViewsError> {
        let mut known = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            known.push(view_keys::signature_of(key).unwrap_or_default().to_owned());
            ControlFlow::Continue(())
        };
        let range = view_keys::indexes(db.number());
        db.engine().snapshot().scan(Table::Indexes, &range, Direction::Forward, &mut visit)?;
        let kept = kept()?;
        for signature in known.into_iter().filter(|signature| !kept.contains(signature)) {
            if let Some(index) = self.lock().remove(&(db.number(), signature.clone())) {
                index.set_dropped();
            }
            drop_index(db, &signature)?;
        }
        Ok(())
    }
}

/// Removes an index and all that it has.
fn drop_index(db: &Database, signature: &str) -> Result<(), ViewsError> {
    let key = view_keys::index(db.number(), signature);
    let mut attempts = 0..DROP_ATTEMPTS;
    loop {
        let Some(value) = db.engine().get(Table::Indexes, &key)? else { return Ok(()) };
        let entry = IndexEntry::decode(&value)?;
        let mut batch = Batch::default();
        batch.expect(Table::Indexes, key.clone(), Expect::Is(value));
        batch.delete(Table::Indexes, key.clone());
        write_removal(&mut batch, db, &entry);
        match db.engine().commit(batch, Durability::Buffered) {
            Err(StorageError::Precondition) if attempts.next().is_some() => {}
            other => return Ok(other?),
        }
    }
}

/// Everything of an index but its entry goes.
pub(super) fn write_removal(batch: &mut Batch, db: &Database, entry: &IndexEntry) {
    let range = view_keys::index_range(db.number(), entry.number);
    for table in [Table::ViewRows, Table::ViewBlocks, Table::ViewEmits] {
        batch.delete_range(table, range.clone());
    }
}
