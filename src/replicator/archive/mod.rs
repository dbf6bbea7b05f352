//! Whole databases on the move: from a source to a file of JSON lines ([`export()`]), from there to
//! a target ([`import()`]), and from a source to a target ([`copy()`]).
//!
//! A file's first line is a [`Header`]. Then comes a line for each leaf revision, conflicts and
//! tombstones too: the document with `_id`, `_rev` and `_revisions`, its attachments as stubs. The
//! attachments follow in the stubs' order: a line `{"attachment":…,"length":…,"encoding":…}` and
//! lines `{"data":…}` of base64 until that many bytes are there, or `{"skipped":…}` where the
//! source no longer had them, which takes back the document. The last line counts the documents,
//! so that a file that was cut is noticed.
//!
//! Files of other tools are read too (`reader`): documents with or without a revision, a line each
//! or in an array, and what `_all_docs?include_docs=true` answers.
//!
//! Invariant: memory is bounded, however large documents' attachments and the file are.

mod arrivals;
mod chunks;
mod copy;
mod error;
mod export;
mod foreign;
mod format;
mod import;
mod reader;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub(super) use foreign::decoded_length;

pub use copy::copy;
pub use error::{ArchiveError, TransferError};
pub use export::export;
pub use format::Header;
pub use import::{ImportTarget, NewDocument, import};
pub use reader::{ArchiveReader, Truncated};
pub use writer::ArchiveWriter;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::WriteFailure;

/// Documents that are named among those that failed; more are only counted.
const FAILURES_NAMED_MAX: usize = 1_000;

/// How far an export or an import has come, for those who watch it.
#[derive(Debug, Default)]
pub struct Tally {
    documents: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<WriteFailure>>,
}

impl Tally {
    /// Revisions that have been dealt with.
    pub fn documents(&self) -> u64 {
        self.documents.load(Ordering::Relaxed)
    }

    /// Those that were written: an import passes over what the target has.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many documents failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The documents that failed, the first of them where they are many.
    pub fn failures(&self) -> Vec<WriteFailure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, documents: usize, written: usize) {
        self.documents.fetch_add(documents as u64, Ordering::Relaxed);
        self.written.fetch_add(written as u64, Ordering::Relaxed);
    }

    fn reach(&self, bytes: u64) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Revisions that a source no longer has, or cannot read; it does not say which.
    fn fail_gone(&self, revisions: u64) {
        let failure = WriteFailure {
            id: format!("{revisions} revisions"),
            error: "not_found".to_owned(),
            reason: "the source no longer has them, or cannot read them".to_owned(),
        };
        self.fail((revisions > 0).then_some(failure));
    }

    fn fail(&self, failures: impl IntoIterator<Item = WriteFailure>) {
        let mut known = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for failure in failures {
            self.failed.fetch_add(1, Ordering::Relaxed);
            if known.len() < FAILURES_NAMED_MAX {
                known.push(failure);
            }
        }
    }
}
