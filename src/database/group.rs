//! One group of writes becoming one batch: heads loaded once, changed in memory, written once.
//!
//! Invariant: nothing is shown to anybody before the batch has committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::document::rev_hash::{recreated_rev_hash, rev_hash};
use crate::document::revtree::{Merge, RevTree};
use crate::document::{Attachment, DocId, Rev, RevHash, Revisions};
use crate::metrics;
use crate::storage::values::{self, Change, EventKind, Head, Local, State};
use crate::storage::{Batch, Durability, Expect, StorageError, Table, keys};

use super::apply::{self, Place};
use super::attachments::{Blob, UploadedChunks};
use super::partitions::Partitions;
use super::settle::Blobs;
use super::writer::{Setting, Work};
use super::{
    Admitted, Base, Database, DatabaseError, Edit, EditAttachment, EditOutcome, LocalEdit,
    LocalOutcome, PurgeOutcome, Source,
};

/// How often the end of a database is tried while indexes come into being.
const DESTRUCTION_ATTEMPTS: usize = 8;

/// Called once the group has committed or failed.
type Finish = Box<dyn FnOnce(Result<(), DatabaseError>) + Send>;

/// A document as this group changes it.
#[derive(Debug)]
struct Working {
    /// Its sequence before the group; `None` where it did not exist.
    seq_before: Option<u64>,
    deleted_before: bool,
    tree: RevTree,
    external_bytes_before: u64,
    external_bytes: u64,
    /// Whether it takes a new sequence.
    touched: bool,
}

/// The attachments of a revision, and the bytes among them that come with it.
type Resolved = (Vec<Attachment>, Vec<Blob>);

/// A revision whose place in the tree is known.
struct Revision<'a> {
    deleted: bool,
    path: &'a Revisions,
    attachments: Vec<Attachment>,
    body: &'a [u8],
    /// Whether the tree is shortened to `_revs_limit`.
    stems: bool,
}

/// The works of one batch on their way.
pub(super) struct Group<'a> {
    db: &'a Database,
    heads: HashMap<DocId, Working>,
    partitions: Partitions,
    /// Documents with new sequences, in the order of these.
    touched: Vec<DocId>,
    /// Attachments of the revisions that this group writes, for stubs on top of them.
    written: HashMap<(DocId, Rev), Vec<Attachment>>,
    blobs: Blobs,
    state_before: State,
    state: State,
    batch: Batch,
    settings: Vec<Setting>,
    destroys: bool,
    /// Touched documents: whether they were live, whether they are now.
    liveness: Vec<(DocId, bool, bool)>,
    /// Touched documents: their sequences before, and whether they still are.
    moved: Vec<(Option<u64>, bool)>,
    finishes: Vec<Finish>,
}

impl<'a> Group<'a> {
    /// Loads the heads that `works` need.
    pub(super) fn load(db: &'a Database, works: &[Work]) -> Result<Self, DatabaseError> {
        let mut ids: BTreeSet<&DocId> = BTreeSet::new();
        for work in works {
            match work {
                Work::Edit(admitted, _) => {
                    ids.extend(admitted.edits.iter().map(|edit| &edit.id));
                }
                Work::Purge(documents, _) => ids.extend(documents.iter().map(|(id, _)| id)),
                Work::Compact(compacted, _) => ids.extend(compacted),
                Work::Local(..) | Work::Set(..) | Work::Compacted(_) | Work::Destroy(_) => {}
            }
        }
        let head_keys: Vec<Vec<u8>> =
            ids.iter().map(|id| keys::head(db.number, id.as_str())).collect();
        let snapshot = db.engine.snapshot();
        let partitions = Partitions::load(db, snapshot.as_ref(), ids.iter().copied())?;
        let found = snapshot.multi_get(Table::Heads, &head_keys)?;
        let mut heads = HashMap::with_capacity(ids.len());
        for (id, value) in ids.into_iter().zip(found) {
            let working = match value {
                None => Working {
                    seq_before: None,
                    deleted_before: false,
                    tree: RevTree::default(),
                    external_bytes_before: 0,
                    external_bytes: 0,
                    touched: false,
                },
                Some(value) => {
                    let head = Head::decode(&value)?;
                    Working {
                        seq_before: Some(head.seq),
                        deleted_before: head.tree.winner().is_some_and(|node| node.deleted),
                        tree: head.tree,
                        external_bytes_before: head.external_bytes,
                        external_bytes: head.external_bytes,
                        touched: false,
                    }
                }
            };
            heads.insert(id.clone(), working);
        }
        let state = db.state();
        Ok(Self {
            db,
            heads,
            partitions,
            touched: Vec::new(),
            written: HashMap::new(),
            blobs: Blobs::default(),
            state_before: state,
            state,
            batch: Batch::default(),
            settings: Vec::new(),
            destroys: false,
            liveness: Vec::new(),
            moved: Vec::new(),
            finishes: Vec::new(),
        })
    }

    /// Applies the works, commits, and answers everyone.
    pub(super) fn run(mut self, works: Vec<Work>) {
        let mut applied = Ok(());
        count_coalesced(&works);
        for work in works {
            // After a failure the rest is answered with it; nothing of the group is written.
            applied = match applied {
                Ok(()) => self.apply(work),
                Err(error) => {
                    self.finish_with_error(work, &error);
                    Err(error)
                }
            };
        }
        let result = applied.and_then(|()| self.write_documents());
        let result = result.and_then(|()| self.commit());
        for finish in self.finishes {
            finish(result.clone());
        }
    }

    fn finish_with_error(&mut self, work: Work, error: &DatabaseError) {
        let error = error.clone();
        self.finishes.push(Box::new(move |_| work.refuse(error)));
    }

    fn apply(&mut self, work: Work) -> Result<(), DatabaseError> {
        match work {
            Work::Edit(admitted, answer) => {
                let (edits, refused) = admitted.into_parts();
                let written = self.edits(edits);
                let outcomes = written.map(|written| Admitted::outcomes(refused, written));
                self.answer(outcomes, answer)
            }
            Work::Local(edits, answer) => {
                let outcomes = edits.into_iter().map(|edit| self.local(edit)).collect();
                self.answer(outcomes, answer)
            }
            Work::Set(setting, answer) => {
                self.set(&setting);
                self.settings.push(setting);
                self.answer(Ok(()), answer)
            }
            Work::Purge(documents, answer) => {
                let purge = |(id, revs): (DocId, Vec<Rev>)| self.purge(id, &revs);
                let outcomes = documents.into_iter().map(purge).collect();
                self.answer(outcomes, answer)
            }
            Work::Compact(ids, answer) => {
                let compacted = ids.iter().try_for_each(|id| self.compact(id));
                self.answer(compacted, answer)
            }
            Work::Compacted(answer) => {
                self.state.obsolete_bytes = 0;
                self.answer(Ok(()), answer)
            }
            Work::Destroy(answer) => {
                self.destroys = true;
                self.answer(Ok(()), answer)
            }
        }
    }

    /// Keeps an outcome until the group has committed.
    fn answer<T: Send + 'static>(
        &mut self,
        outcome: Result<T, DatabaseError>,
        answer: tokio::sync::oneshot::Sender<Result<T, DatabaseError>>,
    ) -> Result<(), DatabaseError> {
        let failure = outcome.as_ref().err().cloned();
        self.finishes.push(Box::new(move |committed| {
            // A client that has gone does not matter to the write.
            drop(answer.send(committed.and(outcome)));
        }));
        failure.map_or(Ok(()), Err)
    }

    fn edits(&mut self, edits: Vec<Edit>) -> Result<Vec<EditOutcome>, DatabaseError> {
        let first = self.touched.len();
        metrics::DOCUMENT_WRITES.add(edits.len() as u64);
        let outcomes = edits.into_iter().map(|edit| self.edit(edit)).collect();
        // CouchDB numbers the documents of one request in the order of their ids.
        if let Some(new) = self.touched.get_mut(first..) {
            new.sort_unstable();
        }
        outcomes
    }

    fn edit(&mut self, edit: Edit) -> Result<EditOutcome, DatabaseError> {
        let Some(working) = self.heads.get(&edit.id) else { return Ok(EditOutcome::Conflict) };
        if edit.deleted && edit.base == Base::New && !working.tree.is_empty() {
            // A tombstone is recreated by a document, not by another tombstone.
            return Ok(EditOutcome::Conflict);
        }
        let place = apply::place(&working.tree, &edit.base);
        let below = match &place {
            Place::Conflict => return Ok(EditOutcome::Conflict),
            Place::Known(rev) => return Ok(EditOutcome::Known(rev.clone())),
            Place::Below(parent) => parent.clone(),
            Place::Path(path) => apply::stored_ancestor(&working.tree, path),
        };
        // New bytes of an interactive edit belong to the generation that the client saw coming,
        // even where the revision continues a tombstone.
        let generation = match &edit.base {
            Base::New => Some(1),
            Base::On(rev) => Some(rev.generation.saturating_add(1)),
            Base::Replicated(_) => None,
        };
        let (attachments, blobs) =
            match self.attachments(&edit.id, below.as_ref(), edit.attachments, generation)? {
                Ok(resolved) => resolved,
                Err(name) => return Ok(EditOutcome::MissingStub { name }),
            };
        if generation.is_some()
            && self.overflows(&edit.id, below.is_some(), &attachments, &edit.body)
        {
            return Ok(EditOutcome::PartitionOverflow);
        }
        for blob in &blobs {
            self.blobs.adopt(self.db, &mut self.batch, blob)?;
        }
        let path = match place {
            Place::Path(path) => path,
            _ => {
                let term = &edit.body_term;
                let hash = match (&edit.base, &below) {
                    (Base::New, Some(tombstone)) => {
                        recreated_rev_hash(tombstone, term, attachments.len())
                    }
                    _ => {
                        let hashed = attachments
                            .iter()
                            .map(|att| (att.name.as_str(), att.content_type.as_str(), &att.digest));
                        rev_hash(edit.deleted, below.as_ref(), term, hashed)
                    }
                };
                apply::path_below(below.as_ref(), RevHash::Md5(hash))
            }
        };
        let stems = generation.is_none() || self.db.limits.stem_interactive_updates();
        let revision =
            Revision { deleted: edit.deleted, path: &path, attachments, body: &edit.body, stems };
        self.merge(edit.id, revision)
    }

    fn merge(&mut self, id: DocId, revision: Revision<'_>) -> Result<EditOutcome, DatabaseError> {
        let Revision { deleted, path, attachments, body, stems } = revision;
        let (Some(rev), Some(working)) = (path.newest(), self.heads.get_mut(&id)) else {
            return Ok(EditOutcome::Conflict);
        };
        let leaves = working.tree.leaves().len() as u64;
        let merge = working.tree.merge(path, deleted);
        if merge == Merge::Known {
            return Ok(EditOutcome::Conflict);
        }
        let added = added(&attachments, body);
        let (live, obsolete) = apply::merge_sizes(merge, leaves, working.external_bytes, added);
        self.state.external_bytes =
            (self.state.external_bytes + live).saturating_sub(working.external_bytes);
        self.state.obsolete_bytes += obsolete;
        working.external_bytes = live;
        let removed = if stems { working.tree.stem(self.db.revs_limit()) } else { Vec::new() };
        if !std::mem::replace(&mut working.touched, true) {
            self.touched.push(id.clone());
        }
        let value = values::encode_body(deleted, &attachments, body);
        self.batch.put(Table::Bodies, keys::body(self.db.number, &id, &rev), value);
        for attachment in &attachments {
            self.blobs.refer(self.db.number, &mut self.batch, attachment.digest, &id, &rev);
        }
        self.drop_bodies(&id, removed)?;
        self.written.insert((id, rev.clone()), attachments);
        metrics::DOCUMENT_INSERTS.add(1);
        Ok(EditOutcome::Saved(rev))
    }

    /// Whether a client's revision makes its document larger, in a partition that is full.
    fn overflows(
        &self,
        id: &DocId,
        extends_leaf: bool,
        attachments: &[Attachment],
        body: &[u8],
    ) -> bool {
        let Some(working) = self.heads.get(id).filter(|_| self.partitions.is_full(id)) else {
            return false;
        };
        let merge = if extends_leaf { Merge::NewLeaf } else { Merge::NewBranch };
        let (leaves, added) = (working.tree.leaves().len() as u64, added(attachments, body));
        let (live, _) = apply::merge_sizes(merge, leaves, working.external_bytes, added);
        live > working.external_bytes
    }

    /// The attachments of a revision, stubs resolved. `Ok(Err(name))`: a stub names nothing.
    fn attachments(
        &mut self,
        id: &DocId,
        below: Option<&Rev>,
        attachments: Vec<EditAttachment>,
        generation: Option<u64>,
    ) -> Result<Result<Resolved, String>, DatabaseError> {
        let has_stubs = attachments.iter().any(|att| matches!(att.source, Source::Stub));
        let old = match below {
            Some(rev) if has_stubs => self.attachments_of(id, rev)?,
            _ => Vec::new(),
        };
        let mut resolved = Vec::with_capacity(attachments.len());
        let mut blobs = Vec::new();
        for EditAttachment { name, revpos, source } in attachments {
            match source {
                Source::Stub => match apply::stub_target(&old, &name, revpos) {
                    Some(kept) if self.blobs.exists(self.db, kept.digest)? => {
                        resolved.push(kept.clone());
                    }
                    _ => return Ok(Err(name)),
                },
                Source::Shared(shared) if self.blobs.exists(self.db, shared.digest)? => {
                    resolved.push(shared);
                }
                Source::Shared(_) => return Ok(Err(name)),
                Source::Bytes { content_type, blob } => {
                    let revpos = generation.or(revpos).unwrap_or(0);
                    resolved.push(blob.attachment(name, content_type, revpos));
                    blobs.push(blob);
                }
            }
        }
        Ok(Ok((resolved, blobs)))
    }

    /// The attachments of a stored revision, also of one that this group writes.
    fn attachments_of(&self, id: &DocId, rev: &Rev) -> Result<Vec<Attachment>, DatabaseError> {
        if let Some(attachments) = self.written.get(&(id.clone(), rev.clone())) {
            return Ok(attachments.clone());
        }
        let key = keys::body(self.db.number, id, rev);
        match self.db.engine.get(Table::Bodies, &key)? {
            None => Ok(Vec::new()),
            Some(value) => Ok(values::decode_body(id.clone(), rev.clone(), value)?.attachments),
        }
    }

    /// Removes the bodies of `revs` and their hold on attachments.
    fn drop_bodies(&mut self, id: &DocId, revs: Vec<Rev>) -> Result<(), DatabaseError> {
        for rev in revs {
            for attachment in self.attachments_of(id, &rev)? {
                self.blobs.release(self.db.number, &mut self.batch, attachment.digest, id, &rev);
            }
            self.batch.delete(Table::Bodies, keys::body(self.db.number, id, &rev));
        }
        Ok(())
    }

    fn local(&mut self, edit: LocalEdit) -> Result<LocalOutcome, DatabaseError> {
        metrics::LOCAL_DOCUMENT_WRITES.add(1);
        let key = keys::local(self.db.number, edit.id.as_str());
        let existed = self.db.engine.get(Table::Locals, &key)?.is_some();
        match edit.body {
            None if !existed => Ok(LocalOutcome::Missing),
            None => {
                self.state.local_doc_count = self.state.local_doc_count.saturating_sub(1);
                self.batch.delete(Table::Locals, key);
                Ok(LocalOutcome::Saved(0))
            }
            Some(body) => {
                self.state.local_doc_count += u64::from(!existed);
                let local = Local { rev: edit.given.saturating_add(1), body };
                self.batch.put(Table::Locals, key, local.encode());
                Ok(LocalOutcome::Saved(local.rev))
            }
        }
    }

    fn set(&mut self, setting: &Setting) {
        let number = self.db.number;
        let (key, value) = match setting {
            Setting::Security(json) => (keys::security(number), values::encode_json(json)),
            Setting::RevsLimit(limit) => (keys::revs_limit(number), values::encode_number(*limit)),
            Setting::PurgedInfosLimit(limit) => {
                (keys::purged_infos_limit(number), values::encode_number(*limit))
            }
        };
        self.batch.put(Table::Databases, key, value);
        if matches!(setting, Setting::Security(_)) {
            // CouchDB counts a change of the security object as an update.
            self.state.update_seq += 1;
        }
    }

    fn purge(&mut self, id: DocId, revs: &[Rev]) -> Result<PurgeOutcome, DatabaseError> {
        let Some(working) = self.heads.get_mut(&id) else {
            return Ok(PurgeOutcome { id, purged: Vec::new() });
        };
        metrics::DOCUMENT_PURGES_TOTAL.add(1);
        let leaves = working.tree.leaves().len() as u64;
        let purge = working.tree.purge(revs);
        if purge.purged.is_empty() {
            metrics::DOCUMENT_PURGES_FAILURE.add(1);
            return Ok(PurgeOutcome { id, purged: Vec::new() });
        }
        let left = working.tree.leaves().len() as u64;
        let live = (working.external_bytes / leaves.max(1)).saturating_mul(left);
        self.state.external_bytes =
            (self.state.external_bytes + live).saturating_sub(working.external_bytes);
        working.external_bytes = live;
        if !std::mem::replace(&mut working.touched, true) {
            self.touched.push(id.clone());
        }
        self.drop_bodies(&id, purge.removed)?;
        self.state.purge_seq += 1;
        let purged_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let record = values::Purge { id: id.clone(), revs: purge.purged.clone(), purged_s };
        let key = keys::purge(self.db.number, self.state.purge_seq);
        self.batch.put(Table::Databases, key, record.encode());
        let forgotten = self.state.purge_seq.saturating_sub(self.db.purged_infos_limit());
        if forgotten > 0 {
            self.batch.delete(Table::Databases, keys::purge(self.db.number, forgotten));
        }
        Ok(PurgeOutcome { id, purged: purge.purged })
    }

    fn compact(&mut self, id: &DocId) -> Result<(), DatabaseError> {
        let Some(working) = self.heads.get_mut(id) else { return Ok(()) };
        let dropped = working.tree.forget_bodies();
        if dropped.is_empty() {
            return Ok(());
        }
        if let (false, Some(seq)) = (working.touched, working.seq_before) {
            let (external_bytes, tree) = (working.external_bytes, working.tree.clone());
            let head = Head { seq, external_bytes, tree };
            let key = keys::head(self.db.number, id.as_str());
            self.batch.put(Table::Heads, key, head.encode());
        }
        self.drop_bodies(id, dropped)
    }

    /// Gives the touched documents their sequences and writes heads and changes.
    fn write_documents(&mut self) -> Result<(), DatabaseError> {
        let number = self.db.number;
        for id in std::mem::take(&mut self.touched) {
            let Some(working) = self.heads.remove(&id) else { continue };
            let was_live = working.seq_before.is_some() && !working.deleted_before;
            let before = (working.deleted_before, working.external_bytes_before);
            let before = working.seq_before.map(|_| before);
            if let Some(seq) = working.seq_before {
                self.batch.delete(Table::Changes, keys::change(number, seq));
                let count = if working.deleted_before {
                    &mut self.state.doc_del_count
                } else {
                    &mut self.state.doc_count
                };
                *count = count.saturating_sub(1);
            }
            self.state.update_seq += 1;
            let seq = self.state.update_seq;
            let leaves: Vec<(Rev, bool)> =
                working.tree.leaves().iter().map(|leaf| (leaf.rev(), leaf.deleted)).collect();
            let Some((_, deleted)) = leaves.first().cloned() else {
                self.batch.delete(Table::Heads, keys::head(number, id.as_str()));
                self.partitions.note(&id, before, None);
                self.liveness.push((id, was_live, false));
                self.moved.push((working.seq_before, false));
                continue;
            };
            self.partitions.note(&id, before, Some((deleted, working.external_bytes)));
            self.liveness.push((id.clone(), was_live, !deleted));
            self.moved.push((working.seq_before, true));
            *(if deleted { &mut self.state.doc_del_count } else { &mut self.state.doc_count }) += 1;
            let head = Head { seq, external_bytes: working.external_bytes, tree: working.tree };
            self.batch.put(Table::Heads, keys::head(number, id.as_str()), head.encode());
            let change = Change { id, deleted, leaves };
            self.batch.put(Table::Changes, keys::change(number, seq), change.encode());
        }
        self.partitions.write(self.db, &mut self.batch);
        self.blobs.settle(self.db, &mut self.batch)
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() && self.state == self.state_before && !self.destroys {
            return Ok(());
        }
        let key = keys::state(self.db.number);
        batch.expect(Table::Databases, key.clone(), Expect::Is(self.state_before.encode()));
        let updated = self.state.update_seq != self.state_before.update_seq;
        let kind = if self.destroys { EventKind::Deleted } else { EventKind::Updated };
        if !self.destroys {
            batch.put(Table::Databases, key, self.state.encode());
        }
        let happened = self.destroys || updated;
        let event = if happened { self.db.write_event(&mut batch, kind) } else { None };
        self.db.pendings.begin();
        let committed = if self.destroys {
            self.commit_destruction(&batch)
        } else {
            self.db.engine.commit(batch, Durability::Synced)
        };
        if committed.is_err() {
            self.db.pendings.note(&[]);
        }
        committed?;
        metrics::COMMITS.add(1);
        metrics::DATABASE_WRITES.add(u64::from(updated));
        let purges = self.state.purge_seq - self.state_before.purge_seq;
        metrics::DATABASE_PURGES.add(purges.min(1));
        metrics::DOCUMENT_PURGES_SUCCESS.add(purges);
        if let Some(event) = event {
            self.db.note_event(event);
        }
        if self.liveness.iter().any(|(id, ..)| id.is_design()) {
            self.db.designs.renew();
        }
        self.db.ranks.note(&self.liveness);
        for chunks in self.blobs.take_adopted() {
            UploadedChunks::adopt(Arc::as_ref(&chunks));
        }
        self.db.publish(self.state, std::mem::take(&mut self.settings), self.destroys);
        self.db.pendings.note(&self.moved);
        Ok(())
    }

    /// A first index that comes into being meanwhile must go too: the batch is made anew.
    fn commit_destruction(&self, batch: &Batch) -> Result<(), StorageError> {
        let mut attempts = 0..DESTRUCTION_ATTEMPTS;
        loop {
            let mut attempt = batch.clone();
            self.db.write_destruction(&mut attempt)?;
            match self.db.engine.commit(attempt, Durability::Synced) {
                Err(StorageError::Precondition) if attempts.next().is_some() => {}
                other => return other,
            }
        }
    }
}

/// The bytes that a revision counts for.
fn added(attachments: &[Attachment], body: &[u8]) -> u64 {
    attachments.iter().map(|att| att.encoded_length).sum::<u64>() + body.len() as u64
}

/// Counts the edits that share this group's commit with others.
fn count_coalesced(works: &[Work]) {
    if works.len() < 2 {
        return;
    }
    for work in works {
        let Work::Edit(admitted, _) = work else { continue };
        let is_replicated = |edit: &&Edit| matches!(edit.base, Base::Replicated(_));
        let replicated = admitted.edits.iter().filter(is_replicated).count() as u64;
        metrics::COALESCED_REPLICATED.add(replicated);
        metrics::COALESCED_INTERACTIVE.add(admitted.edits.len() as u64 - replicated);
    }
}
