//! Reading many revisions for a streamed answer: in batches, each bounded by count and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::database::Database;
use crate::document::{DocId, Document, Rev};

use super::error::ApiError;
use super::viewer::Viewer;

/// Revisions that one batch reads.
const BATCH_REVISIONS: usize = 128;
/// Bytes of documents that one batch reads, about; a single document may be larger.
const BATCH_BYTES: u64 = 1 << 20;

/// A row of an answer before its document is read.
#[derive(Debug)]
pub struct Row<T> {
    pub tag: T,
    /// `None` for a row that needs no document.
    pub wanted: Option<(DocId, Rev)>,
    /// What the document takes in memory, about.
    pub bytes: u64,
}

/// A row with its document, where one is there and may be seen.
#[derive(Debug)]
pub struct LoadedRow<T> {
    pub tag: T,
    pub document: Option<Document>,
}

/// Rows in the order in which they were added.
#[derive(Debug)]
pub struct Rows<T> {
    db: Arc<Database>,
    viewer: Viewer,
    waiting: VecDeque<Row<T>>,
    loaded: VecDeque<LoadedRow<T>>,
}

impl<T> Rows<T> {
    #[must_use]
    pub fn new(db: Arc<Database>, viewer: Viewer) -> Self {
        Self { db, viewer, waiting: VecDeque::new(), loaded: VecDeque::new() }
    }

    /// Where the revisions are read.
    #[must_use]
    pub fn db(&self) -> &Arc<Database> {
        &self.db
    }

    pub fn push(&mut self, row: Row<T>) {
        self.waiting.push_back(row);
    }

    /// The next row; `None` where nothing waits. For threads that may block.
    ///
    /// # Errors
    /// Those of storage.
    pub fn next(&mut self) -> Result<Option<LoadedRow<T>>, ApiError> {
        if self.loaded.is_empty() {
            self.load()?;
        }
        Ok(self.loaded.pop_front())
    }

    fn load(&mut self) -> Result<(), ApiError> {
        let (mut batch, mut wanted, mut bytes) = (Vec::new(), Vec::new(), 0u64);
        while batch.len() < BATCH_REVISIONS
            && bytes < BATCH_BYTES
            && let Some(row) = self.waiting.pop_front()
        {
            bytes = bytes.saturating_add(row.bytes);
            wanted.extend(row.wanted.clone());
            batch.push(row);
        }
        let seen = |document| self.viewer.show(document).ok();
        let found = self.db.revisions(&wanted)?.into_iter();
        let mut found = found.map(|document| document.and_then(seen));
        self.loaded.extend(batch.into_iter().map(|row| match row.wanted {
            None => LoadedRow { tag: row.tag, document: None },
            Some(_) => LoadedRow { tag: row.tag, document: found.next().flatten() },
        }));
        Ok(())
    }
}
