//! The stored index of a build: its entry, and the one place where batches of it are committed.
//!
//! Every batch expects the entry as the last one has left it and the database to be there, so an
//! index that was dropped, or whose database was deleted, gets no more records.

use std::path::Path;

use crate::collation::collator_version;
use crate::database::DatabaseError;
use crate::document::DocId;
use crate::storage::values::{State, decode_number, encode_number};
use crate::storage::view_keys::IndexNumber;
use crate::storage::view_values::IndexEntry;
use crate::storage::{
    Batch, Compression, Durability, Engine, Expect, KeyRange, Snapshot, StorageError, Table, keys,
    view_keys,
};

use super::super::index::{FORMAT, Index};
use super::super::registry::write_removal;
use super::super::{RowChange, ViewsError};
use super::edits::{Chunk, RowEdit};

/// How often an index is tried to be created beside others.
const CREATE_ATTEMPTS: usize = 64;

/// The index as it is stored.
pub(super) struct Stored<'a> {
    index: &'a Index,
    entry: IndexEntry,
    /// The entry as bytes.
    value: Vec<u8>,
}

impl<'a> Stored<'a> {
    /// Finds the index, or creates it where there is none that can be used.
    pub(super) fn open(index: &'a Index) -> Result<Self, ViewsError> {
        if let Some(value) = index.engine().get(Table::Indexes, &index.key())? {
            let entry = IndexEntry::decode(&value)?;
            if index.fits(&entry) {
                return Ok(Self { index, entry, value });
            }
        }
        Self::create(index)
    }

    /// Creates the index anew, in the place of what is there.
    pub(super) fn create(index: &'a Index) -> Result<Self, ViewsError> {
        let mut attempts = 0..CREATE_ATTEMPTS;
        loop {
            match Self::try_create(index) {
                Err(StorageError::Precondition) if attempts.next().is_some() => {
                    check_database(index)?;
                }
                other => return Ok(other?),
            }
        }
    }

    fn try_create(index: &'a Index) -> Result<Self, StorageError> {
        let (engine, db) = (index.engine(), index.db.number());
        let state = engine.get(Table::Databases, &keys::state(db))?;
        let state = State::decode(&state.ok_or(StorageError::Precondition)?)?;
        let mut batch = Batch::default();
        index.db.expect_existence(&mut batch);

        let key = view_keys::next_index(db);
        let expect = engine.get(Table::Indexes, &key)?;
        let number = match &expect {
            Some(value) => decode_number(Table::Indexes, value)?,
            None => 0,
        };
        batch.expect(Table::Indexes, key.clone(), expect.map_or(Expect::Absent, Expect::Is));
        batch.put(Table::Indexes, key, encode_number(number + 1));
        let number = u32::try_from(number).map_err(|_| StorageError::Corrupt {
            table: Table::Indexes.name(),
            what: "an index number is too large",
        })?;

        let entry = IndexEntry {
            number: IndexNumber(number),
            format: FORMAT,
            seq: 0,
            purge_seq: state.purge_seq,
            fresh_until: state.update_seq,
            summarised: false,
            collator_version: collator_version().to_owned(),
            rows: vec![0; index.group().maps.len()],
            failed: vec![false; index.group().maps.len()],
            external_bytes: 0,
        };
        let (key, value) = (index.key(), entry.encode());
        let old = engine.get(Table::Indexes, &key)?;
        if let Some(old) = &old {
            write_removal(&mut batch, &index.db, &IndexEntry::decode(old)?);
        }
        batch.expect(Table::Indexes, key.clone(), old.map_or(Expect::Absent, Expect::Is));
        batch.put(Table::Indexes, key, value.clone());
        engine.commit(batch, Durability::Buffered)?;
        Ok(Self { index, entry, value })
    }

    pub(super) fn entry(&self) -> &IndexEntry {
        &self.entry
    }

    /// Commits a batch together with what becomes of the entry.
    fn write(&mut self, mut batch: Batch, entry: IndexEntry) -> Result<(), ViewsError> {
        let value = entry.encode();
        self.expect(&mut batch);
        batch.put(Table::Indexes, self.index.key(), value.clone());
        self.commit_batch(batch)?;
        (self.entry, self.value) = (entry, value);
        Ok(())
    }

    fn expect(&self, batch: &mut Batch) {
        self.index.db.expect_existence(batch);
        batch.expect(Table::Indexes, self.index.key(), Expect::Is(self.value.clone()));
    }

    fn commit_batch(&self, batch: Batch) -> Result<(), ViewsError> {
        if self.index.is_dropped() {
            return Err(ViewsError::Dropped);
        }
        match self.index.engine().commit(batch, Durability::Buffered) {
            Err(StorageError::Precondition) => {
                check_database(self.index)?;
                self.index.set_dropped();
                Err(ViewsError::Dropped)
            }
            other => Ok(other?),
        }
    }

    /// Puts the edits of consecutive changes into the index, in one batch.
    pub(super) fn commit(&mut self, chunks: Vec<Chunk>) -> Result<(), ViewsError> {
        let mut batch = Batch::default();
        let mut entry = self.entry.clone();
        let (mut ids, mut rows): (Vec<DocId>, Vec<RowEdit>) = (Vec::new(), Vec::new());
        for chunk in chunks {
            entry.seq = entry.seq.max(chunk.upto);
            for (rows, delta) in entry.rows.iter_mut().zip(&chunk.rows_delta) {
                *rows = rows.saturating_add_signed(*delta);
            }
            for (failed, more) in entry.failed.iter_mut().zip(&chunk.failed) {
                *failed |= more;
            }
            entry.external_bytes = entry.external_bytes.saturating_add_signed(chunk.external_delta);
            for (key, emits) in chunk.emits {
                match emits {
                    Some(emits) => batch.put(Table::ViewEmits, key, emits),
                    None => batch.delete(Table::ViewEmits, key),
                }
            }
            let earlier = ids.len();
            ids.extend(chunk.ids);
            rows.extend(chunk.rows.into_iter().map(|mut row| {
                row.document += earlier;
                row
            }));
        }
        if entry.summarised {
            rows.sort_by(|one, two| one.key.cmp(&two.key));
            self.mend_blocks(&mut batch, &ids, &rows)?;
        }
        for row in rows {
            match row.now {
                Some(value) => batch.put(Table::ViewRows, row.key, value),
                None => batch.delete(Table::ViewRows, row.key),
            }
        }
        if batch.is_empty() && entry == self.entry {
            return Ok(());
        }
        self.write(batch, entry)
    }

    /// Adds to the batch what sorted edits of rows make of the blocks.
    fn mend_blocks(
        &self,
        batch: &mut Batch,
        ids: &[DocId],
        rows: &[RowEdit],
    ) -> Result<(), ViewsError> {
        let snapshot = self.index.engine().snapshot();
        for rows in rows.chunk_by(|one, two| one.view == two.view) {
            let Some(view) = rows.first().map(|row| row.view) else { continue };
            let changes = rows
                .iter()
                .map(|row| row.change(ids))
                .collect::<Result<Vec<RowChange<'_>>, _>>()?;
            let blocks = self.index.blocks(self.entry.number, view);
            blocks.apply_changes(snapshot.as_ref(), batch, &changes)?;
        }
        Ok(())
    }

    /// Notes that all changes and purges up to these are in.
    pub(super) fn set_reached(&mut self, seq: u64, purge_seq: u64) -> Result<(), ViewsError> {
        let mut entry = self.entry.clone();
        entry.seq = entry.seq.max(seq);
        entry.purge_seq = entry.purge_seq.max(purge_seq);
        if entry == self.entry { Ok(()) } else { self.write(Batch::default(), entry) }
    }

    /// From now on the index has no blocks.
    pub(super) fn drop_blocks(&mut self) -> Result<(), ViewsError> {
        if !self.entry.summarised {
            return Ok(());
        }
        let mut batch = Batch::default();
        let range = view_keys::index_range(self.index.db.number(), self.entry.number);
        batch.delete_range(Table::ViewBlocks, range);
        let entry = IndexEntry { summarised: false, ..self.entry.clone() };
        self.write(batch, entry)
    }

    /// Makes the blocks, where there are none.
    pub(super) fn summarise(&mut self) -> Result<(), ViewsError> {
        if self.entry.summarised {
            return Ok(());
        }
        for view in 0..self.index.group().maps.len() {
            let view = u16::try_from(view).unwrap_or(u16::MAX);
            let guarded = Guarded(self);
            match self.index.blocks(self.entry.number, view).build_all(&guarded) {
                Err(ViewsError::Database(DatabaseError::Storage(error)))
                    if matches!(*error, StorageError::Precondition) =>
                {
                    check_database(self.index)?;
                    self.index.set_dropped();
                    return Err(ViewsError::Dropped);
                }
                other => other?,
            }
        }
        let entry = IndexEntry { summarised: true, ..self.entry.clone() };
        self.write(Batch::default(), entry)
    }

    /// Tells those who wait how far the index has come.
    pub(super) fn publish(&self) {
        self.index.reached.send_modify(|reached| {
            reached.seq = self.entry.seq;
            reached.purge_seq = self.entry.purge_seq;
        });
    }
}

/// Fails where a precondition has failed because the database is gone.
fn check_database(index: &Index) -> Result<(), ViewsError> {
    let state = keys::state(index.db.number());
    match index.engine().get(Table::Databases, &state)? {
        Some(_) => Ok(()),
        None => Err(DatabaseError::NotFound.into()),
    }
}

/// The store, for batches that are all of this index.
#[derive(Debug)]
struct Guarded<'a, 'b>(&'a Stored<'b>);

impl std::fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Engine for Guarded<'_, '_> {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.0.index.engine().snapshot()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.0.index.engine().get(table, key)
    }

    fn commit(&self, mut batch: Batch, durability: Durability) -> Result<(), StorageError> {
        self.0.expect(&mut batch);
        self.0.index.engine().commit(batch, durability)
    }

    fn approximate_bytes(&self, table: Table, range: &KeyRange) -> u64 {
        self.0.index.engine().approximate_bytes(table, range)
    }

    fn compact(&self, table: Table, range: &KeyRange) {
        self.0.index.engine().compact(table, range);
    }

    fn set_compression(&self, compression: Compression) -> Result<(), StorageError> {
        self.0.index.engine().set_compression(compression)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError> {
        self.0.index.engine().checkpoint(folder)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.0.index.engine().close()
    }
}
