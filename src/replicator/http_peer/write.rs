//! Writes revisions without attachments: `_bulk_docs` with bodies of a bounded size, made of the
//! texts as they came.

use bytes::Bytes;
use serde::Deserialize;

use crate::http::client::{Body, Method};
use crate::replicator::{PeerError, Revision, WriteFailure};

use super::connection::{Call, Connection};

/// What one request brings, unless a single document is longer.
const BODY_BYTES: usize = 4 << 20;
/// Answers tell of failures alone, but a server may tell of all.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Writes with `new_edits=false`; the documents that the database did not take.
///
/// # Errors
/// Where a server refuses whatever it is sent, it does not mean the documents.
pub(super) async fn write(
    connection: &Connection,
    revisions: &[Revision],
) -> Result<Vec<WriteFailure>, PeerError> {
    let mut failures = Vec::new();
    let mut refused = 0;
    let mut rest = revisions;
    // What is refused as a whole goes in smaller parts.
    let mut count_max = usize::MAX;
    while !rest.is_empty() {
        let (group, others) = rest.split_at(group_length(rest).min(count_max));
        match (write_group(connection, group).await, group) {
            (Ok(failed), _) => failures.extend(failed),
            (Err(error), [revision]) if is_about_documents(&error) => {
                refused += 1;
                if refused == revisions.len() && refused > 1 {
                    return Err(error);
                }
                failures.push(failure(revision, error));
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

/// How many of `revisions`, at least one, make a body.
fn group_length(revisions: &[Revision]) -> usize {
    let mut bytes = 0;
    let fits = |revision: &&Revision| {
        bytes += revision.text.len() + 1;
        bytes <= BODY_BYTES
    };
    revisions.iter().take_while(fits).count().max(1)
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
pub(super) fn failure(revision: &Revision, error: PeerError) -> WriteFailure {
    let id = revision.id.clone();
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
    group: &[Revision],
) -> Result<Vec<WriteFailure>, PeerError> {
    let mut pieces = Vec::with_capacity(2 * group.len() + 1);
    pieces.push(Bytes::from_static(b"{\"new_edits\":false,\"docs\":["));
    for (index, revision) in group.iter().enumerate() {
        if index > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(revision.text.clone());
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
