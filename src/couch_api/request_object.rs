//! The request as the functions of design documents see it: their argument `req`.
//!
//! Members and their order are CouchDB's (couchdb-api.md J15), its oddities included: `body` is
//! the text `undefined` where there is none, `requested_path` ends with the query.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Method, header};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::auth::UserCtx;
use crate::database::Database;
use crate::http::path::{self, Plus};

use super::databases::info_json;
use super::error::ApiError;
use super::request::Request;

/// The path that the client asked for, before a virtual host changed it.
pub const VHOST_PATH: HeaderName = HeaderName::from_static("x-couchdb-vhost-path");
/// The same, as a proxy may say it.
const REQUESTED_PATH: HeaderName = HeaderName::from_static("x-couchdb-requested-path");
/// Parameters whose values are JSON.
const JSON_PARAMETERS: [&str; 4] = ["key", "startkey", "endkey", "descending"];
const FORM: &str = "application/x-www-form-urlencoded";

/// All of a request that functions see, with its body read.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    uuid: String,
    method: Method,
    requested_path: Vec<String>,
    path: Vec<String>,
    raw_path: String,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    body: SeenBody,
    peer: String,
    form: Map<String, Value>,
    cookie: Map<String, Value>,
    user: UserCtx,
}

#[derive(Debug, Clone)]
enum SeenBody {
    None,
    Bytes(Bytes),
    /// What CouchDB has read as JSON by then stays JSON.
    Json(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum BodyMember<'a> {
    Text(Cow<'a, str>),
    Json(&'a Map<String, Value>),
}

#[derive(Serialize)]
struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    method: &'a str,
    requested_path: &'a [String],
    path: &'a [String],
    raw_path: &'a str,
    query: &'a Map<String, Value>,
    headers: &'a Map<String, Value>,
    body: BodyMember<'a>,
    peer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'a Map<String, Value>>,
    cookie: &'a Map<String, Value>,
    #[serde(rename = "userCtx")]
    user: Value,
    #[serde(rename = "secObj")]
    security: Box<RawValue>,
}

impl SeenRequest {
    /// Takes what functions see of a request, and its body.
    ///
    /// # Errors
    /// 413 and 415 for its body; 400 for a parameter that should be JSON.
    pub async fn take(request: &mut Request) -> Result<Self, ApiError> {
        let body = if has_body(&request.headers) {
            SeenBody::Bytes(request.bytes().await?)
        } else {
            SeenBody::None
        };
        Self::with(request, body)
    }

    /// Takes what functions see of a request whose body was JSON.
    ///
    /// # Errors
    /// 400 for a parameter that should be JSON.
    pub fn with_json(request: &Request, body: Map<String, Value>) -> Result<Self, ApiError> {
        Self::with(request, SeenBody::Json(body))
    }

    fn with(request: &Request, body: SeenBody) -> Result<Self, ApiError> {
        let query = query(request)?;
        let scrubbed = request.settings.chttpd.scrub_json_request;
        let cookie = request.header(header::COOKIE.as_str()).filter(|_| !scrubbed);
        Ok(Self {
            uuid: request.app.uuids.next(&request.settings.uuids),
            method: request.method.clone(),
            requested_path: requested_path(request),
            path: request.path.clone(),
            raw_path: request.raw_path.clone(),
            query,
            headers: headers(&request.headers, scrubbed),
            form: form(request, &body)?,
            body,
            peer: request.peer.map_or_else(String::new, |peer| peer.to_string()),
            cookie: cookies(cookie.unwrap_or_default()),
            user: request.user.clone(),
        })
    }

    /// The body, where there was one.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        match &self.body {
            SeenBody::Bytes(bytes) => Some(bytes),
            SeenBody::None | SeenBody::Json(_) => None,
        }
    }

    /// `req`, JSON. `id` is that of the document which the path names. Reads from disk.
    #[must_use]
    pub fn to_json(&self, db: &Database, id: Option<&str>) -> String {
        serialise(&Members {
            info: Some(db.described(|| info_json(db).to_string())),
            uuid: Some(&self.uuid),
            id: Some(id.map_or(Value::Null, Value::from)),
            form: Some(&self.form),
            ..self.members(db)
        })
    }

    /// `req` without what no other request has: as rewrite functions see it.
    #[must_use]
    pub fn to_common_json(&self, db: &Database) -> String {
        serialise(&self.members(db))
    }

    fn body_member(&self) -> BodyMember<'_> {
        match &self.body {
            SeenBody::None => BodyMember::Text("undefined".into()),
            SeenBody::Bytes(bytes) => BodyMember::Text(String::from_utf8_lossy(bytes)),
            SeenBody::Json(object) => BodyMember::Json(object),
        }
    }

    fn members(&self, db: &Database) -> Members<'_> {
        let security = String::from_utf8_lossy(&db.security()).into_owned();
        Members {
            info: None,
            uuid: None,
            id: None,
            method: self.method.as_str(),
            requested_path: &self.requested_path,
            path: &self.path,
            raw_path: &self.raw_path,
            query: &self.query,
            headers: &self.headers,
            body: self.body_member(),
            peer: &self.peer,
            form: None,
            cookie: &self.cookie,
            user: json!({
                "db": db.name().as_str(),
                "name": self.user.name,
                "roles": self.user.roles,
            }),
            security: RawValue::from_string(security).unwrap_or_default(),
        }
    }
}

/// Maps with text keys and numbers of JSON cannot fail to be JSON.
fn serialise(members: &Members<'_>) -> String {
    serde_json::to_string(members).unwrap_or_default()
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Of parameters given several times the last counts, as in a JSON object.
fn query(request: &Request) -> Result<Map<String, Value>, ApiError> {
    let mut query = Map::new();
    for (name, text) in request.query.pairs() {
        let value = if JSON_PARAMETERS.contains(&name) {
            serde_json::from_str(text).map_err(|_| ApiError::invalid_json())?
        } else {
            Value::from(text)
        };
        query.insert(name.to_owned(), value);
    }
    Ok(query)
}

fn requested_path(request: &Request) -> Vec<String> {
    let given = request.header(VHOST_PATH.as_str()).or(request.header(REQUESTED_PATH.as_str()));
    split_requested(given.unwrap_or(&request.raw_path), request.plus())
}

/// The segments of a path with its query; what cannot be decoded stays as it is.
fn split_requested(raw: &str, plus: Plus) -> Vec<String> {
    let segments = raw.split('/').filter(|segment| !segment.is_empty());
    let decoded =
        segments.map(|segment| path::decode(segment, plus).unwrap_or_else(|_| segment.to_owned()));
    decoded.collect()
}

/// Ordered by name, each as CouchDB writes it.
fn headers(headers: &HeaderMap, scrubbed: bool) -> Map<String, Value> {
    let mut names: Vec<&HeaderName> = headers.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let hidden =
        |name: &HeaderName| scrubbed && (*name == header::AUTHORIZATION || *name == header::COOKIE);
    let shown = names.into_iter().filter(|name| !hidden(name)).map(|name| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        (header_name(name), Value::from(values.join(", ")))
    });
    shown.collect()
}

/// Clients write names in any case; CouchDB begins every word of them with a capital letter, but
/// for the one that it adds itself.
fn header_name(name: &HeaderName) -> String {
    if *name == VHOST_PATH {
        return name.as_str().to_owned();
    }
    let mut begins = true;
    let letters = name.as_str().chars().map(|letter| {
        let shown = if begins { letter.to_ascii_uppercase() } else { letter };
        begins = letter == '-';
        shown
    });
    letters.collect()
}

fn form(request: &Request, body: &SeenBody) -> Result<Map<String, Value>, ApiError> {
    let is_form = request
        .header(header::CONTENT_TYPE.as_str())
        .is_some_and(|content_type| content_type.starts_with(FORM))
        && matches!(request.method, Method::POST | Method::PUT);
    let SeenBody::Bytes(body) = body else { return Ok(Map::new()) };
    if !is_form {
        return Ok(Map::new());
    }
    let fields = path::parse_query(&String::from_utf8_lossy(body))?;
    Ok(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
}

fn cookies(header: &str) -> Map<String, Value> {
    let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let pair = |(name, value): (&str, &str)| {
        (name.trim().to_owned(), value.trim().trim_matches('"').into())
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_capitalised_and_credentials_hidden() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("x-test", "t"),
            ("host", "h"),
            ("x-couchdb-vhost-path", "/"),
            ("cookie", "a=b"),
            ("authorization", "Basic x"),
            ("x-test", "u"),
        ] {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let shown = |scrubbed| Value::Object(headers(&map, scrubbed)).to_string();
        let rest = r#""Host":"h","x-couchdb-vhost-path":"/","X-Test":"t, u"}"#;
        assert_eq!(shown(true), format!("{{{rest}"));
        let all = format!(r#"{{"Authorization":"Basic x","Cookie":"a=b",{rest}"#);
        assert_eq!(shown(false), all);
    }

    #[test]
    fn the_requested_path_ends_with_the_query() {
        let check = |raw: &str, expect: &[&str]| {
            assert_eq!(split_requested(raw, Plus::Space), expect, "{raw}");
        };
        check("/db//a%2Fb?x=1+2&y=%26", &["db", "a/b?x=1 2&y=&"]);
        check("/", &[]);
        check("/db?a=/b", &["db?a=", "b"]);
        check("/%zz", &["%zz"]);
    }

    #[test]
    fn cookies_are_pairs() {
        let found = Value::Object(cookies(r#"a=1; b="two" ;c;d=e=f"#));
        assert_eq!(found, json!({"a": "1", "b": "two", "d": "e=f"}));
    }
}
