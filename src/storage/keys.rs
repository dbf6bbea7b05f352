//! The keys of all tables. docs/storage-format.md shows every byte.
//!
//! Integers are big-endian, so byte order is number order. A key of a database begins with the
//! database's number. A text inside a key is terminated: 0x00 becomes 0x00 0xff, the end is
//! 0x00 0x01, so that texts keep their byte order and no text is the prefix of another.

use crate::document::{Digest, DocId, Rev, RevHash};

use super::KeyRange;

/// The number of a database; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DbNumber(pub u64);

/// The name of a stored byte string: time-ordered, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobId(pub [u8; 16]);

/// Tags of the catalogue table. A tag is never given to another kind of record.
mod catalogue_tag {
    pub const DATABASE: u8 = 1;
    pub const NEXT_NUMBER: u8 = 2;
    pub const EVENT: u8 = 3;
    pub const EVENT_OF: u8 = 4;
    pub const UPLOAD: u8 = 5;
    pub const SERVER: u8 = 6;
}

/// Tags of the databases table.
mod database_tag {
    pub const STATE: u8 = 1;
    pub const SECURITY: u8 = 2;
    pub const REVS_LIMIT: u8 = 3;
    pub const PURGED_INFOS_LIMIT: u8 = 4;
    pub const PURGE: u8 = 5;
    pub const PARTITION: u8 = 6;
}

/// Tags of the blobs table.
mod blob_tag {
    pub const BLOB: u8 = 1;
    pub const REFERENCE: u8 = 2;
}

pub(super) fn of_database(db: DbNumber, capacity: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + capacity);
    key.extend_from_slice(&db.0.to_be_bytes());
    key
}

pub(super) fn write_terminated(key: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == 0) {
        key.extend_from_slice(&rest[..=at]);
        key.push(0xff);
        rest = &rest[at + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0, 1]);
}

fn write_rev(key: &mut Vec<u8>, rev: &Rev) {
    key.extend_from_slice(&rev.generation.to_be_bytes());
    key.push(u8::from(matches!(rev.hash, RevHash::Text(_))));
    key.extend_from_slice(rev.hash.as_bytes());
}

/// Everything in one table that belongs to a database.
#[must_use]
pub fn database_range(db: DbNumber) -> KeyRange {
    KeyRange::prefix(&db.0.to_be_bytes())
}

/// Catalogue: `1 name` → database entry.
#[must_use]
pub fn catalogue_database(name: &str) -> Vec<u8> {
    [&[catalogue_tag::DATABASE], name.as_bytes()].concat()
}

/// Catalogue: the entries of all databases, in byte order of their names.
#[must_use]
pub fn catalogue_databases() -> KeyRange {
    KeyRange::prefix(&[catalogue_tag::DATABASE])
}

/// The name in a key of [`catalogue_databases`].
#[must_use]
pub fn database_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(1..)?).ok()
}

/// Catalogue: `2` → the first database number that is not yet reserved.
#[must_use]
pub fn catalogue_next_number() -> Vec<u8> {
    vec![catalogue_tag::NEXT_NUMBER]
}

/// Catalogue: `3 seq` → database event.
#[must_use]
pub fn event(seq: u64) -> Vec<u8> {
    let mut key = vec![catalogue_tag::EVENT];
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// Catalogue: all database events, oldest first.
#[must_use]
pub fn events() -> KeyRange {
    KeyRange::prefix(&[catalogue_tag::EVENT])
}

/// The sequence in a key of [`events`].
#[must_use]
pub fn event_seq(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// Catalogue: `4 name` → the sequence of the database's newest event.
#[must_use]
pub fn event_of(name: &str) -> Vec<u8> {
    [&[catalogue_tag::EVENT_OF], name.as_bytes()].concat()
}

/// Catalogue: the sequences of all databases' newest events.
#[must_use]
pub fn newest_events() -> KeyRange {
    KeyRange::prefix(&[catalogue_tag::EVENT_OF])
}

/// Catalogue: `5 db blob` → nothing; there while an upload is not yet part of a document.
#[must_use]
pub fn upload(db: DbNumber, blob: BlobId) -> Vec<u8> {
    let mut key = vec![catalogue_tag::UPLOAD];
    key.extend_from_slice(&db.0.to_be_bytes());
    key.extend_from_slice(&blob.0);
    key
}

/// Catalogue: all uploads that are under way, or were when the server ended.
#[must_use]
pub fn uploads() -> KeyRange {
    KeyRange::prefix(&[catalogue_tag::UPLOAD])
}

/// The database and blob in a key of [`uploads`].
#[must_use]
pub fn upload_parts(key: &[u8]) -> Option<(DbNumber, BlobId)> {
    let db = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Some((DbNumber(db), BlobId(key.get(9..)?.try_into().ok()?)))
}

/// Catalogue: `6` → the server's own record.
#[must_use]
pub fn catalogue_server() -> Vec<u8> {
    vec![catalogue_tag::SERVER]
}

/// Databases: `db 1` → counters.
#[must_use]
pub fn state(db: DbNumber) -> Vec<u8> {
    let mut key = of_database(db, 1);
    key.push(database_tag::STATE);
    key
}

/// Databases: `db 2` → security object.
#[must_use]
pub fn security(db: DbNumber) -> Vec<u8> {
    let mut key = of_database(db, 1);
    key.push(database_tag::SECURITY);
    key
}

/// Databases: `db 3` → how many revisions a branch keeps.
#[must_use]
pub fn revs_limit(db: DbNumber) -> Vec<u8> {
    let mut key = of_database(db, 1);
    key.push(database_tag::REVS_LIMIT);
    key
}

/// Databases: `db 4` → how many purges are remembered.
#[must_use]
pub fn purged_infos_limit(db: DbNumber) -> Vec<u8> {
    let mut key = of_database(db, 1);
    key.push(database_tag::PURGED_INFOS_LIMIT);
    key
}

/// Databases: `db 5 purge-seq` → one purge.
#[must_use]
pub fn purge(db: DbNumber, purge_seq: u64) -> Vec<u8> {
    let mut key = of_database(db, 9);
    key.push(database_tag::PURGE);
    key.extend_from_slice(&purge_seq.to_be_bytes());
    key
}

/// Databases: all remembered purges, oldest first.
#[must_use]
pub fn purges(db: DbNumber) -> KeyRange {
    let mut prefix = of_database(db, 1);
    prefix.push(database_tag::PURGE);
    KeyRange::prefix(&prefix)
}

/// Databases: `db 6 name` → what a partition holds.
#[must_use]
pub fn partition(db: DbNumber, name: &str) -> Vec<u8> {
    let mut key = of_database(db, 1 + name.len());
    key.push(database_tag::PARTITION);
    key.extend_from_slice(name.as_bytes());
    key
}

/// Databases: all partitions that something is known of.
#[must_use]
pub fn partitions(db: DbNumber) -> KeyRange {
    KeyRange::prefix(&partition(db, ""))
}

/// The name in a key of [`partitions`].
#[must_use]
pub fn partition_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(9..)?).ok()
}

/// Heads: the documents of a partition.
#[must_use]
pub fn heads_of_partition(db: DbNumber, name: &str) -> KeyRange {
    KeyRange::prefix(&head(db, &format!("{name}:")))
}

/// Heads: `db id` → head.
#[must_use]
pub fn head(db: DbNumber, id: &str) -> Vec<u8> {
    let mut key = of_database(db, id.len());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The id in a key of the heads or locals table.
#[must_use]
pub fn id_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(8..)?).ok()
}

/// Bodies: `db id-terminated generation kind hash` → body.
#[must_use]
pub fn body(db: DbNumber, id: &DocId, rev: &Rev) -> Vec<u8> {
    let mut key = of_database(db, id.as_str().len() + 28);
    write_terminated(&mut key, id.as_str().as_bytes());
    write_rev(&mut key, rev);
    key
}

/// Changes: `db seq` → change.
#[must_use]
pub fn change(db: DbNumber, seq: u64) -> Vec<u8> {
    let mut key = of_database(db, 8);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// Changes: sequences from `first` to `last`, both included.
#[must_use]
pub fn changes(db: DbNumber, first: u64, last: u64) -> KeyRange {
    let end = match last.checked_add(1) {
        Some(after) => change(db, after),
        None => database_range(db).end,
    };
    KeyRange { start: change(db, first), end }
}

/// The sequence in a key of the changes table.
#[must_use]
pub fn seq_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(8..)?.try_into().ok()?))
}

/// Locals: `db id` → local document.
#[must_use]
pub fn local(db: DbNumber, id: &str) -> Vec<u8> {
    head(db, id)
}

/// Blobs: `db 1 digest` → blob.
#[must_use]
pub fn blob(db: DbNumber, digest: Digest) -> Vec<u8> {
    let mut key = of_database(db, 17);
    key.push(blob_tag::BLOB);
    key.extend_from_slice(&digest.0);
    key
}

/// Blobs: all blobs of a database.
#[must_use]
pub fn blobs(db: DbNumber) -> KeyRange {
    let mut prefix = of_database(db, 1);
    prefix.push(blob_tag::BLOB);
    KeyRange::prefix(&prefix)
}

/// The digest in a key of [`blobs`].
#[must_use]
pub fn blob_digest(key: &[u8]) -> Option<Digest> {
    Some(Digest(key.get(9..)?.try_into().ok()?))
}

/// Blobs: the references to all blobs of a database.
#[must_use]
pub fn all_references(db: DbNumber) -> KeyRange {
    let mut prefix = of_database(db, 1);
    prefix.push(blob_tag::REFERENCE);
    KeyRange::prefix(&prefix)
}

/// Blobs: `db 2 digest id-terminated rev` → nothing; a revision that refers to the blob.
#[must_use]
pub fn reference(db: DbNumber, digest: Digest, id: &DocId, rev: &Rev) -> Vec<u8> {
    let mut key = of_database(db, 45 + id.as_str().len());
    key.push(blob_tag::REFERENCE);
    key.extend_from_slice(&digest.0);
    write_terminated(&mut key, id.as_str().as_bytes());
    write_rev(&mut key, rev);
    key
}

/// Blobs: all references to one blob.
#[must_use]
pub fn references(db: DbNumber, digest: Digest) -> KeyRange {
    let mut prefix = of_database(db, 17);
    prefix.push(blob_tag::REFERENCE);
    prefix.extend_from_slice(&digest.0);
    KeyRange::prefix(&prefix)
}

/// Chunks: `db blob number` → bytes.
#[must_use]
pub fn chunk(db: DbNumber, blob: BlobId, number: u32) -> Vec<u8> {
    let mut key = of_database(db, 20);
    key.extend_from_slice(&blob.0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Chunks: all bytes of one blob.
#[must_use]
pub fn chunks(db: DbNumber, blob: BlobId) -> KeyRange {
    let mut prefix = of_database(db, 16);
    prefix.extend_from_slice(&blob.0);
    KeyRange::prefix(&prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rev(generation: u64, hash: &str) -> Rev {
        Rev { generation, hash: RevHash::parse(hash) }
    }

    proptest! {
        #[test]
        fn keys_of_heads_round_trip_and_keep_byte_order(db: u64, a in ".{1,20}", b in ".{1,20}") {
            let db = DbNumber(db);
            let key = head(db, &a);
            prop_assert_eq!(id_of(&key), Some(a.as_str()));
            prop_assert_eq!(head(db, &a).cmp(&head(db, &b)), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn sequences_round_trip_and_keep_order(db: u64, a: u64, b: u64) {
            let db = DbNumber(db);
            prop_assert_eq!(seq_of(&change(db, a)), Some(a));
            prop_assert_eq!(change(db, a).cmp(&change(db, b)), a.cmp(&b));
            prop_assert_eq!(event_seq(&event(a)), Some(a));
            let range = changes(db, a.min(b), a.max(b));
            prop_assert!(range.start <= change(db, a) && change(db, a) < range.end);
        }

        #[test]
        fn keys_of_bodies_are_ordered_by_id_then_generation(
            a in "[a\u{0}\u{1}]{1,6}", b in "[a\u{0}\u{1}]{1,6}", g in 1u64..9, h in 1u64..9,
        ) {
            let db = DbNumber(7);
            let (x, y) = (DocId::parse(&a).unwrap(), DocId::parse(&b).unwrap());
            let order = a.as_bytes().cmp(b.as_bytes()).then(g.cmp(&h));
            prop_assert_eq!(body(db, &x, &rev(g, "x")).cmp(&body(db, &y, &rev(h, "x"))), order);
        }

        #[test]
        fn uploads_round_trip(db: u64, id: [u8; 16]) {
            prop_assert_eq!(
                upload_parts(&upload(DbNumber(db), BlobId(id))), Some((DbNumber(db), BlobId(id))));
        }
    }

    #[test]
    fn a_databases_range_holds_its_keys_and_no_others() {
        for number in [0, 1, 255, 256, u64::MAX - 1, u64::MAX] {
            let (db, range) = (DbNumber(number), database_range(DbNumber(number)));
            for key in [state(db), head(db, "\u{10ffff}"), change(db, u64::MAX)] {
                assert!(range.start <= key && key < range.end, "{number}");
            }
            if let Some(after) = number.checked_add(1) {
                assert!(state(DbNumber(after)) >= range.end, "{number}");
            }
        }
    }

    #[test]
    fn a_hash_and_a_text_of_the_same_bytes_have_different_keys() {
        let (db, id) = (DbNumber(1), DocId::parse("a").unwrap());
        let hash = rev(1, "61616161616161616161616161616161");
        assert_ne!(body(db, &id, &hash), body(db, &id, &rev(1, "aaaaaaaaaaaaaaaa")));
    }
}
