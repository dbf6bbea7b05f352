//! `_design/_auth`, which CouchDB puts into the users database: its validation function says what
//! a user document must look like. It is visible, and counted, as it is in CouchDB.

use serde_json::json;

use crate::database::{Base, Database, DatabaseError, Edit};
use crate::document::DocId;
use crate::document::incoming::{self, Limits};

const ID: &str = "_design/_auth";
const VALIDATE_DOC_UPDATE: &str = include_str!("auth_design.js");

/// The edit that puts the design document into a database that has none.
///
/// # Errors
/// Where the database cannot be read.
pub fn missing_auth_design(db: &Database) -> Result<Option<Edit>, DatabaseError> {
    let Some(edit) = auth_design() else { return Ok(None) };
    let known = db.winner(&edit.id)?.is_some_and(|known| !known.deleted);
    Ok((!known).then_some(edit))
}

/// The edit that makes the design document.
pub(super) fn auth_design() -> Option<Edit> {
    let text = json!({"language": "javascript", "validate_doc_update": VALIDATE_DOC_UPDATE});
    let parsed = incoming::parse(text.to_string().as_bytes(), &Limits::default()).ok()?;
    Some(Edit {
        id: DocId::parse(ID).ok()?,
        base: Base::New,
        deleted: false,
        body: parsed.body,
        body_term: parsed.body_term,
        attachments: Vec::new(),
    })
}
