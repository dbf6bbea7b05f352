//! The indexes that are in use, and who waits for them.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::database::Database;
use crate::design::{Ddoc, Functions};

use super::{ViewGroup, ViewsError};

/// The view indexes of the server.
#[derive(Debug)]
pub struct Views {
    #[expect(dead_code, reason = "builds call them")]
    functions: Arc<Functions>,
}

/// What those who wait for an index are told.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// The database's sequence up to which changes are in.
    pub seq: u64,
    /// The database's purge sequence up to which purged documents are out.
    pub purge_seq: u64,
    /// How many updates have ended, in whatever way.
    pub updates: u64,
    /// Why the last of them failed.
    pub failure: Option<ViewsError>,
}

/// A build under way, for `_active_tasks`.
#[derive(Debug, Clone)]
pub struct Building {
    pub db: Arc<Database>,
    pub design_document: String,
    pub changes_done: u64,
    pub total_changes: u64,
    /// Seconds since 1970.
    pub started_s: u64,
    pub updated_s: u64,
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
    group: ViewGroup,
    reached: watch::Sender<Reached>,
}

/// The duty to bring an index up to date.
#[derive(Debug)]
pub struct Updater {
    #[expect(dead_code, reason = "it is what is updated")]
    index: Arc<Index>,
}

impl Views {
    #[must_use]
    pub fn new(functions: Arc<Functions>) -> Self {
        Self { functions }
    }

    /// The index of a design document's views; nothing is built or written yet.
    ///
    /// # Errors
    /// Where the language is not known, or the store cannot be read.
    pub fn index(&self, db: &Arc<Database>, ddoc: &Ddoc) -> Result<Arc<Index>, ViewsError> {
        let group = ViewGroup::of(ddoc, db.is_partitioned())?;
        Ok(Arc::new(Index { group, reached: watch::Sender::new(Reached::default()) }))
    }

    /// The builds under way.
    #[must_use]
    pub fn building(&self) -> Vec<Building> {
        Vec::new()
    }

    /// Drops the indexes of a database whose signatures are not among `kept`.
    pub fn cleanup(&self, db: &Arc<Database>, kept: &HashSet<String>) -> Result<(), ViewsError> {
        let _ = (db, kept);
        Ok(())
    }
}

impl Index {
    #[must_use]
    pub fn group(&self) -> &ViewGroup {
        &self.group
    }

    /// How far it has come (what is stored, before there is an update); who holds this counts as
    /// a waiting client. Wakes on progress and on the end of every update.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    /// The duty to bring the index up to what the database has now; none where somebody has it.
    #[must_use]
    pub fn update(self: &Arc<Self>) -> Option<Updater> {
        Some(Updater { index: self.clone() })
    }

    /// What `_info` tells.
    pub fn info(&self) -> Result<IndexInfo, ViewsError> {
        Ok(IndexInfo::default())
    }

    /// Reclaims the space of removed rows; blocks.
    pub fn compact(&self) {}
}

impl Updater {
    /// Brings the index up to date; blocks. Those who wait are told how it ended.
    pub fn run(self) {}
}
