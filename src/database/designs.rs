//! Design documents as the server uses them.

use std::sync::Arc;

use crate::design::Ddoc;
use crate::document::DocId;

use super::{Database, DatabaseError};

impl Database {
    /// The winner of a design document that is not deleted, ready to be used.
    pub fn design(&self, id: &DocId) -> Result<Option<Arc<Ddoc>>, DatabaseError> {
        let Some(winner) = self.winner(id)?.filter(|winner| !winner.deleted) else {
            return Ok(None);
        };
        let ddoc = Ddoc::new(&winner, None);
        let corrupt = |_| super::StorageError::Corrupt {
            table: crate::storage::Table::Bodies.name(),
            what: "a body is no JSON object",
        };
        Ok(Some(Arc::new(ddoc.map_err(corrupt)?)))
    }
}
