//! Asking an index: rows of a map view, rows of a reduce view.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use crate::database::Direction;

use super::{Collation, Index, View, ViewsError};

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
    /// Rows of these keys, one key after the other in this order, in the place of a range. A key
    /// that is there twice shows its rows twice; one without rows shows none.
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

impl RangeQuery {
    /// Whether the start lies behind the end, so that no row can be between them. As in CouchDB
    /// document ids count where the keys are equal and yet not the same JSON (`1` and `1.0`).
    #[must_use]
    pub fn is_inverted(&self, collation: Collation) -> bool {
        let (Some(start), Some(end)) = (&self.start_key, &self.end_key) else { return false };
        if start == end {
            return false;
        }
        let forward = self.direction == Direction::Forward;
        // Without an id a bound lies outside of all rows of its key.
        let start_id = (self.start_docid.as_deref(), !forward);
        let end_id = (self.end_docid.as_deref(), forward);
        let id_order = match (start_id, end_id) {
            ((Some(start), _), (Some(end), _)) => start.cmp(end),
            ((None, true), _) | (_, (None, false)) => Ordering::Greater,
            ((None, false), _) | (_, (None, true)) => Ordering::Less,
        };
        let order = collation.compare(start, end).then(id_order);
        if forward { order == Ordering::Greater } else { order == Ordering::Less }
    }
}

/// What stands before the rows of a map view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapHeader {
    /// All rows of the view, in a partitioned view too.
    pub total_rows: u64,
    /// Rows of the whole view before the first one of the range, in the direction of reading, as
    /// if nothing were skipped; where the range is empty, those before its end. With keys, the
    /// same for the first key that has a row, else for the last key, and 0 for no keys.
    pub offset: u64,
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

/// Reads the rows of a map view, page by page. Rows of one document with equal keys come in the
/// order in which they were emitted, in both directions.
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
        Ok(MapHeader { total_rows: 0, offset: 0, seq: 0 })
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
    /// The row is an error: CouchDB's `error` and `reason`. What `_sum` makes of wrong values is
    /// no such row but a value.
    Error { error: String, reason: String },
}

/// A row of a reduce view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceRow {
    /// JSON; `null` where all is one group.
    pub key: String,
    pub value: ReducedValue,
}

/// Reads the rows of a reduce view, page by page. As in CouchDB a row's value has gone through
/// one rereduce more than its blocks needed: JavaScript functions can see the difference.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inverted_ranges() {
        let (forward, backward) = (Direction::Forward, Direction::Backward);
        for (start, end, direction, expect) in [
            (json!(1), json!(2), forward, false),
            (json!(2), json!(1), forward, true),
            (json!(2), json!(1), backward, false),
            (json!(1), json!(2), backward, true),
            (json!(1), json!(1), forward, false),
            (json!(1), json!(1), backward, false),
            (json!(1), json!(1.0), forward, false),
            (json!(1), json!(1.0), backward, false),
            (json!("b"), json!("A"), forward, true),
        ] {
            let (start_key, end_key) = (Some(start), Some(end));
            let query = RangeQuery { start_key, end_key, direction, ..RangeQuery::default() };
            assert_eq!(query.is_inverted(Collation::Locale), expect, "{query:?}");
            let ids = RangeQuery {
                start_docid: Some("b".to_owned()),
                end_docid: Some("a".to_owned()),
                ..query.clone()
            };
            let numbers = query.start_key == Some(json!(1)) && query.end_key == Some(json!(1.0));
            let by_id = numbers && direction == forward;
            assert_eq!(ids.is_inverted(Collation::Locale), expect || by_id, "{ids:?}");
        }
        let (start_key, end_key) = (Some(json!("a")), Some(json!("B")));
        let query = RangeQuery { start_key, end_key, ..RangeQuery::default() };
        assert!(!query.is_inverted(Collation::Locale));
        assert!(query.is_inverted(Collation::Raw));
        assert!(!RangeQuery { end_key: None, ..query }.is_inverted(Collation::Raw));
    }
}
