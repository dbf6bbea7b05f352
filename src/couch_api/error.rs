//! The one table from everything that can go wrong to CouchDB's status, error and reason.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde_json::Value;
use thiserror::Error;

use crate::auth::{AuthError, AuthErrorKind};
use crate::blocking::Interrupted;
use crate::config::ConfigError;
use crate::database::{DatabaseError, Direction, NameError, SeqError};
use crate::design::{DesignError, FunctionError};
use crate::document::incoming::{BulkError, IncomingError};
use crate::document::{DocIdError, RevError};
use crate::http::gzip::GzipError;
use crate::http::path::PathError;
use crate::mango::error::{Fault, MangoError};
use crate::mango::selector::SelectorError;
use crate::replicator::{ReplicationError, SpecificationError};
use crate::sandbox::{CallError, CompileError, PoolError};
use crate::views::ViewsError;

use super::replicate::{describe_failure, describe_specification};

/// Why a request has no other answer.
#[derive(Debug, Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("{0}")]
    QueryParse(Cow<'static, str>),
    /// A range of keys whose start lies behind its end, in the direction of reading.
    #[error(
        "No rows can match your key range, reverse your start_key and end_key or set \
         descending={}",
        direction == &Direction::Forward
    )]
    InvertedRange { direction: Direction },
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// A path below `_show` and its like that names no function; CouchDB's error.
    #[error("Invalid path.")]
    InvalidPath(&'static str),
    #[error("Update functions do not allow GET")]
    UpdateWithGet,
    /// A rewrite rule that leaves its database, while `[chttpd] secure_rewrites` is on.
    #[error("too many ../.. segments")]
    InsecureRewrite,
    /// Nobody sees more of it than a broken connection.
    #[error("the answer broke off")]
    BrokenOff,
    /// What a rewrite function answered is no rewrite.
    #[error("{0}")]
    Rewrite(&'static str),
    #[error("Document update conflict.")]
    Conflict,
    /// An attachment write on top of an unknown revision.
    #[error("missing_rev")]
    MissingRev,
    #[error("Only {0} allowed")]
    MethodNotAllowed(&'static str),
    #[error("{0}")]
    BadContentType(Cow<'static, str>),
    #[error("{0}")]
    Unauthorized(Cow<'static, str>),
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// A key that `[chttpd] config_whitelist` does not name.
    #[error("This config variable is read-only")]
    ModificationNotAllowed,
    /// The id, where the request gave one.
    #[error("{0}")]
    DocumentTooLarge(String),
    #[error("{0}")]
    AttachmentTooLarge(String),
    #[error("the request entity is too large")]
    BodyTooLarge,
    #[error("the request uri is too long")]
    UriTooLong,
    #[error("Invalid attachment stub in {id} for {name}")]
    MissingStub { id: String, name: String },
    #[error("Partition limit exceeded due to update on '{0}'")]
    PartitionOverflow(String),
    #[error("Requested range not satisfiable")]
    RangeNotSatisfiable,
    #[error("{reason}")]
    IllegalPartition { reason: &'static str },
    #[error("Temporary views are not supported in CouchDB")]
    Gone,
    #[error("Search is not available")]
    NoSearch,
    /// What CouchDB answers when one of its functions has no clause for a value.
    #[error("{0}")]
    UnknownError(&'static str),
    /// CouchDB's `{"error":"error"}`.
    #[error("{0}")]
    PlainError(&'static str),
    #[error("The seq_interval value should be a positive integer.")]
    InvalidSeqInterval,
    /// The client went away while its body was read, or sent what is no HTTP.
    #[error("the request body could not be read")]
    BodyUnreadable,
    #[error("the request body came too slowly")]
    BodyTooSlow,
    /// There is no room for the request now.
    #[error("Nodes are unable to service this request due to overloading or maintenance mode.")]
    Overloaded,
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    #[error(transparent)]
    Bulk(#[from] BulkError),
    #[error(transparent)]
    DocId(#[from] DocIdError),
    #[error("Doc id must be of form partition:id")]
    NoPartition,
    #[error(transparent)]
    Rev(#[from] RevError),
    #[error(transparent)]
    Seq(#[from] SeqError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Design(#[from] DesignError),
    /// A function of a design document refused, or gave nothing that can be used.
    #[error(transparent)]
    Function(#[from] FunctionError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// A query or an index that is refused.
    #[error(transparent)]
    Mango(MangoError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// What is asked for is no replication.
    #[error(transparent)]
    Specification(#[from] SpecificationError),
    #[error(transparent)]
    Replication(Box<ReplicationError>),
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the server's own could not be used.
    #[error("a temporary file: {0}")]
    Scratch(#[from] std::io::Error),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A stored attachment is not the gzip data that it should be.
    #[error(transparent)]
    Gzip(#[from] GzipError),
}

impl From<ReplicationError> for ApiError {
    fn from(error: ReplicationError) -> Self {
        Self::Replication(Box::new(error))
    }
}

impl From<MangoError> for ApiError {
    fn from(error: MangoError) -> Self {
        match error {
            MangoError::Selector(error) => error.into(),
            MangoError::Database(error) => error.into(),
            MangoError::Views(error) => error.into(),
            error => Self::Mango(error),
        }
    }
}

impl ApiError {
    /// 400 `bad_request`.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(reason.into())
    }

    /// 400 `query_parse_error`.
    pub fn query(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::QueryParse(reason.into())
    }

    /// 404 `not_found`.
    pub fn not_found(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::NotFound(reason.into())
    }

    /// 404 `missing`.
    #[must_use]
    pub fn missing() -> Self {
        Self::not_found("missing")
    }

    /// CouchDB's answer to what is no JSON.
    #[must_use]
    pub fn invalid_json() -> Self {
        Self::bad_request("invalid UTF-8 JSON")
    }

    /// The number that CouchDB gives to where it found some errors: programs may look for it.
    #[must_use]
    pub fn reference(&self) -> Option<u32> {
        match self {
            Self::InvertedRange { direction: Direction::Forward } => Some(72_864_418),
            Self::InvertedRange { direction: Direction::Backward } => Some(1_505_073_861),
            _ => None,
        }
    }

    /// The reason as it is sent. It is text, but functions may refuse with any JSON.
    #[must_use]
    pub fn reason(&self) -> Value {
        match self {
            Self::Function(FunctionError::Call(
                CallError::Forbidden(json) | CallError::Unauthorized(json),
            )) => serde_json::from_str(json).unwrap_or(Value::Null),
            Self::Function(FunctionError::Call(CallError::Thrown { reason, .. }))
            | Self::Views(ViewsError::Call(CallError::Thrown { reason, .. })) => {
                Value::String(reason.clone())
            }
            _ => Value::String(self.to_string()),
        }
    }

    /// CouchDB's status, error and reason for this error; the reason as text.
    #[must_use]
    pub fn describe(&self) -> (StatusCode, Cow<'_, str>, String) {
        let (status, error) = match self {
            Self::BadRequest(_) | Self::Rev(_) | Self::Seq(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            Self::Path(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::QueryParse(_) | Self::InvertedRange { .. } => {
                (StatusCode::BAD_REQUEST, "query_parse_error")
            }
            Self::InvalidSeqInterval => (StatusCode::BAD_REQUEST, "invalid_seq_interval"),
            Self::BodyUnreadable => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "service unavailable"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::InvalidPath(error) => (StatusCode::NOT_FOUND, *error),
            Self::UpdateWithGet => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::InsecureRewrite => (StatusCode::INTERNAL_SERVER_ERROR, "insecure_rewrite_rule"),
            Self::Rewrite(_) => (StatusCode::INTERNAL_SERVER_ERROR, "rewrite_error"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::MissingRev => (StatusCode::CONFLICT, "not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BadContentType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ModificationNotAllowed => (StatusCode::BAD_REQUEST, "modification_not_allowed"),
            Self::DocumentTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "document_too_large"),
            Self::AttachmentTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "attachment_too_large"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "too_long"),
            Self::MissingStub { .. } => (StatusCode::PRECONDITION_FAILED, "missing_stub"),
            Self::PartitionOverflow(_) => (StatusCode::FORBIDDEN, "partition_overflow"),
            Self::RangeNotSatisfiable => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "requested_range_not_satisfiable")
            }
            Self::IllegalPartition { .. } => (StatusCode::BAD_REQUEST, "illegal_partition"),
            Self::Gone => (StatusCode::GONE, "gone"),
            Self::NoSearch => (StatusCode::SERVICE_UNAVAILABLE, "service unavailable"),
            Self::UnknownError(_) => (StatusCode::INTERNAL_SERVER_ERROR, "unknown_error"),
            Self::PlainError(_) => (StatusCode::INTERNAL_SERVER_ERROR, "error"),
            Self::Incoming(error) => (StatusCode::BAD_REQUEST, incoming(error)),
            Self::Bulk(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::DocId(_) | Self::NoPartition => (StatusCode::BAD_REQUEST, "illegal_docid"),
            Self::Name(error) => (StatusCode::BAD_REQUEST, name(error)),
            Self::Database(error) => database(error),
            Self::Design(error) => design(error),
            Self::Function(error) => function(error),
            Self::Views(error) => views(error),
            Self::Selector(error) => selector(error),
            Self::Mango(error) => mango(error),
            Self::Auth(error) => auth(error),
            Self::Specification(error) => describe_specification(error),
            Self::Replication(error) => describe_failure(error),
            Self::Config(error) => config(error),
            Self::Scratch(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
            Self::Interrupted(_) | Self::Gzip(_) | Self::BrokenOff => {
                (StatusCode::INTERNAL_SERVER_ERROR, "unknown_error")
            }
        };
        let reason = match self.reason() {
            Value::String(text) => text,
            json => json.to_string(),
        };
        (status, error.into(), reason)
    }
}

fn mango(error: &MangoError) -> (StatusCode, &'static str) {
    let status = match error.fault() {
        Fault::Client => StatusCode::BAD_REQUEST,
        Fault::Server => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.name().unwrap_or("unknown_error"))
}

fn name(error: &NameError) -> &'static str {
    match error {
        NameError::Illegal(_) => "illegal_database_name",
        NameError::TooLong(_) => "database_name_too_long",
    }
}

fn database(error: &DatabaseError) -> (StatusCode, &'static str) {
    match error {
        DatabaseError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        DatabaseError::Exists => (StatusCode::PRECONDITION_FAILED, "file_exists"),
        DatabaseError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "service unavailable"),
        DatabaseError::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage"),
        DatabaseError::AttachmentGone => (StatusCode::NOT_FOUND, "not_found"),
        DatabaseError::Storage(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
    }
}

fn incoming(error: &IncomingError) -> &'static str {
    match error {
        IncomingError::InvalidJson
        | IncomingError::NotAnObject
        | IncomingError::InvalidRev
        | IncomingError::InvalidAttachmentData(_)
        | IncomingError::AttachmentName(_) => "bad_request",
        IncomingError::IdNotAString => "illegal_docid",
        IncomingError::BadMember(_)
        | IncomingError::RevisionsStart
        | IncomingError::RevisionsIds
        | IncomingError::RevIdNotAString
        | IncomingError::RevIdNotHexadecimal => "doc_validation",
    }
}

fn design(error: &DesignError) -> (StatusCode, &'static str) {
    match error {
        DesignError::InvalidDesignDoc { .. } => (StatusCode::BAD_REQUEST, "invalid_design_doc"),
        DesignError::CompilationError { .. }
        | DesignError::FunctionCompilation { .. }
        | DesignError::SelectorCompilation(_)
        | DesignError::ModuleCompilation(_) => (StatusCode::BAD_REQUEST, "compilation_error"),
        DesignError::MissingFunction => (StatusCode::NOT_FOUND, "not_found"),
        DesignError::NotCompiled(CompileError::Pool(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
        }
        DesignError::NotCompiled(_) => (StatusCode::INTERNAL_SERVER_ERROR, "os_process_error"),
    }
}

fn function(error: &FunctionError) -> (StatusCode, &str) {
    match error {
        FunctionError::InvalidAnswer(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "external_response_error")
        }
        FunctionError::Call(error) => call(error),
    }
}

fn call(error: &CallError) -> (StatusCode, &str) {
    match error {
        CallError::Thrown { error, .. } => thrown(error),
        CallError::MissingKey(_) => (StatusCode::NOT_FOUND, "not_found"),
        CallError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        CallError::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
        CallError::Compilation(_) => (StatusCode::INTERNAL_SERVER_ERROR, "compilation_error"),
        CallError::Pool(PoolError::Busy) => {
            (StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
        }
        CallError::TimedOut
        | CallError::OutOfMemory
        | CallError::Aborted(_)
        | CallError::Pool(PoolError::Overrun | PoolError::Crashed) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "os_process_error")
        }
    }
}

fn views(error: &ViewsError) -> (StatusCode, &str) {
    match error {
        ViewsError::Database(error) => database(error),
        ViewsError::Call(error) => call(error),
        ViewsError::InvalidValue(_) => (StatusCode::INTERNAL_SERVER_ERROR, "invalid_value"),
        ViewsError::UnknownLanguage(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "unknown_query_language")
        }
        ViewsError::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage"),
        ViewsError::Dropped => (StatusCode::NOT_FOUND, "not_found"),
        ViewsError::NoPartition(_) | ViewsError::Interrupted | ViewsError::NotInMemory => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error")
        }
    }
}

/// Functions may throw CouchDB's own errors, `["error", "not_found", "no such page"]`: they get the
/// status that these have.
fn thrown(error: &str) -> (StatusCode, &str) {
    let status = match error {
        "bad_request" | "query_parse_error" | "doc_validation" | "illegal_docid" => {
            StatusCode::BAD_REQUEST
        }
        "unauthorized" => StatusCode::UNAUTHORIZED,
        "forbidden" => StatusCode::FORBIDDEN,
        "not_found" | "filter_fetch_error" => return (StatusCode::NOT_FOUND, "not_found"),
        "not_acceptable" => StatusCode::NOT_ACCEPTABLE,
        "conflict" => StatusCode::CONFLICT,
        "gone" => StatusCode::GONE,
        "missing_stub" => StatusCode::PRECONDITION_FAILED,
        "request_entity_too_large" => {
            return (StatusCode::PAYLOAD_TOO_LARGE, "document_too_large");
        }
        "bad_ctype" => return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type"),
        "service_unavailable" => return (StatusCode::SERVICE_UNAVAILABLE, "service unavailable"),
        "insufficient_storage" => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error)
}

fn selector(error: &SelectorError) -> (StatusCode, &'static str) {
    match error {
        SelectorError::DivisionByZero => (StatusCode::INTERNAL_SERVER_ERROR, error.name()),
        SelectorError::NotAnObject { .. }
        | SelectorError::BadArgument { .. }
        | SelectorError::InvalidOperator { .. }
        | SelectorError::Unsupported { .. }
        | SelectorError::BadField { .. }
        | SelectorError::MissingFieldName
        | SelectorError::TooComplex => (StatusCode::BAD_REQUEST, error.name()),
    }
}

fn auth(error: &AuthError) -> (StatusCode, &'static str) {
    match error.kind() {
        AuthErrorKind::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
        AuthErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        AuthErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        AuthErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        AuthErrorKind::MisconfiguredServer => {
            (StatusCode::INTERNAL_SERVER_ERROR, "misconfigured_server")
        }
        AuthErrorKind::InternalServerError => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error")
        }
    }
}

fn config(error: &ConfigError) -> (StatusCode, &'static str) {
    match error {
        ConfigError::InvalidSection | ConfigError::InvalidKey | ConfigError::InvalidValue => {
            (StatusCode::BAD_REQUEST, "bad_request")
        }
        ConfigError::Read { .. }
        | ConfigError::Write { .. }
        | ConfigError::TooLarge { .. }
        | ConfigError::NotUtf8 { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_refuse_with_any_json() {
        let forbidden = |json: &str| CallError::Forbidden(json.to_owned());
        let thrown = CallError::Thrown { error: "own".to_owned(), reason: "why".to_owned() };
        for (error, status, name, reason, text) in [
            (forbidden("\"no\""), 403, "forbidden", json!("no"), "no"),
            (forbidden("{\"a\":1}"), 403, "forbidden", json!({"a": 1}), "{\"a\":1}"),
            (CallError::Unauthorized("5".to_owned()), 401, "unauthorized", json!(5), "5"),
            (thrown, 500, "own", json!("why"), "why"),
            (
                CallError::TimedOut,
                500,
                "os_process_error",
                json!("OS process timed out."),
                "OS process timed out.",
            ),
        ] {
            let error = ApiError::from(FunctionError::from(error));
            let (found, found_name, found_text) = error.describe();
            assert_eq!((found.as_u16(), &*found_name, &*found_text), (status, name, text));
            assert_eq!(error.reason(), reason);
        }
    }
}
