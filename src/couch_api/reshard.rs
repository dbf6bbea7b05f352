//! `/_reshard`: a database is one shard here, so there is nothing to split. The state can be
//! changed and is shown, jobs are checked and refused (couchdb-api.md E029, E030).

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::node_name;
use crate::database::DatabaseName;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// Why it stopped, where nobody says.
const STOPPED: &str = "Cluster-wide resharding stopped by the user";
/// The only range there is.
const WHOLE: &str = "00000000-ffffffff";
const REFUSED: &str = "a database has one shard, which cannot be split";

/// Everything below `/_reshard`.
pub async fn reshard(request: Request) -> Answer {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    match path.as_slice() {
        [] => {
            request.allow(&[Method::GET], "GET,HEAD")?;
            summary(&request)
        }
        ["state"] => state(request).await,
        ["jobs"] => jobs(request).await,
        ["jobs", _] => {
            request.allow(&[Method::GET, Method::DELETE], "GET,HEAD,DELETE")?;
            Err(ApiError::missing())
        }
        ["jobs", _, "state"] => {
            request.allow(&[Method::GET, Method::PUT], "GET,HEAD,PUT")?;
            if request.method == Method::PUT {
                read_state(request).await?;
            }
            Err(ApiError::missing())
        }
        _ => Err(ApiError::missing()),
    }
}

fn summary(request: &Request) -> Answer {
    let stopped = request.app.resharding.stopped();
    respond::ok(&json!({
        "state": if stopped.is_some() { "stopped" } else { "running" },
        "state_reason": stopped,
        "completed": 0,
        "failed": 0,
        "running": 0,
        "stopped": 0,
        "total": 0,
    }))
}

async fn state(request: Request) -> Answer {
    request.allow(&[Method::GET, Method::PUT], "GET,HEAD,PUT")?;
    let app = request.app.clone();
    if request.method == Method::GET {
        let stopped = app.resharding.stopped();
        let state = if stopped.is_some() { "stopped" } else { "running" };
        return respond::ok(&json!({"state": state, "reason": stopped}));
    }
    app.resharding.set(read_state(request).await?);
    respond::ok_true(StatusCode::OK)
}

/// What a body asks for: to go on, or to stop for a reason.
async fn read_state(mut request: Request) -> Result<Option<String>, ApiError> {
    request.require_json()?;
    let body = request.json_object().await?;
    match body.get("state").map(Value::as_str) {
        None => Err(ApiError::bad_request("Expected a `state` field")),
        Some(Some("running")) => Ok(None),
        Some(Some("stopped")) => {
            let reason = body.get("reason").and_then(Value::as_str).unwrap_or(STOPPED);
            Ok(Some(reason.to_owned()))
        }
        Some(_) => Err(ApiError::bad_request("State field not `running` or `stopped`")),
    }
}

async fn jobs(mut request: Request) -> Answer {
    request.allow(&[Method::GET, Method::POST], "GET,HEAD,POST")?;
    if request.method == Method::GET {
        return respond::ok(&json!({"total_rows": 0, "offset": 0, "jobs": []}));
    }
    request.require_json()?;
    let job = request.json_object().await?;
    check_node(job.get("node"))?;
    let shard = shard_database(job.get("shard"))?;
    let db = job.get("db").map(|name| database(&request, name)).transpose()?;
    check_range(job.get("range"))?;
    if job.get("type").and_then(Value::as_str) != Some("split") {
        return Err(ApiError::bad_request("`job type must be `split`"));
    }
    let name = match (shard, db) {
        (None, None) => {
            return Err(ApiError::bad_request("Must specify at least `db` or `shard`"));
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request("`db` and `shard` are mutually exclusive"));
        }
        (Some(name), None) => {
            database(&request, &Value::from(name)).map_err(|_| ApiError::missing())?
        }
        (None, Some(name)) => name,
    };
    let shard = format!("shards/{WHOLE}/{name}");
    let refused = json!([{"error": REFUSED, "node": node_name(), "shard": shard}]);
    Ok(respond::json(StatusCode::INTERNAL_SERVER_ERROR, &refused))
}

fn check_node(node: Option<&Value>) -> Result<(), ApiError> {
    match node.map(Value::as_str) {
        None => Ok(()),
        Some(Some(name)) if name == node_name() => Ok(()),
        Some(Some(_)) => Err(ApiError::bad_request("`node` is not a valid node name")),
        Some(None) => Err(ApiError::bad_request("Invalid `node`")),
    }
}

/// The database of `shards/{range}/{database}`.
fn shard_database(shard: Option<&Value>) -> Result<Option<String>, ApiError> {
    let Some(shard) = shard else { return Ok(None) };
    let shard = shard.as_str().ok_or(ApiError::bad_request("Invalid `shard`"))?;
    let parts = shard.strip_prefix("shards/").and_then(|rest| rest.split_once('/'));
    match parts {
        Some((range, name)) if range.len() == WHOLE.len() && range.as_bytes()[8] == b'-' => {
            // CouchDB's names of shards end with the time of their creation.
            let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
            Ok(Some(name.to_owned()))
        }
        _ => Err(ApiError::bad_request("`shard` is invalid")),
    }
}

fn database(request: &Request, name: &Value) -> Result<String, ApiError> {
    let invalid = || ApiError::bad_request("Invalid `db`");
    let name = DatabaseName::parse(name.as_str().ok_or_else(invalid)?).map_err(|_| invalid())?;
    let exists = request.app.registry.exists(&name)?;
    if exists { Ok(name.as_str().to_owned()) } else { Err(invalid()) }
}

fn check_range(range: Option<&Value>) -> Result<(), ApiError> {
    let Some(range) = range else { return Ok(()) };
    let ends = range.as_str().and_then(|range| range.split_once('-'));
    let number = |text: &str| match text.len() {
        8 => u32::from_str_radix(text, 16).ok(),
        _ => None,
    };
    let ends = ends.and_then(|(begin, end)| Some((number(begin)?, number(end)?)));
    match ends {
        Some((begin, end)) if begin < end => Ok(()),
        _ => Err(ApiError::bad_request("Invalid `range`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_jobs() {
        let check = |job: &Value, expect: &str| {
            let found = check_node(job.get("node"))
                .and_then(|()| shard_database(job.get("shard")).map(|_| ()))
                .and_then(|()| check_range(job.get("range")));
            let found = found.map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expect, "{job}");
        };
        check(&json!({}), "");
        check(&json!({"node": node_name(), "range": WHOLE}), "");
        check(&json!({"shard": "shards/00000000-ffffffff/db.1700000000"}), "");
        check(&json!({"node": "other@host"}), "`node` is not a valid node name");
        check(&json!({"node": 1}), "Invalid `node`");
        check(&json!({"shard": "db"}), "`shard` is invalid");
        check(&json!({"shard": []}), "Invalid `shard`");
        for range in ["", "0-1", "ffffffff-00000000", "00000000-fffffffg", "00000000"] {
            check(&json!({ "range": range }), "Invalid `range`");
        }
        let shard = json!("shards/00000000-7fffffff/a/b.1700000000");
        assert_eq!(shard_database(Some(&shard)).unwrap().as_deref(), Some("a/b"));
    }
}
