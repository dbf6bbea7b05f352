//! `/{db}/_design/{name}/_show/{function}[/{docid}]`: a document as anything.

use std::sync::Arc;

use axum::http::{StatusCode, header};

use crate::blocking;
use crate::couch_api::error::ApiError;
use crate::couch_api::request::Request;
use crate::couch_api::request_object::SeenRequest;
use crate::couch_api::respond::{self, Answer};
use crate::couch_api::viewer::Viewer;
use crate::database::Database;
use crate::design::Ddoc;

use super::answer;
use super::documents::DocumentSeen;
use super::{document_id, require_function};

/// Any method; `path` is what follows `_show`.
pub async fn show(
    mut request: Request,
    db: Arc<Database>,
    ddoc: Arc<Ddoc>,
    path: &[String],
) -> Answer {
    let [name, rest @ ..] = path else { return Err(ApiError::InvalidPath("show_error")) };
    require_function(&ddoc, "shows", name)?;
    let (name, id) = (name.clone(), document_id(rest));
    let seen = SeenRequest::take(&mut request).await?;
    let viewer = Viewer::of(&request, &db)?;
    let document = DocumentSeen::read(&db, id.as_deref(), &viewer)?;
    let etag = etag(&request, &ddoc, &document);
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let seen = seen.to_json(&db, id.as_deref());
    let functions = &request.app.functions;
    let call = blocking::called(|told| functions.show(&ddoc, &name, document.json, seen, told));
    let response = answer::whole(call.await?, StatusCode::OK, &request.settings)?;
    let response = respond::with(response, header::ETAG, &etag);
    Ok(respond::with(response, header::VARY, "Accept"))
}

/// All that CouchDB expects an answer to depend on: neither the query nor the function's name.
fn etag(request: &Request, ddoc: &Ddoc, document: &DocumentSeen) -> String {
    let rev = ddoc.rev.to_string();
    let accept = request.header(header::ACCEPT.as_str()).unwrap_or_default();
    let user = &request.user;
    let name = user.name.as_deref().map_or(b"".as_slice(), str::as_bytes);
    let document = document.rev.as_deref().map_or(b"".as_slice(), str::as_bytes);
    let mut parts = vec![rev.as_bytes(), document, accept.as_bytes(), name];
    parts.extend(user.roles.iter().map(String::as_bytes));
    respond::content_etag(&parts)
}
