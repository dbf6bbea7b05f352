//! `POST /_replicate`: replications by request, and their end.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::replicator::{
    NotCancelled, Outcome, ReplicationError, Specification, SpecificationError,
};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// The members that may name a replication.
const ID_MEMBERS: [&str; 3] = ["_local_id", "replication_id", "id"];

/// As in CouchDB the body is read before anything else is looked at.
pub async fn replicate(mut request: Request) -> Answer {
    let body = request.json_object().await?;
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    request.user.require_authenticated()?;
    match body.get("cancel") {
        None | Some(Value::Bool(false)) => start(&request, &body).await,
        Some(Value::Bool(true)) => cancel(&request, &body).await,
        Some(_) => Err(ApiError::bad_request("parameter `cancel` must be a boolean")),
    }
}

fn specification(request: &Request, body: &Map<String, Value>) -> Result<Specification, ApiError> {
    Ok(request.app.replicator.specification(body)?)
}

async fn start(request: &Request, body: &Map<String, Value>) -> Answer {
    let specification = specification(request, body)?;
    let continuous = specification.continuous;
    let job = request.app.replicator.start(specification, &request.user).await?;
    if continuous {
        return Ok(cancelled_or_begun(StatusCode::ACCEPTED, &job.id.to_string()));
    }
    match job.outcome().await {
        Outcome::Completed(completed) => {
            let mut answer = Map::from_iter([("ok".to_owned(), Value::Bool(true))]);
            if completed.no_changes {
                answer.insert("no_changes".to_owned(), Value::Bool(true));
            }
            answer.extend(completed.checkpoint);
            respond::ok(&Value::Object(answer))
        }
        Outcome::Failed(error) => Err(error.into()),
        Outcome::Cancelled => respond::ok(&json!({"ok": "stopped"})),
    }
}

async fn cancel(request: &Request, body: &Map<String, Value>) -> Answer {
    let replicator = &request.app.replicator;
    let named = ID_MEMBERS.iter().find_map(|name| body.get(*name)?.as_str());
    let id = match named {
        // What was a `+` in the path of a request may have become a space.
        Some(id) => id.replace(' ', "+"),
        None => {
            let specification = specification(request, body)?;
            replicator.id_of(&specification, &request.user).await?
        }
    };
    match replicator.cancel(&id, &request.user) {
        Ok(()) => Ok(cancelled_or_begun(StatusCode::OK, &id)),
        Err(NotCancelled::NotFound) => Err(ApiError::missing()),
        Err(NotCancelled::Forbidden) => Err(crate::auth::AuthError::NotServerAdmin.into()),
    }
}

fn cancelled_or_begun(status: StatusCode, id: &str) -> axum::response::Response {
    respond::json(status, &json!({"ok": true, "_local_id": id}))
}

/// Status, error and reason of a replication that cannot be begun.
#[must_use]
pub fn describe_specification(error: &SpecificationError) -> (StatusCode, &'static str) {
    match error {
        SpecificationError::MissingDatabase => (StatusCode::INTERNAL_SERVER_ERROR, "error"),
        SpecificationError::Parameter(_) | SpecificationError::Exclusive(_) => {
            (StatusCode::BAD_REQUEST, "bad_request")
        }
        SpecificationError::Address(_) => (StatusCode::BAD_REQUEST, "invalid_replication"),
        SpecificationError::NoEndpoint => (StatusCode::INTERNAL_SERVER_ERROR, "unknown_error"),
    }
}

/// Status and error of a replication that failed.
#[must_use]
pub fn describe_failure(error: &ReplicationError) -> (StatusCode, &'static str) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.name())
}
