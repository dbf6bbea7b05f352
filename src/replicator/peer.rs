//! What a replication needs of a side: the calls of CouchDB's replication protocol, whether the
//! database is of this server or at an address.
//!
//! Invariant: every call may be made again after it failed. What was written twice is known the
//! second time, so a replication loses nothing and repeats nothing that matters.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::document::{Encoding, Rev};

use super::attachments::AttachmentSource;
use super::{CreateTarget, PeerError, Selection};

/// What a call of a peer gives, in time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, PeerError>>;

/// What a database tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Differs where a database was deleted and created anew.
    pub instance_start_time: String,
    pub update_seq: Value,
}

/// Which changes are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangesQuery {
    /// The sequence after which reading begins; 0 from the beginning.
    pub since: Value,
    pub selection: Selection,
    /// Only winners, not all leaves.
    pub winning_revs_only: bool,
    /// Go on and wait when all has been read.
    pub continuous: bool,
    /// Rows of one batch, at most.
    pub batch: usize,
}

/// A changed document and its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub id: String,
    pub revs: Vec<Rev>,
}

/// Some changes, in the order of the source's sequences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangesBatch {
    pub changed: Vec<Changed>,
    /// Where a reader goes on that has dealt with all changes up to here.
    pub last_seq: Value,
    /// Changes after these, where the source tells.
    pub pending: Option<u64>,
}

/// Changes as they are read.
pub trait ChangesReader: Send {
    /// The next changes: at least one, or none where only `last_seq` moved on. `None` where all
    /// has been read, which never happens to a continuous reader.
    fn next(&mut self) -> Answer<'_, Option<ChangesBatch>>;
}

/// Revisions that a target lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub id: String,
    pub revs: Vec<Rev>,
    /// Leaves of the target that the revisions may descend from.
    pub possible_ancestors: Vec<Rev>,
}

/// A revision on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub id: String,
    pub rev: Rev,
    /// The document's JSON text with `_id`, `_rev` and `_revisions`; its attachments are stubs.
    pub text: Bytes,
    /// The stubs of `text`.
    pub attachments: Vec<Stub>,
    /// As [`Missing::possible_ancestors`].
    pub possible_ancestors: Vec<Rev>,
}

/// An attachment without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    pub name: String,
    pub content_type: String,
    /// As it was given: `md5-` and base64 where a CouchDB made it.
    pub digest: String,
    pub revpos: u64,
    /// Bytes as clients see them.
    pub length: u64,
    pub encoding: Encoding,
    /// Bytes as stored.
    pub encoded_length: u64,
}

/// What a source has of what was asked for.
#[derive(Debug, Default)]
pub struct Fetched {
    /// How many of the documents asked for this answers, at least one: a peer stops where the
    /// answer would become large, and is then asked for the rest.
    pub done: usize,
    /// They were read by `_bulk_get`.
    pub by_bulk_get: bool,
    pub revisions: Vec<Revision>,
    /// Revisions that the source no longer has, or fails to read.
    pub not_found: u64,
}

/// A document that a target did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFailure {
    pub id: String,
    /// CouchDB's name: `forbidden`, `unauthorized`, `request_entity_too_large`, ...
    pub error: String,
    pub reason: String,
}

/// The bytes of an attachment from an offset on.
pub struct AttachmentBody {
    /// How the bytes are encoded, which may differ from how the stub says they are stored.
    pub encoding: Encoding,
    /// Where the bytes begin: the offset that was asked for, or 0.
    pub offset: u64,
    pub bytes: futures_util::stream::BoxStream<'static, Result<Bytes, PeerError>>,
}

/// Who has the bytes of attachments.
pub trait AttachmentHolder: Send + Sync {
    /// The bytes of an attachment, from `offset` on where the holder can do that.
    fn attachment<'a>(
        &'a self,
        revision: &'a Revision,
        stub: &'a Stub,
        offset: u64,
    ) -> Answer<'a, AttachmentBody>;
}

/// A side of a replication.
pub trait Peer: AttachmentHolder {
    /// How it is shown to people, without credentials.
    fn name(&self) -> String;

    /// # Errors
    /// [`PeerError::NotFound`] where there is no such database.
    fn info(&self) -> Answer<'_, PeerInfo>;

    /// Makes the database; one that exists already is no error.
    fn create<'a>(&'a self, options: &'a CreateTarget) -> Answer<'a, ()>;

    /// A document `_local/{id}`.
    fn local<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Map<String, Value>>>;

    /// Writes a document `_local/{id}`, whatever was there.
    fn write_local<'a>(&'a self, id: &'a str, members: Map<String, Value>) -> Answer<'a, ()>;

    /// Begins to read changes.
    fn changes(&self, query: ChangesQuery) -> Answer<'_, Box<dyn ChangesReader>>;

    /// Changes after `since`, where the database can tell.
    fn pending<'a>(&'a self, since: &'a Value, selection: &'a Selection)
    -> Answer<'a, Option<u64>>;

    /// The source of a filter function, for the replication's id.
    fn filter_code<'a>(&'a self, ddoc: &'a str, filter: &'a str) -> Answer<'a, String>;

    /// Which of these revisions the database lacks.
    fn revs_diff<'a>(&'a self, changed: &'a [Changed]) -> Answer<'a, Vec<Missing>>;

    /// Reads revisions, and what became of them where they are no leaves any more. A few MiB at a
    /// time, whatever is asked for.
    fn fetch<'a>(&'a self, missing: &'a [Missing]) -> Answer<'a, Fetched>;

    /// Writes revisions without attachments, with `new_edits=false`.
    fn write<'a>(&'a self, revisions: &'a [Revision]) -> Answer<'a, Vec<WriteFailure>>;

    /// Writes a revision with those of its attachments that the database lacks.
    ///
    /// # Errors
    /// Those of reading the attachments too.
    fn write_with_attachments<'a>(
        &'a self,
        revision: &'a Arc<Revision>,
        source: &'a AttachmentSource,
    ) -> Answer<'a, Option<WriteFailure>>;

    /// Makes everything durable that was written.
    ///
    /// Returns the `instance_start_time` of now.
    fn ensure_full_commit(&self) -> Answer<'_, String>;
}
