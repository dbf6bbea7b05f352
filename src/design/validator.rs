//! Asking `validate_doc_update` functions about many documents.

use std::fmt::Debug;

use super::{Ddoc, FunctionError, Functions};

/// What a validation function is asked about; each member is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The document as it would be.
    pub new: String,
    /// The revision that it replaces, or `null`.
    pub old: String,
}

/// Asks validation functions. [`Functions`] does; databases are tested with another.
pub trait Validator: Debug + Send + Sync {
    /// Whether the function of `ddoc` lets the documents in, one answer a question. `user` and
    /// `security` are JSON. Blocks.
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>>;
}

impl Validator for Functions {
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>> {
        self.validate(ddoc, questions, user, security)
    }
}
