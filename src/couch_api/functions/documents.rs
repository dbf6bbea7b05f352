//! Documents as shows and updates see them: with their revisions and conflicts.

use crate::couch_api::documents::{Found, Wanted};
use crate::couch_api::error::ApiError;
use crate::couch_api::local_docs::write_local;
use crate::couch_api::viewer::Viewer;
use crate::database::Database;
use crate::document::DocId;
use crate::document::encode::write_document;

/// What a function is called with in the place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSeen {
    /// JSON; `null` where there is no document.
    pub json: String,
    /// Names what was read, for entity tags.
    pub rev: Option<String>,
}

impl DocumentSeen {
    /// Reads the winner. What can be no id names no document. Reads from disk.
    ///
    /// # Errors
    /// Those of the store; where the user may not see the document.
    pub fn read(db: &Database, id: Option<&str>, viewer: &Viewer) -> Result<Self, ApiError> {
        let nothing = Self { json: "null".to_owned(), rev: None };
        let Some(id) = id.and_then(|id| DocId::parse(id).ok()) else { return Ok(nothing) };
        if id.is_local() {
            let Some(local) = db.local(&id)? else { return Ok(nothing) };
            let mut json = Vec::new();
            write_local(&mut json, id.as_str(), &local);
            return Ok(Self { json: text(json), rev: Some(local.rev.to_string()) });
        }
        viewer.check(&id)?;
        let wanted = Wanted { revs: true, conflicts: true, ..Wanted::default() };
        let mut found = match Found::read(db, &id, &wanted) {
            Err(ApiError::NotFound(_)) => return Ok(nothing),
            found => found?,
        };
        found.document = viewer.show(found.document)?;
        let mut json = Vec::with_capacity(found.document.body.len() + 256);
        write_document(&mut json, &found.document, &found.extras());
        Ok(Self { json: text(json), rev: Some(found.document.rev.to_string()) })
    }
}

/// What is stored is UTF-8.
fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}
