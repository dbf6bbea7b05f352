//! Writes revisions without attachments: `_bulk_docs` with bodies of a bounded size, made of the
//! texts as they came.

use bytes::Bytes;
use serde::Deserialize;

use crate::http::client::{Body, Method};
use crate::replicator::{PeerError, WriteFailure};

use super::connection::{Call, Connection};

/// What one request brings, unless a single document is longer.
const BODY_BYTES: usize = 4 << 20;
/// Answers tell of failures alone, but a server may tell of all.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A document as it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a Bytes,
}

/// Whose revision ids the documents get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edits {
    /// The server makes one.
    New,
    /// They have theirs: `new_edits=false`.
    Replicated,
}

/// Writes documents; those that the database did not take.
///
/// # Errors
/// Where a server refuses whatever it is sent, it does not mean the documents.
pub(super) async fn write(
    connection: &Connection,
    documents: &[Outgoing<'_>],
    edits: Edits,
) -> Result<Vec<WriteFailure>, PeerError> {
    let mut failures = Vec::new();
    let mut refused = 0;
    let mut rest = documents;
    // What is refused as a whole goes in smaller parts.
    let mut count_max = usize::MAX;
    while !rest.is_empty() {
        let (group, others) = rest.split_at(group_length(rest).min(count_max));
        match (write_group(connection, group, edits).await, group) {
            (Ok(failed), _) => failures.extend(failed),
            (Err(error), [document]) if is_about_documents(&error) => {
                refused += 1;
                if refused == documents.len() && refused > 1 {
                    return Err(error);
                }
                failures.push(failure(document.id, error));
            }
            (Err(error), _) if is_about_documents(&error) => {
                count_max = group.len() / 2;
                continue;
            }
            (Err(error), _) => return Err(error),
        }
        rest = others;
        count_max = count_max.saturating_mul(2);
    }
    Ok(failures)
}

/// How many of `documents`, at least one, make a body.
pub(super) fn group_length(documents: &[Outgoing<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |document: &&Outgoing<'_>| {
        bytes += document.text.len() + 1;
        bytes <= BODY_BYTES
    };
    documents.iter().take_while(fits).count().max(1)
}

/// Whether a request was refused for what its documents are. A 400 without CouchDB's words comes
/// from somebody else.
fn is_about_documents(error: &PeerError) -> bool {
    match error {
        PeerError::TooLarge(_) => true,
        PeerError::Status { status: 400, error, .. } => !error.is_empty(),
        _ => false,
    }
}

/// A refusal of one document, with the names that CouchDB has for it.
pub(super) fn failure(id: &str, error: PeerError) -> WriteFailure {
    let id = id.to_owned();
    let (error, reason) = match error {
        PeerError::Status { error, reason, .. } => (error, reason),
        PeerError::Unauthorized(_) => ("unauthorized".to_owned(), error.to_string()),
        PeerError::MissingStub => ("missing_stub".to_owned(), error.to_string()),
        PeerError::TooLarge(_) => ("request_entity_too_large".to_owned(), error.to_string()),
        _ => ("bad_request".to_owned(), error.to_string()),
    };
    WriteFailure { id, error, reason }
}

async fn write_group(
    connection: &Connection,
    group: &[Outgoing<'_>],
    edits: Edits,
) -> Result<Vec<WriteFailure>, PeerError> {
    let mut pieces = Vec::with_capacity(2 * group.len() + 1);
    pieces.push(Bytes::from_static(match edits {
        Edits::New => b"{\"docs\":[",
        Edits::Replicated => b"{\"new_edits\":false,\"docs\":[",
    }));
    for (index, document) in group.iter().enumerate() {
        if index > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(document.text.clone());
    }
    pieces.push(Bytes::from_static(b"]}"));
    let call = Call::new(Method::Post, "_bulk_docs".to_owned(), Body::Pieces(pieces))
        .typed("application/json")
        .with("x-couch-full-commit", "false");
    let written: Vec<Written> = connection
        .retried(|| async {
            let body = connection.bytes(&call, ANSWER_BYTES_MAX).await?;
            Ok(connection.parse(&body)?)
        })
        .await?;
    Ok(written.into_iter().filter_map(Written::failure).collect())
}

/// What is said about a document that was sent.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl Written {
    fn failure(self) -> Option<WriteFailure> {
        let Self { id, error, reason } = self;
        error.map(|error| WriteFailure { id, error, reason: reason.unwrap_or_default() })
    }
}
