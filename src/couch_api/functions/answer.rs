//! Response objects as HTTP answers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response as HttpResponse;

use crate::config::Settings;
use crate::couch_api::error::ApiError;
use crate::couch_api::respond;
use crate::design::{FunctionError, Response, ResponseBody};

const HTML: &str = "text/html; charset=utf-8";
const BINARY: &str = "application/binary";
const JSON: &str = "application/json";
/// They say how the answer is sent, which is the server's affair.
const FRAMING: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

/// The whole answer; `code` is the status where the object has none.
///
/// # Errors
/// Where the status is none that can be sent.
pub fn whole(
    response: Response,
    code: StatusCode,
    settings: &Settings,
) -> Result<HttpResponse, ApiError> {
    let (body, content_type, is_json) = match response.body {
        None => (Body::empty(), JSON, false),
        Some(ResponseBody::Text(text)) => (text.into(), HTML, false),
        Some(ResponseBody::Bytes(bytes)) => (bytes.into(), BINARY, false),
        Some(ResponseBody::Json(value)) => (format!("{value}\n").into(), JSON, true),
    };
    let mut answer = if is_json {
        respond::json_bytes(code, body)
    } else {
        with_policy(HttpResponse::new(body), settings)
    };
    let status = response.code.map_or(Ok(code), status)?;
    finish(&mut answer, status, content_type, &response.headers);
    Ok(answer)
}

/// The head of an answer whose body comes in chunks.
///
/// # Errors
/// As for [`whole`].
pub fn begun(
    response: &Response,
    body: Body,
    settings: &Settings,
) -> Result<HttpResponse, ApiError> {
    let content_type = match response.body {
        None | Some(ResponseBody::Json(_)) => JSON,
        Some(ResponseBody::Text(_)) => HTML,
        Some(ResponseBody::Bytes(_)) => BINARY,
    };
    let status = response.code.map_or(Ok(StatusCode::OK), status)?;
    let mut answer = with_policy(HttpResponse::new(body), settings);
    finish(&mut answer, status, content_type, &response.headers);
    Ok(answer)
}

/// The answer of a rewrite function: nothing is added to it.
///
/// # Errors
/// As for [`whole`].
pub fn bare(response: Response) -> Result<HttpResponse, ApiError> {
    let body = match response.body {
        None => Body::empty(),
        Some(ResponseBody::Text(text)) => text.into(),
        Some(ResponseBody::Bytes(bytes)) => bytes.into(),
        Some(ResponseBody::Json(value)) => value.to_string().into(),
    };
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = response.code.map_or(Ok(StatusCode::OK), status)?;
    add_headers(answer.headers_mut(), &response.headers);
    Ok(answer)
}

fn status(code: u16) -> Result<StatusCode, ApiError> {
    let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational());
    Ok(status.ok_or_else(|| FunctionError::InvalidAnswer(format!("{{<<\"code\">>,{code}}}")))?)
}

fn with_policy(answer: HttpResponse, settings: &Settings) -> HttpResponse {
    match settings.csp.showlist.header() {
        Some(policy) => respond::with(answer, header::CONTENT_SECURITY_POLICY, policy),
        None => answer,
    }
}

fn finish(
    answer: &mut HttpResponse,
    status: StatusCode,
    content_type: &'static str,
    headers: &[(String, String)],
) {
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    add_headers(answer.headers_mut(), headers);
}

/// Adds the function's own headers, in the place of ours. Line breaks, which a function may have
/// taken from anywhere, become spaces.
fn add_headers(out: &mut HeaderMap, headers: &[(String, String)]) {
    for (name, value) in headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
            && !FRAMING.contains(&name)
        {
            out.insert(name, value);
        }
    }
}
