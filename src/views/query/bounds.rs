//! The range of places that a query asks for.

use serde_json::Value;

use crate::collation::{write_key, write_raw_key};
use crate::database::Direction;
use crate::storage::view_keys::{write_document_bound, write_partition};
use crate::views::Collation;
use crate::views::blocks::{PlaceRange, Places};

use super::RangeQuery;

/// The first bytes that sort after all that begin with `prefix`; none where there are none.
pub fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut next = prefix.get(..=last)?.to_vec();
    if let Some(byte) = next.last_mut() {
        *byte += 1;
    }
    Some(next)
}

/// The first place after `place`.
pub fn after(place: &[u8]) -> Vec<u8> {
    [place, &[0]].concat()
}

impl PlaceRange {
    /// Whether no place is in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// The places in it that begin with `prefix`.
    pub fn beginning_with(&self, prefix: &[u8]) -> Self {
        let start = self.start.as_slice().max(prefix).to_vec();
        let end = match (after_all(prefix), &self.end) {
            (Some(one), Some(other)) => Some(one.min(other.clone())),
            (one, other) => one.or_else(|| other.clone()),
        };
        Self { start, end }
    }
}

impl RangeQuery {
    /// How many ranges are asked for, one after the other.
    pub(super) fn ranges(&self) -> usize {
        self.keys.as_ref().map_or(1, Vec::len)
    }

    /// One of the ranges.
    pub(super) fn range(&self, at: usize, places: Places) -> Option<PlaceRange> {
        let (start_key, end_key) = match &self.keys {
            Some(keys) => (Some(keys.get(at)?), Some(keys.get(at)?)),
            None if at == 0 => (self.start_key.as_ref(), self.end_key.as_ref()),
            None => return None,
        };
        let mut partition = Vec::new();
        if let (true, Some(name)) = (places.partitioned, &self.partition) {
            write_partition(&mut partition, name);
        }
        let prefix = |key: &Value| {
            let mut prefix = partition.clone();
            match places.collation {
                Collation::Locale => write_key(&mut prefix, key),
                Collation::Raw => write_raw_key(&mut prefix, key),
            }
            prefix
        };
        let start = start_key.map(|key| (prefix(key), self.start_docid.as_deref()));
        let end = end_key.map(|key| (prefix(key), self.end_docid.as_deref()));
        let exclusive = !self.inclusive_end;
        let (low, high) =
            match self.direction {
                Direction::Forward => {
                    // An end that is not inclusive lies before all rows of its key, or of its id.
                    let start = start.map(|bound| before_rows(&bound));
                    let end = end.map(|bound| {
                        if exclusive { Some(before_rows(&bound)) } else { after_rows(&bound) }
                    });
                    (start, end)
                }
                Direction::Backward => {
                    let start = start.map(|bound| after_rows(&bound));
                    let end = end.and_then(|bound| {
                        // After all rows there is no row at all, which any place behind them tells.
                        let behind = || vec![0xff; 1 + bound.0.len()];
                        Some(if exclusive {
                            after_rows(&bound).unwrap_or_else(behind)
                        } else {
                            before_rows(&bound)
                        })
                    });
                    (end, start)
                }
            };
        Some(PlaceRange {
            start: low.unwrap_or_else(|| partition.clone()),
            end: high.unwrap_or_else(|| after_all(&partition)),
        })
    }
}

/// A key's bytes, and perhaps an id of a document.
type Bound<'a> = (Vec<u8>, Option<&'a str>);

fn with_id((key, id): &Bound<'_>) -> Vec<u8> {
    let mut place = key.clone();
    if let Some(id) = id {
        write_document_bound(&mut place, id);
    }
    place
}

/// Before all rows of the key, or those of the document.
fn before_rows(bound: &Bound<'_>) -> Vec<u8> {
    with_id(bound)
}

/// After all rows of the key, or those of the document.
fn after_rows(bound: &Bound<'_>) -> Option<Vec<u8>> {
    after_all(&with_id(bound))
}
