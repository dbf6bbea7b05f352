//! Why changes could not be read.

use thiserror::Error;

use crate::database::DatabaseError;
use crate::design::FunctionError;
use crate::mango::selector::SelectorError;

/// The failure of a page.
#[derive(Debug, Error)]
pub enum ChangesError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The selector failed on a document.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The function that filters gave no answer.
    #[error(transparent)]
    Function(#[from] FunctionError),
}
