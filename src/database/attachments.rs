//! Attachment bytes: streamed in as chunks before their document is written, streamed out by
//! chunk, shared by digest within a database.
//!
//! Invariant: bytes that no document adopted are removed again, by dropping the last [`Blob`],
//! or, after a crash, when the store is next opened.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use md5::{Digest as _, Md5};
use sha1::Sha1;

use crate::document::{Attachment, Digest, Encoding};
use crate::storage::keys::{self, BlobId, DbNumber};
use crate::storage::values;
use crate::storage::{Batch, Durability, Engine, StorageError, Table};

use super::{Database, DatabaseError};

/// Bytes of a stored chunk; only a blob's last chunk is smaller.
pub const CHUNK_BYTES: usize = 128 << 10;

/// What a finished upload is, before and after a document adopts it.
#[derive(Debug, Clone)]
pub struct Blob {
    /// MD5 of the stored bytes.
    pub digest: Digest,
    pub(super) sha1: [u8; 20],
    pub encoding: Encoding,
    /// Bytes as the client sees them.
    pub length: u64,
    /// Bytes as stored.
    pub encoded_length: u64,
    pub(super) place: Place,
}

/// Where an upload's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Small: in memory until the document's own batch.
    Memory(Bytes),
    /// In the chunks table already.
    Chunks(Arc<UploadedChunks>),
}

impl Blob {
    /// The attachment that these bytes are in a document.
    pub(super) fn attachment(&self, name: String, content_type: String, revpos: u64) -> Attachment {
        Attachment {
            name,
            content_type,
            digest: self.digest,
            length: self.length,
            encoded_length: self.encoded_length,
            encoding: self.encoding,
            revpos,
        }
    }

    pub(super) fn bytes_in_memory(&self) -> usize {
        match &self.place {
            Place::Memory(bytes) => bytes.len(),
            Place::Chunks(_) => 0,
        }
    }
}

/// Chunks that no document refers to yet.
#[derive(Debug)]
pub(super) struct UploadedChunks {
    engine: Arc<dyn Engine>,
    db: DbNumber,
    pub(super) id: BlobId,
    adopted: AtomicBool,
}

impl UploadedChunks {
    /// The batch that makes these chunks a document's has committed.
    pub(super) fn adopt(&self) {
        self.adopted.store(true, Ordering::Release);
    }
}

impl Drop for UploadedChunks {
    fn drop(&mut self) {
        if !self.adopted.load(Ordering::Acquire) {
            // A failure leaves the upload's mark, and the next start removes the chunks.
            let _ = remove_upload(self.engine.as_ref(), self.db, self.id);
        }
    }
}

/// Removes the chunks and the mark of an upload that no document adopted.
pub(super) fn remove_upload(
    engine: &dyn Engine,
    db: DbNumber,
    id: BlobId,
) -> Result<(), DatabaseError> {
    let mut batch = Batch::default();
    batch.delete_range(Table::Chunks, keys::chunks(db, id));
    batch.delete(Table::Catalogue, keys::upload(db, id));
    Ok(engine.commit(batch, Durability::Buffered)?)
}

/// An attachment on its way in. Feed it the bytes to store, which are gzip already where the
/// encoding says so.
#[derive(Debug)]
pub struct Upload {
    engine: Arc<dyn Engine>,
    db: DbNumber,
    md5: Md5,
    sha1: Sha1,
    waiting: BytesMut,
    stored: u64,
    chunks: Option<(Arc<UploadedChunks>, u32)>,
}

impl Upload {
    /// Takes the next bytes; writes a chunk whenever one is full.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), DatabaseError> {
        while !bytes.is_empty() {
            if self.waiting.len() == CHUNK_BYTES {
                self.write_chunk()?;
            }
            let room = CHUNK_BYTES - self.waiting.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.md5.update(now);
            self.sha1.update(now);
            self.waiting.extend_from_slice(now);
            self.stored += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn write_chunk(&mut self) -> Result<(), DatabaseError> {
        let mut batch = Batch::default();
        let (chunks, number) = match self.chunks.take() {
            Some(chunks) => chunks,
            None => {
                let chunks = UploadedChunks {
                    engine: self.engine.clone(),
                    db: self.db,
                    id: BlobId(*uuid::Uuid::now_v7().as_bytes()),
                    adopted: AtomicBool::new(false),
                };
                batch.put(Table::Catalogue, keys::upload(self.db, chunks.id), Vec::new());
                (Arc::new(chunks), 0)
            }
        };
        let bytes = self.waiting.split().to_vec();
        batch.put(Table::Chunks, keys::chunk(self.db, chunks.id, number), bytes);
        self.chunks = Some((chunks, number + 1));
        Ok(self.engine.commit(batch, Durability::Buffered)?)
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// Ends the upload; `length` is that of the bytes as the client sees them.
    pub fn finish(mut self, encoding: Encoding, length: u64) -> Result<Blob, DatabaseError> {
        if self.chunks.is_some() && !self.waiting.is_empty() {
            self.write_chunk()?;
        }
        let place = match self.chunks.take() {
            Some((chunks, _)) => Place::Chunks(chunks),
            None => Place::Memory(self.waiting.split().freeze()),
        };
        Ok(Blob {
            digest: Digest(self.md5.finalize().into()),
            sha1: self.sha1.finalize().into(),
            encoding,
            length,
            encoded_length: self.stored,
            place,
        })
    }
}

/// Reads one attachment's stored bytes chunk by chunk.
#[derive(Debug, Clone)]
pub struct BlobReader {
    engine: Arc<dyn Engine>,
    db: DbNumber,
    blob: values::Blob,
}

impl BlobReader {
    /// Bytes as stored.
    #[must_use]
    pub fn encoded_length(&self) -> u64 {
        self.blob.encoded_length
    }

    /// The stored bytes from `offset` to the end of their chunk; empty at the end.
    pub fn read_at(&self, offset: u64) -> Result<Bytes, DatabaseError> {
        if offset >= self.blob.encoded_length {
            return Ok(Bytes::new());
        }
        let number = u32::try_from(offset / CHUNK_BYTES as u64)
            .map_err(|_| DatabaseError::AttachmentGone)?;
        let inside = usize::try_from(offset % CHUNK_BYTES as u64).unwrap_or(0);
        let key = keys::chunk(self.db, self.blob.id, number);
        match self.engine.get(Table::Chunks, &key)? {
            Some(chunk) if chunk.len() > inside => Ok(Bytes::from(chunk).slice(inside..)),
            Some(_) | None => Err(DatabaseError::AttachmentGone),
        }
    }
}

impl Database {
    /// Begins to take an attachment's bytes.
    #[must_use]
    pub fn upload(&self) -> Upload {
        Upload {
            engine: self.engine.clone(),
            db: self.number,
            md5: Md5::new(),
            sha1: Sha1::new(),
            waiting: BytesMut::new(),
            stored: 0,
            chunks: None,
        }
    }

    /// The first `bytes_max` bytes of an attachment, as clients see them.
    ///
    /// # Errors
    /// As for [`Self::blob`], and where what is stored is not the gzip data that it should be.
    pub(super) fn attachment_bytes(
        &self,
        attachment: &Attachment,
        bytes_max: usize,
    ) -> Result<Vec<u8>, DatabaseError> {
        let reader = self.blob(attachment)?;
        let mut stored = Vec::new();
        // Compressed data is longer by a little, at worst.
        while stored.len() < bytes_max + CHUNK_BYTES {
            let chunk = reader.read_at(stored.len() as u64)?;
            if chunk.is_empty() {
                break;
            }
            stored.extend_from_slice(&chunk);
        }
        if attachment.encoding == Encoding::Identity {
            stored.truncate(bytes_max);
            return Ok(stored);
        }
        let mut bytes = Vec::new();
        let mut decoded = MultiGzDecoder::new(stored.as_slice()).take(bytes_max as u64);
        let corrupt = |_| StorageError::Corrupt {
            table: Table::Chunks.name(),
            what: "an attachment is no gzip data",
        };
        decoded.read_to_end(&mut bytes).map_err(corrupt)?;
        Ok(bytes)
    }

    /// A reader of an attachment's stored bytes.
    ///
    /// # Errors
    /// [`DatabaseError::AttachmentGone`] where its revision has been removed meanwhile.
    pub fn blob(&self, attachment: &Attachment) -> Result<BlobReader, DatabaseError> {
        let key = keys::blob(self.number, attachment.digest);
        let value = self.engine.get(Table::Blobs, &key)?.ok_or(DatabaseError::AttachmentGone)?;
        let blob = values::Blob::decode(&value)?;
        Ok(BlobReader { engine: self.engine.clone(), db: self.number, blob })
    }
}
