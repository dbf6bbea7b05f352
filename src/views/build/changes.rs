//! Reading what has happened to a database since an index has last looked.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::database::DatabaseError;
use crate::document::{DocId, Rev};
use crate::storage::values::{Change, Purge, State};
use crate::storage::view_values::IndexEntry;
use crate::storage::{Direction, Snapshot, StorageError, Table, keys, try_scan};

use super::super::ViewsError;
use super::super::index::Index;

/// A document that has changed.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    pub(super) seq: u64,
    pub(super) id: DocId,
    /// The winner; none where that is a tombstone.
    pub(super) rev: Option<Rev>,
    /// The other leaves, as map functions see them.
    pub(super) conflicts: Vec<Rev>,
    pub(super) deleted_conflicts: Vec<Rev>,
}

impl Changed {
    fn of(change: Change, seq: u64) -> Self {
        let mut leaves = change.leaves.into_iter();
        let rev = leaves.next().map(|(rev, _)| rev).filter(|_| !change.deleted);
        let (mut conflicts, mut deleted_conflicts) = (Vec::new(), Vec::new());
        for (leaf, is_deleted) in leaves {
            if is_deleted { &mut deleted_conflicts } else { &mut conflicts }.push(leaf);
        }
        Self { seq, id: change.id, rev, conflicts, deleted_conflicts }
    }
}

/// Some changes as of one moment.
#[derive(Debug)]
pub(super) struct Page {
    /// By sequence. Documents that are not mapped are left out.
    pub(super) changes: Vec<Changed>,
    /// All changes after the index's sequence up to this one are in the page.
    pub(super) upto: u64,
    /// At that moment there were no changes beyond.
    pub(super) is_last: bool,
    /// Documents that are gone without a trace.
    pub(super) purged: Vec<DocId>,
    pub(super) purge_seq: u64,
    /// There were purges of which nothing is known any more.
    pub(super) forgot_purges: bool,
    /// Live documents of the database.
    pub(super) documents: u64,
}

impl Page {
    /// Reads up to `limit` changes.
    pub(super) fn read(
        index: &Index,
        entry: &IndexEntry,
        limit: usize,
    ) -> Result<Self, ViewsError> {
        let db = index.db.number();
        let snapshot = index.engine().snapshot();
        let state = snapshot.get(Table::Databases, &keys::state(db))?;
        let state = State::decode(&state.ok_or(DatabaseError::NotFound)?)?;
        let mut page = Self {
            changes: Vec::new(),
            upto: state.update_seq,
            is_last: true,
            purged: Vec::new(),
            purge_seq: state.purge_seq,
            forgot_purges: false,
            documents: state.doc_count,
        };
        page.read_changes(index, snapshot.as_ref(), entry.seq, limit)?;
        if state.purge_seq > entry.purge_seq {
            page.read_purges(index, snapshot.as_ref(), entry.purge_seq)?;
        }
        Ok(page)
    }

    fn read_changes(
        &mut self,
        index: &Index,
        snapshot: &dyn Snapshot,
        since: u64,
        limit: usize,
    ) -> Result<(), StorageError> {
        let include_design = index.group().include_design;
        let range = keys::changes(index.db.number(), since.saturating_add(1), u64::MAX);
        let (mut read, mut last, mut is_last) = (0, since, true);
        let changes = &mut self.changes;
        try_scan(snapshot, Table::Changes, &range, Direction::Forward, &mut |key, value| {
            if read == limit {
                is_last = false;
                return Ok(ControlFlow::Break(()));
            }
            let change = Change::decode(value)?;
            last = keys::seq_of(key).unwrap_or_default();
            read += 1;
            if include_design || !change.id.is_design() {
                changes.push(Changed::of(change, last));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !is_last {
            self.is_last = false;
            self.upto = last;
        }
        Ok(())
    }

    fn read_purges(
        &mut self,
        index: &Index,
        snapshot: &dyn Snapshot,
        since: u64,
    ) -> Result<(), StorageError> {
        let db = index.db.number();
        let mut range = keys::purges(db);
        range.start = keys::purge(db, since.saturating_add(1));
        let (mut ids, mut found) = (BTreeSet::new(), 0);
        try_scan(snapshot, Table::Databases, &range, Direction::Forward, &mut |_, value| {
            ids.insert(Purge::decode(value)?.id);
            found += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        self.forgot_purges = found < self.purge_seq - since;
        let heads: Vec<Vec<u8>> = ids.iter().map(|id| keys::head(db, id.as_str())).collect();
        let heads = snapshot.multi_get(Table::Heads, &heads)?;
        // A document of which something is left has a new change.
        let gone = ids.into_iter().zip(heads).filter(|(_, head)| head.is_none());
        self.purged = gone.map(|(id, _)| id).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_beside_the_winner_are_conflicts() {
        let rev = |text: &str| Rev::parse(text).unwrap();
        let id = DocId::parse("a").unwrap();
        let leaves = [("3-a", false), ("2-b", true), ("1-c", false)];
        let leaves = leaves.map(|(leaf, deleted)| (rev(leaf), deleted)).to_vec();
        let changed = Changed::of(Change { id: id.clone(), deleted: false, leaves }, 7);
        assert_eq!((changed.seq, changed.id, changed.rev), (7, id.clone(), Some(rev("3-a"))));
        assert_eq!(changed.conflicts, [rev("1-c")]);
        assert_eq!(changed.deleted_conflicts, [rev("2-b")]);
        let leaves = vec![(rev("4-d"), true)];
        assert_eq!(Changed::of(Change { id, deleted: true, leaves }, 8).rev, None);
    }
}
