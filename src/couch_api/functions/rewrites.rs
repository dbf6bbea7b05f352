//! `/{db}/_design/{name}/_rewrite/...`: another request instead, by rules or by a function.
//!
//! The other request is answered as if it had been sent, so it may be a rewrite again, up to
//! `[chttpd] rewrite_limit` times.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response as HttpResponse;
use serde_json::{Map, Value};

use crate::blocking;
use crate::couch_api::error::ApiError;
use crate::couch_api::request::Request;
use crate::couch_api::request_object::SeenRequest;
use crate::couch_api::router;
use crate::design::Rewritten;
use crate::http::path::{encode_segment, quote_plus};

use super::answer;
use super::rules::{Reach, Rules, normal_path};

/// What a rewrite comes to.
pub enum Rewrite {
    Answer(HttpResponse),
    /// The request that is meant, and the path it goes to.
    Again(Box<Request>),
}

/// Whether a path is one to be rewritten.
#[must_use]
pub fn is_rewrite(path: &[String]) -> bool {
    matches!(path, [_, design, _, action, ..] if design == "_design" && action == "_rewrite")
}

/// Finds out which request is meant. Its `raw_path`, `method`, `headers` and `body` are the new
/// ones; what follows from these is not.
///
/// # Errors
/// 404 where no rule fits, and what is wrong with the rules.
pub async fn rewrite(mut request: Request) -> Result<Rewrite, ApiError> {
    let (db, ddoc) = router::open_design(&request)?;
    if request.rewrites >= request.settings.chttpd.rewrite_limit {
        return Err(ApiError::bad_request("Exceeded rewrite recursion limit"));
    }
    let base =
        format!("/{}/_design/{}/", encode_segment(db.name().as_str()), encode_segment(ddoc.name()));
    match ddoc.body.get("rewrites") {
        Some(Value::Array(rules)) => {
            let far = !request.settings.chttpd.secure_rewrites;
            let rules = Rules::parse(rules, if far { Reach::Server } else { Reach::Database })?;
            let path = request.path.get(4..).unwrap_or_default();
            let target = rules.apply(request.method.as_str(), path, request.query.pairs())?;
            let target = target.ok_or_else(ApiError::missing)?;
            request.raw_path = absolute(&base, &target);
            Ok(Rewrite::Again(Box::new(request)))
        }
        Some(Value::String(_)) => {
            let seen = SeenRequest::take(&mut request).await?;
            let body = seen.body().cloned();
            let (app, ddoc) = (request.app.clone(), Arc::clone(&ddoc));
            let rewritten = blocking::run("rewrite function", move || {
                app.functions.rewrite(&ddoc, seen.to_common_json(&db))
            });
            match rewritten.await?? {
                Rewritten::Response(response) => Ok(Rewrite::Answer(answer::bare(response)?)),
                Rewritten::Invalid => Err(ApiError::InvalidPath("rewrite_error")),
                Rewritten::Request(meant) => {
                    if let Some(body) = body {
                        set_body(&mut request, body);
                    }
                    apply(&mut request, &base, meant)?;
                    Ok(Rewrite::Again(Box::new(request)))
                }
            }
        }
        _ => Err(ApiError::InvalidPath("rewrite_error")),
    }
}

/// A path that is relative to the design document, from the root; its query stays as it is.
fn absolute(base: &str, target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut path = normal_path(&format!("{base}{path}"));
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}

/// Makes a request the one that a function has answered with.
fn apply(request: &mut Request, base: &str, meant: Map<String, Value>) -> Result<(), ApiError> {
    let mut path = None;
    let mut query = None;
    for (name, value) in meant {
        match (name.as_str(), value) {
            ("path", Value::String(text)) => path = Some(text),
            ("path", _) => return Err(ApiError::Rewrite("bad path")),
            ("method", Value::String(method)) => {
                let method = Method::from_bytes(method.as_bytes());
                request.method = method.map_err(|_| ApiError::Rewrite("bad method"))?;
            }
            ("method", _) => return Err(ApiError::Rewrite("bad method")),
            ("headers", Value::Object(headers)) => set_headers(&mut request.headers, &headers)?,
            ("headers", _) => return Err(ApiError::Rewrite("bad headers")),
            ("query", Value::Object(parameters)) => query = Some(parameters),
            ("query", _) => return Err(ApiError::Rewrite("bad query")),
            ("body", Value::String(body)) => set_body(request, body.into()),
            ("body", _) => return Err(ApiError::Rewrite("bad body")),
            // Others mean nothing.
            _ => {}
        }
    }
    let path = path.ok_or(ApiError::Rewrite("Rewrite result must produce a new path."))?;
    request.raw_path = absolute(base, &path);
    let pair = |name: &str, value: &str| format!("{}={}", quote_plus(name), quote_plus(value));
    let pairs: Vec<String> = match query {
        None => request.query.pairs().map(|(name, value)| pair(name, value)).collect(),
        Some(query) => {
            let pairs = query.iter().map(|(name, value)| match value {
                Value::String(text) => pair(name, text),
                other => pair(name, &other.to_string()),
            });
            pairs.collect()
        }
    };
    if !pairs.is_empty() {
        let path = &mut request.raw_path;
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&pairs.join("&"));
    }
    Ok(())
}

fn set_headers(out: &mut HeaderMap, headers: &Map<String, Value>) -> Result<(), ApiError> {
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        match (name, value) {
            (Ok(name), Some(value)) => out.insert(name, value),
            _ => return Err(ApiError::Rewrite("bad headers")),
        };
    }
    Ok(())
}

/// A body that is at hand, so that nothing of how it was sent holds any more.
fn set_body(request: &mut Request, body: bytes::Bytes) {
    request.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    request.headers.remove(header::TRANSFER_ENCODING);
    request.headers.remove(header::CONTENT_ENCODING);
    request.body = std::sync::Mutex::new(Body::from(body));
}
