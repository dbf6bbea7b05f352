//! Why a query or an index is refused, in CouchDB's words: `Display` is the `reason` of the JSON
//! error.

use serde_json::Value;
use thiserror::Error;

use crate::database::DatabaseError;
use crate::views::ViewsError;

use super::erlang_term;
use super::selector::SelectorError;

/// Why a query or an index is refused, or cannot be answered.
#[derive(Debug, Error)]
pub enum MangoError {
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Views(#[from] ViewsError),
    /// A member of the request has not the form that it should have.
    #[error("{reason}")]
    Member { error: &'static str, reason: String },
    #[error("Missing required key: {0}")]
    MissingKey(&'static str),
    #[error("Invalid key {0} for this request.")]
    InvalidKey(String),
    #[error("Sorts currently only support a single direction for all fields.")]
    MixedSort,
    /// No index serves the sort; which kind of index would.
    #[error("No {scope}index exists for this sort, try indexing by the sort fields.")]
    NoSortIndex { scope: &'static str },
    /// `allow_fallback` is false, and there is nothing but what it forbids.
    #[error("{0}")]
    NoFallback(String),
    #[error("Invalid bookmark value: {}", Value::from(bookmark.as_str()))]
    InvalidBookmark { bookmark: String },
    #[error("Invalid type for index: {0}")]
    InvalidIndexType(String),
    #[error("{0}")]
    ServiceUnavailable(String),
    #[error("Index parameter ranges: limit > 1, skip > 0")]
    ListParameters,
    #[error("Existing design doc has an invalid language: {term}")]
    DesignLanguage { term: String },
    #[error("Requested partitioned option does not match existing value on design document {ddoc}")]
    PartitionedOption { ddoc: String },
    #[error("{reason}")]
    SavingDesign { reason: String },
    #[error("{0}")]
    Unknown(String),
    #[error("{0}")]
    IllegalPartition(&'static str),
    #[error("{0}")]
    Query(&'static str),
}

/// What kind of answer an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400.
    Client,
    /// 500.
    Server,
    /// 503.
    Unavailable,
}

impl MangoError {
    /// CouchDB's `error` for it; none where a lower layer knows.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Selector(_) | Self::Database(_) | Self::Views(_) => return None,
            Self::Member { error, .. } => error,
            Self::MissingKey(_) => "missing_required_key",
            Self::InvalidKey(_) => "invalid_key",
            Self::MixedSort => "unsupported_mixed_sort",
            Self::NoSortIndex { .. } => "no_usable_index",
            Self::NoFallback(_) | Self::InvalidIndexType(_) => "invalid_index",
            Self::InvalidBookmark { .. } => "invalid_bookmark",
            Self::ServiceUnavailable(_) => "required index service unavailable",
            Self::ListParameters => "invalid_list_index_params",
            Self::DesignLanguage { .. } => "invalid_ddoc_lang",
            Self::PartitionedOption { .. } => "invalid_partitioned_option",
            Self::SavingDesign { .. } => "error_saving_ddoc",
            Self::Unknown(_) => "unknown_error",
            Self::IllegalPartition(_) => "illegal_partition",
            Self::Query(_) => "query_parse_error",
        })
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::ServiceUnavailable(_) => Fault::Unavailable,
            Self::ListParameters | Self::SavingDesign { .. } | Self::Unknown(_) => Fault::Server,
            _ => Fault::Client,
        }
    }

    /// A member that has not the right form; `words` stand before it as an Erlang term.
    pub(super) fn member(error: &'static str, words: &str, value: &Value) -> Self {
        Self::Member { error, reason: format!("{words}{}", erlang_term::print(value)) }
    }

    /// The same, with the term in the readable form that CouchDB uses in some places.
    pub(super) fn readable_member(error: &'static str, words: &str, value: &Value) -> Self {
        Self::Member { error, reason: format!("{words}{}", erlang_term::print_readable(value)) }
    }
}
