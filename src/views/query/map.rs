//! Reading the rows of a map view.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::database::Direction;
use crate::storage::view_keys::{is_first_of_document, without_ordinal};
use crate::views::blocks::{PlaceRange, Places, Rows};
use crate::views::pages::Reach;
use crate::views::reduce::ReduceInput;
use crate::views::{Index, View, ViewsError};

use super::bounds::{after, after_all};
use super::source::Source;
use super::{FirstPiece, MapHeader, MapRow, ROWS_AT_ONCE, RangeQuery, at_once};

/// Rows that are skipped one by one rather than by blocks.
const STEPS_MAX: u64 = 64;

/// Reads the rows of a map view, page by page. Rows of one document with equal keys come in the
/// order in which they were emitted, in both directions.
#[derive(Debug)]
pub struct MapReader {
    index: Arc<Index>,
    view: View,
    cursor: MapCursor,
}

impl MapReader {
    #[must_use]
    pub fn new(index: Arc<Index>, view: View, query: RangeQuery) -> Self {
        Self { index, view, cursor: MapCursor::new(query) }
    }

    /// What stands before the rows.
    ///
    /// # Errors
    /// Where the store cannot be read, and where the index has been dropped.
    pub fn header(&self) -> Result<MapHeader, ViewsError> {
        match Source::open(&self.index, self.view, Reach::Store)? {
            Some(source) => self.cursor.header(&source),
            None => Ok(MapHeader { total_rows: 0, offset: 0, seq: 0 }),
        }
    }

    /// The header and the first rows, if they are in memory and few: this does not block. What
    /// was shown is void where it answers none; the reader is then as it was.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn begin_at_once(
        &mut self,
        visit: &mut dyn FnMut(FirstPiece<'_>) -> ControlFlow<()>,
    ) -> Result<Option<bool>, ViewsError> {
        let query = &self.cursor.query;
        if query.ranges() != 1 || query.limit > ROWS_AT_ONCE || query.skip > STEPS_MAX {
            return Ok(None);
        }
        let (index, view, cursor) = (&self.index, self.view, &mut self.cursor);
        let begun = at_once(|reach| {
            let Some(source) = Source::open(index, view, reach)? else { return Ok(None) };
            cursor.begin(&source, visit).map(Some)
        })?;
        if begun.is_none() {
            self.cursor.rewind();
        }
        Ok(begun)
    }

    /// How many rows the query has, whatever is skipped or the limit is. What whole blocks have is
    /// not counted row by row.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn count(&self) -> Result<u64, ViewsError> {
        match Source::open(&self.index, self.view, Reach::Store)? {
            Some(source) => self.cursor.count(&source),
            None => Ok(0),
        }
    }

    /// Shows the next rows, until the visitor has enough of them; it has seen the row that it
    /// breaks at. Returns whether more may come. Each page is a snapshot of its own.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn page(
        &mut self,
        visit: &mut dyn FnMut(MapRow<'_>) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        match Source::open(&self.index, self.view, Reach::Store)? {
            Some(source) => self.cursor.page(&source, visit),
            None => Ok(false),
        }
    }

    /// Shows all rows of one moment, and tells the sequence that the index had come to by then.
    /// None where there are more than `most` rows, the index has not come to `least_seq` or its
    /// map may have failed on a document; some rows may have been shown for nothing.
    ///
    /// # Errors
    /// As [`Self::header`].
    pub fn rows_of_now(
        &mut self,
        least_seq: u64,
        most: u64,
        visit: &mut dyn FnMut(MapRow<'_>),
    ) -> Result<Option<u64>, ViewsError> {
        let source = Source::open(&self.index, self.view, Reach::Store)?;
        let Some(source) = source else { return Ok(None) };
        let is_unfit = source.failed || source.seq < least_seq;
        if is_unfit || (source.summarised && self.cursor.count(&source)? > most) {
            return Ok(None);
        }
        let mut left = most;
        let is_cut = self.cursor.page(&source, &mut |row| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            visit(row);
            ControlFlow::Continue(())
        })?;
        Ok((!is_cut).then_some(source.seq))
    }
}

/// What is still to be read.
#[derive(Debug)]
pub(super) struct MapCursor {
    query: RangeQuery,
    /// The range that comes after `rest`.
    next: usize,
    /// What is left of the range that has been begun.
    rest: Option<Rest>,
    skip: u64,
    limit: u64,
    /// The first range, once it was wanted.
    first: OnceCell<Option<PlaceRange>>,
}

#[derive(Debug)]
struct Rest {
    range: PlaceRange,
    /// Rows of one document and key that have been begun in backward reading; they come first.
    run: Option<PlaceRange>,
}

/// Shows rows while they are wanted.
struct Showing<'s, 'v> {
    source: &'s Source<'s>,
    skip: &'s mut u64,
    limit: &'s mut u64,
    visit: &'s mut (dyn FnMut(MapRow<'_>) -> ControlFlow<()> + 'v),
}

impl Showing<'_, '_> {
    fn show(
        &mut self,
        place: &[u8],
        key: &str,
        value: &str,
    ) -> Result<ControlFlow<()>, ViewsError> {
        if *self.skip > 0 {
            *self.skip -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        *self.limit -= 1;
        let id = self.source.places.id(place)?;
        let seen = (self.visit)(MapRow { id: &id, key, value });
        Ok(if *self.limit == 0 { ControlFlow::Break(()) } else { seen })
    }
}

impl MapCursor {
    pub(super) fn new(query: RangeQuery) -> Self {
        let (skip, limit) = (query.skip, query.limit);
        Self { query, next: 0, rest: None, skip, limit, first: OnceCell::new() }
    }

    /// Goes back to where reading begins.
    pub(super) fn rewind(&mut self) {
        (self.skip, self.limit) = (self.query.skip, self.query.limit);
        (self.next, self.rest) = (0, None);
    }

    /// Shows the header and the first rows.
    pub(super) fn begin(
        &mut self,
        source: &Source<'_>,
        visit: &mut dyn FnMut(FirstPiece<'_>) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        if visit(FirstPiece::Header(self.header(source)?)).is_break() {
            return Ok(true);
        }
        self.page(source, &mut |row| visit(FirstPiece::Row(row)))
    }

    fn range(&self, at: usize, places: Places) -> Option<PlaceRange> {
        match at {
            0 => self.first.get_or_init(|| self.query.range(0, places)).clone(),
            _ => self.query.range(at, places),
        }
    }

    pub(super) fn header(&self, source: &Source<'_>) -> Result<MapHeader, ViewsError> {
        let (total_rows, seq) = (source.rows, source.seq);
        let mut chosen = None;
        for at in 0..self.query.ranges() {
            chosen = self.range(at, source.places);
            // Where there is one range it does not matter whether it has rows.
            if self.query.ranges() == 1 {
                break;
            }
            if let Some(range) = &chosen
                && source.has_rows(range)?
            {
                break;
            }
        }
        let Some(range) = chosen else { return Ok(MapHeader { total_rows, offset: 0, seq }) };
        let tree = source.tree();
        let offset = match self.query.direction {
            Direction::Forward => source.rank(&tree, Some(&range.start))?,
            Direction::Backward => {
                let rank = source.rank(&tree, range.end.as_deref())?;
                total_rows.saturating_sub(rank)
            }
        };
        Ok(MapHeader { total_rows, offset, seq })
    }

    pub(super) fn count(&self, source: &Source<'_>) -> Result<u64, ViewsError> {
        let tree = source.tree();
        let ranges = (0..self.query.ranges()).map_while(|at| self.range(at, source.places));
        let counts = ranges.filter(|range| !range.is_empty());
        counts.map(|range| source.count_between(&tree, &range)).sum()
    }

    pub(super) fn page(
        &mut self,
        source: &Source<'_>,
        visit: &mut dyn FnMut(MapRow<'_>) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        while self.limit > 0 {
            let mut rest = match self.rest.take() {
                Some(rest) => rest,
                None => {
                    let Some(range) = self.range(self.next, source.places) else {
                        return Ok(false);
                    };
                    self.next += 1;
                    Rest { range, run: None }
                }
            };
            if self.skip > STEPS_MAX && source.summarised && rest.run.is_none() {
                self.jump(source, &mut rest.range)?;
            }
            let (skip, limit) = (&mut self.skip, &mut self.limit);
            let mut showing = Showing { source, skip, limit, visit };
            let seen = match self.query.direction {
                Direction::Forward => forward(&mut showing, &mut rest)?,
                Direction::Backward => backward(&mut showing, &mut rest)?,
            };
            if seen.is_break() {
                self.rest = Some(rest);
                return Ok(self.limit > 0);
            }
        }
        Ok(false)
    }

    /// Leaves out whole blocks of the rows that are to be skipped.
    fn jump(&mut self, source: &Source<'_>, range: &mut PlaceRange) -> Result<(), ViewsError> {
        if range.is_empty() {
            return Ok(());
        }
        let tree = source.tree();
        let first = source.rank(&tree, Some(&range.start))?;
        let last = source.rank(&tree, range.end.as_deref())?;
        if last.saturating_sub(first) <= self.skip {
            self.skip -= last.saturating_sub(first);
            range.end = Some(range.start.clone());
            return Ok(());
        }
        match self.query.direction {
            Direction::Forward => {
                if let Some(block) = tree.block_at(first + self.skip)?
                    && block.before > first
                {
                    self.skip -= block.before - first;
                    range.start = block.range.start;
                }
            }
            Direction::Backward => {
                if let Some(block) = tree.block_at(last - self.skip - 1)?
                    && let Some(end) = block.range.end
                    && block.before + block.count < last
                    && is_first_of_document(&end)
                {
                    self.skip -= last - (block.before + block.count);
                    range.end = Some(end);
                }
            }
        }
        Ok(())
    }
}

/// Shows rows in order; `rest` is what comes after the last one shown.
fn forward(showing: &mut Showing<'_, '_>, rest: &mut Rest) -> Result<ControlFlow<()>, ViewsError> {
    let mut stopped = None;
    showing.source.scan(&rest.range, Direction::Forward, &mut |place, row| {
        let seen = showing.show(place, row.key, row.value)?;
        if seen.is_break() {
            stopped = Some(after(place));
        }
        Ok(seen)
    })?;
    Ok(match stopped {
        Some(start) => {
            rest.range.start = start;
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    })
}

/// Shows rows against their order, except that those of one document and key come in order.
fn backward(showing: &mut Showing<'_, '_>, rest: &mut Rest) -> Result<ControlFlow<()>, ViewsError> {
    if let Some(range) = rest.run.take() {
        let mut run = Rest { range, run: None };
        if forward(showing, &mut run)?.is_break() {
            rest.run = Some(run.range);
            return Ok(ControlFlow::Break(()));
        }
    }
    let (source, range) = (showing.source, rest.range.clone());
    let mut run = Rows::default();
    let mut stopped = false;
    source.scan(&range, Direction::Backward, &mut |place, row| {
        let ended = !run.is_empty() && without_ordinal(run.place(0)) != without_ordinal(place);
        if ended && show_run(showing, rest, &mut run)?.is_break() {
            stopped = true;
            return Ok(ControlFlow::Break(()));
        }
        let seen = if run.is_empty() && is_first_of_document(place) {
            rest.range.end = Some(place.to_vec());
            showing.show(place, row.key, row.value)?
        } else {
            run.push(place, ReduceInput { key: row.key, id: "", value: row.value });
            ControlFlow::Continue(())
        };
        stopped = seen.is_break();
        Ok(seen)
    })?;
    if !stopped {
        stopped = show_run(showing, rest, &mut run)?.is_break();
    }
    Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
}

/// Shows rows of one document and key that were read against their order.
fn show_run(
    showing: &mut Showing<'_, '_>,
    rest: &mut Rest,
    run: &mut Rows,
) -> Result<ControlFlow<()>, ViewsError> {
    let run = std::mem::take(run);
    if run.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let common = without_ordinal(run.place(0));
    rest.range.end = Some(common.to_vec());
    for at in (0..run.len()).rev() {
        let row = run.row(at);
        if showing.show(run.place(at), row.key, row.value)?.is_break() {
            let start = after(run.place(at));
            rest.run = Some(PlaceRange { start, end: after_all(common) });
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
