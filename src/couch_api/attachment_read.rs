//! `GET /{db}/{id}/{attachment}`: an attachment's bytes, whole or in ranges.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::blocking;
use crate::database::Database;
use crate::document::{Attachment, DocId, Document, Encoding, Rev};
use crate::http::multipart::{Boundary, writer};
use crate::http::negotiate;
use crate::http::range::{ByteRange, RangeRequest, parse_range};

use super::error::ApiError;
use super::pieces::{AttachmentBytes, Pieces};
use super::request::Request;
use super::respond::{self, Answer};
use super::viewer::Viewer;

/// The reason for an attachment that the document does not have.
pub const MISSING_ATTACHMENT: &str = "Document is missing attachment";

/// Up to this size an attachment is read on the async worker, as documents are.
const SMALL_BYTES: u64 = 32 << 10;

/// Sends an attachment of the winner, or of `?rev=`.
pub async fn get(request: Request, db: Arc<Database>, id: DocId, name: String) -> Answer {
    let rev = request.query_rev()?;
    let viewer = Viewer::of(&request, &db)?;
    viewer.check(&id)?;
    let document = viewer.show(open_document(&db, &id, rev.as_ref())?)?;
    let attachment = find_attachment(&document, &name)?;
    let etag = respond::quoted(&attachment.digest.to_base64());
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let response = if attachment.length.max(attachment.encoded_length) <= SMALL_BYTES {
        send(&request, &db, attachment)?
    } else {
        let attachment = attachment.clone();
        blocking::run("read attachment", move || send(&request, &db, &attachment)).await??
    };
    Ok(respond::with(response, header::ETAG, &etag))
}

/// The winner, or the revision that the client names.
///
/// # Errors
/// 404 `missing`, or `deleted` where the winner is a tombstone.
pub fn open_document(db: &Database, id: &DocId, rev: Option<&Rev>) -> Result<Document, ApiError> {
    let document = match rev {
        Some(rev) => db.revision(id, rev)?,
        None => db.winner(id)?,
    };
    match document {
        Some(document) if document.deleted && rev.is_none() => Err(ApiError::not_found("deleted")),
        Some(document) => Ok(document),
        None => Err(ApiError::missing()),
    }
}

/// # Errors
/// 404 `Document is missing attachment`.
pub fn find_attachment<'a>(document: &'a Document, name: &str) -> Result<&'a Attachment, ApiError> {
    let found = document.attachments.iter().find(|attachment| attachment.name == name);
    found.ok_or(ApiError::not_found(MISSING_ATTACHMENT))
}

/// What is sent of an attachment.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Stored,
    Unpacked,
    Range(ByteRange),
    Ranges(Vec<ByteRange>),
}

/// Ranges mean bytes as the client sees them, so they are only for what is stored that way.
fn choose(request: &Request, attachment: &Attachment) -> Result<Sent, ApiError> {
    if attachment.encoding == Encoding::Gzip {
        let takes_gzip = negotiate::accepts_gzip(request.header(header::ACCEPT_ENCODING.as_str()));
        return Ok(if takes_gzip { Sent::Stored } else { Sent::Unpacked });
    }
    let range = request.header(header::RANGE.as_str()).unwrap_or_default();
    match parse_range(range, attachment.encoded_length) {
        RangeRequest::Full => Ok(Sent::Stored),
        RangeRequest::Single(range) => Ok(Sent::Range(range)),
        RangeRequest::Several(ranges) => Ok(Sent::Ranges(ranges)),
        RangeRequest::Unsatisfiable => Err(ApiError::RangeNotSatisfiable),
    }
}

fn send(request: &Request, db: &Database, attachment: &Attachment) -> Answer {
    let sent = choose(request, attachment)?;
    let reader = db.blob(attachment)?;
    let (bytes, length) = match &sent {
        Sent::Ranges(ranges) => return send_ranges(db, attachment, ranges),
        Sent::Stored => (AttachmentBytes::stored(reader), Some(attachment.encoded_length)),
        Sent::Unpacked => (AttachmentBytes::unpacked(reader), unpacked_length(attachment)),
        Sent::Range(range) => (AttachmentBytes::range(reader, *range), Some(range.length())),
    };
    let mut pieces = Pieces::default();
    pieces.push_attachment(bytes);
    let mut response = Response::new(pieces.into_body()?);
    write_headers(request, attachment, &mut response);
    let headers = response.headers_mut();
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    match sent {
        Sent::Range(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = range.content_range(attachment.encoded_length);
            return Ok(respond::with(response, header::CONTENT_RANGE, &value));
        }
        Sent::Stored if attachment.encoding == Encoding::Gzip => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Sent::Stored | Sent::Unpacked | Sent::Ranges(_) => {}
    }
    Ok(response)
}

/// A client that sent compressed bytes alone left their unpacked length unknown.
fn unpacked_length(attachment: &Attachment) -> Option<u64> {
    (attachment.length != attachment.encoded_length).then_some(attachment.length)
}

fn write_headers(request: &Request, attachment: &Attachment, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("must-revalidate"));
    headers.insert(header::CONTENT_TYPE, content_type(attachment));
    let ranges = match attachment.encoding {
        Encoding::Identity => "bytes",
        Encoding::Gzip => "none",
    };
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static(ranges));
    let policy = request.settings.csp.attachments.header();
    if let Some(policy) = policy.and_then(|policy| HeaderValue::from_str(policy).ok()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// The type that the client gave, unless it cannot be a header.
fn content_type(attachment: &Attachment) -> HeaderValue {
    HeaderValue::from_bytes(attachment.content_type.as_bytes())
        .unwrap_or(HeaderValue::from_static(super::compress::DEFAULT_CONTENT_TYPE))
}

fn send_ranges(db: &Database, attachment: &Attachment, ranges: &[ByteRange]) -> Answer {
    let boundary = Boundary::new(rand::random());
    let mut pieces = Pieces::default();
    pieces.push_text(writer::opening(&boundary));
    for range in ranges {
        let length = attachment.encoded_length;
        pieces.push_text(writer::range_head(&attachment.content_type, *range, length));
        pieces.push_attachment(AttachmentBytes::range(db.blob(attachment)?, *range));
        pieces.push_text(writer::next(&boundary));
    }
    pieces.push_text(writer::CLOSE);
    let mut response = Response::new(pieces.into_body()?);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let content_type = writer::content_type(writer::Subtype::ByteRanges, &boundary);
    Ok(respond::with(response, header::CONTENT_TYPE, &content_type))
}
