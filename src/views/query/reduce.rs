//! Reading the rows of a reduce view.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::views::blocks::PlaceRange;
use crate::views::pages::Reach;
use crate::views::reduce::{ReduceFunction, ReduceGroup, ReducedState, Reducer};
use crate::views::{Index, View, ViewsError};

use super::gather::{Gathering, Group};
use super::source::Source;
use super::{Grouping, RangeQuery, ReduceRow, ReducedValue, at_once};

/// Reads the rows of a reduce view, page by page. As in CouchDB a row's value has gone through
/// one rereduce more than its blocks needed: JavaScript functions can see the difference.
#[derive(Debug)]
pub struct ReduceReader {
    index: Arc<Index>,
    view: View,
    cursor: ReduceCursor,
}

impl ReduceReader {
    /// `view` must have a reduce.
    #[must_use]
    pub fn new(index: Arc<Index>, view: View, query: RangeQuery, grouping: Grouping) -> Self {
        Self { index, view, cursor: ReduceCursor::new(query, grouping) }
    }

    /// As [`super::MapReader::page`].
    ///
    /// # Errors
    /// As there, and where a reduce function fails.
    pub fn page(
        &mut self,
        visit: &mut dyn FnMut(ReduceRow) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        let Some(reducing) = reducing(&self.index, self.view) else { return Ok(false) };
        let source = Source::open(&self.index, self.view, Reach::Store)?;
        let Some(source) = source else { return Ok(false) };
        self.cursor.page(&source, &reducing, visit)
    }

    /// As [`super::MapReader::begin_at_once`]: all rows as one group, by a built-in function.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub fn begin_at_once(
        &mut self,
        visit: &mut dyn FnMut(ReduceRow) -> ControlFlow<()>,
    ) -> Result<Option<bool>, ViewsError> {
        let (index, view, cursor) = (&self.index, self.view, &mut self.cursor);
        let Some(reducing) = reducing(index, view) else { return Ok(None) };
        let one = cursor.grouping == Grouping::Level(0) && cursor.query.ranges() == 1;
        if !one || !reducing.function.is_built_in() {
            return Ok(None);
        }
        let begun = at_once(|reach| {
            let Some(source) = Source::open(index, view, reach)? else { return Ok(None) };
            cursor.page(&source, &reducing, visit).map(Some)
        })?;
        if begun.is_none() {
            self.cursor.rewind();
        }
        Ok(begun)
    }
}

/// What reduces the rows of a reduce view.
fn reducing(index: &Index, view: View) -> Option<Reducing<'_>> {
    let number = view.reduce?;
    let function = index.reduces(view.number).get(number)?;
    Some(Reducing { function, number, reducer: index.reducer() })
}

/// What reduces the rows of a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reducing<'a> {
    pub(super) function: &'a ReduceFunction,
    /// Its place among the reduces of these rows.
    pub(super) number: usize,
    pub(super) reducer: Reducer<'a>,
}

/// What is still to be read.
#[derive(Debug)]
pub(super) struct ReduceCursor {
    query: RangeQuery,
    grouping: Grouping,
    /// The range that comes after `rest`.
    next: usize,
    /// What is left of the range that has been begun.
    rest: Option<PlaceRange>,
    skip: u64,
    limit: u64,
}

impl ReduceCursor {
    pub(super) fn new(query: RangeQuery, grouping: Grouping) -> Self {
        let (skip, limit) = (query.skip, query.limit);
        Self { query, grouping, next: 0, rest: None, skip, limit }
    }

    /// Goes back to where reading begins.
    pub(super) fn rewind(&mut self) {
        (self.skip, self.limit) = (self.query.skip, self.query.limit);
        (self.next, self.rest) = (0, None);
    }

    pub(super) fn page(
        &mut self,
        source: &Source<'_>,
        reducing: &Reducing<'_>,
        visit: &mut dyn FnMut(ReduceRow) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        let tree = source.tree();
        let gathering = Gathering {
            source,
            tree: &tree,
            function: reducing.function,
            number: reducing.number,
            reducer: reducing.reducer,
            grouping: self.grouping,
            direction: self.query.direction,
        };
        while self.limit > 0 {
            let range = match self.rest.take() {
                Some(range) => range,
                None => {
                    let Some(range) = self.query.range(self.next, source.places) else {
                        return Ok(false);
                    };
                    self.next += 1;
                    range
                }
            };
            let (groups, rest) = gathering.gather(range, &mut self.skip, self.limit)?;
            let values = values(&gathering, &groups)?;
            for (group, value) in groups.into_iter().zip(values) {
                self.limit -= 1;
                if visit(ReduceRow { key: group.key, value }).is_break() {
                    self.rest = group.rest;
                    return Ok(self.limit > 0);
                }
            }
            self.rest = rest;
        }
        Ok(false)
    }
}

/// What the groups come to. Functions of design documents are called for all groups at once.
fn values(gathering: &Gathering<'_>, groups: &[Group]) -> Result<Vec<ReducedValue>, ViewsError> {
    let (function, reducer) = (gathering.function, gathering.reducer);
    let rows: Vec<ReduceGroup<'_>> = groups
        .iter()
        .filter(|group| !group.rows.is_empty())
        .map(|group| ReduceGroup { rows: gathering.in_order(&group.rows), preceded: false })
        .collect();
    let mut reduced = reducer.reduce(function, &rows)?.into_iter();
    // In CouchDB's order: the state of the rows, and those of blocks from the last one read.
    let all: Vec<Vec<ReducedState>> = groups
        .iter()
        .map(|group| {
            let of_rows = if group.rows.is_empty() { None } else { reduced.next() };
            of_rows.into_iter().chain(group.states.iter().rev().cloned()).collect()
        })
        .collect();
    let several: Vec<Vec<&[u8]>> = all
        .iter()
        .filter(|states| states.len() > 1)
        .map(|states| states.iter().map(Vec::as_slice).collect())
        .collect();
    let mut combined = reducer.rereduce(function, &several)?.into_iter();
    let states = all
        .iter()
        .map(|states| match states.as_slice() {
            [one] => one.clone(),
            _ => combined.next().unwrap_or_default(),
        })
        .collect();
    reducer.finish(function, states)
}
