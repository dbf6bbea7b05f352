//! Brings the documents of a file to a database.
//!
//! What the target has is not written again, so an import that was interrupted is simply run once
//! more. Design documents come last: what they validate has been written before.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{TryStreamExt as _, try_unfold};

use crate::blocking;
use crate::document::Rev;
use crate::replicator::{Answer, AttachmentSource, Changed, Missing, Peer, Retries, WriteFailure};

use super::arrivals::Arrivals;
use super::chunks::LocatedAttachments;
use super::reader::{Batch, Document, Replicated};
use super::{ArchiveReader, Tally, TransferError};

/// Batches that are written side by side.
const BATCHES: usize = 4;

/// A document without a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDocument {
    pub id: String,
    /// With `_id`.
    pub text: Bytes,
}

/// Where an import goes to.
pub trait ImportTarget: Peer {
    /// Writes documents that get their revision from the target. One that is there with just this
    /// content is no failure.
    fn write_new<'a>(&'a self, documents: &'a [NewDocument]) -> Answer<'a, Vec<WriteFailure>>;
}

/// Writes all documents of a file to `target`, and says in `tally` what became of them.
///
/// # Errors
/// Where the file is broken or the target cannot be written. What was written until then stays.
pub async fn import(
    target: &dyn ImportTarget,
    reader: ArchiveReader,
    tally: &Arc<Tally>,
) -> Result<(), TransferError> {
    let file = reader.file();
    let reader = Arc::new(Mutex::new(reader));
    let batches = try_unfold(reader.clone(), |reader| async move {
        let reading = reader.clone();
        let read = move || reading.lock().unwrap_or_else(PoisonError::into_inner).next_batch();
        let batch = blocking::run("read batch", read).await??;
        Ok::<_, TransferError>(batch.map(|batch| (batch, reader)))
    });
    let import = Import { target, file, tally, arrivals: Arrivals { target, tally } };
    batches
        .map_ok(|batch| import.write(batch))
        .try_buffer_unordered(BATCHES)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    let deferred = reader.lock().unwrap_or_else(PoisonError::into_inner).deferred();
    import.write(deferred).await
}

struct Import<'a> {
    target: &'a dyn ImportTarget,
    file: Arc<File>,
    tally: &'a Arc<Tally>,
    arrivals: Arrivals<'a>,
}

impl Import<'_> {
    async fn write(&self, batch: Batch) -> Result<(), TransferError> {
        let tally = self.tally;
        tally.count(batch.failures.len(), 0);
        tally.fail(batch.failures);
        let (mut replicated, mut new) = (Vec::new(), Vec::new());
        for document in batch.documents {
            match document {
                Document::Replicated(document) => replicated.push(document),
                Document::New(document) => new.push(document),
            }
        }
        if !replicated.is_empty() {
            self.write_replicated(replicated).await?;
        }
        if !new.is_empty() {
            let failures = self.target.write_new(&new).await?;
            self.arrivals.count(new.len(), failures);
        }
        tally.reach(batch.reached);
        Ok(())
    }

    async fn write_replicated(&self, documents: Vec<Replicated>) -> Result<(), TransferError> {
        let mut revs: HashMap<String, Vec<Rev>> = HashMap::new();
        for Replicated { revision, .. } in &documents {
            revs.entry(revision.id.clone()).or_default().push(revision.rev.clone());
        }
        let asked: Vec<Changed> = revs.into_iter().map(|(id, revs)| Changed { id, revs }).collect();
        let missing = self.target.revs_diff(&asked).await?;
        let missing: HashMap<&str, &Missing> =
            missing.iter().map(|missing| (missing.id.as_str(), missing)).collect();
        let all = documents.len();
        let lacking = documents.into_iter().filter_map(|Replicated { mut revision, located }| {
            let found = missing.get(revision.id.as_str())?;
            revision.possible_ancestors.clone_from(&found.possible_ancestors);
            let (file, tally) = (self.file.clone(), self.tally.clone());
            let held = LocatedAttachments { file, located, tally };
            // A file gives the same again.
            let source = AttachmentSource::new(Arc::new(held), Retries::new(0));
            found.revs.contains(&revision.rev).then_some((revision, source))
        });
        let lacking: Vec<_> = lacking.collect();
        self.tally.count(all - lacking.len(), 0);
        self.arrivals.write(lacking).await
    }
}
