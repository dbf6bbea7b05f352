//! `_revs_diff` and `_missing_revs`: which of these revisions are not here?

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::blocking;
use crate::database::{Database, DatabaseError, Head};
use crate::document::encode::write_string;
use crate::document::{DocId, Rev};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// Ids looked up at once.
const BATCH: usize = 500;

/// What is written of one document's missing revisions.
type WriteRow = fn(&mut Vec<u8>, &Head, &[Rev]);

/// `POST /{db}/_revs_diff`.
pub async fn revs_diff(request: Request, db: Arc<Database>) -> Answer {
    let rows = missing(request, db, write_diff).await?;
    Ok(respond::json_bytes(StatusCode::OK, [b"{", rows.as_slice(), b"}\n"].concat()))
}

/// `POST /{db}/_missing_revs`.
pub async fn missing_revs(request: Request, db: Arc<Database>) -> Answer {
    let rows = missing(request, db, |out, _, revs| write_revs(out, revs)).await?;
    let body = [b"{\"missing_revs\":{", rows.as_slice(), b"}}\n"].concat();
    Ok(respond::json_bytes(StatusCode::OK, body))
}

async fn missing(
    mut request: Request,
    db: Arc<Database>,
    write_row: WriteRow,
) -> Result<Vec<u8>, ApiError> {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    let asked = request.json_object().await?;
    blocking::run("find missing revisions", move || {
        let asked = asked.into_iter().map(|(id, revs)| Ok((id, read_revs(revs)?)));
        let asked = asked.collect::<Result<Vec<_>, ApiError>>()?;
        write_missing(&db, &asked, write_row)
    })
    .await?
}

fn read_revs(revs: Value) -> Result<Vec<Rev>, ApiError> {
    let Value::Array(revs) = revs else { return Err(ApiError::UnknownError("function_clause")) };
    let read = |rev: &Value| match rev {
        Value::String(text) => Ok(Rev::parse(text)?),
        _ => Err(ApiError::Rev(crate::document::RevError)),
    };
    revs.iter().map(read).collect()
}

fn write_missing(
    db: &Database,
    asked: &[(String, Vec<Rev>)],
    write_row: WriteRow,
) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::new();
    for batch in asked.chunks(BATCH) {
        for ((id, revs), head) in batch.iter().zip(heads(db, batch)?) {
            let head = head.unwrap_or_else(|| Head {
                seq: 0,
                external_bytes: 0,
                tree: crate::document::revtree::RevTree::default(),
            });
            let missing = head.tree.missing(revs);
            if missing.is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push(b',');
            }
            write_string(&mut out, id);
            out.push(b':');
            write_row(&mut out, &head, &missing);
        }
    }
    Ok(out)
}

/// The heads of these ids; what can be no id has none.
fn heads(db: &Database, batch: &[(String, Vec<Rev>)]) -> Result<Vec<Option<Head>>, DatabaseError> {
    let ids: Vec<Option<DocId>> = batch.iter().map(|(id, _)| DocId::parse(id).ok()).collect();
    let known: Vec<DocId> = ids.iter().flatten().cloned().collect();
    let mut found = db.heads(&known)?.into_iter();
    Ok(ids.into_iter().map(|id| id.and_then(|_| found.next().flatten())).collect())
}

fn write_revs(out: &mut Vec<u8>, revs: &[Rev]) {
    for (at, rev) in revs.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        write_string(out, &rev.to_string());
    }
    out.push(b']');
}

fn write_diff(out: &mut Vec<u8>, head: &Head, missing: &[Rev]) {
    out.extend_from_slice(b"{\"missing\":");
    write_revs(out, missing);
    let ancestors = head.tree.possible_ancestors(missing);
    if !ancestors.is_empty() {
        out.extend_from_slice(b",\"possible_ancestors\":");
        write_revs(out, &ancestors);
    }
    out.push(b'}');
}
