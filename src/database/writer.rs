//! The one writer of a database: a bounded queue, drained in groups that commit as one batch.
//!
//! There is no thread behind an idle database. The first to queue something while nobody drives
//! gets a [`Driver`] and runs it; it works until the queue is empty, for everyone who joined.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use crate::document::{DocId, Rev};

use super::group::Group;
use super::{
    Admitted, Database, DatabaseError, Edit, EditOutcome, LocalEdit, LocalOutcome, PurgeOutcome,
};

/// Edits that may wait for one database's writer.
const WAITING_EDITS_MAX: usize = 100_000;
/// Bytes of edits that may wait. A single request may be larger and is then alone.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Edits and bytes that one batch takes; a single request may be larger.
const GROUP_EDITS_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 16 << 20;

type Answer<T> = oneshot::Sender<Result<T, DatabaseError>>;

/// A setting that is stored with the database.
#[derive(Debug)]
pub(super) enum Setting {
    Security(Vec<u8>),
    RevsLimit(u64),
    PurgedInfosLimit(u64),
}

/// What a writer can be asked to do.
#[derive(Debug)]
pub(super) enum Work {
    Edit(Admitted, Answer<Vec<EditOutcome>>),
    Local(Vec<LocalEdit>, Answer<Vec<LocalOutcome>>),
    Set(Setting, Answer<()>),
    Purge(Vec<(DocId, Vec<Rev>)>, Answer<Vec<PurgeOutcome>>),
    /// Drop the bodies that no leaf refers to.
    Compact(Vec<DocId>, Answer<()>),
    /// Compaction has been through all documents.
    Compacted(Answer<()>),
    Destroy(Answer<()>),
}

impl Work {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Edit(admitted, _) => {
                let edits = &admitted.edits;
                (edits.len(), edits.iter().map(Edit::bytes).sum())
            }
            Self::Local(edits, _) => {
                let body = |edit: &LocalEdit| edit.body.as_ref().map_or(0, bytes::Bytes::len);
                (edits.len(), edits.iter().map(|edit| body(edit) + 64).sum())
            }
            Self::Set(..) | Self::Compacted(_) | Self::Destroy(_) => (1, 64),
            Self::Purge(documents, _) => (documents.len(), documents.len() * 128),
            Self::Compact(ids, _) => (ids.len(), ids.len() * 64),
        }
    }

    /// Answers without having been done.
    pub(super) fn refuse(self, error: DatabaseError) {
        match self {
            Self::Edit(_, answer) => drop(answer.send(Err(error))),
            Self::Local(_, answer) => drop(answer.send(Err(error))),
            Self::Purge(_, answer) => drop(answer.send(Err(error))),
            Self::Set(_, answer)
            | Self::Compact(_, answer)
            | Self::Compacted(answer)
            | Self::Destroy(answer) => drop(answer.send(Err(error))),
        }
    }
}

/// What waits for the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Work>,
    edits: usize,
    bytes: usize,
    driven: bool,
}

impl Queue {
    /// The next works that commit together. The end of the database is a group of its own.
    fn next_group(&mut self) -> Vec<Work> {
        let (mut group, mut edits, mut bytes) = (Vec::new(), 0, 0);
        while let Some(work) = self.waiting.front() {
            let (more_edits, more_bytes) = work.size();
            let alone = matches!(work, Work::Destroy(_));
            let full = edits + more_edits > GROUP_EDITS_MAX || bytes + more_bytes > GROUP_BYTES_MAX;
            if !group.is_empty() && (alone || full) {
                break;
            }
            edits += more_edits;
            bytes += more_bytes;
            group.extend(self.waiting.pop_front());
            if alone {
                break;
            }
        }
        self.edits -= edits;
        self.bytes -= bytes;
        group
    }
}

/// The answer to a write, once it is durable. Where it comes with a [`Driver`], the write waits
/// until somebody runs that driver on a thread that may block.
#[must_use = "a write that nobody drives is never done"]
#[derive(Debug)]
pub struct Reply<T> {
    pub driver: Option<Driver>,
    pub answer: oneshot::Receiver<Result<T, DatabaseError>>,
}

impl<T> Reply<T> {
    /// The answer to what needed no writing.
    fn known(outcome: T) -> Self {
        let (sender, answer) = oneshot::channel();
        // Its receiver is here, so it is delivered.
        drop(sender.send(Ok(outcome)));
        Self { driver: None, answer }
    }

    /// Drives if need be and waits; for threads that may block.
    pub fn wait(mut self) -> Result<T, DatabaseError> {
        if let Some(driver) = self.driver {
            driver.run();
            // Whoever drives alone has the answer by now, and need not block for it.
            if let Ok(done) = self.answer.try_recv() {
                return done;
            }
        }
        self.answer.blocking_recv().unwrap_or(Err(DatabaseError::Overloaded))
    }
}

/// The duty to write what waits for a database.
#[derive(Debug)]
pub struct Driver {
    db: Arc<Database>,
    /// The queue is empty and somebody else may drive it by now.
    done: bool,
}

impl Driver {
    /// Commits group after group until nothing waits.
    pub fn run(mut self) {
        loop {
            let group = {
                let mut queue = self.db.lock_queue();
                let group = queue.next_group();
                if group.is_empty() {
                    queue.driven = false;
                    self.done = true;
                    return;
                }
                group
            };
            commit_group(&self.db, group);
        }
    }
}

impl Drop for Driver {
    /// After a panic, or when it never ran: nobody is left waiting for nobody.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut queue = self.db.lock_queue();
        queue.driven = false;
        queue.edits = 0;
        queue.bytes = 0;
        for work in queue.waiting.drain(..) {
            work.refuse(DatabaseError::Overloaded);
        }
    }
}

fn commit_group(db: &Database, works: Vec<Work>) {
    if db.is_deleted() {
        for work in works {
            work.refuse(DatabaseError::NotFound);
        }
        return;
    }
    match Group::load(db, &works) {
        Err(error) => {
            for work in works {
                work.refuse(error.clone());
            }
        }
        Ok(group) => group.run(works),
    }
}

impl Database {
    /// Whether nobody writes and nothing waits: then work of this thread's is done at once.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        !self.lock_queue().driven
    }

    pub(super) fn lock_queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit<T>(
        self: &Arc<Self>,
        work: impl FnOnce(Answer<T>) -> Work,
    ) -> Result<Reply<T>, DatabaseError> {
        if self.is_deleted() {
            return Err(DatabaseError::NotFound);
        }
        let (sender, answer) = oneshot::channel();
        let work = work(sender);
        let (edits, bytes) = work.size();
        let mut queue = self.lock_queue();
        let full =
            queue.edits + edits > WAITING_EDITS_MAX || queue.bytes + bytes > WAITING_BYTES_MAX;
        if full && !queue.waiting.is_empty() {
            return Err(DatabaseError::Overloaded);
        }
        queue.waiting.push_back(work);
        queue.edits += edits;
        queue.bytes += bytes;
        let driver =
            if queue.driven { None } else { Some(Driver { db: self.clone(), done: false }) };
        queue.driven = true;
        Ok(Reply { driver, answer })
    }

    /// Writes new revisions; the outcomes stand in the order of the edits that were to be admitted.
    ///
    /// # Errors
    /// [`DatabaseError::Overloaded`] at once where too much waits already, and
    /// [`DatabaseError::DiskFull`].
    pub fn edit(
        self: &Arc<Self>,
        admitted: Admitted,
    ) -> Result<Reply<Vec<EditOutcome>>, DatabaseError> {
        if admitted.is_refused() {
            return Ok(Reply::known(Admitted::outcomes(admitted.into_parts().1, Vec::new())));
        }
        if self.limits.disk_full_for_writes() {
            return Err(DatabaseError::DiskFull);
        }
        self.submit(|answer| Work::Edit(admitted, answer))
    }

    /// Writes or deletes `_local` documents.
    pub fn edit_locals(
        self: &Arc<Self>,
        edits: Vec<LocalEdit>,
    ) -> Result<Reply<Vec<LocalOutcome>>, DatabaseError> {
        self.submit(|answer| Work::Local(edits, answer))
    }

    /// Stores the security object, a minified JSON object.
    pub fn set_security(self: &Arc<Self>, json: Vec<u8>) -> Result<Reply<()>, DatabaseError> {
        self.submit(|answer| Work::Set(Setting::Security(json), answer))
    }

    /// Sets how many revisions each branch of a document keeps.
    pub fn set_revs_limit(self: &Arc<Self>, limit: u64) -> Result<Reply<()>, DatabaseError> {
        self.submit(|answer| Work::Set(Setting::RevsLimit(limit), answer))
    }

    /// Sets how many purges are remembered.
    pub fn set_purged_infos_limit(
        self: &Arc<Self>,
        limit: u64,
    ) -> Result<Reply<()>, DatabaseError> {
        self.submit(|answer| Work::Set(Setting::PurgedInfosLimit(limit), answer))
    }

    /// Removes leaf revisions as if they had never been.
    pub fn purge(
        self: &Arc<Self>,
        documents: Vec<(DocId, Vec<Rev>)>,
    ) -> Result<Reply<Vec<PurgeOutcome>>, DatabaseError> {
        self.submit(|answer| Work::Purge(documents, answer))
    }

    pub(super) fn compact_documents(
        self: &Arc<Self>,
        ids: Vec<DocId>,
    ) -> Result<Reply<()>, DatabaseError> {
        self.submit(|answer| Work::Compact(ids, answer))
    }

    pub(super) fn compacted(self: &Arc<Self>) -> Result<Reply<()>, DatabaseError> {
        self.submit(Work::Compacted)
    }

    pub(super) fn destroy(self: &Arc<Self>) -> Result<Reply<()>, DatabaseError> {
        self.submit(Work::Destroy)
    }
}
