//! `_purge`, `_purged_infos`, `_purged_infos_limit`.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::blocking;
use crate::database::Database;
use crate::document::{DocId, Rev};
use crate::metrics;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::settings::positive;

/// `POST /{db}/_purge`.
pub async fn purge(mut request: Request, db: Arc<Database>) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_server_admin()?;
    request.require_json()?;
    metrics::PURGE_REQUESTS.add(1);
    let asked = request.json_object().await?;
    let mut documents = Vec::with_capacity(asked.len());
    for (id, revs) in asked {
        documents.push((DocId::parse(&id)?, read_revs(&revs)?));
    }
    let count: usize = documents.iter().map(|(_, revs)| revs.len()).sum();
    if request.settings.purge.max_revisions_number.is_some_and(|max| count as u64 > max) {
        return Err(ApiError::bad_request("Exceeded maximum number of revisions."));
    }
    let outcomes = blocking::settle(db.purge(documents)?).await?;
    let purged: Map<String, Value> = outcomes
        .into_iter()
        .map(|outcome| (outcome.id.to_string(), json!(texts(&outcome.purged))))
        .collect();
    let answer = json!({"purge_seq": null, "purged": purged});
    Ok(respond::json(StatusCode::CREATED, &answer))
}

fn read_revs(revs: &Value) -> Result<Vec<Rev>, ApiError> {
    let bad = || ApiError::bad_request("Invalid list of revisions");
    let revs = revs.as_array().ok_or_else(bad)?;
    revs.iter().map(|rev| Ok(Rev::parse(rev.as_str().ok_or_else(bad)?)?)).collect()
}

fn texts(revs: &[Rev]) -> Vec<String> {
    revs.iter().map(ToString::to_string).collect()
}

/// `GET /{db}/_purged_infos`.
pub fn purged_infos(request: &Request, db: &Database) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let limit = usize::try_from(db.purged_infos_limit()).unwrap_or(usize::MAX);
    let infos: Vec<Value> = db
        .purges(limit)?
        .into_iter()
        .map(|purge| json!({"id": purge.id.as_str(), "revs": texts(&purge.revs)}))
        .collect();
    respond::ok(&json!({ "purged_infos": infos }))
}

/// `GET` and `PUT /{db}/_purged_infos_limit`.
pub async fn purged_infos_limit(mut request: Request, db: Arc<Database>) -> Answer {
    request.allow(&[Method::GET, Method::PUT], "GET,PUT")?;
    if request.method == Method::GET {
        return respond::ok(&json!(db.purged_infos_limit()));
    }
    request.require_server_admin()?;
    let limit = positive(&request.json().await?)
        .ok_or_else(|| ApiError::bad_request("`purged_infos_limit` must be positive integer"))?;
    blocking::settle(db.set_purged_infos_limit(limit)?).await?;
    respond::ok_true(StatusCode::OK)
}
