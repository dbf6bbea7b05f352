//! Rules of the server's own for what may be written to some databases, beside the validation
//! functions of their design documents. They may complete a document, as CouchDB does with those
//! of its system databases.

use std::fmt;

use crate::design::FunctionError;

use super::{Author, Database, DatabaseName, Edit};

/// What is asked about every write of a user, before validation functions are.
pub trait WriteRules: fmt::Debug + Send + Sync {
    /// Whether there are rules for databases of this name.
    fn apply_to(&self, name: &DatabaseName) -> bool;

    /// What a new database of this name holds from its beginning on.
    fn first_edits(&self, name: &DatabaseName) -> Vec<Edit> {
        let _ = name;
        Vec::new()
    }

    /// Judges an edit, and completes it where something is to be added.
    ///
    /// # Errors
    /// Why it may not be written.
    fn prepare(&self, db: &Database, edit: &mut Edit, author: &Author)
    -> Result<(), FunctionError>;
}
