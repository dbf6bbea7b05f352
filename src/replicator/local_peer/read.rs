//! Reading revisions of a database of this server, for a replication.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;

use crate::blocking;
use crate::database::attachments::BlobReader;
use crate::database::{Database, Head};
use crate::document::encode::{EncodingInfo, Extras, write_document};
use crate::document::revtree::Node;
use crate::document::{Attachment, DocId, Document, Rev};

use super::super::PeerError;
use super::super::peer::{AttachmentBody, Changed, Fetched, Missing, Revision, Stub};
use super::LocalPeer;

/// Bytes of documents that one answer aims at.
const FETCH_BYTES: usize = 4 << 20;
/// Documents whose revision trees are read together.
const BATCH: usize = 100;
/// Bytes of an attachment that are read in one go.
const READ_BYTES: usize = 1 << 20;

/// Which of these revisions are not here.
///
/// # Errors
/// Where the database cannot be read.
pub fn missing(
    peer: &LocalPeer,
    db: &Arc<Database>,
    changed: Vec<Changed>,
) -> Result<Vec<Missing>, PeerError> {
    let heads = heads(peer, db, changed.iter().map(|changed| changed.id.as_str()))?;
    let mut all = Vec::new();
    for (Changed { id, revs }, head) in changed.into_iter().zip(heads) {
        let Some(head) = head else {
            all.push(Missing { id, revs, possible_ancestors: Vec::new() });
            continue;
        };
        let revs = head.tree.missing(&revs);
        if !revs.is_empty() {
            let possible_ancestors = head.tree.possible_ancestors(&revs);
            all.push(Missing { id, revs, possible_ancestors });
        }
    }
    Ok(all)
}

/// The heads of these ids; what can be no id has none.
fn heads<'a>(
    peer: &LocalPeer,
    db: &Database,
    ids: impl Iterator<Item = &'a str>,
) -> Result<Vec<Option<Head>>, PeerError> {
    let ids: Vec<Option<DocId>> = ids.map(|id| DocId::parse(id).ok()).collect();
    let known: Vec<DocId> = ids.iter().flatten().cloned().collect();
    let mut found = db.heads(&known).map_err(|error| peer.failed(error))?.into_iter();
    Ok(ids.into_iter().map(|id| id.and_then(|_| found.next().flatten())).collect())
}

/// Reads the revisions, or the leaves that they have become.
///
/// # Errors
/// Where the database cannot be read.
pub fn fetch(
    peer: &LocalPeer,
    db: &Arc<Database>,
    missing: &[Missing],
) -> Result<Fetched, PeerError> {
    let mut fetched = Fetched { by_bulk_get: true, ..Fetched::default() };
    let mut bytes = 0;
    for batch in missing.chunks(BATCH) {
        let heads = heads(peer, db, batch.iter().map(|missing| missing.id.as_str()))?;
        for (missing, head) in batch.iter().zip(heads) {
            if bytes >= FETCH_BYTES {
                return Ok(fetched);
            }
            fetched.done += 1;
            bytes += fetch_one(peer, db, missing, head, &mut fetched)?;
        }
    }
    Ok(fetched)
}

/// Returns the bytes of what was read.
fn fetch_one(
    peer: &LocalPeer,
    db: &Database,
    missing: &Missing,
    head: Option<Head>,
    fetched: &mut Fetched,
) -> Result<usize, PeerError> {
    let (Some(head), Ok(id)) = (head, DocId::parse(&missing.id)) else {
        fetched.not_found += missing.revs.len() as u64;
        return Ok(0);
    };
    let mut wanted = BTreeSet::new();
    for rev in &missing.revs {
        let leaves = head.tree.leaves_from(rev);
        fetched.not_found += u64::from(leaves.is_empty());
        wanted.extend(leaves.into_iter().map(Node::rev));
    }
    let wanted: Vec<(DocId, Rev)> = wanted.into_iter().map(|rev| (id.clone(), rev)).collect();
    let mut bytes = 0;
    for document in db.revisions(&wanted).map_err(|error| peer.failed(error))? {
        let Some(document) = document else {
            fetched.not_found += 1;
            continue;
        };
        let path = head.tree.path(&document.rev);
        let encoding_info = EncodingInfo::Show;
        let revisions = path.as_ref();
        let mut text = Vec::new();
        let extras = Extras { revisions, encoding_info, ..Extras::default() };
        write_document(&mut text, &document, &extras);
        bytes += text.len();
        fetched.revisions.push(Revision {
            id: missing.id.clone(),
            rev: document.rev,
            text: text.into(),
            attachments: document.attachments.into_iter().map(stub).collect(),
            possible_ancestors: missing.possible_ancestors.clone(),
        });
    }
    Ok(bytes)
}

fn stub(attachment: Attachment) -> Stub {
    let Attachment { name, content_type, digest, length, encoded_length, encoding, revpos } =
        attachment;
    let digest = format!("md5-{}", digest.to_base64());
    Stub { name, content_type, digest, revpos, length, encoding, encoded_length }
}

/// Opens an attachment's stored bytes.
///
/// # Errors
/// Where the revision or the attachment is not there any more.
pub fn attachment(
    peer: &LocalPeer,
    db: &Arc<Database>,
    id: &str,
    rev: &Rev,
    name: &str,
    offset: u64,
) -> Result<AttachmentBody, PeerError> {
    let gone = || PeerError::Local(format!("attachment {name} of {id} is gone"));
    let doc_id = DocId::parse(id).map_err(|_| gone())?;
    let document = db.revision(&doc_id, rev).map_err(|error| peer.failed(error))?;
    let Document { attachments, .. } = document.ok_or_else(gone)?;
    let attachment = attachments.iter().find(|known| known.name == name).ok_or_else(gone)?;
    let reader = db.blob(attachment).map_err(|error| peer.failed(error))?;
    let bytes = try_unfold((reader, offset), |(reader, offset)| async move {
        let (reader, chunk) = blocking::run("read attachment", move || {
            let chunk = read_chunks(&reader, offset);
            (reader, chunk)
        })
        .await?;
        let chunk = chunk?;
        let offset = offset + chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some((chunk, (reader, offset))))
    });
    Ok(AttachmentBody { encoding: attachment.encoding, offset, bytes: bytes.boxed() })
}

fn read_chunks(reader: &BlobReader, offset: u64) -> Result<Bytes, PeerError> {
    let mut bytes = Vec::new();
    while bytes.len() < READ_BYTES {
        let chunk = reader.read_at(offset + bytes.len() as u64);
        let chunk = chunk.map_err(|error| PeerError::Local(error.to_string()))?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
