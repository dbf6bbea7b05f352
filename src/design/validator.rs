//! Asking `validate_doc_update` functions about many documents.

use std::fmt::Debug;

use crate::sandbox::{CallError, PoolError};

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
    /// A function that does not end for one document is not asked about the others: a request of
    /// many documents would hold its thread for the sum of their time limits.
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>> {
        let mut given_up: Option<FunctionError> = None;
        let ask = |Question { new, old }: &Question| {
            if let Some(error) = &given_up {
                return Err(error.clone());
            }
            let arguments = [new.clone(), old.clone(), user.to_owned(), security.to_owned()];
            let answer = self.validate(ddoc, arguments);
            if let Err(FunctionError::Call(
                CallError::TimedOut | CallError::Pool(PoolError::Busy | PoolError::Overrun),
            )) = &answer
            {
                given_up = answer.as_ref().err().cloned();
            }
            answer
        };
        questions.iter().map(ask).collect()
    }
}
