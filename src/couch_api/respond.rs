//! Answers: CouchDB's headers and framing.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use md5::{Digest as _, Md5};
use serde_json::Value;

use super::error::ApiError;

/// What a handler gives.
pub type Answer = Result<Response, ApiError>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const MUST_REVALIDATE: HeaderValue = HeaderValue::from_static("must-revalidate");

/// A JSON answer of bytes that end with their newline.
pub fn json_bytes(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, MUST_REVALIDATE);
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &Value) -> Response {
    let mut body = value.to_string();
    body.push('\n');
    json_bytes(status, body)
}

/// 200 with a JSON value.
#[expect(clippy::unnecessary_wraps, reason = "a handler's last line is an answer")]
pub fn ok(value: &Value) -> Answer {
    Ok(json(StatusCode::OK, value))
}

/// `{"ok":true}`.
#[expect(clippy::unnecessary_wraps, reason = "a handler's last line is an answer")]
pub fn ok_true(status: StatusCode) -> Answer {
    Ok(json_bytes(status, "{\"ok\":true}\n"))
}

/// A JSON answer sent in chunks as they are made. An error after the first chunk cuts the
/// connection, as CouchDB does.
pub fn json_stream<S>(body: S) -> Response
where
    S: Stream<Item = Result<Bytes, ApiError>> + Send + 'static,
{
    json_bytes(StatusCode::OK, Body::from_stream(body))
}

/// Adds a header; what can be no header value is left out.
#[must_use]
pub fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// `"tag"` of a text.
#[must_use]
pub fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// An entity tag for content that has no revision: base 36 of an MD5, as CouchDB writes it.
#[must_use]
pub fn content_etag(parts: &[&[u8]]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update((part.len() as u64).to_be_bytes());
        md5.update(part);
    }
    let mut number = u128::from_be_bytes(md5.finalize().into());
    let mut digits = Vec::new();
    while number > 0 {
        let digit = (number % 36) as u8;
        digits.push(char::from(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
        number /= 36;
    }
    let tag: String = digits.into_iter().rev().collect();
    quoted(&tag)
}

/// 304 with the tag and no body.
#[must_use]
pub fn not_modified(etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    with(response, header::ETAG, etag)
}

/// The answer to an error.
#[must_use]
pub fn error(error: &ApiError) -> Response {
    let (status, name, reason) = error.describe();
    if status.is_server_error() {
        tracing::warn!(http.status = status.as_u16(), error = %name, %reason, "request failed");
    }
    let mut value = serde_json::json!({"error": name, "reason": error.reason()});
    if let Some(reference) = error.reference() {
        value["ref"] = reference.into();
    }
    let response = json(status, &value);
    match error {
        ApiError::MethodNotAllowed(list) => with(response, header::ALLOW, list),
        _ if status == StatusCode::SERVICE_UNAVAILABLE => with(response, header::RETRY_AFTER, "1"),
        _ if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) => {
            with(response, header::CONNECTION, "close")
        }
        _ => response,
    }
}
