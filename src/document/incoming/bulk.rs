//! The body of `_bulk_docs`: where its documents are.

use thiserror::Error;

use super::Limits;
use crate::document::json::reader::{Check, InvalidJson, Reader};

/// What a `_bulk_docs` request asks for. Its text is valid JSON from end to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk<'a> {
    /// The text of every element of `docs`, for `parse`. An element may be of any type.
    pub documents: Vec<&'a [u8]>,
    /// True where the request does not say.
    pub new_edits: bool,
    /// True only where the request says so.
    pub all_or_nothing: bool,
}

/// Why a text is no `_bulk_docs` request. The texts are CouchDB's reasons for `bad_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BulkError {
    #[error("invalid UTF-8 JSON")]
    InvalidJson,
    #[error("Request body must be a JSON object")]
    NotAnObject,
    #[error("POST body must include `docs` parameter.")]
    DocsMissing,
    #[error("`docs` parameter must be an array.")]
    DocsNotAnArray,
    #[error("`new_edits` parameter must be a boolean.")]
    NewEditsNotABoolean,
}

impl From<InvalidJson> for BulkError {
    fn from(_: InvalidJson) -> Self {
        Self::InvalidJson
    }
}

/// Reads a `_bulk_docs` request. Members that it does not know mean nothing; of members with the
/// same name the last one counts.
///
/// # Errors
/// Where `text` is no JSON within `limits`, or a parameter is missing or has a wrong type.
pub fn parse_bulk<'a>(text: &'a [u8], limits: &Limits) -> Result<Bulk<'a>, BulkError> {
    let mut reader = Reader::new(text, limits)?;
    if reader.peek(&mut Check)? != b'{' {
        reader.value(&mut Check)?;
        reader.finish()?;
        return Err(BulkError::NotAnObject);
    }
    let mut documents = Err(BulkError::DocsMissing);
    let (mut new_edits, mut all_or_nothing): (&[u8], &[u8]) = (b"true", b"false");
    reader.open_object(&mut Check)?;
    while let Some(key) = reader.next_key(&mut Check)? {
        let place = match reader.content(key) {
            "docs" => {
                reader.colon(&mut Check)?;
                documents = read_documents(&mut reader)?.ok_or(BulkError::DocsNotAnArray);
                continue;
            }
            "new_edits" => Some(&mut new_edits),
            "all_or_nothing" => Some(&mut all_or_nothing),
            _ => None,
        };
        reader.colon(&mut Check)?;
        reader.peek(&mut Check)?;
        let start = reader.position();
        reader.value(&mut Check)?;
        if let Some(place) = place {
            *place = reader.since(start);
        }
    }
    reader.finish()?;
    Ok(Bulk {
        documents: documents?,
        new_edits: match new_edits {
            b"true" => true,
            b"false" => false,
            _ => return Err(BulkError::NewEditsNotABoolean),
        },
        all_or_nothing: all_or_nothing == b"true",
    })
}

/// `None` where the value is no array.
fn read_documents<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, InvalidJson> {
    if reader.peek(&mut Check)? != b'[' {
        reader.value(&mut Check)?;
        return Ok(None);
    }
    let mut documents = Vec::new();
    reader.open_array(&mut Check)?;
    while reader.next_element(&mut Check)? {
        reader.peek(&mut Check)?;
        let start = reader.position();
        reader.value(&mut Check)?;
        documents.push(reader.since(start));
    }
    Ok(Some(documents))
}
