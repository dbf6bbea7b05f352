//! Documents with their attachments' bytes: as base64 inside the JSON, or as parts after it.
//!
//! One document at a time is in memory; parts are streamed. `atts_since` leaves out what a reader
//! has already: an attachment that the newest listed ancestor had is sent as a stub.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::blocking;
use crate::database::Database;
use crate::database::attachments::BlobReader;
use crate::document::encode::{AttachmentForm, EncodingInfo, Extras, write_document};
use crate::document::revtree::RevTree;
use crate::document::{Attachment, Document, Encoding, Rev, Revisions};
use crate::http::multipart::{Boundary, writer};

use super::documents::{Found, encoding_info};
use super::error::ApiError;
use super::pieces::{AttachmentBytes, Pieces};
use super::query::Query;
use super::request::Request;
use super::respond::{self, Answer};

/// The bytes of attachments that one document may have inside its JSON.
const INLINE_BYTES_MAX: u64 = 512 << 20;

/// How revisions are shown by `open_revs` and `_bulk_get`.
#[derive(Debug, Clone, Default)]
pub struct RevisionOptions {
    /// With `_revisions`.
    pub revs: bool,
    /// With the bytes of attachments inside the JSON; multipart answers have them anyway.
    pub attachments: bool,
    pub encoding_info: EncodingInfo,
    /// Revisions whose attachments the reader has.
    pub atts_since: Option<Arc<[Rev]>>,
}

impl RevisionOptions {
    /// # Errors
    /// 400 where `atts_since` is no list of revisions.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let atts_since = atts_since(query)?;
        Ok(Self {
            revs: query.is_true("revs"),
            attachments: atts_since.is_some() || query.is_true("attachments"),
            encoding_info: encoding_info(query),
            atts_since,
        })
    }

    fn path(&self, tree: &RevTree, rev: &Rev) -> Option<Revisions> {
        if self.revs || self.atts_since.is_some() { tree.path(rev) } else { None }
    }

    fn which(&self, document: &Document, path: Option<&Revisions>) -> Vec<bool> {
        which_attachments(document, path, self.atts_since.as_deref())
    }

    /// Appends a revision as JSON.
    ///
    /// # Errors
    /// Where an attachment cannot be read.
    pub fn write_json(
        &self,
        out: &mut Vec<u8>,
        db: &Database,
        tree: &RevTree,
        document: &Document,
    ) -> Result<(), ApiError> {
        let path = self.path(tree, &document.rev);
        let forms = if self.attachments && !document.attachments.is_empty() {
            load_attachment_data(db, document, &self.which(document, path.as_ref()))?
        } else {
            Vec::new()
        };
        let extras = Extras {
            revisions: path.as_ref().filter(|_| self.revs),
            attachments: &forms,
            encoding_info: self.encoding_info,
            ..Extras::default()
        };
        write_document(out, document, &extras);
        Ok(())
    }

    /// A revision as an item of a multipart answer.
    ///
    /// # Errors
    /// Where an attachment cannot be read.
    pub fn related<'a>(
        &self,
        db: &Database,
        tree: &RevTree,
        document: &'a Document,
    ) -> Result<Related<'a>, ApiError> {
        let path = self.path(tree, &document.rev);
        let which = self.which(document, path.as_ref());
        let revisions = path.as_ref().filter(|_| self.revs);
        Related::new(db, document, &which, &Extras { revisions, ..Extras::default() })
    }
}

/// `atts_since`: a list of revisions.
fn atts_since(query: &Query) -> Result<Option<Arc<[Rev]>>, ApiError> {
    let Some(listed) = query.json::<Vec<String>>("atts_since")? else { return Ok(None) };
    let revs: Result<Arc<[Rev]>, _> = listed.iter().map(|rev| Rev::parse(rev)).collect();
    Ok(Some(revs?))
}

/// Which attachments are sent with their bytes: those that are newer than the newest ancestor (or
/// the revision itself) in `since`; all of them where it is `None`.
#[must_use]
pub fn which_attachments(
    document: &Document,
    path: Option<&Revisions>,
    since: Option<&[Rev]>,
) -> Vec<bool> {
    let known = match (path, since) {
        (Some(path), Some(since)) => newest_ancestor(path, since),
        _ => None,
    };
    let is_new = |attachment: &Attachment| known.is_none_or(|known| attachment.revpos > known);
    document.attachments.iter().map(is_new).collect()
}

/// The generation of the newest revision of `path` that `since` has.
fn newest_ancestor(path: &Revisions, since: &[Rev]) -> Option<u64> {
    let since: std::collections::HashSet<&Rev> = since.iter().collect();
    let generations = (0..=path.start).rev().zip(&path.ids);
    let mut revs = generations.map(|(generation, hash)| Rev { generation, hash: hash.clone() });
    revs.find(|rev| since.contains(rev)).map(|rev| rev.generation)
}

/// The bytes of the chosen attachments as clients see them; the others are stubs. For threads
/// that may block.
///
/// # Errors
/// 413 where they are too many for one JSON text; those of storage.
pub fn load_attachment_data(
    db: &Database,
    document: &Document,
    which: &[bool],
) -> Result<Vec<AttachmentForm>, ApiError> {
    let mut room = INLINE_BYTES_MAX;
    let mut forms = Vec::with_capacity(document.attachments.len());
    for (at, attachment) in document.attachments.iter().enumerate() {
        forms.push(match which.get(at) {
            Some(true) => AttachmentForm::Data(load(db, attachment, &mut room)?),
            Some(false) | None => AttachmentForm::Stub,
        });
    }
    Ok(forms)
}

fn load(db: &Database, attachment: &Attachment, room: &mut u64) -> Result<Bytes, ApiError> {
    let reader = db.blob(attachment)?;
    let mut source = match attachment.encoding {
        Encoding::Identity => AttachmentBytes::stored(reader),
        Encoding::Gzip => AttachmentBytes::unpacked(reader),
    };
    let mut data = Vec::new();
    while let Some(bytes) = source.read()? {
        let left = room.checked_sub(bytes.len() as u64);
        *room = left.ok_or_else(|| ApiError::AttachmentTooLarge(attachment.name.clone()))?;
        data.extend_from_slice(&bytes);
    }
    Ok(data.into())
}

/// One document and the attachments that follow it; `multipart/related` if there are any.
pub struct Related<'a> {
    json: Vec<u8>,
    boundary: Boundary,
    attachments: Vec<(&'a Attachment, BlobReader)>,
}

impl<'a> Related<'a> {
    /// The forms of attachments in `extras` do not matter.
    ///
    /// # Errors
    /// Where an attachment's bytes are gone.
    pub fn new(
        db: &Database,
        document: &'a Document,
        which: &[bool],
        extras: &Extras<'_>,
    ) -> Result<Self, ApiError> {
        let mut forms = vec![AttachmentForm::Stub; document.attachments.len()];
        let mut attachments = Vec::new();
        for ((attachment, form), follows) in document.attachments.iter().zip(&mut forms).zip(which)
        {
            if *follows {
                attachments.push((attachment, db.blob(attachment)?));
                *form = AttachmentForm::Follows;
            }
        }
        let mut json = Vec::new();
        let encoding_info = EncodingInfo::Show;
        let extras = Extras { attachments: &forms, encoding_info, ..extras.clone() };
        write_document(&mut json, document, &extras);
        Ok(Self { json, boundary: Boundary::new(rand::random()), attachments })
    }

    /// `None` where nothing follows the JSON, which then is no multipart body.
    #[must_use]
    pub fn boundary(&self) -> Option<&Boundary> {
        (!self.attachments.is_empty()).then_some(&self.boundary)
    }

    /// The bytes of the whole body.
    #[must_use]
    pub fn length(&self) -> u64 {
        let json = self.json.len() as u64;
        if self.attachments.is_empty() {
            return json;
        }
        let parts: Vec<_> =
            self.attachments.iter().map(|(attachment, _)| part(attachment)).collect();
        writer::related_length(&self.boundary, json, &parts)
    }

    /// The whole body.
    pub fn push_to(self, pieces: &mut Pieces) {
        if self.attachments.is_empty() {
            return pieces.push_text(self.json);
        }
        let next = writer::next(&self.boundary);
        pieces.push_text(writer::related_head(&self.boundary));
        pieces.push_text(self.json);
        pieces.push_text(next.clone());
        for (attachment, reader) in self.attachments {
            pieces.push_text(part(attachment).head());
            pieces.push_attachment(AttachmentBytes::stored(reader));
            pieces.push_text(next.clone());
        }
        pieces.push_text(writer::CLOSE);
    }
}

/// Attachments are sent as they are stored.
fn part(attachment: &Attachment) -> writer::AttachmentPart<'_> {
    writer::AttachmentPart {
        name: &attachment.name,
        content_type: &attachment.content_type,
        length: attachment.encoded_length,
        encoding: match attachment.encoding {
            Encoding::Identity => writer::PartEncoding::Identity,
            Encoding::Gzip => writer::PartEncoding::Gzip,
        },
    }
}

/// The attachments of `found` that `?atts_since=` leaves to be sent.
fn asked(db: &Database, found: &Found, since: Option<&[Rev]>) -> Result<Vec<bool>, ApiError> {
    let head = match since {
        Some(_) => db.head(&found.document.id)?,
        None => None,
    };
    let path = head.and_then(|head| head.tree.path(&found.document.rev));
    Ok(which_attachments(&found.document, path.as_ref(), since))
}

/// `GET /{db}/{id}?attachments=true` as `multipart/related`, its length known in advance.
pub fn related(
    request: &Request,
    db: Arc<Database>,
    found: Found,
) -> impl Future<Output = Answer> + Send + use<> {
    let since = atts_since(&request.query);
    let read = move || {
        let which = asked(&db, &found, since?.as_deref())?;
        let related = Related::new(&db, &found.document, &which, &found.extras())?;
        let content_type = related.boundary().map_or_else(
            || "application/json".to_owned(),
            |boundary| writer::content_type(writer::Subtype::Related, boundary),
        );
        let length = related.length();
        let mut pieces = Pieces::default();
        related.push_to(&mut pieces);
        let mut response = Response::new(pieces.into_body()?);
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        Ok(respond::with(response, header::CONTENT_TYPE, &content_type))
    };
    async { blocking::run("read document with attachments", read).await? }
}

/// `GET /{db}/{id}?attachments=true` as JSON with the attachments inside.
pub fn inline(
    request: &Request,
    db: Arc<Database>,
    found: Found,
) -> impl Future<Output = Answer> + Send + use<> {
    let since = atts_since(&request.query);
    let encoding_info = encoding_info(&request.query);
    let read = move || {
        let which = asked(&db, &found, since?.as_deref())?;
        let forms = load_attachment_data(&db, &found.document, &which)?;
        let mut out = Vec::new();
        let extras = Extras { attachments: &forms, encoding_info, ..found.extras() };
        write_document(&mut out, &found.document, &extras);
        out.push(b'\n');
        Ok(respond::json_bytes(StatusCode::OK, out))
    };
    async { blocking::run("read document with attachments", read).await? }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Digest, DocId, RevHash};

    fn document(revpositions: &[u64]) -> Document {
        let attachment = |revpos: &u64| Attachment {
            name: format!("from-{revpos}"),
            content_type: "text/plain".into(),
            digest: Digest([0; 16]),
            length: 1,
            encoded_length: 1,
            encoding: Encoding::Identity,
            revpos: *revpos,
        };
        Document {
            id: DocId::parse("a").unwrap(),
            rev: Rev::parse("4-d").unwrap(),
            deleted: false,
            body: Bytes::from_static(b"{}"),
            attachments: revpositions.iter().map(attachment).collect(),
        }
    }

    #[test]
    fn attachments_since_a_common_ancestor() {
        let ids = ["d", "c", "b"].map(RevHash::parse).to_vec();
        let path = Revisions { start: 4, ids };
        let document = document(&[4, 2, 3]);
        for (since, expect) in [
            (None, [true, true, true]),
            (Some(vec![]), [true, true, true]),
            (Some(vec!["2-other", "9-d", "1-a"]), [true, true, true]),
            (Some(vec!["2-b"]), [true, false, true]),
            (Some(vec!["2-b", "3-c"]), [true, false, false]),
            (Some(vec!["4-d"]), [false, false, false]),
        ] {
            let since: Option<Vec<Rev>> =
                since.map(|revs| revs.into_iter().map(|rev| Rev::parse(rev).unwrap()).collect());
            let which = which_attachments(&document, Some(&path), since.as_deref());
            assert_eq!(which, expect, "{since:?}");
        }
    }
}
