//! From changed documents to edits of an index: reading them, mapping them, and finding what is
//! different from what they had in the index before.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::document::encode::{Extras, write_document};
use crate::document::{DocId, Document, Rev};
use crate::metrics;
use crate::sandbox::{CallError, Emitted, MapResults, PoolError};
use crate::storage::view_keys::{self, IndexNumber, ViewNumber};
use crate::storage::view_values::{EmittedRow, ViewRow, decode_emits, encode_emits};
use crate::storage::{StorageError, Table};

use super::super::index::Index;
use super::super::{Mapper, RowChange, ViewsError};
use super::changes::Changed;
use super::rows::{MappedRow, RowWriter, id_tail};

/// Documents read at once; each may be as large as documents may be.
const READ_DOCUMENTS: usize = 32;
/// Bytes of documents after which they are mapped, however few they are.
const MAPPED_BYTES: usize = 256 << 10;

/// A row that is written or removed.
#[derive(Debug)]
pub(super) struct RowEdit {
    pub(super) view: u16,
    /// Its key in the table of rows.
    pub(super) key: Vec<u8>,
    /// The document that it is of: a place in the list of ids.
    pub(super) document: usize,
    pub(super) existed: bool,
    /// Its value in the table of rows.
    pub(super) now: Option<Vec<u8>>,
}

impl RowEdit {
    /// As blocks are told of it.
    pub(super) fn change<'a>(&'a self, ids: &'a [DocId]) -> Result<RowChange<'a>, StorageError> {
        let now = self.now.as_deref().map(ViewRow::decode).transpose()?;
        Ok(RowChange {
            place: view_keys::place_of_row(&self.key).unwrap_or_default(),
            id: ids.get(self.document).map(DocId::as_str).unwrap_or_default(),
            existed: self.existed,
            now: now.map(|row| (row.key, row.value)),
        })
    }
}

/// What consecutive changes do to an index.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The last of the changes.
    pub(super) upto: u64,
    pub(super) changes: usize,
    pub(super) ids: Vec<DocId>,
    /// By key, each key once.
    pub(super) rows: Vec<RowEdit>,
    /// Keys and values in the table of emits.
    pub(super) emits: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) rows_delta: Vec<i64>,
    /// Whether each view's map has failed on a document.
    pub(super) failed: Vec<bool>,
    pub(super) external_delta: i64,
    /// About how much memory it takes.
    pub(super) bytes: usize,
    /// What the keys of rows begin with, by view.
    prefixes: Arc<[Vec<u8>]>,
}

/// Turns changes into edits; the same for all threads of a build.
pub(super) struct Maker<'a> {
    index: &'a Index,
    mapper: &'a dyn Mapper,
    number: IndexNumber,
    prefixes: Arc<[Vec<u8>]>,
}

/// What a document had in the index.
struct Before {
    /// Its key in the table of emits.
    key: Vec<u8>,
    /// The record of that key.
    emits: Option<Vec<u8>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(index: &'a Index, mapper: &'a dyn Mapper, number: IndexNumber) -> Self {
        let views = 0..u16::try_from(index.group().maps.len()).unwrap_or(u16::MAX);
        let prefix = |view| view_keys::row(index.address(number, view), &[]);
        Self { index, mapper, number, prefixes: views.map(prefix).collect() }
    }

    /// The edits that consecutive changes make. All earlier ones of the same documents must have
    /// been committed.
    ///
    /// # Errors
    /// Where the store cannot be read, or a function breaks a limit.
    pub(super) fn edits(&self, changes: &[Changed], fresh_until: u64) -> Result<Chunk, ViewsError> {
        let mut chunk = self.chunk();
        let mapped = self.map(changes, &mut chunk.failed)?;
        let known: Vec<&DocId> = changes
            .iter()
            .filter(|changed| changed.seq > fresh_until)
            .map(|changed| &changed.id)
            .collect();
        let mut before = self.before(&known)?.into_iter();
        chunk.changes = changes.len();
        for (changed, rows) in changes.iter().zip(mapped) {
            chunk.upto = changed.seq;
            let before = if changed.seq > fresh_until { before.next() } else { None };
            let before =
                before.unwrap_or_else(|| Before { key: self.emits_key(&changed.id), emits: None });
            chunk.add(&changed.id, before, rows)?;
        }
        chunk.rows.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(chunk)
    }

    /// The edits that take documents out of the index.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(super) fn removals(&self, ids: &[&DocId]) -> Result<Chunk, ViewsError> {
        let mut chunk = self.chunk();
        for (id, before) in ids.iter().zip(self.before(ids)?) {
            chunk.add(id, before, Vec::new())?;
        }
        chunk.rows.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(chunk)
    }

    fn chunk(&self) -> Chunk {
        let views = self.index.group().maps.len();
        let (rows_delta, failed) = (vec![0; views], vec![false; views]);
        Chunk { rows_delta, failed, prefixes: self.prefixes.clone(), ..Chunk::default() }
    }

    fn emits_key(&self, id: &DocId) -> Vec<u8> {
        view_keys::emits(self.index.db.number(), self.number, id.as_str())
    }

    fn before(&self, ids: &[&DocId]) -> Result<Vec<Before>, StorageError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| self.emits_key(id)).collect();
        let emits = self.index.engine().snapshot().multi_get(Table::ViewEmits, &keys)?;
        Ok(keys.into_iter().zip(emits).map(|(key, emits)| Before { key, emits }).collect())
    }

    /// The rows of each changed document. Tells which maps have failed on one.
    fn map(
        &self,
        changes: &[Changed],
        failed: &mut [bool],
    ) -> Result<Vec<Vec<MappedRow>>, ViewsError> {
        let writer = RowWriter { index: self.index, prefixes: &self.prefixes };
        let mut mapped: Vec<Vec<MappedRow>> = Vec::with_capacity(changes.len());
        // Documents that wait to be mapped, and whether each change since the last time has one.
        let (mut texts, mut bytes, mut waiting) = (Vec::new(), 0, Vec::new());
        for part in changes.chunks(READ_DOCUMENTS) {
            for (changed, document) in part.iter().zip(self.read(part)?) {
                if let Some(document) = &document {
                    let text = self.text(document, changed)?;
                    bytes += text.len();
                    texts.push(text);
                }
                waiting.push((&changed.id, document.is_some()));
                if bytes >= MAPPED_BYTES {
                    bytes = 0;
                    let texts = std::mem::take(&mut texts);
                    self.map_texts(&writer, texts, waiting.drain(..), failed, &mut mapped)?;
                }
            }
        }
        self.map_texts(&writer, texts, waiting.drain(..), failed, &mut mapped)?;
        Ok(mapped)
    }

    fn map_texts<'i>(
        &self,
        writer: &RowWriter<'_>,
        texts: Vec<String>,
        waiting: impl Iterator<Item = (&'i DocId, bool)>,
        failed: &mut [bool],
        mapped: &mut Vec<Vec<MappedRow>>,
    ) -> Result<(), ViewsError> {
        let wanted = texts.len();
        let results = if texts.is_empty() {
            MapResults::default()
        } else {
            let map = || self.mapper.map(texts);
            metrics::MAPPED_DOCUMENTS.add(wanted as u64);
            metrics::timed(&metrics::MAP_CALLS, &metrics::MAP_TIME_US, map)?
        };
        if results.documents.len() != wanted {
            return Err(CallError::Pool(PoolError::Crashed).into());
        }
        let mut documents = results.documents.iter();
        for (id, is_live) in waiting {
            let emitted = if is_live { documents.next() } else { None };
            mapped.push(match emitted {
                Some(emitted) => {
                    for (failed, emitted) in failed.iter_mut().zip(emitted) {
                        *failed |= matches!(emitted, Emitted::Failed);
                    }
                    writer.rows(id, &results, emitted)?
                }
                None => Vec::new(),
            });
        }
        metrics::EMITS.add(mapped.iter().map(Vec::len).sum::<usize>() as u64);
        Ok(())
    }

    /// The winners of changed documents; none for tombstones.
    fn read(&self, changes: &[Changed]) -> Result<Vec<Option<Document>>, ViewsError> {
        let mut wanted: Vec<(usize, (DocId, Rev))> = Vec::with_capacity(changes.len());
        for (at, changed) in changes.iter().enumerate() {
            wanted.extend(changed.rev.clone().map(|rev| (at, (changed.id.clone(), rev))));
        }
        wanted.sort_unstable_by(|(_, one), (_, two)| one.0.cmp(&two.0));
        let (places, wanted): (Vec<usize>, Vec<(DocId, Rev)>) = wanted.into_iter().unzip();
        let found = self.index.db.revisions_in_order(&wanted)?;
        let mut documents: Vec<Option<Document>> = vec![None; changes.len()];
        for ((at, document), (id, _)) in places.into_iter().zip(found).zip(&wanted) {
            let document = match document {
                Some(document) => Some(document),
                // Updated meanwhile and compacted: its newer change comes later.
                None => self.index.db.winner(id)?.filter(|winner| !winner.deleted),
            };
            if let Some(place) = documents.get_mut(at) {
                *place = document;
            }
        }
        Ok(documents)
    }

    /// The document as map functions see it.
    fn text(&self, document: &Document, changed: &Changed) -> Result<String, ViewsError> {
        let extras = Extras {
            local_seq: self.index.group().local_seq.then_some(changed.seq),
            conflicts: &changed.conflicts,
            deleted_conflicts: &changed.deleted_conflicts,
            ..Extras::default()
        };
        let mut text = Vec::new();
        write_document(&mut text, document, &extras);
        String::from_utf8(text).map_err(|_| {
            let (table, what) = (Table::Bodies.name(), "a body is not UTF-8");
            StorageError::Corrupt { table, what }.into()
        })
    }
}

impl Chunk {
    /// Adds what makes of a document's rows those that it is to have.
    fn add(
        &mut self,
        id: &DocId,
        before: Before,
        rows: Vec<MappedRow>,
    ) -> Result<(), StorageError> {
        let had = before.emits.as_deref().map(decode_emits).transpose()?.unwrap_or_default();
        if had.is_empty() && rows.is_empty() {
            return Ok(());
        }
        let emits = (!rows.is_empty()).then(|| encode_emits(rows.iter().map(MappedRow::emitted)));
        if emits == before.emits {
            return Ok(());
        }
        let document = self.ids.len();
        self.ids.push(id.clone());
        let old = self.old_rows(id, &had);
        self.bytes += before.key.len() + emits.as_ref().map_or(0, Vec::len) + 128;
        self.emits.push((before.key, emits));
        self.merge(document, old, rows);
        Ok(())
    }

    /// The keys of the rows that a document had.
    fn old_rows<'e>(&self, id: &DocId, had: &[EmittedRow<'e>]) -> Vec<(Vec<u8>, EmittedRow<'e>)> {
        let tail = id_tail(id);
        let mut old: Vec<(Vec<u8>, EmittedRow<'_>)> = Vec::with_capacity(had.len());
        let mut number = 0u32;
        for row in had {
            let prefix = self.prefixes.get(usize::from(row.view.0));
            let mut key = prefix.cloned().unwrap_or_default();
            key.extend_from_slice(row.key);
            key.extend_from_slice(&tail);
            let same =
                old.last().is_some_and(|(_, last)| (last.view, last.key) == (row.view, row.key));
            number = if same { number + 1 } else { 0 };
            key.truncate(key.len() - view_keys::ORDINAL_BYTES);
            key.extend_from_slice(&number.to_be_bytes());
            old.push((key, *row));
        }
        old
    }

    /// Merges the rows before and after, both by key.
    fn merge(&mut self, document: usize, old: Vec<(Vec<u8>, EmittedRow<'_>)>, new: Vec<MappedRow>) {
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some(row)) => key.cmp(&row.key),
            };
            let removed = if order.is_le() { old.next() } else { None };
            let added = if order.is_ge() { new.next() } else { None };
            self.replace(document, removed, added);
        }
    }

    fn replace(
        &mut self,
        document: usize,
        removed: Option<(Vec<u8>, EmittedRow<'_>)>,
        added: Option<MappedRow>,
    ) {
        if let (Some((_, old)), Some(new)) = (&removed, &added)
            && (old.content, old.external_bytes) == (new.content, new.external_bytes)
        {
            return;
        }
        let existed = removed.is_some();
        if let Some((_, old)) = &removed {
            self.count(old.view, -1, old.external_bytes);
        }
        let edit = match (removed, added) {
            (_, Some(new)) => {
                self.count(new.view, 1, new.external_bytes);
                RowEdit { view: new.view.0, key: new.key, document, existed, now: Some(new.value) }
            }
            (Some((key, old)), None) => {
                RowEdit { view: old.view.0, key, document, existed, now: None }
            }
            (None, None) => return,
        };
        self.bytes += edit.key.len() + edit.now.as_ref().map_or(0, Vec::len) + 128;
        self.rows.push(edit);
    }

    fn count(&mut self, view: ViewNumber, rows: i64, external_bytes: u64) {
        if let Some(delta) = self.rows_delta.get_mut(usize::from(view.0)) {
            *delta += rows;
        }
        self.external_delta += rows * i64::try_from(external_bytes).unwrap_or(i64::MAX);
    }
}
