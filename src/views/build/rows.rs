//! What a document has emitted, as rows that can be stored: sorted, numbered, with their keys.

use std::cmp::Ordering;
use std::ops::Range;

use serde_json::Value;

use crate::collation;
use crate::document::DocId;
use crate::sandbox::{Emitted, MapResults};
use crate::storage::view_keys::{self, ViewNumber};
use crate::storage::view_values::{EmittedRow, ViewRow};

use super::super::ViewsError;
use super::super::index::Index;

/// A row of a document.
#[derive(Debug)]
pub(super) struct MappedRow {
    pub(super) view: ViewNumber,
    /// Its key in the table of rows.
    pub(super) key: Vec<u8>,
    /// Where the document's id begins in the key.
    pub(super) id_at: usize,
    /// Its value in the table of rows.
    pub(super) value: Vec<u8>,
    /// Bytes of its key's and value's JSON.
    pub(super) external_bytes: u64,
    /// A hash of its key's and value's JSON.
    pub(super) content: u64,
}

impl MappedRow {
    /// As the table of emits remembers it.
    pub(super) fn emitted(&self) -> EmittedRow<'_> {
        let place = self.key.get(..self.id_at).and_then(view_keys::place_of_row);
        EmittedRow {
            view: self.view,
            key: place.unwrap_or_default(),
            external_bytes: self.external_bytes,
            content: self.content,
        }
    }
}

/// A row that has no number yet.
struct Unnumbered<'a> {
    row: MappedRow,
    /// The value's JSON.
    value: &'a str,
}

/// Makes the rows of one index.
pub(super) struct RowWriter<'a> {
    pub(super) index: &'a Index,
    /// What the keys of rows begin with, by view.
    pub(super) prefixes: &'a [Vec<u8>],
}

impl RowWriter<'_> {
    /// The rows of a document, in the order of their keys, from what each map made of it.
    ///
    /// # Errors
    /// Where the index is kept by partition and the document is in none.
    pub(super) fn rows(
        &self,
        id: &DocId,
        results: &MapResults,
        emitted: &[Emitted],
    ) -> Result<Vec<MappedRow>, ViewsError> {
        let count = emitted.iter().map(|emitted| match emitted {
            Emitted::Rows(rows) => rows.len(),
            Emitted::Failed => 0,
        });
        let mut rows = Vec::with_capacity(count.sum());
        let partition = self.partition(id)?;
        let tail = id_tail(id);
        let maps = self.index.group().maps.iter().zip(self.prefixes);
        for (view, ((map, prefix), emitted)) in (0..).zip(maps.zip(emitted)) {
            let Emitted::Rows(emitted) = emitted else { continue };
            for emitted in emitted {
                let (key_json, value) =
                    (text(results, &emitted.key), text(results, &emitted.value));
                let mut key =
                    Vec::with_capacity(prefix.len() + 2 * key_json.len() + tail.len() + 8);
                key.extend_from_slice(prefix);
                if let Some(partition) = partition {
                    view_keys::write_partition(&mut key, partition);
                }
                map.collation.write_key_of_text(&mut key, key_json);
                let id_at = key.len();
                key.extend_from_slice(&tail);
                let row = MappedRow {
                    view: ViewNumber(view),
                    key,
                    id_at,
                    value: ViewRow { key: key_json, value }.encode(),
                    external_bytes: (key_json.len() + value.len()) as u64,
                    content: content(key_json, value),
                };
                rows.push(Unnumbered { row, value });
            }
        }
        Ok(numbered(rows))
    }

    /// The partition that the document's rows are kept in.
    fn partition<'i>(&self, id: &'i DocId) -> Result<Option<&'i str>, ViewsError> {
        if !self.index.group().partitioned {
            return Ok(None);
        }
        match id.as_str().split_once(':') {
            Some((partition, _)) if !id.is_design() => Ok(Some(partition)),
            _ => Err(ViewsError::NoPartition(id.to_string())),
        }
    }
}

fn text<'a>(results: &'a MapResults, range: &Range<usize>) -> &'a str {
    results.text.get(range.clone()).unwrap_or("null")
}

/// What ends the keys of a document's rows, with the number 0.
pub(super) fn id_tail(id: &DocId) -> Vec<u8> {
    let mut tail = Vec::with_capacity(id.as_str().len() + 6);
    view_keys::write_document(&mut tail, id.as_str(), 0);
    tail
}

/// Sorts rows and numbers those of equal keys. As in CouchDB these stand in the order of their
/// values as Erlang terms, not in that in which they were emitted.
fn numbered(mut rows: Vec<Unnumbered<'_>>) -> Vec<MappedRow> {
    rows.sort_by(|one, two| {
        one.row.key.cmp(&two.row.key).then_with(|| compare_values(one.value, two.value))
    });
    let mut numbered: Vec<MappedRow> = Vec::with_capacity(rows.len());
    let mut number = 0u32;
    for Unnumbered { mut row, .. } in rows {
        let bare = row.key.len() - view_keys::ORDINAL_BYTES;
        let same = numbered.last().is_some_and(|last| {
            last.key.len() == row.key.len() && last.key.get(..bare) == row.key.get(..bare)
        });
        number = if same { number + 1 } else { 0 };
        row.key.truncate(bare);
        row.key.extend_from_slice(&number.to_be_bytes());
        numbered.push(row);
    }
    numbered
}

fn compare_values(one: &str, two: &str) -> Ordering {
    if one == two {
        return Ordering::Equal;
    }
    let parse = |json| serde_json::from_str::<Value>(json).unwrap_or_default();
    collation::compare_raw(&parse(one), &parse(two))
}

/// A hash of a row's JSON. It is compared with stored ones, but where it were to change, rows
/// would only be written again.
fn content(key: &str, value: &str) -> u64 {
    let hash = mix(key.as_bytes(), 0x2d35_8dcc_aa6c_78a5);
    mix(value.as_bytes(), hash ^ key.len() as u64)
}

fn mix(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0x8bb8_4b93_962e_acc9;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        let [high, low] = [product >> 64, product & u128::from(u64::MAX)];
        u64::try_from(high ^ low).unwrap_or_default().wrapping_add(FACTOR.rotate_left(17))
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(seed, |hash, word| fold(hash, u64::from_be_bytes(*word)));
    let last = rest.iter().fold(0x80, |word, byte| (word << 8) | u64::from(*byte));
    fold(hash, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_where_the_json_does() {
        let texts =
            ["", "0", "1", "null", "[1,2]", "\"abcdefg\"", "\"abcdefgh\"", "00000000", "0000000"];
        let mut hashes = Vec::new();
        for key in texts {
            hashes.extend(texts.map(|value| content(key, value)));
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len() * texts.len());
    }
}
