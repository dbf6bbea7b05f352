//! A database's own settings: `_security`, `_revs_limit`.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::auth::{AuthError, SecurityError, SecurityObject};
use crate::blocking;
use crate::database::Database;
use crate::document::json;

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::router::Role;

/// The largest `_revs_limit`: a path is kept in memory while it is merged.
const REVS_LIMIT_MAX: u64 = 1_000_000_000;

/// # Errors
/// 401 `You are not a server or db admin.`
pub fn require_admin(role: Role) -> Result<(), ApiError> {
    match role {
        Role::Admin => Ok(()),
        Role::Member => Err(AuthError::NotServerOrDatabaseAdmin.into()),
    }
}

/// `GET` and `PUT /{db}/_security`.
pub async fn security(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.allow(&[Method::GET, Method::PUT], "PUT,GET")?;
    if request.method == Method::GET {
        let mut body = db.security().to_vec();
        body.push(b'\n');
        return Ok(respond::json_bytes(StatusCode::OK, body));
    }
    if db.name().as_str() == "_users" && !request.settings.couchdb.users_db_security_editable {
        return Err(ApiError::Forbidden(
            "You can't edit the security object of the user database.".into(),
        ));
    }
    // CouchDB's cluster layer turns the refusal of a single node into this.
    require_admin(role).map_err(|_| ApiError::PlainError("no_majority"))?;
    let body = request.bytes().await?;
    match SecurityObject::parse(&body) {
        Ok(_) => {}
        Err(SecurityError::InvalidJson) => return Err(ApiError::invalid_json()),
        Err(SecurityError::NotAnObject) => {
            return Err(ApiError::bad_request("Request body must be a JSON object"));
        }
        Err(SecurityError::GroupNotAnObject | SecurityError::Names | SecurityError::Roles) => {
            return Err(ApiError::PlainError("no_majority"));
        }
    }
    let minified =
        json::minify(&body, &json::Limits::default()).map_err(|_| ApiError::invalid_json())?;
    blocking::settle(db.set_security(minified)?).await?;
    respond::ok_true(StatusCode::OK)
}

/// `GET` and `PUT /{db}/_revs_limit`.
pub async fn revs_limit(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.allow(&[Method::GET, Method::PUT], "PUT,GET")?;
    if request.method == Method::GET {
        return respond::ok(&json!(db.revs_limit()));
    }
    require_admin(role)?;
    let limit = request.json().await?.as_u64().filter(|limit| *limit > 0);
    let limit = limit.ok_or(ApiError::UnknownError("function_clause"))?;
    blocking::settle(db.set_revs_limit(limit.min(REVS_LIMIT_MAX))?).await?;
    respond::ok_true(StatusCode::OK)
}

/// A positive integer in a request's body.
pub fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}
