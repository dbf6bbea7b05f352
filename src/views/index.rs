//! One index of one database: what is stored of it, how far it has come, and who waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::collation::collator_version;
use crate::database::Database;
use crate::storage::view_keys::{IndexNumber, ViewAddress, ViewNumber};
use crate::storage::view_values::IndexEntry;
use crate::storage::{Engine, Snapshot, StorageError, Table, view_keys};

use super::registry::Server;
use super::updater::{Building, Duty, Progress};
use super::{Blocks, Mapper, ReduceFunction, Reducer, Updater, View, ViewGroup, ViewsError};

/// The version of what is stored of an index beside its entry. An index of another version is
/// built anew.
pub(super) const FORMAT: u64 = 3;

/// What those who wait for an index are told.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// The database's sequence up to which changes are in, none of them missing because its
    /// document changed again meanwhile.
    pub seq: u64,
    /// The database's purge sequence up to which purged documents are out.
    pub purge_seq: u64,
    /// How many updates have ended, in whatever way.
    pub updates: u64,
    /// Why the last of them failed.
    pub failure: Option<ViewsError>,
}

/// What `_info` tells of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexInfo {
    pub seq: u64,
    pub purge_seq: u64,
    /// Changes that are not in yet.
    pub pending: u64,
    pub updating: bool,
    pub waiting_clients: u64,
    pub compacting: bool,
    pub file_bytes: u64,
    pub external_bytes: u64,
}

/// One index of one database.
#[derive(Debug)]
pub struct Index {
    pub(super) server: Arc<Server>,
    pub(super) db: Arc<Database>,
    /// The id of the design document that it was opened for; others may share it.
    design_document: String,
    group: ViewGroup,
    /// What maps documents, or why nothing does.
    pub(super) mapper: Result<Arc<dyn Mapper>, ViewsError>,
    pub(super) reached: watch::Sender<Reached>,
    duty: Mutex<Duty>,
    progress: Mutex<Option<Progress>>,
    dropped: AtomicBool,
    compacting: AtomicBool,
    /// The version that was looked at last, and how often.
    looks: Mutex<(u64, u32)>,
}

impl Index {
    /// Reads how far the stored index has come.
    pub(super) fn open(
        server: Arc<Server>,
        db: Arc<Database>,
        design_document: String,
        group: ViewGroup,
        mapper: Result<Arc<dyn Mapper>, ViewsError>,
    ) -> Result<Self, ViewsError> {
        let index = Self {
            server,
            db,
            design_document,
            group,
            mapper,
            reached: watch::Sender::new(Reached::default()),
            duty: Mutex::default(),
            progress: Mutex::default(),
            dropped: AtomicBool::new(false),
            compacting: AtomicBool::new(false),
            looks: Mutex::default(),
        };
        if let Some(entry) = index.entry(index.engine().snapshot().as_ref())? {
            index.reached.send_modify(|reached| {
                reached.seq = entry.seq;
                reached.purge_seq = entry.purge_seq;
            });
        }
        Ok(index)
    }

    #[must_use]
    pub fn group(&self) -> &ViewGroup {
        &self.group
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        self.db.engine().as_ref()
    }

    pub(super) fn key(&self) -> Vec<u8> {
        view_keys::index(self.db.number(), &self.group.signature)
    }

    /// What is stored of it; none where nothing is, or nothing that can be used.
    pub(super) fn entry(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<IndexEntry>, StorageError> {
        let Some(value) = snapshot.get(Table::Indexes, &self.key())? else { return Ok(None) };
        let entry = IndexEntry::decode(&value)?;
        Ok(self.fits(&entry).then_some(entry))
    }

    /// How often this version has been looked at, this time included.
    pub(super) fn looked_at(&self, version: u64) -> u32 {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.0 != version {
            *looks = (version, 0);
        }
        looks.1 = looks.1.saturating_add(1);
        looks.1
    }

    /// Whether what is stored is what this program would store.
    pub(super) fn fits(&self, entry: &IndexEntry) -> bool {
        entry.format == FORMAT
            && entry.collator_version == collator_version()
            && entry.rows.len() == self.group.maps.len()
    }

    pub(super) fn address(&self, index: IndexNumber, view: u16) -> ViewAddress {
        ViewAddress { db: self.db.number(), index, view: ViewNumber(view) }
    }

    /// The reduces of a view's rows, of all views that share them.
    pub(super) fn reduces(&self, view: u16) -> &[ReduceFunction] {
        let map = self.group.maps.get(usize::from(view));
        map.map(|map| map.reduces.as_slice()).unwrap_or_default()
    }

    pub(super) fn reducer(&self) -> Reducer<'_> {
        self.server.reducer()
    }

    pub(super) fn blocks(&self, index: IndexNumber, view: u16) -> Blocks<'_> {
        let map = self.group.maps.get(usize::from(view));
        Blocks {
            address: self.address(index, view),
            collation: map.map(|map| map.collation).unwrap_or_default(),
            partitioned: self.group.partitioned,
            reduces: self.reduces(view),
            reducer: self.reducer(),
        }
    }

    /// How far it has come (what is stored, before there is an update); who holds this counts as
    /// a waiting client. Wakes on progress and on the end of every update.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    pub(super) fn lock_duty(&self) -> MutexGuard<'_, Duty> {
        self.duty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The duty to bring the index up to what the database has now; none where somebody has it,
    /// who will see to this too.
    #[must_use]
    pub fn update(self: &Arc<Self>) -> Option<Updater> {
        let wanted = self.db.state().update_seq;
        self.lock_duty().take(wanted).then(|| Updater::new(self.clone()))
    }

    pub(super) fn building(&self) -> Option<Building> {
        let progress = (*self.lock_progress())?;
        Some(Building {
            db: self.db.clone(),
            design_document: self.design_document.clone(),
            changes_done: progress.changes_done,
            total_changes: progress.total_changes,
            started_s: progress.started_s,
            updated_s: progress.updated_s,
        })
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    pub(super) fn set_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// What `_info` tells.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn info(&self) -> Result<IndexInfo, ViewsError> {
        let entry = self.entry(self.engine().snapshot().as_ref())?;
        let update_seq = self.db.state().update_seq;
        let mut info = IndexInfo {
            pending: update_seq,
            updating: self.lock_duty().is_taken(),
            waiting_clients: self.reached.receiver_count() as u64,
            compacting: self.compacting.load(Ordering::Acquire),
            ..IndexInfo::default()
        };
        if let Some(entry) = entry {
            info.seq = entry.seq;
            info.purge_seq = entry.purge_seq;
            info.pending = update_seq.saturating_sub(entry.seq);
            info.external_bytes = entry.external_bytes;
            let range = view_keys::index_range(self.db.number(), entry.number);
            let tables = [Table::ViewRows, Table::ViewBlocks, Table::ViewEmits];
            let bytes = |table: Table| self.engine().approximate_bytes(table, &range);
            info.file_bytes = tables.map(bytes).iter().sum();
        }
        Ok(info)
    }

    /// The views whose maps run without an engine, and those whose do not. Blocks.
    #[must_use]
    pub fn native_views(&self) -> BTreeMap<String, bool> {
        let native = self.mapper.as_ref().ok().and_then(|mapper| mapper.native());
        let is_native = |map| native.as_ref().and_then(|all| all.get(map)).copied();
        let names = self.group.names();
        names.map(|(name, map)| (name.to_owned(), is_native(map).unwrap_or(false))).collect()
    }

    /// Whether documents have rows of a view exactly if they pass its map as a filter, as long as
    /// that fails on none of them. Blocks.
    #[must_use]
    pub fn tells_filter(&self, view: View) -> bool {
        let map = usize::from(view.number);
        !self.group.partitioned && self.mapper.as_ref().is_ok_and(|mapper| mapper.filters(map))
    }

    /// Reclaims the space of removed rows; blocks. Where that is under way it returns at once.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn compact(&self) -> Result<(), ViewsError> {
        let Some(entry) = self.entry(self.engine().snapshot().as_ref())? else { return Ok(()) };
        if self.compacting.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let range = view_keys::index_range(self.db.number(), entry.number);
        for table in [Table::ViewRows, Table::ViewBlocks, Table::ViewEmits] {
            self.engine().compact(table, &range);
        }
        self.compacting.store(false, Ordering::Release);
        Ok(())
    }
}
