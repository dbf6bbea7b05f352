//! The small synchronous interface that every storage engine fulfils.
//!
//! It promises nothing that a remote key-value store could not give: no long-lived iterators, no
//! reads of uncommitted writes, no merge operators.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use thiserror::Error;

use super::Batch;

/// Where a kind of record lives; an engine tunes each for its access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// The server's own records: database names, counters, database events.
    Catalogue,
    /// A database's counters and settings.
    Databases,
    /// Document heads: revision tree and winner.
    Heads,
    /// Document bodies by revision.
    Bodies,
    /// The by-sequence index that `_changes` reads.
    Changes,
    /// `_local` documents.
    Locals,
    /// Attachments by digest, and which revisions refer to them.
    Blobs,
    /// The bytes of attachments.
    Chunks,
    /// The view indexes of databases.
    Indexes,
    /// Rows of views.
    ViewRows,
    /// Summaries of runs of rows.
    ViewBlocks,
    /// Which rows a document has in an index.
    ViewEmits,
}

impl Table {
    /// All tables, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Catalogue,
        Self::Databases,
        Self::Heads,
        Self::Bodies,
        Self::Changes,
        Self::Locals,
        Self::Blobs,
        Self::Chunks,
        Self::Indexes,
        Self::ViewRows,
        Self::ViewBlocks,
        Self::ViewEmits,
    ];

    /// The name under which an engine keeps the table; never changed once released.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Databases => "databases",
            Self::Heads => "heads",
            Self::Bodies => "bodies",
            Self::Changes => "changes",
            Self::Locals => "locals",
            Self::Blobs => "blobs",
            Self::Chunks => "chunks",
            Self::Indexes => "indexes",
            Self::ViewRows => "view_rows",
            Self::ViewBlocks => "view_blocks",
            Self::ViewEmits => "view_emits",
        }
    }
}

/// Why the storage could not do what it was asked.
#[derive(Debug, Error)]
pub enum StorageError {
    #[error("storage engine: {0}")]
    Engine(String),
    #[error("a record in table {table} cannot be read: {what}")]
    Corrupt { table: &'static str, what: &'static str },
    #[error("a precondition of the batch does not hold")]
    Precondition,
    #[error("this engine keeps nothing on disk")]
    NotOnDisk,
}

/// Keys from `start` (inclusive) to `end` (exclusive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < 0xff {
                end.push(last + 1);
                break;
            }
        }
        if end.is_empty() {
            // No key of ours is longer than this, or begins so.
            end = vec![0xff; 64];
        }
        Self { start: prefix.to_vec(), end }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// Whether a commit must survive a power cut before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The log is synced to disk before the commit returns.
    Synced,
    /// The record may be lost in a crash, but never half of a batch.
    Buffered,
}

/// A visitor of a scan; `Break` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A consistent view of all tables.
pub trait Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// The values of `keys`, in their order.
    fn multi_get(
        &self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StorageError>;

    /// Shows the records of `range` to `visit`, in key order or against it.
    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError>;
}

/// A visitor that may fail, for instance at a broken record.
pub type TryVisit<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, E> + 'a;

/// Scans until the visitor fails.
///
/// # Errors
/// Its failure, or the store's.
pub fn try_scan<E: From<StorageError>>(
    snapshot: &dyn Snapshot,
    table: Table,
    range: &KeyRange,
    direction: Direction,
    visit: &mut TryVisit<'_, E>,
) -> Result<(), E> {
    let mut ended = Ok(());
    let mut each = |key: &[u8], value: &[u8]| {
        visit(key, value).unwrap_or_else(|error| {
            ended = Err(error);
            ControlFlow::Break(())
        })
    };
    snapshot.scan(table, range, direction, &mut each)?;
    ended
}

/// How records are compressed in files. Attachments are compressed where that pays, once, before
/// they are stored, and never here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    None,
    /// LZ4 where files are soon replaced, Zstandard where most of the records end.
    #[default]
    Mixed,
    Lz4,
    /// With its level; `None` is its own default.
    Zstd(Option<u8>),
}

/// A store of ordered tables that commits batches atomically.
pub trait Engine: Send + Sync + fmt::Debug {
    /// What is committed now. Hold it only for one page of reading.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;

    /// The committed value of one key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Applies all of `batch` or nothing.
    ///
    /// # Errors
    /// [`StorageError::Precondition`] where an expectation of the batch does not hold.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError>;

    /// About how many bytes the records of `range` take on disk.
    fn approximate_bytes(&self, table: Table, range: &KeyRange) -> u64;

    /// Reclaims the space of deleted records in `range`.
    fn compact(&self, table: Table, range: &KeyRange);

    /// Compresses files that are written from now on in this way.
    ///
    /// # Errors
    /// Where the engine does not take it.
    fn set_compression(&self, compression: Compression) -> Result<(), StorageError>;

    /// Makes a store of its own in `folder`, which must not exist, out of what is committed now.
    /// On the same file system it shares the files that never change.
    ///
    /// # Errors
    /// [`StorageError::NotOnDisk`] where there are no files to share.
    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError>;

    /// Makes everything committed durable; the engine is not used afterwards.
    fn close(&self) -> Result<(), StorageError>;
}
