//! Rows that have been read and are kept for a moment, in one piece of memory.

use std::borrow::Cow;
use std::ops::Range;

use crate::collation::{group_end, key_end, raw_group_end, raw_key_end};
use crate::storage::view_keys::{id_in_place, partition_end, place_of_row, without_ordinal};
use crate::storage::view_values::ViewRow;
use crate::storage::{StorageError, Table};
use crate::views::Collation;
use crate::views::reduce::ReduceInput;

use super::PlaceRange;

/// How the places of a view are made.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub collation: Collation,
    pub partitioned: bool,
}

impl Places {
    /// Where the collation key of a place ends.
    pub fn key_end(self, place: &[u8]) -> Option<usize> {
        let start = self.key_start(place)?;
        let key = place.get(start..)?;
        let length = match self.collation {
            Collation::Locale => key_end(key),
            Collation::Raw => raw_key_end(key),
        };
        Some(start + length?)
    }

    /// Where the part of a place ends that its group of keys has in common.
    pub fn group_end(self, place: &[u8], elements: u64) -> Option<usize> {
        let start = self.key_start(place)?;
        let key = place.get(start..)?;
        let length = match self.collation {
            Collation::Locale => group_end(key, elements),
            Collation::Raw => raw_group_end(key, elements),
        };
        Some(start + length?)
    }

    /// Where the collation key of a place begins.
    pub fn key_start(self, place: &[u8]) -> Option<usize> {
        if self.partitioned { partition_end(place) } else { Some(0) }
    }

    /// The document id in a place.
    pub fn id(self, place: &[u8]) -> Result<Cow<'_, str>, StorageError> {
        self.key_end(place)
            .and_then(|end| id_in_place(place, end))
            .ok_or(StorageError::Corrupt { table: Table::ViewRows.name(), what: "no id in a key" })
    }
}

/// Rows in the order in which they were added.
#[derive(Debug, Default)]
pub struct Rows {
    places: Vec<u8>,
    text: String,
    ends: Vec<Ends>,
}

/// Where the parts of a row end; each begins where the one before it ends.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    place: usize,
    key: usize,
    id: usize,
    value: usize,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.places.len() + self.text.len()
    }

    /// Bytes of memory that they take.
    pub fn memory(&self) -> usize {
        self.bytes() + self.ends.len() * size_of::<Ends>()
    }

    /// Gives back the memory that more rows would have taken.
    pub fn shrink(&mut self) {
        self.places.shrink_to_fit();
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub fn push(&mut self, place: &[u8], row: ReduceInput<'_>) {
        self.places.extend_from_slice(place);
        let mut add = |part: &str| {
            self.text.push_str(part);
            self.text.len()
        };
        let (key, id, value) = (add(row.key), add(row.id), add(row.value));
        self.ends.push(Ends { place: self.places.len(), key, id, value });
    }

    /// Adds a record of the table of rows; with its id where `places` are told.
    pub fn push_record(
        &mut self,
        key: &[u8],
        value: &[u8],
        places: Option<Places>,
    ) -> Result<(), StorageError> {
        let place = place_of_row(key).unwrap_or_default();
        let row = ViewRow::decode(value)?;
        let id = match places {
            Some(places) => places.id(place)?,
            None => Cow::Borrowed(""),
        };
        self.push(place, ReduceInput { key: row.key, id: &id, value: row.value });
        Ok(())
    }

    fn before(&self, at: usize) -> Ends {
        at.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or_default()
    }

    pub fn place(&self, at: usize) -> &[u8] {
        let Some(ends) = self.ends.get(at) else { return &[] };
        self.places.get(self.before(at).place..ends.place).unwrap_or_default()
    }

    /// Whether the row and the next one are of one document and key.
    pub fn are_of_one_document(&self, at: usize) -> bool {
        without_ordinal(self.place(at)) == without_ordinal(self.place(at + 1))
    }

    /// Where rows in order stand that lie in a range.
    pub fn between(&self, range: &PlaceRange) -> Range<usize> {
        let start = self.at(&range.start);
        let end = range.end.as_ref().map_or(self.len(), |end| self.at(end));
        start..end.max(start)
    }

    /// Where the first row stands that is not before `place`.
    fn at(&self, place: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.place(middle) < place {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub fn view_row(&self, at: usize) -> ViewRow<'_> {
        let row = self.row(at);
        ViewRow { key: row.key, value: row.value }
    }

    pub fn row(&self, at: usize) -> ReduceInput<'_> {
        let ends = self.ends.get(at).copied().unwrap_or_default();
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        ReduceInput {
            key: part(self.before(at).value, ends.key),
            id: part(ends.key, ends.id),
            value: part(ends.id, ends.value),
        }
    }
}
