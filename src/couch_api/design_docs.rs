//! `/{db}/_design/{name}/_info`: the view index of a design document.

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::database::Database;
use crate::design;
use crate::document::DocId;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// `GET /{db}/_design/{name}/_info`. No index is built before a view is first asked for, so
/// nothing is pending and nothing takes space.
pub fn info(request: &Request, db: &Database, id: &DocId) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let document = db.winner(id)?.filter(|document| !document.deleted);
    let document = document.ok_or_else(ApiError::missing)?;
    let body: Map<String, Value> =
        serde_json::from_slice(&document.body).map_err(|_| ApiError::invalid_json())?;
    let language = body.get("language").and_then(Value::as_str).unwrap_or("javascript");
    respond::ok(&json!({
        "name": id.as_str().strip_prefix("_design/").unwrap_or_default(),
        "view_index": {
            "updates_pending": {"minimum": 0, "preferred": 0, "total": 0},
            "waiting_commit": true,
            "waiting_clients": 0,
            "updater_running": false,
            "update_seq": 0,
            "sizes": {"file": 0, "external": 0, "active": 0},
            "signature": design::view_signature(&body),
            "purge_seq": 0,
            "language": language,
            "compact_running": false,
            "collator_versions": [crate::collation::collator_version()],
        },
    }))
}
