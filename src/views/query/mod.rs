//! Asking an index: rows of a map view, rows of a reduce view.

mod bounds;
mod elements;
mod gather;
mod map;
mod reduce;
mod source;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::Value;

use crate::database::Direction;
use crate::storage::view_keys::write_document_bound;

use super::pages::Reach;
use super::{Collation, ViewsError};
use bounds::after_all;

pub use map::MapReader;
pub use reduce::ReduceReader;

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
    /// Rows of these spans, one after the other in this order, in the place of everything above
    /// but the direction, which is that inside each span.
    pub spans: Option<Vec<KeySpan>>,
    pub skip: u64,
    pub limit: u64,
    /// The one partition that is asked, of a partitioned index.
    pub partition: Option<String>,
}

/// Rows by the bytes of their collation keys (and what follows these in places): from `start` to
/// before `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpan {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
}

impl KeySpan {
    /// The rows of one document with one key, JSON.
    #[must_use]
    pub fn of_row(collation: Collation, key: &str, id: &str) -> Self {
        let mut start = Vec::new();
        collation.write_key_of_text(&mut start, key);
        write_document_bound(&mut start, id);
        // A key ends with a byte that is not the last one.
        let end = after_all(&start).unwrap_or_default();
        Self { start, end }
    }
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
            spans: None,
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

/// What an answer made at once has been found to begin with, piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstPiece<'a> {
    /// Comes once, first.
    Header(MapHeader),
    Row(MapRow<'a>),
}

/// Answers of no more rows are tried at once.
const ROWS_AT_ONCE: u64 = 100;
/// Pages that are looked at for an answer at once: some tens of microseconds.
const PAGES_AT_ONCE: usize = 64;

/// What `read` answers that may look at pages in memory only; none where these were not enough.
fn at_once<T>(
    read: impl FnOnce(Reach<'_>) -> Result<Option<T>, ViewsError>,
) -> Result<Option<T>, ViewsError> {
    match read(Reach::Memory(&Cell::new(PAGES_AT_ONCE))) {
        Err(ViewsError::NotInMemory) => Ok(None),
        read => read,
    }
}

/// A row of a map view. Key and value are JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRow<'a> {
    pub id: &'a str,
    pub key: &'a str,
    pub value: &'a str,
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
