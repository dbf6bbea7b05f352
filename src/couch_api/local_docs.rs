//! `/{db}/_local/{id}`: documents that are never replicated; the last write wins.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::Response;

use crate::blocking;
use crate::database::{Database, Local, LocalEdit, LocalOutcome};
use crate::document::encode::write_string;
use crate::document::incoming::Incoming;
use crate::document::{DocId, Rev};
use crate::http::path::encode_segment;

use super::databases::write_ok;
use super::documents_write::parse;
use super::error::ApiError;
use super::request::{Request, check_doc_id};
use super::respond::{self, Answer};

/// The write that a document in a request means.
///
/// # Errors
/// 400 for attachments, CouchDB's 500 for a revision whose generation is not 0.
pub fn edit(id: DocId, incoming: Incoming) -> Result<LocalEdit, ApiError> {
    if incoming.attachments.is_some_and(|attachments| !attachments.is_empty()) {
        return Err(ApiError::bad_request("_local documents do not accept attachments."));
    }
    let given = given_rev(incoming.rev.as_ref())?;
    let body = if incoming.deleted { None } else { Some(incoming.body.into()) };
    Ok(LocalEdit { id, given, body })
}

fn given_rev(rev: Option<&Rev>) -> Result<u64, ApiError> {
    let Some(rev) = rev else { return Ok(0) };
    let number = rev.hash.to_string().parse();
    match (rev.generation, number) {
        (0, Ok(number)) => Ok(number),
        _ => Err(ApiError::PlainError("Invalid rev format")),
    }
}

/// All methods on a local document.
pub async fn local_doc(request: Request, db: Arc<Database>, id: DocId) -> Answer {
    match request.method.as_str() {
        "GET" => get(&request, &db, &id),
        "PUT" => put(request, db, id).await,
        "DELETE" => delete(&request, db, id).await,
        "COPY" => copy(&request, db, id).await,
        _ => Err(ApiError::MethodNotAllowed("DELETE,GET,HEAD,POST,PUT,COPY")),
    }
}

fn get(request: &Request, db: &Database, id: &DocId) -> Answer {
    let local = db.local(id)?.ok_or_else(ApiError::missing)?;
    let etag = etag(&local);
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let mut out = Vec::with_capacity(local.body.len() + 64);
    write_local(&mut out, id.as_str(), &local);
    out.push(b'\n');
    Ok(respond::with(respond::json_bytes(StatusCode::OK, out), header::ETAG, &etag))
}

fn etag(local: &Local) -> String {
    respond::content_etag(&[&local.rev.to_be_bytes(), &local.body])
}

/// Appends a local document as a JSON object.
pub fn write_local(out: &mut Vec<u8>, id: &str, local: &Local) {
    out.extend_from_slice(b"{\"_id\":");
    write_string(out, id);
    out.extend_from_slice(b",\"_rev\":");
    write_string(out, &format!("0-{}", local.rev));
    if let [b'{', members @ .., b'}'] = local.body.as_ref()
        && !members.is_empty()
    {
        out.push(b',');
        out.extend_from_slice(members);
    }
    out.push(b'}');
}

fn saved(request: &Request, db: &Database, id: &DocId, local: &Local) -> Response {
    let mut out = Vec::new();
    write_ok(&mut out, id.as_str(), &format!("0-{}", local.rev));
    out.push(b'\n');
    let response = respond::json_bytes(StatusCode::CREATED, out);
    let response = respond::with(response, header::ETAG, &etag(local));
    let (db, id) = (encode_segment(db.name().as_str()), encode_segment(id.as_str()));
    let location = format!("{}/{db}/{id}", request.base_url());
    respond::with(response, header::LOCATION, &location)
}

/// Writes and waits until it is durable; the new revision's number, 0 after a deletion.
///
/// # Errors
/// 404 where what is to be deleted is not there.
pub async fn write(db: &Arc<Database>, edit: LocalEdit) -> Result<u64, ApiError> {
    match blocking::settle(db.edit_locals(vec![edit])?).await?.pop() {
        Some(LocalOutcome::Saved(rev)) => Ok(rev),
        Some(LocalOutcome::Missing) | None => Err(ApiError::missing()),
    }
}

async fn put(mut request: Request, db: Arc<Database>, id: DocId) -> Answer {
    let body = request.bytes().await?;
    let mut incoming = parse(&request.settings, &body)?;
    let rev = request.query_rev()?;
    incoming.rev = incoming.rev.or(rev).or(request.if_match()?);
    let edit = edit(id.clone(), incoming)?;
    let body = edit.body.clone();
    let rev = write(&db, edit).await?;
    match body {
        Some(body) => Ok(saved(&request, &db, &id, &Local { rev, body })),
        None => Ok(deleted(&id)),
    }
}

fn deleted(id: &DocId) -> Response {
    let mut out = Vec::new();
    write_ok(&mut out, id.as_str(), "0-0");
    out.push(b'\n');
    respond::json_bytes(StatusCode::OK, out)
}

async fn delete(request: &Request, db: Arc<Database>, id: DocId) -> Answer {
    let rev = request.query_rev()?.or(request.if_match()?);
    let given = given_rev(rev.as_ref())?;
    write(&db, LocalEdit { id: id.clone(), given, body: None }).await?;
    Ok(deleted(&id))
}

async fn copy(request: &Request, db: Arc<Database>, id: DocId) -> Answer {
    let target = request
        .header("destination")
        .ok_or_else(|| ApiError::bad_request("Destination header is mandatory for COPY."))?;
    if target.contains("://") || target.starts_with('/') {
        return Err(ApiError::bad_request("Destination URL must be relative."));
    }
    let target = target.split('?').next().unwrap_or_default();
    let target = crate::http::path::decode(target, crate::http::path::Plus::Literal)?;
    let target = check_doc_id(&db, &request.settings, &target)?;
    if !target.is_local() {
        return Err(ApiError::bad_request("Invalid _local document id."));
    }
    let body = db.local(&id)?.ok_or_else(ApiError::missing)?.body;
    let edit = LocalEdit { id: target.clone(), given: 0, body: Some(body.clone()) };
    let rev = write(&db, edit).await?;
    Ok(saved(request, &db, &target, &Local { rev, body }))
}
