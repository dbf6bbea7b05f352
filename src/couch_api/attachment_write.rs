//! `PUT` and `DELETE /{db}/{id}/{attachment}`: a new revision with one attachment changed.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::blocking;
use crate::database::{Base, Database, Edit, EditAttachment, Source};
use crate::document::incoming::{self, Limits};
use crate::document::{DocId, Document, Rev};
use crate::http::path::encode_segment;

use super::attachment_read::{MISSING_ATTACHMENT, open_document};
use super::compress::{self, Arrival, AttachmentSink, DEFAULT_CONTENT_TYPE};
use super::documents_write::{Answered, maybe_compact, write_rev};
use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::writing;

/// So much of a refused body is still read, to keep the connection for the next request.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// Stores an attachment, and the document with it where there is none.
pub async fn put(mut request: Request, db: Arc<Database>, id: DocId, name: String) -> Answer {
    check_name(&name)?;
    let arrival = arrival(&request)?;
    let content_type = request.header(header::CONTENT_TYPE.as_str());
    let content_type = content_type.unwrap_or(DEFAULT_CONTENT_TYPE).to_owned();
    let sink = AttachmentSink::new(&db, &request.settings, name.clone(), content_type, arrival);
    if let Some(length) = request.header(header::CONTENT_LENGTH.as_str()) {
        sink.check_length(length.parse().unwrap_or(0))?;
    }
    let rev = write_rev(&request, None)?;
    let mut body = request.take_body()?;
    // Known before the upload, which may be large.
    let parent = match Parent::open(&db, &id, rev).await {
        Ok(parent) => parent,
        Err(error) => {
            // A client that asked first has not sent the body.
            if request.header(header::EXPECT.as_str()).is_none() {
                drain(&mut body).await;
            }
            return Err(error);
        }
    };
    let attachment = compress::store(sink, body).await?;
    let answered = parent.save(&request, &db, &id, &name, Some(attachment)).await?;
    let path = [db.name().as_str(), id.as_str(), &name].map(encode_segment).join("/");
    let location = format!("{}/{path}", request.base_url());
    Ok(respond::with(answered.respond(StatusCode::CREATED), header::LOCATION, &location))
}

/// Removes an attachment of the named revision.
pub async fn delete(request: Request, db: Arc<Database>, id: DocId, name: String) -> Answer {
    check_name(&name)?;
    let Some(rev) = write_rev(&request, None)? else {
        blocking::run("read document", move || open_document(&db, &id, None)).await??;
        return Err(ApiError::Conflict);
    };
    let parent = Parent::open(&db, &id, Some(rev)).await?;
    if !parent.attachments.iter().any(|attachment| attachment.name == name) {
        return Err(ApiError::not_found(MISSING_ATTACHMENT));
    }
    let answered = parent.save(&request, &db, &id, &name, None).await?;
    Ok(answered.respond(StatusCode::OK))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.starts_with('_') {
        return Err(incoming::IncomingError::AttachmentName(name.to_owned()).into());
    }
    Ok(())
}

fn arrival(request: &Request) -> Result<Arrival, ApiError> {
    let encoding = request.header(header::CONTENT_ENCODING.as_str()).unwrap_or("identity").trim();
    if encoding.eq_ignore_ascii_case("identity") {
        Ok(Arrival::Plain)
    } else if encoding.eq_ignore_ascii_case("gzip") {
        Ok(Arrival::Gzip { length: None })
    } else {
        let reason = "Only gzip and identity content-encodings are supported";
        Err(ApiError::BadContentType(reason.into()))
    }
}

/// Reads a short rest of a body that is not wanted.
pub async fn drain<S>(body: &mut S)
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(chunk)) = body.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// What the new revision takes over.
#[derive(Debug)]
struct Parent {
    base: Base,
    deleted: bool,
    body: Vec<u8>,
    body_term: Vec<u8>,
    attachments: Vec<EditAttachment>,
}

impl Parent {
    /// # Errors
    /// 409 `conflict` where the revision is no leaf, or a live document is written without one;
    /// 409 `missing_rev` for a revision that is not there.
    async fn open(db: &Arc<Database>, id: &DocId, rev: Option<Rev>) -> Result<Self, ApiError> {
        let (db, id) = (db.clone(), id.clone());
        blocking::run("read document", move || match rev {
            None => Self::new_document(&db, &id),
            Some(rev) => Self::revision(&db, &id, rev),
        })
        .await?
    }

    fn new_document(db: &Database, id: &DocId) -> Result<Self, ApiError> {
        if db.winner(id)?.is_some_and(|winner| !winner.deleted) {
            return Err(ApiError::Conflict);
        }
        Self::of(Base::New, false, b"{}", Vec::new())
    }

    fn revision(db: &Database, id: &DocId, rev: Rev) -> Result<Self, ApiError> {
        let Some(document) = db.revision(id, &rev)? else { return Err(ApiError::MissingRev) };
        if !db.head(id)?.is_some_and(|head| head.tree.is_leaf(&rev)) {
            return Err(ApiError::Conflict);
        }
        let Document { deleted, body, attachments, .. } = document;
        let kept = attachments.into_iter().map(|attachment| EditAttachment {
            name: attachment.name,
            revpos: Some(attachment.revpos),
            source: Source::Stub,
        });
        Self::of(Base::On(rev), deleted, &body, kept.collect())
    }

    fn of(
        base: Base,
        deleted: bool,
        body: &[u8],
        attachments: Vec<EditAttachment>,
    ) -> Result<Self, ApiError> {
        let parsed = incoming::parse(body, &Limits::default())?;
        let (body, body_term) = (parsed.body, parsed.body_term);
        Ok(Self { base, deleted, body, body_term, attachments })
    }

    /// Writes the revision. The new attachment comes first, as in CouchDB; one with the same name
    /// goes.
    async fn save(
        self,
        request: &Request,
        db: &Arc<Database>,
        id: &DocId,
        name: &str,
        new: Option<EditAttachment>,
    ) -> Result<Answered, ApiError> {
        let kept = self.attachments.into_iter().filter(|attachment| attachment.name != name);
        let edit = Edit {
            id: id.clone(),
            base: self.base,
            deleted: self.deleted,
            body: self.body,
            body_term: self.body_term,
            attachments: new.into_iter().chain(kept).collect(),
        };
        let outcomes = writing::write(db, &request.user, vec![edit]).await?;
        maybe_compact(&request.app, db);
        let rev = writing::saved(id, outcomes)?;
        Ok(Answered::Saved { id: id.clone(), rev, deleted: false })
    }
}
