//! `/{db}/_design/{name}/_update/{function}[/{docid}]`: a function writes a document.

use std::sync::Arc;

use axum::http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::blocking;
use crate::couch_api::documents_write::{Answered, Write, parse};
use crate::couch_api::error::ApiError;
use crate::couch_api::local_docs;
use crate::couch_api::request::{Request, check_doc_id};
use crate::couch_api::request_object::SeenRequest;
use crate::couch_api::respond::{self, Answer};
use crate::couch_api::router::Role;
use crate::couch_api::viewer::Viewer;
use crate::database::Database;
use crate::design::Ddoc;
use crate::document::Rev;
use crate::http::path::encode_segment;

use super::answer;
use super::documents::DocumentSeen;
use super::{document_id, require_function};

const NEW_REV: HeaderName = HeaderName::from_static("x-couch-update-newrev");
const ID: HeaderName = HeaderName::from_static("x-couch-id");

/// Any method but GET; `path` is what follows `_update`.
pub async fn update(
    mut request: Request,
    db: Arc<Database>,
    ddoc: Arc<Ddoc>,
    path: &[String],
    role: Role,
) -> Answer {
    if request.method == Method::GET {
        return Err(ApiError::UpdateWithGet);
    }
    let [name, rest @ ..] = path else { return Err(ApiError::InvalidPath("update_error")) };
    require_function(&ddoc, "updates", name)?;
    let (name, id) = (name.clone(), document_id(rest));
    let seen = SeenRequest::take(&mut request).await?;
    let viewer = Viewer::of(&request, &db)?;
    let document = DocumentSeen::read(&db, id.as_deref(), &viewer)?;
    let seen = seen.to_json(&db, id.as_deref());
    let functions = &request.app.functions;
    let call = blocking::called(|told| functions.update(&ddoc, &name, document.json, seen, told));
    let updated = call.await?;
    let Some(document) = updated.document else {
        return answer::whole(updated.response, StatusCode::OK, &request.settings);
    };
    let text = Value::Object(document).to_string();
    let (id, rev) = save(&request, &db, &text, role).await?;
    let response = answer::whole(updated.response, StatusCode::CREATED, &request.settings)?;
    let response = respond::with(response, NEW_REV, &rev);
    Ok(respond::with(response, ID, &encode_segment(&id)))
}

/// Writes what the function made of the document; its id and new revision.
async fn save(
    request: &Request,
    db: &Arc<Database>,
    text: &str,
    role: Role,
) -> Result<(String, String), ApiError> {
    let mut incoming = parse(&request.settings, text.as_bytes())?;
    let given = incoming.id.take().unwrap_or_default();
    let id = check_doc_id(db, &request.settings, &given)?;
    if id.is_local() {
        let rev = local_docs::write(db, local_docs::edit(id, incoming)?).await?;
        return Ok((given, format!("0-{rev}")));
    }
    match Write::by_function(request, id, incoming, role)?.run(request, db).await? {
        Answered::Saved { id, rev, .. } => Ok((id.to_string(), Rev::to_string(&rev))),
        Answered::Accepted { .. } => Err(ApiError::Conflict),
    }
}
