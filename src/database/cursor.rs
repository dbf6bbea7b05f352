//! Scans: ids, changes and local documents in order, each scan one short snapshot.
//!
//! A caller that streams takes a page, remembers its last key, and asks for the next; so a slow
//! client pins nothing.

use std::ops::{Bound, ControlFlow};

use crate::document::Rev;
use crate::storage::values::{Change, HeadSummary, Local};
use crate::storage::{Direction, KeyRange, StorageError, Table, TryVisit, keys, try_scan};

use super::pending::Anchor;
use super::{Database, DatabaseError};

/// A range of document ids by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRange {
    pub start: Bound<String>,
    pub end: Bound<String>,
}

impl IdRange {
    /// Every id.
    pub const ALL: Self = Self { start: Bound::Unbounded, end: Bound::Unbounded };

    /// Ids that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        let end = prefix.char_indices().next_back().and_then(|(at, last)| {
            let next = char::from_u32(u32::from(last) + 1)?;
            Some(format!("{}{next}", &prefix[..at]))
        });
        Self {
            start: Bound::Included(prefix.to_owned()),
            end: end.map_or(Bound::Unbounded, Bound::Excluded),
        }
    }
}

/// A document in a scan of heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow<'a> {
    pub id: &'a str,
    pub rev: Rev,
    pub deleted: bool,
}

/// A local document in a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRow<'a> {
    pub id: &'a str,
    pub local: Local,
}

type Visited = ControlFlow<()>;

impl Database {
    fn key_range(&self, ids: &IdRange) -> KeyRange {
        let mut range = keys::database_range(self.number);
        let after = |id: &str| [&keys::head(self.number, id)[..], &[0]].concat();
        match &ids.start {
            Bound::Included(id) => range.start = keys::head(self.number, id),
            Bound::Excluded(id) => range.start = after(id),
            Bound::Unbounded => {}
        }
        match &ids.end {
            Bound::Included(id) => range.end = after(id),
            Bound::Excluded(id) => range.end = keys::head(self.number, id),
            Bound::Unbounded => {}
        }
        range
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        direction: Direction,
        visit: &mut TryVisit<'_, StorageError>,
    ) -> Result<(), DatabaseError> {
        Ok(try_scan(self.engine.snapshot().as_ref(), table, range, direction, visit)?)
    }

    /// Shows documents by id, tombstones too.
    pub fn scan_heads(
        &self,
        ids: &IdRange,
        direction: Direction,
        visit: &mut dyn FnMut(HeadRow<'_>) -> Visited,
    ) -> Result<(), DatabaseError> {
        self.scan(Table::Heads, &self.key_range(ids), direction, &mut |key, value| {
            let HeadSummary { winner: rev, deleted } = HeadSummary::decode(value)?;
            Ok(visit(HeadRow { id: keys::id_of(key).unwrap_or_default(), rev, deleted }))
        })
    }

    /// How many live documents stand before `id`, in byte order.
    pub fn rank(&self, id: &str) -> Result<u64, DatabaseError> {
        self.ranks.before(id, &|from, visit| {
            let start = match from {
                None | Some("") => Bound::Unbounded,
                Some(from) => Bound::Included(from.to_owned()),
            };
            let ids = IdRange { start, end: Bound::Unbounded };
            self.scan_heads(&ids, Direction::Forward, &mut |row| {
                if row.deleted || visit(row.id) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
        })
    }

    /// Shows the changes from sequence `first` to `last`, both included.
    pub fn scan_changes(
        &self,
        first: u64,
        last: u64,
        direction: Direction,
        visit: &mut dyn FnMut(u64, Change) -> Visited,
    ) -> Result<(), DatabaseError> {
        if first > last {
            return Ok(());
        }
        let range = keys::changes(self.number, first, last);
        self.scan(Table::Changes, &range, direction, &mut |key, value| {
            Ok(visit(keys::seq_of(key).unwrap_or(0), Change::decode(value)?))
        })
    }

    /// How many changes there are after sequence `since`.
    pub fn pending(&self, since: u64) -> Result<u64, DatabaseError> {
        let quiet = self.pendings.quiet();
        let state = self.state();
        if since >= state.update_seq {
            return Ok(0);
        }
        let all = Anchor { since: 0, count: state.doc_count + state.doc_del_count };
        let none = Anchor { since: state.update_seq, count: 0 };
        let kept = quiet.and_then(|quiet| self.pendings.nearest(quiet, since));
        let anchors = [Some(all), Some(none), kept].into_iter().flatten();
        let nearest = anchors.min_by_key(|anchor| anchor.since.abs_diff(since)).unwrap_or(all);
        let count = if nearest.since <= since {
            nearest.count.saturating_sub(self.count_changes(nearest.since, since)?)
        } else {
            nearest.count + self.count_changes(since, nearest.since)?
        };
        if let (Some(quiet), false) = (quiet, nearest.since == since) {
            self.pendings.keep(quiet, Anchor { since, count });
        }
        Ok(count)
    }

    /// How many changes there are after `since` up to `upto`.
    fn count_changes(&self, since: u64, upto: u64) -> Result<u64, DatabaseError> {
        if since >= upto {
            return Ok(0);
        }
        let mut count = 0;
        let range = keys::changes(self.number, since + 1, upto);
        self.scan(Table::Changes, &range, Direction::Forward, &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// Shows local documents by id.
    pub fn scan_locals(
        &self,
        ids: &IdRange,
        direction: Direction,
        visit: &mut dyn FnMut(LocalRow<'_>) -> Visited,
    ) -> Result<(), DatabaseError> {
        self.scan(Table::Locals, &self.key_range(ids), direction, &mut |key, value| {
            let local = Local::decode(value)?;
            Ok(visit(LocalRow { id: keys::id_of(key).unwrap_or_default(), local }))
        })
    }
}
