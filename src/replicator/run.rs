//! A replication as it runs: changes of the source, in batches; which revisions of them the target
//! lacks; those are fetched and written; what is done is kept in checkpoints on both sides.
//!
//! Batches are worked on side by side and end in their order, so a checkpoint says that everything
//! before it has been written. What came after it is found to be there when it is read again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, try_join};
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::http::date::http_date;
use crate::metrics;

use super::attachments::AttachmentSource;
use super::checkpoint::{Checkpoint, Session, Statistics, agree};
use super::peer::{
    ChangesBatch, ChangesQuery, Fetched, Missing, Peer, PeerInfo, Revision, WriteFailure,
};
use super::{
    PeerError, Progress, ReplicationError, ReplicationId, Retries, Selection, Specification,
};

/// Documents with attachments that one batch writes at a time.
const WITH_ATTACHMENTS: usize = 4;

/// Two sides, and what is to be done between them.
pub struct Replication {
    pub id: ReplicationId,
    pub specification: Arc<Specification>,
    pub source: Arc<dyn Peer>,
    pub target: Arc<dyn Peer>,
    /// The time of day in seconds since 1970.
    pub now_s: fn() -> u64,
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// There was nothing to do since the last checkpoint, which is this.
    NoChanges(Map<String, Value>),
    /// Everything has been replicated; the members of the last checkpoint.
    Completed(Map<String, Value>),
    /// It was told to stop.
    Stopped,
}

impl Replication {
    /// Runs to the end of the source's changes, or until `stop` where the replication is
    /// continuous. Says in `progress` how far it is.
    ///
    /// # Errors
    /// See [`ReplicationError`]. What was written until then stays, and another run goes on from
    /// the last checkpoint.
    pub async fn run(
        &self,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<Ended, ReplicationError> {
        let mut run = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            run = Run::begin(self, progress) => run?,
        };
        let ended = run.replicate(stop).await;
        match ended {
            // What has been done is worth keeping, and the failure is what is told.
            Err(error) => {
                let _ = run.checkpoint().await;
                Err(error)
            }
            Ok(stopped) => {
                run.checkpoint().await?;
                Ok(if stopped { Ended::Stopped } else { run.result() })
            }
        }
    }

    async fn open(&self) -> Result<(PeerInfo, PeerInfo), ReplicationError> {
        let target = async {
            match (self.target.info().await, &self.specification.create_target) {
                (Err(PeerError::NotFound(_)), Some(options)) => {
                    self.target.create(options).await?;
                    self.target.info().await
                }
                (info, _) => info,
            }
        };
        Ok(try_join(self.source.info(), target).await?)
    }
}

/// The state of one run.
struct Run<'r> {
    replication: &'r Replication,
    progress: &'r Progress,
    attachments: AttachmentSource,
    session_id: String,
    start_time: String,
    start_seq: Value,
    /// Everything up to here has been written to the target.
    through: Value,
    committed: Value,
    source_instance: String,
    target_instance: String,
    /// The sessions before this one.
    history: Vec<Value>,
    /// The newest checkpoint, once this run has written one, or that of the source.
    checkpoint: Checkpoint,
    changed: bool,
}

impl<'r> Run<'r> {
    async fn begin(
        replication: &'r Replication,
        progress: &'r Progress,
    ) -> Result<Self, ReplicationError> {
        let specification = &replication.specification;
        let (source_info, target_info) = replication.open().await?;
        let (source, target) = replication.checkpoints().await?;
        let (agreed, history) = agree(&source, &target);
        let agreed = agreed.unwrap_or(json!(0));
        let start_seq = specification.since_seq.clone().unwrap_or(agreed);
        let statistics = history.first().map(Statistics::of).unwrap_or_default();
        progress.update(|known| {
            known.statistics = known.statistics.max(&statistics);
            known.source_seq = start_seq.clone();
            known.through_seq = start_seq.clone();
            known.checkpointed_seq = start_seq.clone();
        });
        let retries = Retries::new(specification.tuning.retries_per_request);
        Ok(Self {
            replication,
            progress,
            attachments: AttachmentSource::new(replication.source.clone(), retries),
            session_id: uuid::Uuid::new_v4().simple().to_string(),
            start_time: http_date((replication.now_s)()),
            through: start_seq.clone(),
            committed: start_seq.clone(),
            start_seq,
            source_instance: source_info.instance_start_time,
            target_instance: target_info.instance_start_time,
            history,
            checkpoint: source,
            changed: false,
        })
    }

    /// Works through the changes. Returns whether it was told to stop.
    async fn replicate(&mut self, stop: &CancellationToken) -> Result<bool, ReplicationError> {
        let replication = self.replication;
        let specification = &replication.specification;
        let query = ChangesQuery {
            since: self.start_seq.clone(),
            selection: specification.selection.clone(),
            winning_revs_only: specification.winning_revs_only,
            continuous: specification.continuous,
            batch: specification.tuning.worker_batch_size,
        };
        let (progress, attachments) = (self.progress, self.attachments.clone());
        let workers = specification.tuning.worker_processes;
        let done = changes(replication, query)
            .map(|batch| replicate_batch(replication, progress, &attachments, batch))
            .buffered(workers);
        futures_util::pin_mut!(done);
        let mut timer = CheckpointTimer::new(specification.tuning.checkpoint_interval);
        loop {
            // In this order, so that a source that never pauses starves neither of the others.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(true),
                () = timer.due(), if self.through != self.committed => {
                    self.checkpoint().await?;
                    timer.restart();
                }
                batch = done.next() => match batch.transpose()? {
                    Some(through) => self.advance(through),
                    None => return Ok(false),
                },
            }
        }
    }

    fn advance(&mut self, through: Value) {
        // Where the source has nothing at all there is nothing to remember.
        if is_beginning(&through) {
            return;
        }
        self.through = through;
        self.progress.update(|known| known.through_seq = self.through.clone());
    }

    /// Makes what was written durable, and remembers on both sides that it was.
    async fn checkpoint(&mut self) -> Result<(), ReplicationError> {
        let Replication { id, specification, source, target, now_s } = self.replication;
        if self.through == self.committed {
            return Ok(());
        }
        if !specification.tuning.use_checkpoints {
            self.commit(Checkpoint::none());
            return Ok(());
        }
        let (one, two) = join(source.ensure_full_commit(), target.ensure_full_commit()).await;
        if one? != self.source_instance {
            return Err(ReplicationError::InstanceChanged("source"));
        }
        if two? != self.target_instance {
            return Err(ReplicationError::InstanceChanged("target"));
        }
        let session = Session {
            id: self.session_id.clone(),
            start_time: self.start_time.clone(),
            end_time: http_date(now_s()),
            start_last_seq: self.start_seq.clone(),
            recorded_seq: self.through.clone(),
            statistics: self.progress.snapshot().statistics,
        };
        let by_ids = matches!(specification.selection, Selection::DocIds(_));
        let checkpoint = Checkpoint::after(&session, &self.history, by_ids);
        for (side, peer) in [("source", source), ("target", target)] {
            let written = peer.write_local(&id.base, checkpoint.members().clone()).await;
            let error = |error| ReplicationError::Checkpoint { side, error: Box::new(error) };
            if written.is_err() {
                metrics::REPLICATOR_CHECKPOINTS_FAILURE.add(1);
            }
            written.map_err(error)?;
        }
        metrics::REPLICATOR_CHECKPOINTS_SUCCESS.add(1);
        self.commit(checkpoint);
        Ok(())
    }

    fn commit(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = checkpoint;
        self.changed = true;
        self.committed = self.through.clone();
        self.progress.update(|known| known.checkpointed_seq = self.committed.clone());
    }

    fn result(self) -> Ended {
        let members = self.checkpoint.members().clone();
        if self.changed { Ended::Completed(members) } else { Ended::NoChanges(members) }
    }
}

impl Replication {
    /// The checkpoints of the source and the target; empty where there are none.
    async fn checkpoints(&self) -> Result<(Checkpoint, Checkpoint), ReplicationError> {
        if !self.specification.tuning.use_checkpoints {
            return Ok((Checkpoint::default(), Checkpoint::default()));
        }
        let (source, target) = (self.source.local(&self.id.base), self.target.local(&self.id.base));
        let (source, target) = try_join(source, target).await?;
        Ok((
            Checkpoint::new(source.unwrap_or_default()),
            Checkpoint::new(target.unwrap_or_default()),
        ))
    }
}

/// When the next checkpoint is due. It does not tick while nobody asks: a replication that waits
/// costs nothing.
struct CheckpointTimer {
    interval: Duration,
    next: tokio::time::Instant,
}

impl CheckpointTimer {
    fn new(interval: Duration) -> Self {
        Self { interval, next: tokio::time::Instant::now() + interval }
    }

    fn restart(&mut self) {
        *self = Self::new(self.interval);
    }

    async fn due(&self) {
        tokio::time::sleep_until(self.next).await;
    }
}

/// Whether a sequence is that of a database without changes, as CouchDB and others write it.
fn is_beginning(seq: &Value) -> bool {
    match seq {
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.split('-').next() == Some("0"),
        _ => false,
    }
}

fn changes(
    replication: &Replication,
    query: ChangesQuery,
) -> impl Stream<Item = Result<ChangesBatch, PeerError>> + '_ {
    let reader = stream::once(replication.source.changes(query));
    reader
        .map_ok(|reader| {
            stream::try_unfold(reader, |mut reader| async move {
                Ok(reader.next().await?.map(|batch| (batch, reader)))
            })
        })
        .try_flatten()
}

/// Brings the changes of a batch to the target. Returns the sequence up to which that goes.
async fn replicate_batch(
    replication: &Replication,
    progress: &Progress,
    attachments: &AttachmentSource,
    batch: Result<ChangesBatch, PeerError>,
) -> Result<Value, ReplicationError> {
    let ChangesBatch { changed, last_seq, pending } = batch?;
    progress.update(|known| {
        known.source_seq = last_seq.clone();
        known.changes_pending = pending.or(known.changes_pending);
    });
    if changed.is_empty() {
        return Ok(last_seq);
    }
    let checked = changed.iter().map(|changed| changed.revs.len() as u64).sum::<u64>();
    let missing = replication.target.revs_diff(&changed).await?;
    let found = missing.iter().map(|missing| missing.revs.len() as u64).sum::<u64>();
    progress.update(|known| {
        known.statistics.missing_checked += checked;
        known.statistics.missing_found += found;
    });
    let mut rest = missing.as_slice();
    while !rest.is_empty() {
        let fetched = replication.source.fetch(rest).await?;
        let (asked, later) = rest.split_at(fetched.done.clamp(1, rest.len()));
        let by_bulk_get = replication.specification.tuning.use_bulk_get;
        count_read(progress, by_bulk_get, asked, &fetched);
        write(replication, progress, attachments, fetched.revisions).await?;
        rest = later;
    }
    Ok(last_seq)
}

/// Counts reads of a database of this server as CouchDB does, which reaches it like any other.
fn count_read(progress: &Progress, by_bulk_get: bool, asked: &[Missing], fetched: &Fetched) {
    let read = fetched.revisions.len() as u64;
    let asked = asked.iter().map(|missing| missing.revs.len() as u64).sum::<u64>();
    progress.update(|known| {
        known.statistics.docs_read += read;
        if by_bulk_get && fetched.by_bulk_get {
            known.statistics.bulk_get_attempts += asked;
            known.statistics.bulk_get_docs += read;
        }
    });
}

async fn write(
    replication: &Replication,
    progress: &Progress,
    attachments: &AttachmentSource,
    revisions: Vec<Revision>,
) -> Result<(), ReplicationError> {
    let (with, without): (Vec<Revision>, Vec<Revision>) =
        revisions.into_iter().partition(|revision| !revision.attachments.is_empty());
    let count = |revisions: usize, failures: &[WriteFailure]| {
        for failure in failures {
            tracing::warn!(
                replication = %replication.id, document = failure.id, error = failure.error,
                reason = failure.reason, "the target refused a document"
            );
        }
        let failures = failures.len();
        progress.update(|known| {
            known.statistics.docs_written += revisions.saturating_sub(failures) as u64;
            known.statistics.doc_write_failures += failures as u64;
        });
    };
    if !without.is_empty() {
        let failures = replication.target.write(&without).await?;
        count(without.len(), &failures);
    }
    let writes = stream::iter(with).map(|revision| async move {
        replication.target.write_with_attachments(&Arc::new(revision), attachments).await
    });
    let mut writes = std::pin::pin!(writes.buffer_unordered(WITH_ATTACHMENTS));
    while let Some(failure) = writes.try_next().await? {
        count(1, failure.as_slice());
    }
    Ok(())
}
