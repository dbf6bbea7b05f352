//! What each partition of a partitioned database holds: counted by the writer, in the batch that
//! changes it.
//!
//! A partition without a record has no documents, or none that was written since partitions are
//! counted; then its documents are gone through once. Databases without partitions have none of
//! this.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use crate::document::DocId;
use crate::storage::values::{Head, Partition};
use crate::storage::{Batch, Direction, Snapshot, StorageError, Table, keys, try_scan};

use super::{Database, DatabaseError};

/// A document as a partition counts it: whether it is deleted, and its bytes.
pub(super) type Share = (bool, u64);

#[derive(Debug)]
struct Counted {
    stored: Option<Partition>,
    now: Partition,
    /// It takes nothing that makes it larger.
    full: bool,
}

/// The partitions that a group of writes touches.
#[derive(Debug, Default)]
pub(super) struct Partitions(HashMap<Box<str>, Counted>);

impl Partitions {
    /// Reads the partitions of `ids`.
    pub(super) fn load<'a>(
        db: &Database,
        snapshot: &dyn Snapshot,
        ids: impl Iterator<Item = &'a DocId>,
    ) -> Result<Self, StorageError> {
        if !db.is_partitioned() {
            return Ok(Self::default());
        }
        let size_max = db.limits.max_partition_size();
        let names: BTreeSet<&str> = ids.filter_map(DocId::partition).collect();
        let keys: Vec<_> = names.iter().map(|name| keys::partition(db.number, name)).collect();
        let mut partitions = HashMap::with_capacity(names.len());
        for (name, value) in names.into_iter().zip(snapshot.multi_get(Table::Databases, &keys)?) {
            let stored = value.map(|value| Partition::decode(&value)).transpose()?;
            let now = stored.map_or_else(|| counted(db, snapshot, name), Ok)?;
            let full = size_max.is_some_and(|most| now.external_bytes >= most);
            partitions.insert(name.into(), Counted { stored, now, full });
        }
        Ok(Self(partitions))
    }

    /// Whether the document's partition had reached its limit before the group.
    pub(super) fn is_full(&self, id: &DocId) -> bool {
        // Most databases have no partitions.
        !self.0.is_empty()
            && id.partition().and_then(|name| self.0.get(name)).is_some_and(|p| p.full)
    }

    /// The group changes a document.
    pub(super) fn note(&mut self, id: &DocId, before: Option<Share>, after: Option<Share>) {
        if self.0.is_empty() {
            return;
        }
        let Some(counted) = id.partition().and_then(|name| self.0.get_mut(name)) else { return };
        for (share, added) in [(before, false), (after, true)] {
            if let Some((deleted, bytes)) = share {
                counted.now.count(deleted, bytes, added);
            }
        }
    }

    /// Adds what changed to the batch.
    pub(super) fn write(&self, db: &Database, batch: &mut Batch) {
        for (name, Counted { stored, now, .. }) in &self.0 {
            let key = keys::partition(db.number, name);
            match stored {
                Some(stored) if stored == now => {}
                None if *now == Partition::default() => {}
                _ if *now == Partition::default() => batch.delete(Table::Databases, key),
                _ => batch.put(Table::Databases, key, now.encode()),
            }
        }
    }
}

/// Goes through the documents of a partition.
fn counted(db: &Database, snapshot: &dyn Snapshot, name: &str) -> Result<Partition, StorageError> {
    let mut partition = Partition::default();
    let mut visit = |_: &[u8], value: &[u8]| {
        let head = Head::decode(value)?;
        let deleted = head.tree.winner().is_some_and(|node| node.deleted);
        partition.count(deleted, head.external_bytes, true);
        Ok(ControlFlow::Continue(()))
    };
    let range = keys::heads_of_partition(db.number, name);
    try_scan(snapshot, Table::Heads, &range, Direction::Forward, &mut visit)?;
    Ok(partition)
}

impl Database {
    /// What a partition holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn partition(&self, name: &str) -> Result<Partition, DatabaseError> {
        let snapshot = self.engine.snapshot();
        match snapshot.get(Table::Databases, &keys::partition(self.number, name))? {
            Some(value) => Ok(Partition::decode(&value)?),
            None => Ok(counted(self, snapshot.as_ref(), name)?),
        }
    }
}
