//! The values of view indexes. docs/storage-format.md shows every byte.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::values::{Read, Reader, VERSION, Writer};
use super::view_keys::{IndexNumber, ViewNumber};
use super::{StorageError, Table};

/// Indexes: how far an index has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexEntry {
    pub number: IndexNumber,
    /// The version of what lies in the other tables of views.
    pub format: u64,
    /// The sequence of the database up to which changes are in.
    pub seq: u64,
    /// The purge up to which purged documents are out.
    pub purge_seq: u64,
    /// A change up to this sequence is of a document that the index has not seen before.
    pub fresh_until: u64,
    /// Whether the blocks agree with the rows; else there are none.
    pub summarised: bool,
    /// The collator that made its keys.
    pub collator_version: String,
    /// Rows of each view.
    pub rows: Vec<u64>,
    /// Whether the map of each view may have failed on a document, which then has no rows of it.
    pub failed: Vec<bool>,
    /// Bytes of the JSON of all keys and values.
    pub external_bytes: u64,
}

/// Rows: a row's key and value as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewRow<'a> {
    pub key: &'a str,
    pub value: &'a str,
}

/// Blocks: the blocks of the level below that a block is made of, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    pub level: u8,
    pub parts: Vec<BlockPart<'a>>,
}

/// A block as the block that it is a part of knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPart<'a> {
    /// Of its first row; empty for the first block of a level.
    pub place: Cow<'a, [u8]>,
    /// Its rows.
    pub count: u64,
    /// What each reduce of the view makes of its rows; nothing where it has none.
    pub states: Vec<Cow<'a, [u8]>>,
}

/// A row that a document has in an index. Rows of the same view and key are numbered, from 0, in
/// the order in which they stand in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmittedRow<'a> {
    pub view: ViewNumber,
    /// The part of its place before the document's id.
    pub key: &'a [u8],
    /// Bytes of its key's and value's JSON.
    pub external_bytes: u64,
    /// A hash of its key's and value's JSON.
    pub content: u64,
}

impl IndexEntry {
    /// Tells the states of an index apart: every batch that changes rows changes the entry too,
    /// and none brings back an earlier one.
    #[must_use]
    pub fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.number(u64::from(self.number.0));
        out.number(self.format);
        out.number(self.seq);
        out.number(self.purge_seq);
        out.number(self.fresh_until);
        out.byte(u8::from(self.summarised));
        out.bytes(self.collator_version.as_bytes());
        out.number(self.external_bytes);
        out.number(self.rows.len() as u64);
        self.rows.iter().for_each(|rows| out.number(*rows));
        self.failed.iter().for_each(|failed| out.byte(u8::from(*failed)));
        out.0
    }

    pub fn decode(value: &[u8]) -> Result<Self, StorageError> {
        let mut reader = Reader::new(Table::Indexes, value)?;
        let number = u32::try_from(reader.number()?);
        let number = number.map_err(|_| reader.corrupt("an index number is too large"))?;
        let format = reader.number()?;
        let (seq, purge_seq, fresh_until) = (reader.number()?, reader.number()?, reader.number()?);
        let summarised = reader.byte()? == 1;
        let collator_version = reader.text()?.to_owned();
        let external_bytes = reader.number()?;
        let count = reader.count()?;
        let rows = (0..count).map(|_| reader.number()).collect::<Read<_>>()?;
        // Entries were once written without these.
        let failed = (0..count).map(|_| reader.byte().map_or(true, |byte| byte == 1)).collect();
        Ok(Self {
            number: IndexNumber(number),
            format,
            seq,
            purge_seq,
            fresh_until,
            summarised,
            collator_version,
            rows,
            failed,
            external_bytes,
        })
    }
}

impl<'a> ViewRow<'a> {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.key.len() + self.value.len() + 4));
        out.byte(VERSION);
        out.bytes(self.key.as_bytes());
        out.0.extend_from_slice(self.value.as_bytes());
        out.0
    }

    pub fn decode(value: &'a [u8]) -> Result<Self, StorageError> {
        let mut reader = Reader::new(Table::ViewRows, value)?;
        let key = reader.text()?;
        let value = std::str::from_utf8(reader.rest)
            .map_err(|_| reader.corrupt("a row's value is not UTF-8"))?;
        Ok(Self { key, value })
    }
}

/// A record of the table of blocks.
#[must_use]
pub fn encode_block(level: u8, parts: &[BlockPart<'_>]) -> Vec<u8> {
    let mut out = Writer::new();
    out.byte(level);
    let reduces = parts.iter().map(|part| part.states.len()).max().unwrap_or(0);
    out.number(reduces as u64);
    out.number(parts.len() as u64);
    for part in parts {
        out.bytes(&part.place);
        out.number(part.count);
        if part.count > 0 {
            part.states.iter().for_each(|state| out.bytes(state));
        }
    }
    out.0
}

impl<'a> Block<'a> {
    pub fn decode(value: &'a [u8]) -> Result<Self, StorageError> {
        let mut reader = Reader::new(Table::ViewBlocks, value)?;
        let level = reader.byte()?;
        let reduces = reader.count()?;
        let count = reader.count()?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let place = reader.bytes()?.into();
            let count = reader.number()?;
            let reduces = if count > 0 { reduces } else { 0 };
            let states = (0..reduces).map(|_| Ok(reader.bytes()?.into())).collect::<Read<_>>()?;
            parts.push(BlockPart { place, count, states });
        }
        Ok(Self { level, parts })
    }

    /// The same with memory of its own.
    #[must_use]
    pub fn into_owned(self) -> Block<'static> {
        let parts = self.parts.into_iter().map(BlockPart::into_owned).collect();
        Block { level: self.level, parts }
    }
}

impl BlockPart<'_> {
    /// The same with memory of its own.
    #[must_use]
    pub fn into_owned(self) -> BlockPart<'static> {
        BlockPart {
            place: self.place.into_owned().into(),
            count: self.count,
            states: self.states.into_iter().map(|state| state.into_owned().into()).collect(),
        }
    }
}

/// Emits: all rows of one document in one index.
#[must_use]
pub fn encode_emits<'a>(rows: impl ExactSizeIterator<Item = EmittedRow<'a>>) -> Vec<u8> {
    let mut out = Writer::new();
    out.number(rows.len() as u64);
    for row in rows {
        out.number(u64::from(row.view.0));
        out.bytes(row.key);
        out.number(row.external_bytes);
        out.0.extend_from_slice(&row.content.to_be_bytes());
    }
    out.0
}

/// The rows in a record of the table of emits.
pub fn decode_emits(value: &[u8]) -> Result<Vec<EmittedRow<'_>>, StorageError> {
    let mut reader = Reader::new(Table::ViewEmits, value)?;
    let count = reader.count()?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let view = u16::try_from(reader.number()?)
            .map_err(|_| reader.corrupt("a view number is too large"))?;
        let length = reader.number()?;
        let key = reader.take(length)?;
        let external_bytes = reader.number()?;
        let content = u64::from_be_bytes(reader.array()?);
        rows.push(EmittedRow { view: ViewNumber(view), key, external_bytes, content });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let entry = IndexEntry {
            number: IndexNumber(7),
            format: 1,
            seq: 1000,
            purge_seq: 2,
            fresh_until: 999,
            summarised: true,
            collator_version: "2.4".to_owned(),
            rows: vec![0, 1 << 40],
            failed: vec![true, false],
            external_bytes: 5,
        };
        let encoded = entry.encode();
        assert_eq!(IndexEntry::decode(&encoded).unwrap(), entry);
        let older = IndexEntry::decode(&encoded[..encoded.len() - 2]).unwrap();
        assert_eq!(older, IndexEntry { failed: vec![true, true], ..entry });
        let row = ViewRow { key: "[1,\"é\"]", value: "null" };
        let encoded = row.encode();
        assert_eq!(ViewRow::decode(&encoded).unwrap(), row);
        let part = |place: &'static [u8], count, states: &[&'static [u8]]| BlockPart {
            place: place.into(),
            count,
            states: states.iter().map(|state| (*state).into()).collect(),
        };
        let parts = vec![part(b"", 0, &[]), part(b"ab", 130, &[b"1", b""])];
        let block = Block { level: 2, parts };
        assert_eq!(Block::decode(&encode_block(2, &block.parts)).unwrap(), block);
        let emitted = EmittedRow {
            view: ViewNumber(300),
            key: &[0, 1, 255],
            external_bytes: 12,
            content: u64::MAX,
        };
        let rows = [emitted, emitted];
        let encoded = encode_emits(rows.into_iter());
        assert_eq!(decode_emits(&encoded).unwrap(), rows);
        assert!(decode_emits(&encoded[..9]).is_err());
    }
}
