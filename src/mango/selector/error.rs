//! Why a selector is refused, in CouchDB's words: `Display` is the `reason` of the JSON error.

use serde_json::Value;
use thiserror::Error;

use crate::mango::erlang_term;

/// A selector that cannot be used, or that failed on a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// The selector itself is no object. `term` is what it was, as an Erlang term.
    #[error("Selector must be a JSON object, not: {term}")]
    NotAnObject { term: String },
    #[error("Bad argument for operator {operator}: {term}")]
    BadArgument { operator: &'static str, term: String },
    /// An operator nobody knows, or `$regex` and `$beginsWith` with what is no string.
    #[error("Invalid operator: {operator}")]
    InvalidOperator { operator: String },
    /// An operator of MongoDB's that CouchDB names but does not have.
    #[error("Unsupported operator: {operator}")]
    Unsupported { operator: &'static str },
    /// `$text` stands below a field.
    #[error("Invalid field normalization on selector: {term}")]
    BadField { term: String },
    /// A condition at the top that names no field, or a path with an empty piece (`a..b`).
    #[error("One or more conditions is missing a field name.")]
    MissingFieldName,
    /// The selector is nested too deeply, or its field names or expressions are too many.
    #[error("Selector is too complex.")]
    TooComplex,
    /// Matching divided by zero: `$mod` with divisor 0 met an integer.
    #[error("badarith")]
    DivisionByZero,
}

impl SelectorError {
    /// CouchDB's `error` for it. All are the client's mistakes (400) but `unknown_error` (500).
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAnObject { .. } => "invalid_selector_json",
            Self::BadArgument { .. } => "bad_arg",
            Self::InvalidOperator { .. } => "invalid_operator",
            Self::Unsupported { .. } => "not_supported",
            Self::BadField { .. } => "bad_field",
            Self::MissingFieldName | Self::TooComplex => "invalid_selector",
            Self::DivisionByZero => "unknown_error",
        }
    }

    pub(super) fn bad_argument(operator: &'static str, argument: &Value) -> Self {
        Self::BadArgument { operator, term: erlang_term::print(argument) }
    }

    pub(super) fn invalid_operator(operator: &str) -> Self {
        Self::InvalidOperator { operator: operator.to_owned() }
    }
}
