//! Gathering what makes the rows of an answer: rows of the view, and in the place of long runs of
//! them the states of blocks.
//!
//! Groups are found by one scan over the rows. A group that turns out to be long is made of blocks
//! and of the rows around them, and the scan goes on behind it. As in CouchDB, whose nodes hold
//! some tens of rows, few rows are reduced in one call, however they are spread over blocks.

use std::ops::ControlFlow;

use crate::database::Direction;
use crate::storage::view_values::ViewRow;
use crate::storage::{StorageError, Table};
use crate::views::ViewsError;
use crate::views::blocks::{PlaceRange, Places, Rows, Tree};
use crate::views::reduce::{ReduceFunction, ReduceGroup, ReduceInput, ReducedState, Reducer};

use super::Grouping;
use super::bounds::{after, after_all};
use super::elements::first_elements;
use super::source::Source;

/// Whole blocks with no more rows than this are not used: the rows are read.
const DIRECT_ROWS: u64 = if cfg!(test) { 6 } else { 64 };
/// A group with so many rows is made of blocks, where there are any.
const LONG_ROWS: usize = if cfg!(test) { 4 } else { 33 };
/// Groups, and bytes of their rows, that are gathered at a time.
const GROUPS_MAX: u64 = 64;
const GROUPS_BYTES_MAX: usize = 1 << 20;
/// Rows of a group, and bytes of them, that are held and reduced at a time.
const HELD_ROWS: usize = if cfg!(test) { 20 } else { 4096 };
const HELD_BYTES: usize = 1 << 20;

/// What makes a row of the answer.
#[derive(Default)]
pub struct Group {
    /// JSON.
    pub key: String,
    /// In the order of reading.
    pub rows: Rows,
    /// Of other rows, in the order of reading.
    pub states: Vec<ReducedState>,
    /// What is left of the range behind the group; none where nothing is.
    pub rest: Option<PlaceRange>,
}

/// How rows are gathered.
#[derive(Clone, Copy)]
pub struct Gathering<'a> {
    pub source: &'a Source<'a>,
    pub tree: &'a Tree<'a>,
    pub function: &'a ReduceFunction,
    /// The function's place among the reduces of these rows.
    pub number: usize,
    pub reducer: Reducer<'a>,
    pub grouping: Grouping,
    pub direction: Direction,
}

/// A group that a scan is in.
struct Open {
    /// What the places of the group begin with.
    prefix: Vec<u8>,
    /// The place that was read first.
    first: Vec<u8>,
    group: Group,
    /// Rows read.
    count: usize,
    /// It is one of the groups that are passed over.
    skipped: bool,
}

/// Why a scan ended.
enum Ended {
    /// The range has no more rows.
    Range,
    /// There are enough groups; what is left of the range.
    Full(PlaceRange),
    /// A group is long.
    Long(Open),
}

impl Gathering<'_> {
    /// The next groups of a range, and what is left of it. `skip` counts the groups that are
    /// passed over, `limit` those that are wanted.
    pub fn gather(
        &self,
        mut range: PlaceRange,
        skip: &mut u64,
        limit: u64,
    ) -> Result<(Vec<Group>, Option<PlaceRange>), ViewsError> {
        let mut groups = Vec::new();
        if self.grouping == Grouping::Level(0) {
            self.gather_all(&range, skip, &mut groups)?;
            return Ok((groups, None));
        }
        let wanted = usize::try_from(limit.min(GROUPS_MAX)).unwrap_or_default();
        let mut long_rows = LONG_ROWS;
        loop {
            let open = match self.scan(&range, skip, wanted, long_rows, &mut groups)? {
                Ended::Range => return Ok((groups, None)),
                Ended::Full(rest) => return Ok((groups, Some(rest))),
                Ended::Long(open) => open,
            };
            let behind = self.behind(&range, &open.prefix);
            if open.skipped {
                *skip -= 1;
            } else {
                let inside = self.from(&range, &open.first).beginning_with(&open.prefix);
                let whole = self.whole(&inside)?;
                // The next one may be as long.
                long_rows = if whole.states.is_empty() { LONG_ROWS } else { 1 };
                groups.push(Group { key: open.group.key, rest: behind.clone(), ..whole });
            }
            match behind {
                Some(behind) if groups.len() < wanted => range = behind,
                behind => return Ok((groups, behind)),
            }
        }
    }

    /// All rows of a range as one group, if there are any.
    fn gather_all(
        &self,
        range: &PlaceRange,
        skip: &mut u64,
        groups: &mut Vec<Group>,
    ) -> Result<(), ViewsError> {
        if *skip > 0 {
            *skip -= u64::from(self.source.has_rows(range)?);
            return Ok(());
        }
        let whole = self.whole(range)?;
        if !whole.rows.is_empty() || !whole.states.is_empty() {
            groups.push(Group { key: "null".to_owned(), ..whole });
        }
        Ok(())
    }

    /// The part of a range that begins, in the direction of reading, with a place.
    fn from(&self, range: &PlaceRange, place: &[u8]) -> PlaceRange {
        match self.direction {
            Direction::Forward => PlaceRange { start: place.to_vec(), end: range.end.clone() },
            Direction::Backward => {
                PlaceRange { start: range.start.clone(), end: Some(after(place)) }
            }
        }
    }

    /// The part of a range behind a group.
    fn behind(&self, range: &PlaceRange, prefix: &[u8]) -> Option<PlaceRange> {
        let rest = match self.direction {
            Direction::Forward => PlaceRange { start: after_all(prefix)?, end: range.end.clone() },
            Direction::Backward => {
                PlaceRange { start: range.start.clone(), end: Some(prefix.to_vec()) }
            }
        };
        (!rest.is_empty()).then_some(rest)
    }

    fn scan(
        &self,
        range: &PlaceRange,
        skip: &mut u64,
        wanted: usize,
        long_rows: usize,
        groups: &mut Vec<Group>,
    ) -> Result<Ended, ViewsError> {
        let mut open: Option<Open> = None;
        let mut ended = Ended::Range;
        let mut bytes = 0;
        self.source.scan(range, self.direction, &mut |place, row| {
            if !open.as_ref().is_some_and(|open| place.starts_with(&open.prefix)) {
                if let Some(before) = open.take() {
                    bytes += before.group.rows.bytes();
                    let rest = self.from(range, place);
                    end_group(before, skip, groups, Some(rest));
                }
                if groups.len() >= wanted || bytes >= GROUPS_BYTES_MAX {
                    ended = Ended::Full(self.from(range, place));
                    return Ok(ControlFlow::Break(()));
                }
                open = Some(self.begin_group(place, row.key, *skip > 0)?);
            }
            let Some(mut current) = open.take() else { return Ok(ControlFlow::Break(())) };
            current.count += 1;
            if self.source.summarised && current.count >= long_rows {
                ended = Ended::Long(current);
                return Ok(ControlFlow::Break(()));
            }
            if !current.skipped {
                self.add(&mut current.group, place, row)?;
            }
            open = Some(current);
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(last) = open {
            end_group(last, skip, groups, None);
        }
        Ok(ended)
    }

    fn begin_group(&self, place: &[u8], key: &str, skipped: bool) -> Result<Open, ViewsError> {
        let places: Places = self.source.places;
        let (end, key) = match self.grouping {
            Grouping::Exact => (places.key_end(place), key.to_owned()),
            Grouping::Level(level) => {
                (places.group_end(place, level), first_elements(key, level).into_owned())
            }
        };
        let table = Table::ViewRows.name();
        let prefix = end.and_then(|end| place.get(..end));
        let prefix = prefix.ok_or(StorageError::Corrupt { table, what: "a key has no end" })?;
        let group = Group { key, ..Group::default() };
        let (prefix, first) = (prefix.to_vec(), place.to_vec());
        Ok(Open { prefix, first, group, count: 0, skipped })
    }

    /// The rows of a range, or blocks of them.
    fn whole(&self, range: &PlaceRange) -> Result<Group, ViewsError> {
        let mut group = Group::default();
        if !self.source.summarised || self.source.rows <= DIRECT_ROWS {
            self.read(range, &mut group)?;
            return Ok(group);
        }
        let mut cover = self.tree.cover(range, Some(self.number))?;
        if cover.count <= DIRECT_ROWS {
            self.read(range, &mut group)?;
            return Ok(group);
        }
        if let Direction::Backward = self.direction {
            cover.states.reverse();
            cover.partial.reverse();
        }
        for partial in cover.partial {
            self.source.scan_part(partial, self.direction, &mut |place, row| {
                self.add(&mut group, place, row)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        group.states.append(&mut cover.states);
        Ok(group)
    }

    fn read(&self, range: &PlaceRange, group: &mut Group) -> Result<(), ViewsError> {
        self.source.scan(range, self.direction, &mut |place, row| {
            self.add(group, place, row)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Adds a row. Many rows become a state.
    fn add(&self, group: &mut Group, place: &[u8], row: ViewRow<'_>) -> Result<(), ViewsError> {
        let wanted = self.function.reads_ids();
        let id = if wanted { self.source.places.id(place)? } else { "".into() };
        let key = if self.function.reads_keys() { row.key } else { "" };
        group.rows.push(place, ReduceInput { key, id: &id, value: row.value });
        if group.rows.len() >= HELD_ROWS || group.rows.bytes() >= HELD_BYTES {
            let rows = std::mem::take(&mut group.rows);
            let rows = ReduceGroup { rows: self.in_order(&rows), preceded: false };
            group.states.extend(self.reducer.reduce(self.function, &[rows])?);
        }
        Ok(())
    }

    /// Rows in the order in which CouchDB reduces them: against that of reading, except that rows
    /// of one document and key stand as they were emitted.
    pub fn in_order<'r>(&self, rows: &'r Rows) -> Vec<ReduceInput<'r>> {
        let mut ordered: Vec<ReduceInput<'r>> =
            (0..rows.len()).rev().map(|at| rows.row(at)).collect();
        if let Direction::Forward = self.direction {
            let mut start = 0;
            for end in 1..=rows.len() {
                // Counted from the end of the rows.
                let same = end < rows.len() && rows.are_of_one_document(rows.len() - end - 1);
                if !same {
                    if let Some(run) = ordered.get_mut(start..end) {
                        run.reverse();
                    }
                    start = end;
                }
            }
        }
        ordered
    }
}

/// Ends a group: it is gathered, or one less is to be passed over.
fn end_group(open: Open, skip: &mut u64, groups: &mut Vec<Group>, rest: Option<PlaceRange>) {
    if open.skipped {
        *skip -= 1;
    } else {
        groups.push(Group { rest, ..open.group });
    }
}
