//! Asking an index: rows of a map view, rows of a reduce view.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use crate::database::Direction;

use super::{Index, View, ViewsError};

/// Which rows are asked for. Bounds are in the direction of reading: with
/// [`Direction::Backward`] `start_key` is the higher one.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    pub start_key: Option<Value>,
    /// Counts only beside `start_key`.
    pub start_docid: Option<String>,
    pub end_key: Option<Value>,
    /// Counts only beside `end_key`.
    pub end_docid: Option<String>,
    pub inclusive_end: bool,
    pub direction: Direction,
    /// Rows of these keys, one key after the other, in the place of a range.
    pub keys: Option<Vec<Value>>,
    pub skip: u64,
    pub limit: u64,
    /// The one partition that is asked, of a partitioned index.
    pub partition: Option<String>,
}

impl Default for RangeQuery {
    fn default() -> Self {
        Self {
            start_key: None,
            start_docid: None,
            end_key: None,
            end_docid: None,
            inclusive_end: true,
            direction: Direction::Forward,
            keys: None,
            skip: 0,
            limit: u64::MAX,
            partition: None,
        }
    }
}

/// What stands before the rows of a map view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapHeader {
    pub total_rows: u64,
    /// Rows before the first one, in the direction of reading; none where keys are listed.
    pub offset: Option<u64>,
    /// The sequence that the index had come to.
    pub seq: u64,
}

/// A row of a map view. Key and value are JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRow<'a> {
    pub id: &'a str,
    pub key: &'a str,
    pub value: &'a str,
}

/// Reads the rows of a map view, page by page.
#[derive(Debug)]
pub struct MapReader {
    index: Arc<Index>,
    view: View,
    query: RangeQuery,
}

impl MapReader {
    #[must_use]
    pub fn new(index: Arc<Index>, view: View, query: RangeQuery) -> Self {
        Self { index, view, query }
    }

    /// What stands before the rows.
    pub fn header(&self) -> Result<MapHeader, ViewsError> {
        let _ = (&self.index, self.view, &self.query);
        Ok(MapHeader { total_rows: 0, offset: Some(0), seq: 0 })
    }

    /// Shows the next rows, until the visitor has enough of them; it has seen the row that it
    /// breaks at. Returns whether more may come. Each page is a snapshot of its own.
    pub fn page(
        &mut self,
        visit: &mut dyn FnMut(MapRow<'_>) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        let _ = visit;
        Ok(false)
    }
}

/// How far keys are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// By the first so many elements of array keys; 0 is one row for all.
    Level(u64),
    /// One row a key.
    Exact,
}

/// What a reduce made of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReducedValue {
    /// JSON.
    Value(String),
    /// The row is an error: CouchDB's `error` and `reason`, and further members as JSON
    /// (`"caused_by":...`).
    Error { error: String, reason: String, more: Option<String> },
}

/// A row of a reduce view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceRow {
    /// JSON; `null` where all is one group.
    pub key: String,
    pub value: ReducedValue,
}

/// Reads the rows of a reduce view, page by page.
#[derive(Debug)]
pub struct ReduceReader {
    index: Arc<Index>,
    view: View,
    query: RangeQuery,
    grouping: Grouping,
}

impl ReduceReader {
    /// `view` must have a reduce.
    #[must_use]
    pub fn new(index: Arc<Index>, view: View, query: RangeQuery, grouping: Grouping) -> Self {
        Self { index, view, query, grouping }
    }

    /// As [`MapReader::page`].
    pub fn page(
        &mut self,
        visit: &mut dyn FnMut(ReduceRow) -> ControlFlow<()>,
    ) -> Result<bool, ViewsError> {
        let _ = (&self.index, self.view, &self.query, self.grouping, visit);
        Ok(false)
    }
}
