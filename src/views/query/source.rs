//! A view in one snapshot: its rows in order, and how many there are before a place.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::database::Direction;
use crate::storage::view_keys::{self, ViewAddress, place_of_row};
use crate::storage::view_values::ViewRow;
use crate::storage::{Snapshot, Table, try_scan};
use crate::views::blocks::{PartialBlock, PlaceRange, Places, RowBlock, Rows, Tree};
use crate::views::pages::{Reach, RowPage, ViewPages};
use crate::views::reduce::ReduceInput;
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
    /// There may be documents that lack rows because the map has failed on them.
    pub failed: bool,
    pub pages: ViewPages<'a>,
    /// It pays to keep its rows: the same version is asked again and again.
    pub warm: bool,
}

/// Whoever reads more blocks than this in a row reads the store.
const PAGED_BLOCKS: usize = 16;
/// Rows of a block that are kept.
const PAGED_ROWS_MAX: u64 = 512;
/// So often a version was looked at before its rows are kept.
const LOOKS_MIN: u32 = if cfg!(test) { 1 } else { 4 };

/// Shows a row with its place.
pub type VisitRow<'v> = dyn FnMut(&[u8], ViewRow<'_>) -> Result<ControlFlow<()>, ViewsError> + 'v;

impl<'a> Source<'a> {
    /// The view as it is now; none where nothing is stored of its index.
    pub fn open(
        index: &'a Index,
        view: View,
        reach: Reach<'a>,
    ) -> Result<Option<Self>, ViewsError> {
        if index.is_dropped() {
            return Err(ViewsError::Dropped);
        }
        let snapshot = index.engine().snapshot();
        let Some(entry) = index.entry(snapshot.as_ref())? else { return Ok(None) };
        let address = index.address(entry.number, view.number);
        let version = entry.version();
        Ok(Some(Self {
            snapshot,
            address,
            pages: ViewPages { pages: &index.server.pages, address, version, reach },
            warm: index.looked_at(version) > LOOKS_MIN,
            places: Places { collation: view.collation, partitioned: index.group().partitioned },
            summarised: entry.summarised,
            rows: entry.rows.get(usize::from(view.number)).copied().unwrap_or(0),
            seq: entry.seq,
            failed: entry.failed.get(usize::from(view.number)).copied().unwrap_or(true),
        }))
    }

    pub fn tree(&self) -> Tree<'_> {
        Tree::new(self.snapshot.as_ref(), self.address, Some(self.pages))
    }

    /// Shows the rows of a range.
    pub fn scan(
        &self,
        range: &PlaceRange,
        direction: Direction,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), ViewsError> {
        let mut rest = range.clone();
        for _ in 0..PAGED_BLOCKS {
            let Some(page) = self.page(&rest, direction)? else { break };
            if let ControlFlow::Break(ended) = show_page(&page, &rest, direction, visit) {
                return ended;
            }
            if !rest.leave_out(&page.range, direction) {
                return Ok(());
            }
        }
        self.scan_store(&rest, direction, visit)
    }

    /// The page with the rows that come first in a range; none where the rows are not kept.
    fn page(
        &self,
        range: &PlaceRange,
        direction: Direction,
    ) -> Result<Option<Arc<RowPage>>, ViewsError> {
        if !self.warm || !self.summarised || range.is_empty() {
            return Ok(None);
        }
        let tree = self.tree();
        let block = match direction {
            Direction::Forward => tree.block_of(&range.start)?,
            Direction::Backward => tree.block_before(range.end.as_deref())?,
        };
        match block {
            Some(RowBlock { range, count, .. }) => self.page_of(range, count),
            None => Ok(None),
        }
    }

    /// The page of the rows of a block of level 1; none where they are not kept.
    fn page_of(&self, range: PlaceRange, count: u64) -> Result<Option<Arc<RowPage>>, ViewsError> {
        if !self.warm || count > PAGED_ROWS_MAX {
            return Ok(None);
        }
        self.pages.reach.take_page()?;
        if let Some(page) = self.pages.rows(&range.start) {
            return Ok(Some(page));
        }
        let mut rows = Rows::default();
        self.scan_store(&range, Direction::Forward, &mut |place, row| {
            rows.push(place, ReduceInput { key: row.key, id: "", value: row.value });
            Ok(ControlFlow::Continue(()))
        })?;
        rows.shrink();
        let page = Arc::new(RowPage { range, rows });
        self.pages.keep_rows(&page);
        Ok(Some(page))
    }

    /// Shows the rows of a part of a block.
    pub fn scan_part(
        &self,
        part: PartialBlock,
        direction: Direction,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), ViewsError> {
        match self.page_of(part.block, part.count)? {
            Some(page) => match show_page(&page, &part.wanted, direction, visit) {
                ControlFlow::Break(ended) => ended,
                ControlFlow::Continue(()) => Ok(()),
            },
            None => self.scan_store(&part.wanted, direction, visit),
        }
    }

    fn scan_store(
        &self,
        range: &PlaceRange,
        direction: Direction,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), ViewsError> {
        self.pages.reach.check_store()?;
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
        for partial in cover.partial {
            self.scan_part(partial, Direction::Forward, &mut |_, _| {
                rows += 1;
                Ok(ControlFlow::Continue(()))
            })?;
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

/// Shows those rows of a page that lie in a range.
fn show_page(
    page: &RowPage,
    range: &PlaceRange,
    direction: Direction,
    visit: &mut VisitRow<'_>,
) -> ControlFlow<Result<(), ViewsError>> {
    let rows = page.rows.between(range);
    let mut show = |at| flow(visit(page.rows.place(at), page.rows.view_row(at)));
    match direction {
        Direction::Forward => rows.into_iter().try_for_each(&mut show),
        Direction::Backward => rows.rev().try_for_each(&mut show),
    }
}

/// What a visitor says, as what ends a loop over rows: in an error, or because it has enough.
fn flow(seen: Result<ControlFlow<()>, ViewsError>) -> ControlFlow<Result<(), ViewsError>> {
    match seen {
        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
        Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}
