//! The range of places that a query asks for.

use serde_json::Value;

use crate::collation::{write_key, write_raw_key};
use crate::database::Direction;
use crate::storage::view_keys::{write_document_bound, write_partition};
use crate::views::Collation;
use crate::views::blocks::{PlaceRange, Places};

use super::{KeySpan, RangeQuery};

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

    /// Goes on behind `done`, which is what comes first in the direction of reading. Whether
    /// anything is left.
    pub fn leave_out(&mut self, done: &Self, direction: Direction) -> bool {
        match (direction, &done.end) {
            (Direction::Forward, Some(end)) => self.start.clone_from(end),
            (Direction::Forward, None) => return false,
            (Direction::Backward, _) => self.end = Some(done.start.clone()),
        }
        !self.is_empty()
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
        match (&self.spans, &self.keys) {
            (Some(spans), _) => spans.len(),
            (None, Some(keys)) => keys.len(),
            (None, None) => 1,
        }
    }

    /// One of the ranges.
    pub(super) fn range(&self, at: usize, places: Places) -> Option<PlaceRange> {
        let mut partition = Vec::new();
        if let (true, Some(name)) = (places.partitioned, &self.partition) {
            write_partition(&mut partition, name);
        }
        if let Some(spans) = &self.spans {
            let KeySpan { start, end } = spans.get(at)?;
            let place = |key: &[u8]| [&partition, key].concat();
            return Some(PlaceRange { start: place(start), end: Some(place(end)) });
        }
        let (start_key, end_key) = match &self.keys {
            Some(keys) => (Some(keys.get(at)?), Some(keys.get(at)?)),
            None if at == 0 => (self.start_key.as_ref(), self.end_key.as_ref()),
            None => return None,
        };
        let prefix = |key: &Value| {
            let mut prefix = partition.clone();
            match places.collation {
                Collation::Locale => write_key(&mut prefix, key),
                Collation::Raw => write_raw_key(&mut prefix, key),
            }
            prefix
        };
        let bound = |key: &Value, id: Option<&str>| {
            let mut bound = prefix(key);
            if let Some(id) = id {
                write_document_bound(&mut bound, id);
            }
            bound
        };
        let start = start_key.map(|key| bound(key, self.start_docid.as_deref()));
        let end = end_key.map(|key| bound(key, self.end_docid.as_deref()));
        // An end that is not inclusive lies on the near side of all rows of its key, or document.
        let (low, high) = match self.direction {
            Direction::Forward => {
                let end = end.map(
                    |bound| {
                        if self.inclusive_end { after_all(&bound) } else { Some(bound) }
                    },
                );
                (start, end)
            }
            Direction::Backward => {
                // No key begins with the byte that stands for the end of all.
                let behind = |bound: &[u8]| after_all(bound).unwrap_or_else(|| vec![0xff]);
                let end = end.map(|bound| if self.inclusive_end { bound } else { behind(&bound) });
                (end, start.map(|bound| after_all(&bound)))
            }
        };
        Some(PlaceRange {
            start: low.unwrap_or_else(|| partition.clone()),
            end: high.unwrap_or_else(|| after_all(&partition)),
        })
    }
}
