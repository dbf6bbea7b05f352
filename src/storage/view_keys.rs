//! The keys of view indexes. docs/storage-format.md shows every byte.
//!
//! Every key begins with the database's number, then (except in the table of indexes) the index's
//! number, so that a database or an index goes with one range. What follows a view's number in
//! the key of a row is the row's *place*: a terminated partition where the view is partitioned,
//! the collation key, the terminated document id, and the row's ordinal within its document and
//! key. Places sort as CouchDB sorts rows.

use std::borrow::Cow;

use super::KeyRange;
use super::keys::{DbNumber, of_database, write_terminated};

/// The number of an index within its database; never used twice there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexNumber(pub u32);

/// The number of a view within its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewNumber(pub u16);

/// A view of an index of a database: where its records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ViewAddress {
    pub db: DbNumber,
    pub index: IndexNumber,
    pub view: ViewNumber,
}

/// Tags of the table of indexes.
mod index_tag {
    pub const INDEX: u8 = 1;
    pub const NEXT_NUMBER: u8 = 2;
}

/// Bytes of an ordinal, which ends a place.
pub const ORDINAL_BYTES: usize = 4;

fn of_index(db: DbNumber, index: IndexNumber, capacity: usize) -> Vec<u8> {
    let mut key = of_database(db, 4 + capacity);
    key.extend_from_slice(&index.0.to_be_bytes());
    key
}

fn of_view(address: ViewAddress, capacity: usize) -> Vec<u8> {
    let mut key = of_index(address.db, address.index, 2 + capacity);
    key.extend_from_slice(&address.view.0.to_be_bytes());
    key
}

/// Indexes: `db 1 signature` → index.
#[must_use]
pub fn index(db: DbNumber, signature: &str) -> Vec<u8> {
    let mut key = of_database(db, 1 + signature.len());
    key.push(index_tag::INDEX);
    key.extend_from_slice(signature.as_bytes());
    key
}

/// Indexes: all indexes of a database.
#[must_use]
pub fn indexes(db: DbNumber) -> KeyRange {
    let mut prefix = of_database(db, 1);
    prefix.push(index_tag::INDEX);
    KeyRange::prefix(&prefix)
}

/// The signature in a key of [`indexes`].
#[must_use]
pub fn signature_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(9..)?).ok()
}

/// Indexes: `db 2` → the first index number that is not used.
#[must_use]
pub fn next_index(db: DbNumber) -> Vec<u8> {
    let mut key = of_database(db, 1);
    key.push(index_tag::NEXT_NUMBER);
    key
}

/// Rows, blocks and emits: everything of one index, in each of these tables.
#[must_use]
pub fn index_range(db: DbNumber, index: IndexNumber) -> KeyRange {
    KeyRange::prefix(&of_index(db, index, 0))
}

/// Appends a partition, which begins the places of a partitioned view.
pub fn write_partition(place: &mut Vec<u8>, partition: &str) {
    write_terminated(place, partition.as_bytes());
}

/// Where the partition ends that a place of a partitioned view begins with.
#[must_use]
pub fn partition_end(place: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += 1 + place.get(at..)?.iter().position(|byte| *byte == 0)?;
        let after = *place.get(at)?;
        at += 1;
        if after == 1 {
            return Some(at);
        }
    }
}

/// Appends what ends a place after its collation key.
pub fn write_document(place: &mut Vec<u8>, id: &str, ordinal: u32) {
    write_terminated(place, id.as_bytes());
    place.extend_from_slice(&ordinal.to_be_bytes());
}

/// Appends a document id as it stands in places, for bounds: all rows of the same key and of
/// documents before this one sort before it.
pub fn write_document_bound(place: &mut Vec<u8>, id: &str) {
    write_terminated(place, id.as_bytes());
}

/// Rows: `db index view place` → row.
#[must_use]
pub fn row(address: ViewAddress, place: &[u8]) -> Vec<u8> {
    let mut key = of_view(address, place.len());
    key.extend_from_slice(place);
    key
}

/// Rows: all rows of a view.
#[must_use]
pub fn rows(address: ViewAddress) -> KeyRange {
    KeyRange::prefix(&of_view(address, 0))
}

/// The place in a key of the table of rows.
#[must_use]
pub fn place_of_row(key: &[u8]) -> Option<&[u8]> {
    key.get(14..)
}

/// The document id in a place whose collation key ends before `at`.
#[must_use]
pub fn id_in_place(place: &[u8], at: usize) -> Option<Cow<'_, str>> {
    let end = place.len().checked_sub(ORDINAL_BYTES + 2)?;
    let written = place.get(at..end)?;
    if !written.contains(&0) {
        return std::str::from_utf8(written).ok().map(Cow::Borrowed);
    }
    let mut id = Vec::with_capacity(written.len());
    let mut bytes = written.iter();
    while let Some(byte) = bytes.next() {
        id.push(*byte);
        if *byte == 0 {
            bytes.next();
        }
    }
    String::from_utf8(id).ok().map(Cow::Owned)
}

/// A place without its ordinal: what rows of one document and key have in common.
#[must_use]
pub fn without_ordinal(place: &[u8]) -> &[u8] {
    let end = place.len().saturating_sub(ORDINAL_BYTES);
    place.get(..end).unwrap_or_default()
}

/// Whether a place is that of the first row of its document and key.
#[must_use]
pub fn is_first_of_document(place: &[u8]) -> bool {
    place.last_chunk::<ORDINAL_BYTES>() == Some(&[0; ORDINAL_BYTES])
}

/// The level byte of the block that all others hang from.
const ROOT: u8 = 0xff;

/// Blocks: `db index view level place` → block; the place is that of its first row, empty for the
/// first block of a level. Level 2 is the lowest that is stored.
#[must_use]
pub fn block(address: ViewAddress, level: u8, place: &[u8]) -> Vec<u8> {
    let mut key = of_view(address, 1 + place.len());
    key.push(level);
    key.extend_from_slice(place);
    key
}

/// Blocks: `db index view FF` → the one block of the highest level.
#[must_use]
pub fn root_block(address: ViewAddress) -> Vec<u8> {
    block(address, ROOT, &[])
}

/// Blocks: all blocks of a view.
#[must_use]
pub fn all_blocks(address: ViewAddress) -> KeyRange {
    rows(address)
}

/// Emits: `db index id` → emits.
#[must_use]
pub fn emits(db: DbNumber, index: IndexNumber, id: &str) -> Vec<u8> {
    let mut key = of_index(db, index, id.len());
    key.extend_from_slice(id.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_sort_by_key_then_document_then_ordinal(
            a in "[a\u{0}\u{1}b]{1,4}", b in "[a\u{0}\u{1}b]{1,4}", m: u32, n: u32,
        ) {
            let place = |id: &str, ordinal| {
                let mut place = vec![0x10];
                write_document(&mut place, id, ordinal);
                place
            };
            let order = a.as_bytes().cmp(b.as_bytes()).then(m.cmp(&n));
            prop_assert_eq!(place(&a, m).cmp(&place(&b, n)), order);
            let first = place(&a, m);
            let id = id_in_place(&first, 1).map(Cow::into_owned);
            prop_assert_eq!(id, Some(a.clone()));
            let mut parted = Vec::new();
            write_partition(&mut parted, &a);
            let end = parted.len();
            parted.extend_from_slice(&place(&b, n));
            prop_assert_eq!(partition_end(&parted), Some(end));
            prop_assert_eq!(partition_end(&parted[..end - 1]), None);
        }
    }
}
