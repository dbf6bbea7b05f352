//! `/{db}`: create, delete, describe, and add a document.

use std::sync::Arc;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::app::now_s;
use crate::blocking;
use crate::database::{CreateOptions, Database, DatabaseName};
use crate::document::encode::write_string;
use crate::http::path::encode_segment;

use super::documents_write::{self, Answered};
use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::router::Role;

/// The methods as CouchDB lists them: PUT is allowed all the same.
const METHODS: &str = "DELETE,GET,HEAD,POST";

/// `PUT /{db}`.
pub async fn create(request: Request) -> Answer {
    request.require_server_admin()?;
    let name = DatabaseName::parse(request.path.first().map_or("", String::as_str))?;
    let q = copies(&request, "q")?.unwrap_or(request.settings.cluster.q);
    copies(&request, "n")?;
    let partitioned = match request.query.get("partitioned") {
        None | Some("false") => false,
        Some("true") if name.is_system() => {
            return Err(ApiError::bad_request("Cannot partition a system database"));
        }
        Some("true") => true,
        Some(_) => return Err(ApiError::bad_request("Invalid `partitioned` parameter")),
    };
    let location = format!("{}/{}", request.base_url(), encode_segment(name.as_str()));
    let options = CreateOptions { partitioned, q, created_s: now_s() };
    let app = request.app.clone();
    blocking::run("create database", move || app.registry.create(&name, options)).await??;
    Ok(respond::with(respond::ok_true(StatusCode::CREATED)?, header::LOCATION, &location))
}

/// A number of shards or copies.
fn copies(request: &Request, parameter: &str) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.query.get(parameter) else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => {
            let reason = format!("The `{parameter}` value should be a positive integer.");
            Err(ApiError::bad_request(reason))
        }
    }
}

/// `DELETE /{db}`.
pub async fn delete(request: Request) -> Answer {
    request.require_server_admin()?;
    if request.query.get("rev").is_some() {
        return Err(ApiError::bad_request(
            "You tried to DELETE a database with a ?=rev parameter. \
             Did you mean to DELETE a document instead?",
        ));
    }
    let db = request.database()?;
    blocking::settle(request.app.registry.delete(db.name())?).await?;
    respond::ok_true(StatusCode::OK)
}

/// `GET`, `HEAD` and `POST /{db}`.
pub async fn database(request: Request, db: Arc<Database>, role: Role) -> Answer {
    match request.method {
        Method::GET => {
            let info = blocking::run("database info", move || info_json(&db)).await?;
            respond::ok(&info)
        }
        Method::POST => post(request, db, role).await,
        _ => Err(ApiError::MethodNotAllowed(METHODS)),
    }
}

/// A new document, with an id from the server where it brings none.
async fn post(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.require_json()?;
    let body = request.bytes().await?;
    let mut incoming = documents_write::parse(&request.settings, &body)?;
    let id = match incoming.id.take() {
        Some(id) => id,
        None => request.app.uuids.next(&request.settings.uuids),
    };
    let id = super::request::check_doc_id(&db, &request.settings, &id)?;
    let write = documents_write::Write::of(&request, id, incoming, role)?;
    let answered = write.run(&request, &db).await?;
    let (Answered::Saved { id, .. } | Answered::Accepted { id }) = &answered;
    let (name, segment) = (encode_segment(db.name().as_str()), encode_segment(id.as_str()));
    let location = format!("{}/{name}/{segment}", request.base_url());
    let response = answered.respond(StatusCode::CREATED);
    Ok(match answered {
        Answered::Saved { .. } => respond::with(response, header::LOCATION, &location),
        Answered::Accepted { .. } => response,
    })
}

/// What `GET /{db}` tells, members in CouchDB's order.
#[must_use]
pub fn info_json(db: &Database) -> Value {
    let info = db.info();
    let state = info.state;
    let props = if info.partitioned { json!({"partitioned": true}) } else { json!({}) };
    json!({
        "instance_start_time": info.created_s.to_string(),
        "db_name": db.name().as_str(),
        "purge_seq": db.seq(state.purge_seq).to_string(),
        "update_seq": db.seq(state.update_seq).to_string(),
        "sizes": {
            "file": info.file_bytes,
            "external": state.external_bytes,
            "active": state.external_bytes + state.obsolete_bytes,
        },
        "props": props,
        "doc_del_count": state.doc_del_count,
        "doc_count": state.doc_count,
        "disk_format_version": 8,
        "compact_running": info.compacting,
        "cluster": {"q": info.q, "n": 1, "w": 1, "r": 1},
    })
}

/// Appends `{"ok":true,"id":…,"rev":…}`.
pub fn write_ok(out: &mut Vec<u8>, id: &str, rev: &str) {
    out.extend_from_slice(b"{\"ok\":true,\"id\":");
    write_string(out, id);
    out.extend_from_slice(b",\"rev\":");
    write_string(out, rev);
    out.push(b'}');
}
