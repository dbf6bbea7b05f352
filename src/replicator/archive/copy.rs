//! Copies a database straight from a source to a target, as if through a file: a replication
//! without checkpoints, so nothing is written to the source, whose design documents come last.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::TryStreamExt as _;

use crate::replicator::{AttachmentSource, Changed, Peer, Retries};

use super::arrivals::Arrivals;
use super::export::{RETRIES, changes};
use super::{Tally, TransferError};

/// Batches that are copied side by side.
const BATCHES: usize = 4;

/// Copies all leaves of `source` that `target` does not have, and says in `tally` what became of
/// them.
///
/// # Errors
/// Where one of them cannot be reached. What was written until then stays.
pub async fn copy(
    source: &Arc<dyn Peer>,
    target: &dyn Peer,
    tally: &Tally,
) -> Result<(), TransferError> {
    let copy = Copy {
        source: source.as_ref(),
        attachments: AttachmentSource::new(source.clone(), Retries::new(RETRIES)),
        arrivals: Arrivals { target, tally },
    };
    let last: Mutex<Vec<Changed>> = Mutex::default();
    changes(source)
        .await?
        .map_ok(|batch| {
            let (design, others): (Vec<Changed>, Vec<Changed>) =
                batch.changed.into_iter().partition(|changed| changed.id.starts_with("_design/"));
            last.lock().unwrap_or_else(PoisonError::into_inner).extend(design);
            copy.write(others)
        })
        .err_into()
        .try_buffer_unordered(BATCHES)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    copy.write(last.into_inner().unwrap_or_else(PoisonError::into_inner)).await
}

struct Copy<'a> {
    source: &'a dyn Peer,
    attachments: AttachmentSource,
    arrivals: Arrivals<'a>,
}

impl Copy<'_> {
    async fn write(&self, changed: Vec<Changed>) -> Result<(), TransferError> {
        if changed.is_empty() {
            return Ok(());
        }
        let Arrivals { target, tally } = self.arrivals;
        let missing = target.revs_diff(&changed).await?;
        let all: usize = changed.iter().map(|changed| changed.revs.len()).sum();
        let lacking: usize = missing.iter().map(|missing| missing.revs.len()).sum();
        tally.count(all.saturating_sub(lacking), 0);
        let mut rest = missing.as_slice();
        while !rest.is_empty() {
            let fetched = self.source.fetch(rest).await?;
            tally.fail_gone(fetched.not_found);
            let revisions = fetched.revisions.into_iter();
            self.arrivals
                .write(revisions.map(|revision| (revision, self.attachments.clone())).collect())
                .await?;
            rest = &rest[fetched.done.clamp(1, rest.len())..];
        }
        Ok(())
    }
}
