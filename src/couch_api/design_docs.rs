//! Design documents as what their functions belong to, and `/{db}/_design/{name}/_info`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::http::Method;
use serde_json::json;

use crate::database::Database;
use crate::design::Ddoc;
use crate::document::DocId;
use crate::views::ViewsError;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// The design document that something is asked of.
///
/// # Errors
/// 404 `missing`, `deleted`.
pub fn open(db: &Database, id: &DocId) -> Result<Arc<Ddoc>, ApiError> {
    match db.design(id)? {
        Some(ddoc) => Ok(ddoc),
        None if db.head(id)?.is_some() => Err(ApiError::not_found("deleted")),
        None => Err(ApiError::missing()),
    }
}

/// What names the indexes that the design documents of a database have. Blocks.
///
/// # Errors
/// Where they cannot be read.
pub fn signatures(db: &Database) -> Result<HashSet<String>, ViewsError> {
    let mut signatures = HashSet::new();
    for id in db.design_ids()?.iter() {
        signatures.extend(db.design(id)?.map(|ddoc| ddoc.signature().to_owned()));
    }
    Ok(signatures)
}

/// `GET /{db}/_design/{name}/_info`.
pub fn info(request: &Request, db: &Arc<Database>, ddoc: &Ddoc) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let views = request.app.views.index(db, ddoc)?;
    let index = views.info()?;
    let pending = index.pending;
    let mut info = json!({
        "name": ddoc.name(),
        "view_index": {
            "updates_pending": {"minimum": pending, "preferred": pending, "total": pending},
            // Nothing is ever waiting for its commit here; so CouchDB shows what it has built.
            "waiting_commit": index.seq > 0,
            "waiting_clients": index.waiting_clients,
            "updater_running": index.updating,
            "update_seq": index.seq,
            "sizes": {
                "file": index.file_bytes,
                "external": index.external_bytes,
                "active": index.file_bytes,
            },
            "signature": ddoc.signature(),
            "purge_seq": index.purge_seq,
            "language": ddoc.language(),
            "compact_running": index.compacting,
            "collator_versions": [crate::collation::collator_version()],
        },
    });
    // Of no interest to CouchDB's clients: they do not see it unless they ask.
    if request.query.get("native") == Some("true") {
        info["view_index"]["native"] = json!(views.native_views());
        info["native"] = json!(request.app.functions.native(ddoc));
    }
    respond::ok(&info)
}
