//! Which attachment bytes a group of writes brings, shares and lets go.
//!
//! Invariant: bytes stay as long as one stored revision refers to them, and no longer.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::document::{Digest, DocId, Rev};
use crate::storage::keys::{self, BlobId, DbNumber};
use crate::storage::{Batch, Direction, Table, values};

use super::attachments::{Blob, Place, UploadedChunks};
use super::{Database, DatabaseError};

/// The blobs of one group.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// Written by this group.
    new: HashSet<Digest>,
    /// Referred to by a revision of this group.
    referred: HashSet<Digest>,
    /// Let go by revisions whose bodies this group drops, with the keys of these references.
    released: HashMap<Digest, HashSet<Vec<u8>>>,
    adopted: Vec<Arc<UploadedChunks>>,
}

impl Blobs {
    /// Whether the bytes are there, or will be with this group.
    pub(super) fn exists(&self, db: &Database, digest: Digest) -> Result<bool, DatabaseError> {
        let key = keys::blob(db.number, digest);
        Ok(self.new.contains(&digest) || db.engine.get(Table::Blobs, &key)?.is_some())
    }

    /// Makes uploaded bytes the database's, unless it has the same already.
    pub(super) fn adopt(
        &mut self,
        db: &Database,
        batch: &mut Batch,
        blob: &Blob,
    ) -> Result<(), DatabaseError> {
        if self.exists(db, blob.digest)? {
            return Ok(());
        }
        let id = match &blob.place {
            Place::Memory(bytes) => {
                let id = BlobId(*uuid::Uuid::now_v7().as_bytes());
                if !bytes.is_empty() {
                    batch.put(Table::Chunks, keys::chunk(db.number, id, 0), bytes.to_vec());
                }
                id
            }
            Place::Chunks(chunks) => {
                batch.delete(Table::Catalogue, keys::upload(db.number, chunks.id));
                self.adopted.push(chunks.clone());
                chunks.id
            }
        };
        let record = values::Blob { id, encoded_length: blob.encoded_length, sha1: blob.sha1 };
        batch.put(Table::Blobs, keys::blob(db.number, blob.digest), record.encode());
        self.new.insert(blob.digest);
        Ok(())
    }

    /// A revision of this group refers to the bytes.
    pub(super) fn refer(
        &mut self,
        db: DbNumber,
        batch: &mut Batch,
        digest: Digest,
        id: &DocId,
        rev: &Rev,
    ) {
        batch.put(Table::Blobs, keys::reference(db, digest, id, rev), Vec::new());
        self.referred.insert(digest);
    }

    /// A revision that referred to the bytes goes.
    pub(super) fn release(
        &mut self,
        db: DbNumber,
        batch: &mut Batch,
        digest: Digest,
        id: &DocId,
        rev: &Rev,
    ) {
        let key = keys::reference(db, digest, id, rev);
        batch.delete(Table::Blobs, key.clone());
        self.released.entry(digest).or_default().insert(key);
    }

    /// Removes the bytes that nothing refers to any more.
    pub(super) fn settle(&mut self, db: &Database, batch: &mut Batch) -> Result<(), DatabaseError> {
        if self.released.is_empty() {
            return Ok(());
        }
        let snapshot = db.engine.snapshot();
        for (digest, released) in std::mem::take(&mut self.released) {
            if self.referred.contains(&digest) {
                continue;
            }
            let mut held = false;
            let mut visit = |key: &[u8], _: &[u8]| {
                held = !released.contains(key);
                if held { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let range = keys::references(db.number, digest);
            snapshot.scan(Table::Blobs, &range, Direction::Forward, &mut visit)?;
            let key = keys::blob(db.number, digest);
            if let (false, Some(value)) = (held, snapshot.get(Table::Blobs, &key)?) {
                let blob = values::Blob::decode(&value)?;
                batch.delete(Table::Blobs, key);
                batch.delete_range(Table::Chunks, keys::chunks(db.number, blob.id));
            }
        }
        Ok(())
    }

    /// Uploads whose chunks belong to documents once the group has committed.
    pub(super) fn take_adopted(&mut self) -> Vec<Arc<UploadedChunks>> {
        std::mem::take(&mut self.adopted)
    }
}
