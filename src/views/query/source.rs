//! A view in one snapshot: its rows in order, and how many there are before a place.

use std::ops::ControlFlow;

use crate::database::Direction;
use crate::storage::view_keys::{self, ViewAddress, place_of_row};
use crate::storage::view_values::ViewRow;
use crate::storage::{Snapshot, Table, try_scan};
use crate::views::blocks::{PlaceRange, Places, Tree};
use crate::views::{Index, View, ViewsError};

/// A view in one snapshot.
pub struct Source<'a> {
    pub snapshot: Box<dyn Snapshot + 'a>,
    pub address: ViewAddress,
    pub places: Places,
    /// Its blocks may be used.
    pub summarised: bool,
    /// All its rows.
    pub rows: u64,
    /// The sequence that the index had come to.
    pub seq: u64,
}

/// Shows a row with its place.
pub type VisitRow<'v> = dyn FnMut(&[u8], ViewRow<'_>) -> Result<ControlFlow<()>, ViewsError> + 'v;

impl<'a> Source<'a> {
    /// The view as it is now; none where nothing is stored of its index.
    pub fn open(index: &'a Index, view: View) -> Result<Option<Self>, ViewsError> {
        if index.is_dropped() {
            return Err(ViewsError::Dropped);
        }
        let snapshot = index.engine().snapshot();
        let Some(entry) = index.entry(snapshot.as_ref())? else { return Ok(None) };
        let address = index.address(entry.number, view.number);
        Ok(Some(Self {
            snapshot,
            address,
            places: Places { collation: view.collation, partitioned: index.group().partitioned },
            summarised: entry.summarised,
            rows: entry.rows.get(usize::from(view.number)).copied().unwrap_or(0),
            seq: entry.seq,
        }))
    }

    pub fn tree(&self) -> Tree<'_> {
        Tree::new(self.snapshot.as_ref(), self.address)
    }

    /// Shows the rows of a range.
    pub fn scan(
        &self,
        range: &PlaceRange,
        direction: Direction,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), ViewsError> {
        let mut keys = view_keys::rows(self.address);
        keys.start = view_keys::row(self.address, &range.start);
        if let Some(end) = &range.end {
            keys.end = view_keys::row(self.address, end);
        }
        try_scan(self.snapshot.as_ref(), Table::ViewRows, &keys, direction, &mut |key, value| {
            visit(place_of_row(key).unwrap_or_default(), ViewRow::decode(value)?)
        })
    }

    /// Whether a range has rows.
    pub fn has_rows(&self, range: &PlaceRange) -> Result<bool, ViewsError> {
        let mut found = false;
        self.scan(range, Direction::Forward, &mut |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// How many rows stand before a place; before none of them stand all.
    pub fn rank(&self, tree: &Tree<'_>, place: Option<&[u8]>) -> Result<u64, ViewsError> {
        let Some(place) = place else { return Ok(self.rows) };
        if place.is_empty() {
            return Ok(0);
        }
        self.count_between(tree, &PlaceRange { start: Vec::new(), end: Some(place.to_vec()) })
    }

    /// How many rows a range has.
    pub fn count_between(&self, tree: &Tree<'_>, range: &PlaceRange) -> Result<u64, ViewsError> {
        if !self.summarised {
            return self.count(range);
        }
        let cover = tree.cover(range, None)?;
        let mut rows = cover.count;
        for partial in &cover.partial {
            rows += self.count(partial)?;
        }
        Ok(rows)
    }

    fn count(&self, range: &PlaceRange) -> Result<u64, ViewsError> {
        let mut count = 0;
        self.scan(range, Direction::Forward, &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }
}
