//! Revisions that come to a target, and what becomes of them.

use std::sync::Arc;

use futures_util::stream::{self, TryStreamExt as _};

use crate::replicator::{AttachmentSource, Peer, PeerError, Revision, WriteFailure};

use super::{Tally, TransferError};

/// Documents with attachments that one batch writes at a time.
const WITH_ATTACHMENTS: usize = 4;

/// Where they come to.
#[derive(Clone, Copy)]
pub(super) struct Arrivals<'a> {
    pub target: &'a dyn Peer,
    pub tally: &'a Tally,
}

impl Arrivals<'_> {
    /// Writes revisions, and their attachments from where they are.
    pub(super) async fn write(
        &self,
        revisions: Vec<(Revision, AttachmentSource)>,
    ) -> Result<(), TransferError> {
        let (with, without): (Vec<_>, Vec<_>) =
            revisions.into_iter().partition(|(revision, _)| !revision.attachments.is_empty());
        let without: Vec<Revision> = without.into_iter().map(|(revision, _)| revision).collect();
        if !without.is_empty() {
            let failures = self.target.write(&without).await?;
            self.count(without.len(), failures);
        }
        stream::iter(with.into_iter().map(Ok))
            .try_for_each_concurrent(WITH_ATTACHMENTS, |(revision, source)| {
                self.write_with_attachments(revision, source)
            })
            .await
    }

    async fn write_with_attachments(
        &self,
        revision: Revision,
        source: AttachmentSource,
    ) -> Result<(), TransferError> {
        let revision = Arc::new(revision);
        let failure = match self.target.write_with_attachments(&revision, &source).await {
            Ok(failure) => failure,
            Err(error) => Some(lost(&revision, error)?),
        };
        self.count(1, failure);
        Ok(())
    }

    pub(super) fn count(&self, documents: usize, failures: impl IntoIterator<Item = WriteFailure>) {
        let failures: Vec<WriteFailure> = failures.into_iter().collect();
        self.tally.count(documents, documents.saturating_sub(failures.len()));
        self.tally.fail(failures);
    }
}

/// Why a revision has no attachments where all others may well have theirs.
///
/// # Errors
/// `error` where it is about the whole source or target.
pub(super) fn lost(revision: &Revision, error: PeerError) -> Result<WriteFailure, PeerError> {
    match error {
        PeerError::Unauthorized(_) | PeerError::NotFound(_) => Err(error),
        _ if error.is_transient() => Err(error),
        lost => Ok(WriteFailure {
            id: revision.id.clone(),
            error: "bad_attachment".to_owned(),
            reason: lost.to_string(),
        }),
    }
}
