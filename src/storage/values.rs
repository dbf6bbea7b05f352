//! The values of all tables. docs/storage-format.md shows every byte.
//!
//! Every value begins with a format version byte. Integers are unsigned LEB128 unless said
//! otherwise; texts and byte strings are a length and their bytes.

use bytes::Bytes;

use crate::document::revtree::{Node, RevTree};
use crate::document::{Attachment, Digest, DocId, Document, Encoding, Rev, RevHash};

use super::keys::{BlobId, DbNumber};
use super::{StorageError, Table};

pub(super) const VERSION: u8 = 1;

/// Catalogue: what a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    pub number: DbNumber,
    /// Random; tells a database from an earlier one of the same name.
    pub incarnation: u64,
    /// Seconds since 1970.
    pub created_s: u64,
    pub partitioned: bool,
    /// The shards that the creator asked for: shown again, and otherwise without effect.
    pub q: u64,
}

/// Databases: a database's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    pub update_seq: u64,
    pub purge_seq: u64,
    /// Documents whose winner is no tombstone, without local ones.
    pub doc_count: u64,
    pub doc_del_count: u64,
    /// Bytes of the bodies and attachments that leaves refer to.
    pub external_bytes: u64,
    /// Bytes of bodies that no leaf refers to and compaction would drop.
    pub obsolete_bytes: u64,
    pub local_doc_count: u64,
}

/// Databases: what a partition of a partitioned database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partition {
    pub doc_count: u64,
    pub doc_del_count: u64,
    /// Bytes of the bodies and attachments that leaves refer to.
    pub external_bytes: u64,
}

/// Heads: a document's revision tree and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    /// Bytes of the bodies of the leaves.
    pub external_bytes: u64,
    pub tree: RevTree,
}

/// The front of a head, enough for a row of `_all_docs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadSummary {
    pub winner: Rev,
    pub deleted: bool,
}

/// Changes: a row of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: DocId,
    pub deleted: bool,
    /// Leaves, the winner first, each with whether it is a tombstone.
    pub leaves: Vec<(Rev, bool)>,
}

/// Blobs: an attachment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub id: BlobId,
    /// Bytes as stored.
    pub encoded_length: u64,
    /// Of the stored bytes.
    pub sha1: [u8; 20],
}

/// Locals: a local document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The number in its revision `0-N`.
    pub rev: u64,
    pub body: Bytes,
}

/// What happened to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// Catalogue: a row of `_db_updates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub kind: EventKind,
}

/// Databases: one purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    pub id: DocId,
    pub revs: Vec<Rev>,
    /// Seconds since 1970; 0 in records from before this was noted.
    pub purged_s: u64,
}

pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push((number & 0x7f) as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// 0 for an md5, else the text's length plus one.
    fn hash(&mut self, hash: &RevHash) {
        match hash {
            RevHash::Md5(hash) => {
                self.byte(0);
                self.0.extend_from_slice(hash);
            }
            RevHash::Text(text) => {
                self.number(text.len() as u64 + 1);
                self.0.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn rev(&mut self, rev: &Rev) {
        self.number(rev.generation);
        self.hash(&rev.hash);
    }
}

pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    table: Table,
}

pub(super) type Read<T> = Result<T, StorageError>;

impl<'a> Reader<'a> {
    pub(super) fn new(table: Table, value: &'a [u8]) -> Read<Self> {
        let mut reader = Self { rest: value, table };
        match reader.byte()? {
            VERSION => Ok(reader),
            _ => Err(reader.corrupt("its format version is not known")),
        }
    }

    pub(super) fn corrupt(&self, what: &'static str) -> StorageError {
        StorageError::Corrupt { table: self.table.name(), what }
    }

    pub(super) fn take(&mut self, length: u64) -> Read<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| self.corrupt("it is too short"))?;
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.corrupt("it is too short")),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| self.corrupt("it is too short"))
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.corrupt("a number is too long"))
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let length = self.number()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("a text is not UTF-8"))
    }

    pub(super) fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn id(&mut self) -> Read<DocId> {
        DocId::parse(self.text()?).map_err(|_| self.corrupt("an id is not valid"))
    }

    fn hash(&mut self) -> Read<RevHash> {
        match self.number()? {
            0 => Ok(RevHash::Md5(self.array()?)),
            length => {
                let text = std::str::from_utf8(self.take(length - 1)?)
                    .map_err(|_| self.corrupt("a revision is not UTF-8"))?;
                Ok(RevHash::Text(text.into()))
            }
        }
    }

    fn rev(&mut self) -> Read<Rev> {
        Ok(Rev { generation: self.number()?, hash: self.hash()? })
    }

    /// A count of things that take at least one byte each.
    pub(super) fn count(&mut self) -> Read<usize> {
        let count = self.number()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(self.corrupt("a count is too large")),
        }
    }
}

impl DatabaseEntry {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.number(self.number.0);
        out.0.extend_from_slice(&self.incarnation.to_be_bytes());
        out.number(self.created_s);
        out.byte(u8::from(self.partitioned));
        out.number(self.q);
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Catalogue, value)?;
        Ok(Self {
            number: DbNumber(from.number()?),
            incarnation: u64::from_be_bytes(from.array()?),
            created_s: from.number()?,
            partitioned: from.byte()? == 1,
            q: from.number()?,
        })
    }
}

impl State {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        for number in [
            self.update_seq,
            self.purge_seq,
            self.doc_count,
            self.doc_del_count,
            self.external_bytes,
            self.obsolete_bytes,
            self.local_doc_count,
        ] {
            out.number(number);
        }
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Databases, value)?;
        Ok(Self {
            update_seq: from.number()?,
            purge_seq: from.number()?,
            doc_count: from.number()?,
            doc_del_count: from.number()?,
            external_bytes: from.number()?,
            obsolete_bytes: from.number()?,
            local_doc_count: from.number()?,
        })
    }
}

impl Partition {
    /// Adds or removes a document.
    pub fn count(&mut self, deleted: bool, external_bytes: u64, added: bool) {
        let documents = if deleted { &mut self.doc_del_count } else { &mut self.doc_count };
        for (sum, share) in [(documents, 1), (&mut self.external_bytes, external_bytes)] {
            *sum = if added { *sum + share } else { sum.saturating_sub(share) };
        }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        for number in [self.doc_count, self.doc_del_count, self.external_bytes] {
            out.number(number);
        }
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Databases, value)?;
        Ok(Self {
            doc_count: from.number()?,
            doc_del_count: from.number()?,
            external_bytes: from.number()?,
        })
    }
}

/// Bits of a head's flags and of its nodes' flags.
const DELETED: u8 = 1;
const STORED: u8 = 2;

impl Head {
    /// `version flags winner seq external count nodes`. A tree of one stored node is count 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let Some(winner) = self.tree.winner() else { return out.0 };
        out.byte(if winner.deleted { DELETED } else { 0 });
        out.rev(&winner.rev());
        out.number(self.seq);
        out.number(self.external_bytes);
        let nodes = self.tree.nodes();
        if nodes.len() == 1 && winner.stored {
            out.number(0);
            return out.0;
        }
        out.number(nodes.len() as u64);
        let mut generation = 0;
        for node in nodes {
            out.number(node.generation - generation);
            generation = node.generation;
            let deleted = if node.deleted { DELETED } else { 0 };
            out.byte(deleted | if node.stored { STORED } else { 0 });
            out.number(node.parent.map_or(0, |parent| u64::from(parent) + 1));
            out.hash(&node.hash);
        }
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Heads, value)?;
        let flags = from.byte()?;
        let winner = from.rev()?;
        let (seq, external_bytes, count) = (from.number()?, from.number()?, from.count()?);
        let mut nodes = Vec::with_capacity(count.max(1));
        if count == 0 {
            nodes.push(Node {
                generation: winner.generation,
                hash: winner.hash,
                parent: None,
                deleted: flags & DELETED != 0,
                stored: true,
            });
        }
        let mut generation = 0u64;
        for _ in 0..count {
            generation = generation
                .checked_add(from.number()?)
                .ok_or_else(|| from.corrupt("a generation is too large"))?;
            let flags = from.byte()?;
            let parent = match from.number()? {
                0 => None,
                number => Some(u32::try_from(number - 1).map_err(|_| from.corrupt("a parent"))?),
            };
            let (deleted, stored) = (flags & DELETED != 0, flags & STORED != 0);
            nodes.push(Node { generation, hash: from.hash()?, parent, deleted, stored });
        }
        let tree = RevTree::from_nodes(nodes).map_err(|_| from.corrupt("its tree is broken"))?;
        Ok(Self { seq, external_bytes, tree })
    }
}

impl HeadSummary {
    /// Reads the front of a head.
    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Heads, value)?;
        let deleted = from.byte()? & DELETED != 0;
        Ok(Self { winner: from.rev()?, deleted })
    }
}

impl Change {
    /// `version flags id winner count (flags rev)*`
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.byte(if self.deleted { DELETED } else { 0 });
        out.bytes(self.id.as_str().as_bytes());
        out.number(self.leaves.len() as u64);
        for (rev, deleted) in &self.leaves {
            out.byte(if *deleted { DELETED } else { 0 });
            out.rev(rev);
        }
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Changes, value)?;
        let deleted = from.byte()? & DELETED != 0;
        let id = from.id()?;
        let count = from.count()?;
        let mut leaves = Vec::with_capacity(count);
        for _ in 0..count {
            let deleted = from.byte()? & DELETED != 0;
            leaves.push((from.rev()?, deleted));
        }
        Ok(Self { id, deleted, leaves })
    }
}

/// Bodies: `version flags count attachments body`.
#[must_use]
pub fn encode_body(deleted: bool, attachments: &[Attachment], body: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.0.reserve(body.len() + attachments.len() * 64 + 4);
    out.byte(if deleted { DELETED } else { 0 });
    out.number(attachments.len() as u64);
    for attachment in attachments {
        out.byte(u8::from(attachment.encoding == Encoding::Gzip));
        out.bytes(attachment.name.as_bytes());
        out.bytes(attachment.content_type.as_bytes());
        out.0.extend_from_slice(&attachment.digest.0);
        out.number(attachment.length);
        out.number(attachment.encoded_length);
        out.number(attachment.revpos);
    }
    out.0.extend_from_slice(body);
    out.0
}

/// Reads what [`encode_body`] wrote, for the document and revision of its key.
pub fn decode_body(id: DocId, rev: Rev, value: Vec<u8>) -> Read<Document> {
    let mut from = Reader::new(Table::Bodies, &value)?;
    let deleted = from.byte()? & DELETED != 0;
    let count = from.count()?;
    let mut attachments = Vec::with_capacity(count);
    for _ in 0..count {
        let encoding = if from.byte()? == 1 { Encoding::Gzip } else { Encoding::Identity };
        attachments.push(Attachment {
            encoding,
            name: from.text()?.to_owned(),
            content_type: from.text()?.to_owned(),
            digest: Digest(from.array()?),
            length: from.number()?,
            encoded_length: from.number()?,
            revpos: from.number()?,
        });
    }
    let start = value.len() - from.rest.len();
    Ok(Document { id, rev, deleted, body: Bytes::from(value).slice(start..), attachments })
}

impl Blob {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.0.extend_from_slice(&self.id.0);
        out.number(self.encoded_length);
        out.0.extend_from_slice(&self.sha1);
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Blobs, value)?;
        Ok(Self { id: BlobId(from.array()?), encoded_length: from.number()?, sha1: from.array()? })
    }
}

impl Local {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.number(self.rev);
        out.0.extend_from_slice(&self.body);
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Locals, value)?;
        Ok(Self { rev: from.number()?, body: Bytes::copy_from_slice(from.rest) })
    }
}

impl Event {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.byte(match self.kind {
            EventKind::Created => 0,
            EventKind::Updated => 1,
            EventKind::Deleted => 2,
        });
        out.0.extend_from_slice(self.name.as_bytes());
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Catalogue, value)?;
        let kind = match from.byte()? {
            0 => EventKind::Created,
            1 => EventKind::Updated,
            2 => EventKind::Deleted,
            _ => return Err(from.corrupt("an event's kind is not known")),
        };
        let name = std::str::from_utf8(from.rest).map_err(|_| from.corrupt("not UTF-8"))?;
        Ok(Self { name: name.to_owned(), kind })
    }
}

impl Purge {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(self.id.as_str().as_bytes());
        out.number(self.revs.len() as u64);
        for rev in &self.revs {
            out.rev(rev);
        }
        out.number(self.purged_s);
        out.0
    }

    pub fn decode(value: &[u8]) -> Read<Self> {
        let mut from = Reader::new(Table::Databases, value)?;
        let id = from.id()?;
        let count = from.count()?;
        let revs = (0..count).map(|_| from.rev()).collect::<Read<_>>()?;
        let purged_s = if from.rest.is_empty() { 0 } else { from.number()? };
        Ok(Self { id, revs, purged_s })
    }
}

/// A single number (a limit, a counter).
#[must_use]
pub fn encode_number(number: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.number(number);
    out.0
}

/// Reads what [`encode_number`] wrote.
pub fn decode_number(table: Table, value: &[u8]) -> Read<u64> {
    Reader::new(table, value)?.number()
}

/// A JSON text stored as it is (a security object, the server's record).
#[must_use]
pub fn encode_json(json: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.0.extend_from_slice(json);
    out.0
}

/// Reads what [`encode_json`] wrote.
pub fn decode_json(table: Table, value: &[u8]) -> Read<Vec<u8>> {
    Ok(Reader::new(table, value)?.rest.to_vec())
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
