//! `/{db}/_partition/{p}` and what can be asked of one partition.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::blocking;
use crate::database::{Database, DatabaseError};
use crate::metrics;

use super::all_docs;
use super::error::ApiError;
use super::mango;
use super::request::Request;
use super::respond::{self, Answer};
use super::router::{self, Role};

/// Everything below `/{db}/_partition`.
pub async fn partition(request: Request, db: Arc<Database>, role: Role) -> Answer {
    if !db.is_partitioned() {
        return Err(ApiError::bad_request("database is not partitioned"));
    }
    let name = match request.path.get(2).map(String::as_str) {
        None | Some("") => {
            return Err(ApiError::IllegalPartition { reason: "Partition must not be empty" });
        }
        Some(name) if name.starts_with('_') => {
            let reason = "Partition must not start with an underscore";
            return Err(ApiError::IllegalPartition { reason });
        }
        Some(name) => name.to_owned(),
    };
    if request.path.len() == 3 {
        request.allow(&[Method::GET], "GET")?;
        let info = blocking::run("partition info", move || info(&db, &name)).await??;
        return respond::ok(&info);
    }
    let request = within(request, &name)?;
    count(&request);
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    match path.as_slice() {
        ["_all_docs"] => all_docs::all_docs(request, db).await,
        ["_find"] => mango::find(request, db).await,
        ["_explain"] => mango::explain(request, db).await,
        ["_design", _, action, ..] if action.starts_with('_') => {
            router::route_design(request, db, role)?.await
        }
        _ => Err(ApiError::missing()),
    }
}

fn count(request: &Request) {
    match request.path.get(1).map(String::as_str) {
        Some("_all_docs") => metrics::PARTITION_ALL_DOCS_REQUESTS.add(1),
        Some("_find") => metrics::PARTITION_FIND_REQUESTS.add(1),
        Some("_explain") => metrics::PARTITION_EXPLAIN_REQUESTS.add(1),
        Some("_design") => metrics::PARTITION_VIEW_REQUESTS.add(1),
        _ => {}
    }
}

/// The request for the whole database that a request for one of its partitions stands for.
fn within(mut request: Request, partition: &str) -> Result<Request, ApiError> {
    if request.query.get("partition").is_some_and(|other| other != partition) {
        let reason = "Conflicting value for `partition` in query string";
        return Err(ApiError::bad_request(reason));
    }
    request.path.drain(1..3);
    request.query = std::mem::take(&mut request.query).in_partition(partition);
    Ok(request)
}

fn info(db: &Database, name: &str) -> Result<Value, DatabaseError> {
    let partition = db.partition(name)?;
    let bytes = partition.external_bytes;
    Ok(json!({
        "db_name": db.name().as_str(),
        "sizes": {"active": bytes, "external": bytes},
        "partition": name,
        "doc_count": partition.doc_count,
        "doc_del_count": partition.doc_del_count,
    }))
}
