//! `/_scheduler/jobs` and `/_scheduler/docs`: what the replicator does and what became of it, and
//! its part of `/_active_tasks` (couchdb-api.md 1.19). Credentials are never shown.

use std::ops::ControlFlow;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::app::{SharedApp, node_name};
use crate::blocking;
use crate::database::{Database, DatabaseError, DatabaseName, Direction, IdRange};
use crate::document::DocId;
use crate::http::date::iso_date;
use crate::replicator::{
    DocumentState, DocumentView, Endpoint, Event, Happened, JobView, Origin, Specification,
    is_replicator_database, strip_password,
};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

const REPLICATOR: &str = "_replicator";
const STATES: [&str; 7] =
    ["initializing", "error", "running", "pending", "crashing", "completed", "failed"];
/// Rows that are shown where nobody says how many.
const LIMIT: usize = 100;
/// Documents that are looked at in one go.
const PAGE: usize = 1000;

/// `GET /_scheduler/...`.
pub async fn scheduler(request: Request) -> Answer {
    request.allow(&[Method::GET], "GET,HEAD")?;
    let path: Vec<&str> = request.path.iter().map(String::as_str).skip(1).collect();
    match path.as_slice() {
        ["jobs"] => jobs(&request),
        ["jobs", id] => {
            // What was a `+` in the path may have become a space.
            let job = request.app.replicator.job(&id.replace(' ', "+"));
            respond::ok(&job_json(&job.ok_or_else(ApiError::missing)?))
        }
        ["docs"] => docs(request, REPLICATOR.to_owned()).await,
        ["docs", db] if is_replicator_database(db) => {
            let db = (*db).to_owned();
            docs(request, db).await
        }
        ["docs", db, id] if is_replicator_database(db) => {
            let (db, id) = ((*db).to_owned(), (*id).to_owned());
            doc(request, db, id).await
        }
        // The slashes of a database's name need not be escaped here.
        ["docs", rest @ ..] => match rest.iter().position(|name| *name == REPLICATOR) {
            Some(at) => {
                let (db, after) = rest.split_at(at + 1);
                let db = db.join("/");
                match after {
                    [] => docs(request, db).await,
                    [id] => {
                        let id = (*id).to_owned();
                        doc(request, db, id).await
                    }
                    _ => Err(ApiError::bad_request("invalid replication document path")),
                }
            }
            None => Err(ApiError::bad_request("invalid replication document path")),
        },
        _ => Ok(respond::json(StatusCode::NOT_FOUND, &json!({"error": "not found"}))),
    }
}

fn number(request: &Request, name: &str, otherwise: usize) -> Result<usize, ApiError> {
    let bad = || {
        let reason = format!("`{name}` should be an integer in range [0 .. infinity]");
        ApiError::query(reason)
    };
    request.query.get(name).map_or(Ok(otherwise), |text| text.parse().map_err(|_| bad()))
}

fn jobs(request: &Request) -> Answer {
    let (limit, skip) = (number(request, "limit", LIMIT)?, number(request, "skip", 0)?);
    let jobs = request.app.replicator.jobs();
    let shown: Vec<Value> = jobs.iter().skip(skip).take(limit).map(job_json).collect();
    let (total, offset) = (jobs.len(), skip.min(jobs.len()));
    respond::ok(&json!({"total_rows": total, "offset": offset, "jobs": shown}))
}

/// The database and the document that asked for a job; nulls where a request did.
fn origin(view: &JobView) -> (Value, Value) {
    match &view.job.origin {
        Origin::Request => (Value::Null, Value::Null),
        Origin::Document { database, doc_id } => (json!(database), json!(doc_id)),
    }
}

fn pid(view: &JobView) -> Value {
    if view.is_running { json!(view.job.id.base) } else { Value::Null }
}

fn job_json(view: &JobView) -> Value {
    let job = &view.job;
    let (database, doc_id) = origin(view);
    json!({
        "database": database,
        "id": job.id.to_string(),
        "pid": pid(view),
        "source": job.specification.source.shown(),
        "target": job.specification.target.shown(),
        "user": job.user.name,
        "doc_id": doc_id,
        "info": info(view),
        "history": view.history.iter().map(event_json).collect::<Vec<_>>(),
        "node": node_name(),
        "start_time": iso_date(job.added_s),
    })
}

fn event_json(event: &Event) -> Value {
    let timestamp = iso_date(event.at_s);
    match &event.happened {
        Happened::Added => json!({"timestamp": timestamp, "type": "added"}),
        Happened::Started => json!({"timestamp": timestamp, "type": "started"}),
        Happened::Stopped => json!({"timestamp": timestamp, "type": "stopped"}),
        Happened::Crashed(reason) => {
            json!({"timestamp": timestamp, "type": "crashed", "reason": reason})
        }
    }
}

fn info(view: &JobView) -> Value {
    match view.crash() {
        Some(reason) if !view.is_running => json!({"error": reason}),
        _ => Value::Object(view.known.to_json()),
    }
}

/// `/_active_tasks`: the replications that run.
pub fn tasks(app: &SharedApp) -> Vec<Value> {
    let jobs = app.replicator.jobs();
    jobs.iter().filter(|view| view.is_running).map(task).collect()
}

fn task(view: &JobView) -> Value {
    let (job, specification) = (&view.job, &view.job.specification);
    let (database, doc_id) = origin(view);
    let started = view.history.first().map_or(job.added_s, |event| event.at_s);
    let interval = specification.tuning.checkpoint_interval.as_millis();
    let mut members = view.known.to_json();
    let more = json!({
        "node": node_name(),
        "pid": pid(view),
        "type": "replication",
        "process_status": "running",
        "started_on": started,
        "updated_on": crate::app::now_s(),
        "replication_id": job.id.to_string(),
        "database": database,
        "doc_id": doc_id,
        "user": job.user.name,
        "source": specification.source.shown(),
        "target": specification.target.shown(),
        "continuous": specification.continuous,
        "checkpoint_interval": u64::try_from(interval).unwrap_or(u64::MAX),
    });
    if let Value::Object(more) = more {
        members.extend(more);
    }
    Value::Object(members)
}

fn states(request: &Request) -> Result<Vec<&'static str>, ApiError> {
    let Some(text) = request.query.get("states") else { return Ok(Vec::new()) };
    let wanted = text.split(',').map(|name| name.trim().to_ascii_lowercase());
    let known = wanted.map(|name| STATES.into_iter().find(|state| *state == name));
    known.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let reason = format!("States must be one or more of [{}]", STATES.join(","));
        ApiError::query(reason)
    })
}

async fn docs(request: Request, db: String) -> Answer {
    let (limit, skip) = (number(&request, "limit", LIMIT)?, number(&request, "skip", 0)?);
    let states = states(&request)?;
    let descending = request.query.is_true("descending");
    let app = request.app.clone();
    let rows = blocking::run("list replication documents", move || {
        let db = app.registry.get(&DatabaseName::parse(&db)?)?;
        let mut rows = all_docs(&app, &db, &states)?;
        if descending {
            rows.reverse();
        }
        Ok::<_, ApiError>(rows)
    });
    let rows = rows.await??;
    let (total, offset) = (rows.len(), skip.min(rows.len()));
    let shown: Vec<Value> = rows.into_iter().skip(skip).take(limit).collect();
    respond::ok(&json!({"total_rows": total, "offset": offset, "docs": shown}))
}

async fn doc(request: Request, db: String, id: String) -> Answer {
    let app = request.app.clone();
    let row = blocking::run("read replication document", move || {
        let db = app.registry.get(&DatabaseName::parse(&db)?)?;
        let id = DocId::parse(&id).map_err(|_| ApiError::missing())?;
        let document = db.winner(&id)?.filter(|document| !document.deleted);
        let document = document.ok_or_else(ApiError::missing)?;
        doc_row(&app, &db, id.as_str(), &document.body).ok_or_else(ApiError::missing)
    });
    respond::ok(&row.await??)
}

/// The rows of all documents in these states, in the order of their ids.
fn all_docs(app: &SharedApp, db: &Database, states: &[&str]) -> Result<Vec<Value>, DatabaseError> {
    let mut ids = Vec::new();
    db.scan_heads(&IdRange::prefix(""), Direction::Forward, &mut |row| {
        if !row.deleted && !row.id.starts_with(crate::document::id::DESIGN_PREFIX) {
            ids.extend(DocId::parse(row.id));
        }
        ControlFlow::Continue(())
    })?;
    let mut rows = Vec::new();
    for page in ids.chunks(PAGE) {
        for document in db.winners(page)?.into_iter().flatten() {
            rows.extend(doc_row(app, db, document.id.as_str(), &document.body).filter(|row| {
                let state = row.get("state").and_then(Value::as_str).unwrap_or_default();
                states.is_empty() || states.contains(&state)
            }));
        }
    }
    Ok(rows)
}

/// What is known of a document: while its replication goes on from the replicator, then from
/// itself.
fn doc_row(app: &SharedApp, db: &Database, id: &str, body: &[u8]) -> Option<Value> {
    let database = db.name().as_str();
    if let Some(view) = app.replicator.document(database, id) {
        return Some(active_row(database, id, &view));
    }
    let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let state = text("_replication_state").filter(|state| STATES.contains(state));
    let state = state.unwrap_or("initializing");
    let info = match (state, body.get("_replication_stats")) {
        ("completed", Some(stats)) => stats.clone(),
        ("failed", _) => json!({"error": text("_replication_state_reason")}),
        _ => Value::Null,
    };
    let time = body.get("_replication_state_time").cloned().unwrap_or_default();
    let side = |name: &str| Endpoint::parse(body.get(name)?, None).ok().map(|side| side.shown());
    let proxy = |name: &str| text(name).or(text("proxy")).map(strip_password);
    Some(json!({
        "database": database,
        "doc_id": id,
        "id": null,
        "node": node_name(),
        "source": side("source"),
        "target": side("target"),
        "source_proxy": proxy("source_proxy"),
        "target_proxy": proxy("target_proxy"),
        "state": state,
        "info": info,
        "error_count": u64::from(state == "failed"),
        "start_time": time,
        "last_updated": time,
    }))
}

fn active_row(database: &str, id: &str, view: &DocumentView) -> Value {
    let Specification { source, target, .. } = view.specification.as_ref();
    let started = iso_date(view.started_s);
    let (state, rep_id, told, errors, updated) = match &view.state {
        DocumentState::Initializing => {
            ("initializing", Value::Null, Value::Null, 0, started.clone())
        }
        DocumentState::Error { reason, count } => {
            ("error", Value::Null, json!({"error": reason}), *count, started.clone())
        }
        DocumentState::Scheduled(job) => {
            let updated = job.history.first().map_or(started.clone(), |event| iso_date(event.at_s));
            let id = json!(job.job.id.to_string());
            (job.state(), id, info(job), job.crashes, updated)
        }
    };
    json!({
        "database": database,
        "doc_id": id,
        "id": rep_id,
        "node": node_name(),
        "source": source.shown(),
        "target": target.shown(),
        "source_proxy": proxy_of(source),
        "target_proxy": proxy_of(target),
        "state": state,
        "info": told,
        "error_count": errors,
        "start_time": started,
        "last_updated": updated,
    })
}

fn proxy_of(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Local(_) => None,
        Endpoint::Remote(remote) => remote.proxy.as_deref().map(strip_password),
    }
}
