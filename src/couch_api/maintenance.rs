//! What looks after a database: compaction, cleanups, and answers of a cluster of one node.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::app::node_name;
use crate::blocking;
use crate::database::Database;
use crate::document::DocId;

use super::design_docs;
use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::router::Role;
use super::settings::require_admin;

/// `POST /{db}/_ensure_full_commit`: every acknowledged write is durable already.
pub fn ensure_full_commit(request: &Request, db: &Database) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    let answer = json!({"ok": true, "instance_start_time": db.created_s().to_string()});
    Ok(respond::json(StatusCode::CREATED, &answer))
}

/// `POST /{db}/_compact` and `/{db}/_compact/{ddoc}`.
pub fn compact(request: &Request, db: &Arc<Database>, role: Role) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    require_admin(role)?;
    request.require_json()?;
    if let Some(name) = request.path.get(2) {
        let id = DocId::parse(&format!("_design/{name}"))?;
        let ddoc = db.design(&id)?.ok_or_else(ApiError::missing)?;
        let index = request.app.views.index(db, &ddoc)?;
        blocking::start("compact index", move || {
            if let Err(error) = index.compact() {
                tracing::warn!(ddoc.id = %id, %error, "compaction of an index failed");
            }
        });
        return respond::ok_true(StatusCode::ACCEPTED);
    }
    let (app, db) = (request.app.clone(), db.clone());
    blocking::start("compact", move || {
        if let Err(error) = app.compact_database(&db) {
            tracing::warn!(db.name = %db.name(), %error, "compaction failed");
        }
    });
    respond::ok_true(StatusCode::ACCEPTED)
}

/// `POST /{db}/_view_cleanup`: drops the indexes that no design document has any more.
pub async fn view_cleanup(request: Request, db: Arc<Database>, role: Role) -> Answer {
    cleanup(&request, role)?;
    let views = request.app.views.clone();
    let cleaned = blocking::run("clean up views", move || {
        views.cleanup(&db, || design_docs::signatures(&db))
    });
    cleaned.await??;
    respond::ok_true(StatusCode::ACCEPTED)
}

/// `POST /{db}/_search_cleanup`, `/{db}/_nouveau_cleanup`.
pub fn cleanup(request: &Request, role: Role) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    require_admin(role)?;
    respond::ok_true(StatusCode::ACCEPTED)
}

/// `POST /{db}/_sync_shards`.
pub fn sync_shards(request: &Request) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_server_admin()?;
    respond::ok_true(StatusCode::ACCEPTED)
}

/// `GET /{db}/_shards` and `/{db}/_shards/{id}`: one shard on one node.
pub fn shards(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let range = "00000000-ffffffff";
    match request.path.get(2) {
        None => respond::ok(&json!({"shards": {range: [node_name()]}})),
        Some(_) => respond::ok(&json!({"range": range, "nodes": [node_name()]})),
    }
}
