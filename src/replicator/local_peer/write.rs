//! Writing replicated revisions to a database of this server.

use std::sync::Arc;

use futures_util::StreamExt as _;

use crate::blocking;
use crate::database::attachments::Blob;
use crate::database::{
    Admitted, Author, Base, Database, Edit, EditAttachment, EditOutcome, Source,
};
use crate::design::{self, DesignError, Partitioning};
use crate::document::incoming::{self, Limits};
use crate::document::{Attachment, Digest, DocId, Revisions};

use super::super::PeerError;
use super::super::attachments::AttachmentSource;
use super::super::peer::{Revision, Stub, WriteFailure};
use super::{LocalPeer, security};

/// Bytes of an attachment that are stored in one go.
const STORE_BYTES: usize = 1 << 20;

/// Writes revisions without attachments.
///
/// # Errors
/// Where nothing could be written.
pub async fn write(
    peer: &LocalPeer,
    revisions: &[Revision],
) -> Result<Vec<WriteFailure>, PeerError> {
    let revisions: Vec<(Revision, Vec<EditAttachment>)> =
        revisions.iter().map(|revision| (revision.clone(), Vec::new())).collect();
    write_all(peer, revisions).await
}

async fn write_all(
    peer: &LocalPeer,
    revisions: Vec<(Revision, Vec<EditAttachment>)>,
) -> Result<Vec<WriteFailure>, PeerError> {
    let db = peer.open()?;
    let (reading, target) = (peer.clone(), db.clone());
    let prepare = move || {
        let (mut edits, mut failures) = (Vec::new(), Vec::new());
        for (revision, attachments) in revisions {
            match reading.edit(&target, &revision, attachments) {
                Ok(edit) => edits.push(edit),
                Err(failure) => failures.push(failure),
            }
        }
        let author =
            Author::User { name: reading.user.name.clone(), roles: reading.user.roles.clone() };
        let ids: Vec<String> = edits.iter().map(|edit| edit.id.to_string()).collect();
        let admitted = target.admit(edits, &author).map_err(|error| reading.failed(error))?;
        Ok::<(Admitted, Vec<String>, Vec<WriteFailure>), PeerError>((admitted, ids, failures))
    };
    let (admitted, ids, mut failures) = blocking::run("prepare revisions", prepare).await??;
    if ids.is_empty() {
        return Ok(failures);
    }
    let written = db.edit(admitted).map_err(|error| peer.failed(error))?;
    let outcomes = blocking::settle(written).await.map_err(|error| peer.failed(error))?;
    for (id, outcome) in ids.into_iter().zip(outcomes) {
        match outcome {
            EditOutcome::Saved(_) | EditOutcome::Known(_) => {}
            // Replicated revisions overflow no partition.
            EditOutcome::Conflict | EditOutcome::PartitionOverflow => {
                failures.push(failure(&id, "conflict", "Document update conflict."));
            }
            EditOutcome::Refused(error) => {
                failures.push(failure(&id, "forbidden", &error.to_string()));
            }
            EditOutcome::MissingStub { .. } => return Err(PeerError::MissingStub),
        }
    }
    Ok(failures)
}

fn failure(id: &str, error: &str, reason: &str) -> WriteFailure {
    WriteFailure { id: id.to_owned(), error: error.to_owned(), reason: reason.to_owned() }
}

impl LocalPeer {
    /// The edit that a revision is, if this user may write it and it is sound.
    fn edit(
        &self,
        db: &Database,
        revision: &Revision,
        attachments: Vec<EditAttachment>,
    ) -> Result<Edit, WriteFailure> {
        let refuse = |error: &str, reason: String| failure(&revision.id, error, &reason);
        let id = DocId::parse(&revision.id)
            .map_err(|error| refuse("illegal_docid", error.to_string()))?;
        let incoming = incoming::parse(&revision.text, &Limits::default())
            .map_err(|error| refuse("bad_request", error.to_string()))?;
        let most = self.server.config.snapshot().couchdb.max_document_size;
        if incoming.body.len() as u64 > most {
            return Err(refuse("document_too_large", revision.id.clone()));
        }
        if id.is_design() {
            security(db)
                .require_admin(&self.user)
                .map_err(|error| refuse("forbidden", error.to_string()))?;
            if !incoming.deleted {
                self.check_design(db, &incoming.body)
                    .map_err(|error| refuse("invalid_design_doc", error.to_string()))?;
            }
        }
        let path = incoming.revisions.unwrap_or_else(|| Revisions::of(revision.rev.clone()));
        Ok(Edit {
            id,
            base: Base::Replicated(path),
            deleted: incoming.deleted,
            body: incoming.body,
            body_term: incoming.body_term,
            attachments,
        })
    }

    /// A WebAssembly module that is an attachment is looked at when it is used.
    fn check_design(&self, db: &Database, body: &[u8]) -> Result<(), DesignError> {
        let Ok(body) = serde_json::from_slice(body) else { return Ok(()) };
        let partitioning = if db.is_partitioned() {
            Partitioning::Partitioned
        } else {
            Partitioning::NotPartitioned
        };
        let sandbox = self.server.functions.sandbox();
        design::validate(&body, partitioning, |source| sandbox.check_function(source))
    }
}

/// Writes a revision with its attachments; bytes that the database has already are not read.
///
/// # Errors
/// Where the source cannot be read or nothing could be written.
pub async fn write_with_attachments(
    peer: &LocalPeer,
    revision: &Arc<Revision>,
    source: &AttachmentSource,
) -> Result<Option<WriteFailure>, PeerError> {
    let db = peer.open()?;
    let mut attachments = Vec::with_capacity(revision.attachments.len());
    for stub in &revision.attachments {
        let (name, revpos) = (stub.name.clone(), Some(stub.revpos));
        let kept = match shared(&db, stub) {
            Some(attachment) => Source::Shared(attachment),
            None => {
                let blob = store(peer, &db, revision, stub, source).await?;
                Source::Bytes { content_type: stub.content_type.clone(), blob }
            }
        };
        attachments.push(EditAttachment { name, revpos, source: kept });
    }
    let mut failures = write_all(peer, vec![(revision.as_ref().clone(), attachments)]).await?;
    Ok(failures.pop())
}

/// The attachment, where its very bytes are in the database.
fn shared(db: &Database, stub: &Stub) -> Option<Attachment> {
    let attachment = Attachment {
        name: stub.name.clone(),
        content_type: stub.content_type.clone(),
        digest: Digest::parse(&stub.digest)?,
        length: stub.length,
        encoded_length: stub.encoded_length,
        encoding: stub.encoding,
        revpos: stub.revpos,
    };
    let known = db.blob(&attachment).ok()?;
    (known.encoded_length() == stub.encoded_length).then_some(attachment)
}

async fn store(
    peer: &LocalPeer,
    db: &Arc<Database>,
    revision: &Arc<Revision>,
    stub: &Stub,
    source: &AttachmentSource,
) -> Result<Blob, PeerError> {
    let mut stream = source.open(revision, stub).await?;
    let mut upload = db.upload();
    let most = peer.server.config.snapshot().couchdb.max_attachment_size;
    loop {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while bytes < STORE_BYTES {
            let Some(chunk) = stream.bytes.next().await.transpose()? else { break };
            bytes += chunk.len();
            chunks.push(chunk);
        }
        if chunks.is_empty() {
            break;
        }
        let store = move || {
            let stored = chunks.iter().try_for_each(|chunk| upload.write(chunk));
            stored.map(|()| upload)
        };
        upload = blocking::run("store attachment", store).await?.map_err(|e| peer.failed(e))?;
        if most.is_some_and(|most| upload.stored_bytes() > most) {
            return Err(PeerError::TooLarge(peer.name.to_string()));
        }
    }
    let (encoding, length) = (stream.encoding, stub.length);
    let finish = move || upload.finish(encoding, length);
    blocking::run("store attachment", finish).await?.map_err(|error| peer.failed(error))
}
