//! Documents as clients send them: one pass over the text gives everything a write needs.
//!
//! `parse` reads one document, `parse_bulk` finds the documents in the body of `_bulk_docs`. Only
//! the members of the outermost object that begin with `_` mean anything; `members` and
//! `attachments` say what. CouchDB removes duplicate members before it looks at any, and then
//! takes them in their order, so the errors here come in that order too, and invalid JSON first.

mod attachments;
mod bulk;
mod bulk_scan;
mod members;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use super::json::Limits;
pub use attachments::{AttachmentSource, IncomingAttachment};
pub use bulk::{Bulk, BulkError, parse_bulk};
pub use bulk_scan::{BulkScanner, BulkSpans};

use super::json::reader::{Check, Container, InvalidJson, Reader, Sink};
use super::json::term::MinifiedWithTerm;
use super::{Rev, Revisions};
use members::{Member, SpecialMembers};

/// A document that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// `_id`, not yet checked against the rules for ids.
    pub id: Option<String>,
    /// The newest revision: that of `_revisions` where there is one, else `_rev`.
    pub rev: Option<Rev>,
    pub revisions: Option<Revisions>,
    pub deleted: bool,
    /// `None` without `_attachments`; in the order of the text.
    pub attachments: Option<Vec<IncomingAttachment>>,
    /// The normalised text of the object without its `_` members; `{}` where nothing is left.
    pub body: Vec<u8>,
    /// `body` in Erlang's external term format without the version byte, for `rev_hash`.
    pub body_term: Vec<u8>,
}

/// Why a text is no document. The texts are CouchDB's reasons.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IncomingError {
    /// `bad_request`
    #[error("invalid UTF-8 JSON")]
    InvalidJson,
    /// `bad_request`
    #[error("Document must be a JSON object")]
    NotAnObject,
    /// `illegal_docid`
    #[error("Document id must be a string")]
    IdNotAString,
    /// `bad_request`
    #[error("Invalid rev format")]
    InvalidRev,
    /// `doc_validation`
    #[error("Bad special document member: {0}")]
    BadMember(String),
    /// `doc_validation`; also for a `start` that leaves the oldest id without a generation.
    #[error("_revisions.start isn't an integer.")]
    RevisionsStart,
    /// `doc_validation`; also for no ids below a `start` other than 0.
    #[error("_revisions.ids isn't a array.")]
    RevisionsIds,
    /// `doc_validation`
    #[error("RevId isn't a string")]
    RevIdNotAString,
    /// `doc_validation`; only texts of 32 bytes have to be hexadecimal.
    #[error("RevId isn't a valid hexadecimal")]
    RevIdNotHexadecimal,
    /// `bad_request`
    #[error("Invalid attachment data for {0}")]
    InvalidAttachmentData(String),
    /// `bad_request`
    #[error("Attachment name '{0}' starts with prohibited character '_'")]
    AttachmentName(String),
}

impl From<InvalidJson> for IncomingError {
    fn from(_: InvalidJson) -> Self {
        Self::InvalidJson
    }
}

/// Reads a document: `text` must be one JSON object.
///
/// # Errors
/// Where `text` is no JSON within `limits`, or CouchDB would refuse it as a document.
pub fn parse(text: &[u8], limits: &Limits) -> Result<Incoming, IncomingError> {
    let mut reader = Reader::new(text, limits)?;
    let mut body = MinifiedWithTerm::new(reader.text());
    if reader.peek(&mut body)? != b'{' {
        reader.value(&mut Check)?;
        reader.finish()?;
        return Err(IncomingError::NotAnObject);
    }
    let special = read_members(&mut reader, &mut body)?;
    let end = reader.position();
    reader.finish()?;
    let (body, body_term) = body.finish(end);
    let mut incoming = Incoming {
        id: None,
        rev: None,
        revisions: None,
        deleted: false,
        attachments: None,
        body: body.into_owned(),
        body_term,
    };
    special.apply(&mut incoming, limits)?;
    Ok(incoming)
}

/// Reads the document's object: its ordinary members into `body`, the others aside.
fn read_members<'a>(
    reader: &mut Reader<'a>,
    body: &mut MinifiedWithTerm<'a>,
) -> Result<SpecialMembers<'a>, InvalidJson> {
    let mut special = SpecialMembers::default();
    // Where special members begin that are still to be left out of the body.
    let mut left_out: Option<usize> = None;
    reader.open_object(body)?;
    loop {
        let token = match left_out {
            None => reader.next_key(body)?,
            Some(_) => reader.next_key(&mut Check)?,
        };
        let Some(token) = token else { break };
        match Member::of(reader.content(token)) {
            Member::Body => {
                if let Some(start) = left_out.take() {
                    body.skip(start, token.start);
                }
                body.key(token, reader.content(token));
                reader.colon(body)?;
                reader.value(body)?;
            }
            Member::Special(member) => {
                left_out.get_or_insert(token.start);
                reader.colon(&mut Check)?;
                special.read(member, reader)?;
            }
        }
    }
    if let Some(start) = left_out {
        let end = reader.position();
        body.skip(start, end - 1);
        body.end_with_member_left_out(end - 1);
        body.close(Container::Object, end);
    }
    Ok(special)
}
