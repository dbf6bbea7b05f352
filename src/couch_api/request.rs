//! A request as the handlers see it: decoded path, parameters, user, and typed ways to read the
//! body, each with its limit.

use std::error::Error;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use crate::app::App;
use crate::auth::UserCtx;
use crate::config::Settings;
use crate::database::{Database, DatabaseName};
use crate::document::{DocId, DocIdError, Rev};
use crate::http::gzip;
use crate::http::path::Plus;

use super::body_memory::BodyMemory;
use super::error::ApiError;
use super::query::Query;

/// The largest body that is held in memory, whatever `max_http_request_size` allows.
const BUFFERED_BYTES_MAX: u64 = 512 << 20;

/// What a byte of JSON may come to once it is parsed: a list of small numbers is the worst.
const PARSED_BYTES: u64 = 36;

/// Bytes made room for before they have come.
const EXPECTED_BYTES_MAX: usize = 8 << 20;

/// Why a body ends before it has come: its client was waited for too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request's body came too slowly")]
pub struct BodyTooSlow;

/// One HTTP request after its path, parameters and user are known. In a box: it goes from caller to
/// caller, and each would keep room for it.
#[derive(Debug)]
pub struct Request(Box<Known>);

impl From<Known> for Request {
    fn from(known: Known) -> Self {
        Self(Box::new(known))
    }
}

impl Deref for Request {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Known {
        &mut self.0
    }
}

/// What is known of a [`Request`].
#[derive(Debug)]
pub struct Known {
    pub app: Arc<App>,
    pub settings: Arc<Settings>,
    /// After `X-HTTP-Method-Override`.
    pub method: Method,
    /// Path and query as they were sent, or as a virtual host or a rewrite has made them.
    pub raw_path: String,
    /// How often the request was rewritten.
    pub rewrites: u64,
    /// Decoded segments, without the empty one after a slash at the end.
    pub path: Vec<String>,
    pub query: Query,
    pub headers: HeaderMap,
    pub user: UserCtx,
    /// The handler that knew the user, as in `_session`.
    pub authenticated_by: Option<&'static str>,
    pub peer: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub encrypted: bool,
    /// In a lock only so that a request can be looked at from several threads.
    pub body: Mutex<Body>,
    /// What the body has taken of the memory for all bodies.
    pub memory: BodyMemory,
}

impl Request {
    /// A header's value, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        // Requests have few headers: comparing is faster than hashing the name.
        let named = |(found, _): &(&HeaderName, _)| found.as_str().eq_ignore_ascii_case(name);
        self.headers.iter().find(named)?.1.to_str().ok()
    }

    /// `http://host:port` as the client addressed the server, for Location headers.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.came_over_tls() { "https" } else { "http" };
        let host = self
            .header(&self.settings.chttpd.x_forwarded_host)
            .or_else(|| self.header(header::HOST.as_str()))
            .unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// Whether the client's connection is TLS, also where it ends at a proxy.
    #[must_use]
    pub fn came_over_tls(&self) -> bool {
        let chttpd = &self.settings.chttpd;
        self.encrypted
            || self.header(&chttpd.x_forwarded_ssl) == Some("on")
            || self.header(&chttpd.x_forwarded_proto) == Some("https")
    }

    /// Whether the client's cached answer is still right.
    #[must_use]
    pub fn matches_etag(&self, etag: &str) -> bool {
        self.header(header::IF_NONE_MATCH.as_str())
            .is_some_and(|header| crate::http::negotiate::if_none_match(header, etag))
    }

    /// # Errors
    /// 405 with CouchDB's list.
    pub fn allow(&self, methods: &[Method], list: &'static str) -> Result<(), ApiError> {
        if methods.contains(&self.method) { Ok(()) } else { Err(ApiError::MethodNotAllowed(list)) }
    }

    /// # Errors
    /// 415 where the body is not declared to be JSON.
    pub fn require_json(&self) -> Result<(), ApiError> {
        let media_type = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            Ok(())
        } else {
            Err(ApiError::BadContentType("Content-Type must be application/json".into()))
        }
    }

    /// # Errors
    /// 401 `You are not a server admin.`
    pub fn require_server_admin(&self) -> Result<(), ApiError> {
        if self.user.is_server_admin() {
            Ok(())
        } else {
            Err(ApiError::Unauthorized("You are not a server admin.".into()))
        }
    }

    /// # Errors
    /// 401 `You are not a server admin or read-only metrics user`
    pub fn require_metrics_reader(&self) -> Result<(), ApiError> {
        Ok(self.user.require_metrics_reader()?)
    }

    /// How a `+` in a path is read.
    #[must_use]
    pub fn plus(&self) -> Plus {
        if self.settings.chttpd.decode_plus_to_space { Plus::Space } else { Plus::Literal }
    }

    fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// The body's bytes as they come, limited by `max_http_request_size`.
    ///
    /// # Errors
    /// 413 at once where the declared length is too large.
    pub fn take_body(
        &mut self,
    ) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Send + Unpin + use<>, ApiError> {
        let limit = self.settings.chttpd.max_http_request_size;
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(ApiError::BodyTooLarge);
        }
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let body = std::mem::take(body).into_data_stream();
        let mut taken = 0u64;
        Ok(body.map(move |chunk| {
            let chunk = chunk.map_err(|error| unreadable(&error))?;
            taken += chunk.len() as u64;
            if taken > limit { Err(ApiError::BodyTooLarge) } else { Ok(chunk) }
        }))
    }

    /// The whole body in memory, ungzipped.
    ///
    /// # Errors
    /// 413, 415 for an encoding other than gzip, 400 for broken gzip.
    pub async fn bytes(&mut self) -> Result<Bytes, ApiError> {
        let limit = self.settings.chttpd.max_http_request_size.min(BUFFERED_BYTES_MAX);
        let encoding = self.header(header::CONTENT_ENCODING.as_str()).map(str::to_owned);
        let declared = self.content_length().unwrap_or(0);
        if declared > limit {
            return Err(ApiError::BodyTooLarge);
        }
        let mut body = self.take_body()?;
        let first = body.next().await.transpose()?.unwrap_or_default();
        let bytes = if first.len() as u64 == declared {
            first
        } else {
            // A declared length costs nothing to claim: memory is taken as bytes come.
            let expected = usize::try_from(declared).unwrap_or(0).min(EXPECTED_BYTES_MAX);
            let mut bytes = BytesMut::with_capacity(expected);
            bytes.extend_from_slice(&first);
            while let Some(chunk) = body.next().await.transpose()? {
                let length = (bytes.len() + chunk.len()) as u64;
                if length > limit {
                    return Err(ApiError::BodyTooLarge);
                }
                self.hold(length)?;
                bytes.extend_from_slice(&chunk);
            }
            bytes.freeze()
        };
        match encoding.as_deref() {
            None | Some("identity") => Ok(bytes),
            Some("gzip") => self.inflate(&bytes, limit),
            Some(other) => Err(ApiError::BadContentType(
                format!("{other} is not a supported content encoding.").into(),
            )),
        }
    }

    /// Takes this many bytes of the memory for all bodies.
    fn hold(&mut self, bytes: u64) -> Result<(), ApiError> {
        let known = &mut *self.0;
        known.memory.hold(bytes, &known.settings.limits)
    }

    /// Unpacks a body no further than there is memory for it.
    fn inflate(&mut self, bytes: &Bytes, limit: u64) -> Result<Bytes, ApiError> {
        let room = self.memory.room(&self.settings.limits).saturating_sub(bytes.len() as u64);
        let most = usize::try_from(limit.min(room)).unwrap_or(usize::MAX);
        match gzip::inflate_bounded(bytes, most) {
            Ok(unpacked) => {
                self.hold((bytes.len() + unpacked.len()) as u64)?;
                Ok(unpacked.into())
            }
            Err(gzip::GzipError::TooLong { .. }) if limit > room => Err(ApiError::Overloaded),
            Err(gzip::GzipError::TooLong { .. }) => Err(ApiError::BodyTooLarge),
            Err(_) => Err(ApiError::bad_request("Request body is not properly gzipped.")),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400 `invalid UTF-8 JSON`.
    pub async fn json(&mut self) -> Result<Value, ApiError> {
        let bytes = self.bytes().await?;
        let parsed_bytes = bytes.len() as u64 * PARSED_BYTES;
        self.hold(parsed_bytes)?;
        serde_json::from_slice(&bytes).map_err(|_| ApiError::invalid_json())
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 400 `invalid UTF-8 JSON`, `Request body must be a JSON object`.
    pub async fn json_object(&mut self) -> Result<serde_json::Map<String, Value>, ApiError> {
        match self.json().await? {
            Value::Object(object) => Ok(object),
            _ => Err(ApiError::bad_request("Request body must be a JSON object")),
        }
    }

    /// The database that the first path segment names.
    ///
    /// # Errors
    /// 404, also for what can be no name.
    pub fn database(&self) -> Result<Arc<Database>, ApiError> {
        let name = self.path.first().map_or("", String::as_str);
        match DatabaseName::parse(name) {
            Ok(name) => Ok(self.app.registry.get(&name)?),
            Err(_) => Err(crate::database::DatabaseError::NotFound.into()),
        }
    }

    /// The revision that `If-Match` names.
    ///
    /// # Errors
    /// 400 `Invalid rev format`.
    pub fn if_match(&self) -> Result<Option<Rev>, ApiError> {
        let parse = |value: &str| Ok(Rev::parse(value.trim().trim_matches('"'))?);
        self.header(header::IF_MATCH.as_str()).map(parse).transpose()
    }

    /// The revision that `?rev=` names.
    ///
    /// # Errors
    /// 400 `Invalid rev format`.
    pub fn query_rev(&self) -> Result<Option<Rev>, ApiError> {
        Ok(self.query.get("rev").map(Rev::parse).transpose()?)
    }
}

fn unreadable(error: &(dyn Error + 'static)) -> ApiError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyTooSlow>() {
            return ApiError::BodyTooSlow;
        }
        cause = error.source();
    }
    ApiError::BodyUnreadable
}

/// A document id, also fit for this database: partitioned ones have ids of two parts.
///
/// # Errors
/// `illegal_docid`, `illegal_partition`.
pub fn check_doc_id(db: &Database, settings: &Settings, id: &str) -> Result<DocId, ApiError> {
    let parsed = DocId::parse(id)?;
    if settings.couchdb.max_document_id_length.is_some_and(|max| id.len() as u64 > max) {
        return Err(DocIdError::TooLong.into());
    }
    if db.is_partitioned() && !parsed.is_design() && !parsed.is_local() {
        check_partition(id)?;
    }
    Ok(parsed)
}

fn check_partition(id: &str) -> Result<(), ApiError> {
    match id.split_once(':') {
        None => Err(ApiError::NoPartition),
        Some(("", _)) => Err(ApiError::IllegalPartition { reason: "Partition must not be empty" }),
        Some((_, "")) => Err(DocIdError::Empty.into()),
        Some(_) => Ok(()),
    }
}
