//! A peer whose calls fail, before or after they took effect, come late, and answer oddly.

use std::future::Future;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use serde_json::{Map, Value};

use crate::replicator::peer::{
    Answer, AttachmentBody, AttachmentHolder, Changed, ChangesBatch, ChangesQuery, ChangesReader,
    Fetched, Missing, Peer, PeerInfo, Revision, Stub, WriteFailure,
};
use crate::replicator::{
    AttachmentSource, CreateTarget, LocalPeer, PeerError, Progress, Selection, Statistics,
};

use super::check::Oracle;
use super::stage::Actor;

/// How late calls and answers come.
const LATE_MS: u64 = 200;
/// Bytes of an attachment that come at once.
const PIECE_MAX: usize = 100_000;

/// Statistics that may only grow.
pub struct Watch {
    pub progress: Arc<Progress>,
    last: Mutex<Statistics>,
}

impl Watch {
    pub fn new(progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self { progress, last: Mutex::default() })
    }

    pub fn look(&self) {
        let now = self.progress.snapshot().statistics;
        let last = std::mem::replace(&mut *self.last.lock().unwrap(), now);
        let grows = now.missing_checked >= last.missing_checked
            && now.missing_found >= last.missing_found
            && now.docs_read >= last.docs_read
            && now.docs_written >= last.docs_written
            && now.bulk_get_docs >= last.bulk_get_docs
            && now.bulk_get_attempts >= last.bulk_get_attempts;
        assert!(grows, "statistics went back from {last:?} to {now:?}");
        assert!(now.docs_written <= now.docs_read, "more written than read: {now:?}");
        assert_eq!(now.doc_write_failures, 0, "nothing is refused here");
    }
}

/// A side of a replication of the simulation.
#[derive(Clone)]
pub struct FaultyPeer {
    pub inner: LocalPeer,
    pub actor: Arc<Actor>,
    pub watch: Arc<Watch>,
    /// Who knows what a checkpoint on this side promises.
    pub oracle: Option<Arc<Oracle>>,
}

impl FaultyPeer {
    fn error(&self) -> PeerError {
        let status = |status, error: &str| PeerError::Status {
            name: self.inner.name(),
            status,
            error: error.to_owned(),
            reason: "a fault".to_owned(),
        };
        match self.actor.below(5) {
            0 => PeerError::Unreachable("a connection was cut".to_owned()),
            1 => PeerError::Garbage("an answer was cut".to_owned()),
            2 => status(500, "internal_server_error"),
            3 => status(503, "service_unavailable"),
            _ => status(429, "too_many_requests"),
        }
    }

    /// Makes a call with what goes wrong on its way.
    async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        self.actor.count_call();
        self.watch.look();
        self.actor.pause(LATE_MS).await;
        let answer = if self.actor.fails() {
            let took_effect = self.actor.percent(50);
            if took_effect {
                // Whatever came of it, nobody is told.
                let _ = call.await;
            }
            Err(self.error())
        } else {
            call.await
        };
        self.actor.pause(LATE_MS).await;
        let outcome = answer.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
        self.actor.note(format_args!("{what} {}: {outcome}", self.inner.name()));
        answer
    }

    /// The same bytes in other pieces, and not always all of them.
    fn cut(
        &self,
        bytes: BoxStream<'static, Result<Bytes, PeerError>>,
        most: u64,
    ) -> BoxStream<'static, Result<Bytes, PeerError>> {
        let most = usize::try_from(most).unwrap();
        let left = self.actor.fails().then(|| self.actor.below(most + 1));
        let cut = Cut { peer: self.clone(), bytes, waiting: Bytes::new(), left };
        unfold(Some(cut), |cut| async move { cut?.next().await }).boxed()
    }
}

/// An attachment's bytes with a cut in them.
struct Cut {
    peer: FaultyPeer,
    bytes: BoxStream<'static, Result<Bytes, PeerError>>,
    waiting: Bytes,
    /// Bytes before the cut.
    left: Option<usize>,
}

impl Cut {
    async fn next(mut self) -> Option<(Result<Bytes, PeerError>, Option<Self>)> {
        if self.left == Some(0) {
            // A cut may look like the end.
            let error = self.peer.actor.percent(50).then(|| self.peer.error())?;
            return Some((Err(error), None));
        }
        if self.waiting.is_empty() {
            match self.bytes.next().await? {
                Ok(bytes) => self.waiting = bytes,
                Err(error) => return Some((Err(error), None)),
            }
        }
        let most = self.waiting.len().min(self.left.unwrap_or(usize::MAX)).min(PIECE_MAX);
        let piece = self.waiting.split_to(self.peer.actor.below(most) + 1);
        self.left = self.left.map(|left| left - piece.len());
        Some((Ok(piece), Some(self)))
    }
}

/// Changes with repetitions.
struct FaultyReader {
    peer: FaultyPeer,
    inner: Box<dyn ChangesReader>,
    before: ChangesBatch,
    /// Read, and not shown yet.
    held: Option<ChangesBatch>,
}

impl ChangesReader for FaultyReader {
    fn next(&mut self) -> Answer<'_, Option<ChangesBatch>> {
        Box::pin(async move {
            if let Some(held) = self.held.take() {
                self.before = held.clone();
                return Ok(Some(held));
            }
            let actor = self.peer.actor.clone();
            let read = self.inner.next().await;
            actor.pause(LATE_MS).await;
            let rows = read.as_ref().map_or(None, |batch| Some(batch.as_ref()?.changed.len()));
            actor.note(format_args!("changes {}: {rows:?}", self.peer.inner.name()));
            let Some(mut batch) = read? else { return Ok(None) };
            if actor.fails() {
                return Err(self.peer.error());
            }
            if actor.fails() && !batch.changed.is_empty() {
                let again = actor.pick(&batch.changed).clone();
                batch.changed.insert(actor.below(batch.changed.len()), again);
            }
            if actor.fails() {
                self.held = Some(batch);
                let moved = ChangesBatch { changed: Vec::new(), ..self.before.clone() };
                return Ok(Some(if actor.percent(50) { self.before.clone() } else { moved }));
            }
            self.before = batch.clone();
            Ok(Some(batch))
        })
    }
}

impl AttachmentHolder for FaultyPeer {
    fn attachment<'a>(
        &'a self,
        revision: &'a Revision,
        stub: &'a Stub,
        offset: u64,
    ) -> Answer<'a, AttachmentBody> {
        Box::pin(async move {
            let offset = if self.actor.percent(30) { 0 } else { offset };
            let attachment = self.inner.attachment(revision, stub, offset);
            let AttachmentBody { encoding, offset, bytes } =
                self.call("attachment", attachment).await?;
            let bytes = self.cut(bytes, stub.encoded_length - offset);
            Ok(AttachmentBody { encoding, offset, bytes })
        })
    }
}

impl Peer for FaultyPeer {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn info(&self) -> Answer<'_, PeerInfo> {
        Box::pin(self.call("info", self.inner.info()))
    }

    fn create<'a>(&'a self, options: &'a CreateTarget) -> Answer<'a, ()> {
        Box::pin(self.call("create", self.inner.create(options)))
    }

    fn local<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Map<String, Value>>> {
        Box::pin(self.call("local", self.inner.local(id)))
    }

    fn write_local<'a>(&'a self, id: &'a str, members: Map<String, Value>) -> Answer<'a, ()> {
        let write = async move {
            let recorded = members.get("source_last_seq").cloned();
            self.inner.write_local(id, members).await?;
            if let (Some(oracle), Some(recorded)) = (&self.oracle, recorded) {
                oracle.look(&recorded);
            }
            Ok(())
        };
        Box::pin(self.call("write_local", write))
    }

    fn changes(&self, query: ChangesQuery) -> Answer<'_, Box<dyn ChangesReader>> {
        Box::pin(async move {
            let before = ChangesBatch { last_seq: query.since.clone(), ..ChangesBatch::default() };
            let inner = self.call("begin changes", self.inner.changes(query)).await?;
            let reader = FaultyReader { peer: self.clone(), inner, before, held: None };
            Ok(Box::new(reader) as Box<dyn ChangesReader>)
        })
    }

    fn pending<'a>(
        &'a self,
        since: &'a Value,
        selection: &'a Selection,
    ) -> Answer<'a, Option<u64>> {
        Box::pin(self.call("pending", self.inner.pending(since, selection)))
    }

    fn filter_code<'a>(&'a self, ddoc: &'a str, filter: &'a str) -> Answer<'a, String> {
        Box::pin(self.call("filter_code", self.inner.filter_code(ddoc, filter)))
    }

    fn revs_diff<'a>(&'a self, changed: &'a [Changed]) -> Answer<'a, Vec<Missing>> {
        Box::pin(async move {
            let mut missing = self.call("revs_diff", self.inner.revs_diff(changed)).await?;
            if self.actor.fails() && !missing.is_empty() {
                missing.push(self.actor.pick(&missing).clone());
            }
            Ok(missing)
        })
    }

    fn fetch<'a>(&'a self, missing: &'a [Missing]) -> Answer<'a, Fetched> {
        Box::pin(async move {
            let some =
                if self.actor.fails() { self.actor.below(missing.len()) + 1 } else { usize::MAX };
            let asked = &missing[..some.min(missing.len())];
            let mut fetched = self.call("fetch", self.inner.fetch(asked)).await?;
            fetched.by_bulk_get &= !self.actor.fails();
            Ok(fetched)
        })
    }

    fn write<'a>(&'a self, revisions: &'a [Revision]) -> Answer<'a, Vec<WriteFailure>> {
        Box::pin(async move {
            if self.actor.fails() {
                let some = self.actor.below(revisions.len() + 1);
                self.call("write some", self.inner.write(&revisions[..some])).await?;
                return Err(self.error());
            }
            self.call("write", self.inner.write(revisions)).await
        })
    }

    fn write_with_attachments<'a>(
        &'a self,
        revision: &'a Arc<Revision>,
        source: &'a AttachmentSource,
    ) -> Answer<'a, Option<WriteFailure>> {
        let write = self.inner.write_with_attachments(revision, source);
        Box::pin(self.call("write_with_attachments", write))
    }

    fn ensure_full_commit(&self) -> Answer<'_, String> {
        Box::pin(self.call("ensure_full_commit", self.inner.ensure_full_commit()))
    }
}
