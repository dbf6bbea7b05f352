//! Resources that tell about the server: `/`, `/_up`, `/_uuids`, `/_membership`,
//! `/_active_tasks`, `/_log`.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::app::{node_name, now_s, recent_log};
use crate::config::MaintenanceMode;
use crate::database::{Compaction, Database};
use crate::views::Building;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::scheduler;

/// The release of CouchDB whose API is spoken.
const API_VERSION: &str = "3.5.0";
/// Bytes of the log that are shown where nobody says how many.
const LOG_BYTES: usize = 1000;
/// What a CouchDB without its optional engines names.
const FEATURES: [&str; 5] =
    ["access-ready", "partitioned", "pluggable-storage-engines", "reshard", "scheduler"];
/// Uuids must never be answered from a cache: a date in the past, on purpose.
const EXPIRED: HeaderValue = HeaderValue::from_static("Mon, 01 Jan 1990 00:00:00 GMT");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// `GET /`.
pub fn welcome(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let vendor = match &request.settings.vendor {
        none if none.is_empty() => json!({"name": "settee", "version": env!("CARGO_PKG_VERSION")}),
        vendor => json!(vendor),
    };
    respond::ok(&json!({
        "couchdb": "Welcome",
        "version": API_VERSION,
        "git_sha": "settee",
        "uuid": request.app.uuid,
        "features": FEATURES,
        "vendor": vendor,
    }))
}

/// `GET /_up`.
pub fn up(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let down = |status: &str| Ok(respond::json(StatusCode::NOT_FOUND, &json!({"status": status})));
    match request.settings.couchdb.maintenance_mode {
        MaintenanceMode::Off => respond::ok(&json!({"status": "ok", "seeds": {}})),
        MaintenanceMode::On => down("maintenance_mode"),
        MaintenanceMode::NoLoadBalancer => down("nolb"),
    }
}

/// `GET /_log`: the last lines of the log, which CouchDB had until 2.0. What functions of design
/// documents log is among them.
pub fn log(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let number = |name: &str, default: usize| match request.query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            ApiError::query(format!("Invalid value for integer: {}", Value::from(text)))
        }),
    };
    let text = recent_log::read(number("bytes", LOG_BYTES)?, number("offset", 0)?);
    let text = String::from_utf8_lossy(&text).into_owned();
    let response = Response::new(text.into());
    let response = respond::with(response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(respond::with(response, header::CACHE_CONTROL, "must-revalidate"))
}

/// `POST /_reload_query_servers`: every program is made anew from its source.
pub fn reload_query_servers(request: &Request) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    request.app.functions.sandbox().forget_programs();
    respond::ok_true(StatusCode::OK)
}

/// `/_search_analyze`, of a server without search.
pub fn search_analyze(request: &Request) -> Answer {
    request.allow(&[Method::GET, Method::POST], "GET,POST")?;
    Err(ApiError::NoSearch)
}

/// `/_nouveau_analyze`, likewise.
pub fn nouveau_analyze(request: &Request) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    Err(ApiError::missing())
}

/// `/_utils`, where CouchDB has its web interface. There is none here, but its policy holds.
pub fn utils(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let path = request.raw_path.split('?').next().unwrap_or_default();
    if path == "/_utils" {
        let mut response = respond::json(StatusCode::MOVED_PERMANENTLY, &json!({"ok": true}));
        *response.body_mut() = Body::empty();
        let location = format!("{}/_utils/", request.base_url());
        return Ok(respond::with(response, header::LOCATION, &location));
    }
    let response = respond::error(&ApiError::missing());
    Ok(match request.settings.csp.utils.header() {
        Some(policy) => respond::with(response, header::CONTENT_SECURITY_POLICY, policy),
        None => response,
    })
}

/// `GET /_uuids`.
pub fn uuids(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let settings = &request.settings.uuids;
    let count = uuid_count(request.query.get("count"), settings.max_count)?;
    let uuids: Vec<String> = (0..count).map(|_| request.app.uuids.next(settings)).collect();
    let etag = respond::content_etag(&[uuids.concat().as_bytes()]);
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let response = respond::json(StatusCode::OK, &json!({"uuids": uuids}));
    Ok(uncached(respond::with(response, header::ETAG, &etag)))
}

fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_CACHE);
    headers.insert(header::PRAGMA, NO_CACHE);
    headers.insert(header::EXPIRES, EXPIRED);
    response
}

fn uuid_count(text: Option<&str>, max: u64) -> Result<u64, ApiError> {
    let Some(text) = text else { return Ok(1) };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = digits.bytes().all(|byte| byte == b'0');
    if !is_number || text.starts_with('-') && !is_zero {
        return Err(ApiError::bad_request("count must be a positive integer"));
    }
    // A number of many digits is too large, too.
    match digits.parse() {
        Ok(count) if count <= max => Ok(count),
        _ => Err(ApiError::bad_request("count parameter too large")),
    }
}

/// `GET /_membership`.
pub fn membership(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    respond::ok(&json!({"all_nodes": [node_name()], "cluster_nodes": [node_name()]}))
}

/// `GET /_active_tasks`: the compactions, the builds of indexes and the replications under way.
pub fn active_tasks(request: &Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let compacting = request.app.registry.compacting();
    let compactions = compacting.iter().map(|(db, compaction)| compaction_task(db, *compaction));
    let building = request.app.views.building();
    let replications = scheduler::tasks(&request.app);
    let tasks = compactions.chain(building.iter().map(indexer_task)).chain(replications).collect();
    respond::ok(&Value::Array(tasks))
}

fn indexer_task(building: &Building) -> Value {
    let db = building.db.name().as_str();
    let pid = format!("{db}/{}", building.design_document);
    // Documents may be written while it runs.
    let total = building.total_changes.max(building.changes_done);
    json!({
        "node": node_name(),
        "pid": pid,
        "indexer_pid": pid,
        "type": "indexer",
        "database": db,
        "design_document": building.design_document,
        "process_status": "running",
        "started_on": building.started_s,
        "updated_on": building.updated_s,
        "changes_done": building.changes_done,
        "total_changes": total,
        "progress": (building.changes_done * 100).checked_div(total).unwrap_or(100),
    })
}

fn compaction_task(db: &Database, compaction: Compaction) -> Value {
    let seconds_ago = |moment: Instant| now_s().saturating_sub(moment.elapsed().as_secs());
    // Documents may be written while it runs.
    let total = compaction.documents.max(compaction.documents_done);
    json!({
        "node": node_name(),
        "pid": db.name().as_str(),
        "type": "database_compaction",
        "database": db.name().as_str(),
        "process_status": "running",
        "started_on": seconds_ago(compaction.started),
        "updated_on": seconds_ago(compaction.updated),
        "changes_done": compaction.documents_done,
        "total_changes": total,
        "progress": (compaction.documents_done * 100).checked_div(total).unwrap_or(100),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_uuids() {
        let check = |text: Option<&str>, expect: Result<u64, &str>| {
            let found = uuid_count(text, 1000).map_err(|error| error.to_string());
            assert_eq!(found.as_ref().map_err(String::as_str), expect.as_ref().map_err(|e| *e));
        };
        check(None, Ok(1));
        check(Some("0"), Ok(0));
        check(Some("-0"), Ok(0));
        check(Some("+7"), Ok(7));
        check(Some("1000"), Ok(1000));
        for large in ["1001", "99999999999999999999999999"] {
            check(Some(large), Err("count parameter too large"));
        }
        for bad in ["", "-", "-1", "1.5", "x", "1 ", "--1", "-99999999999999999999999999"] {
            check(Some(bad), Err("count must be a positive integer"));
        }
    }
}
