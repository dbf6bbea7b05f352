//! Users as documents: the rules of users databases, accounts that log in, and a database for
//! each user (couchdb-api.md 1.5).
//!
//! A users database is `_users` and every database whose name ends so. Accounts are read from one
//! of them only, `[chttpd_auth] authentication_db`.

mod accounts;
mod auth_design;
mod peruser;
mod rules;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::database::Edit;
use crate::document::DocId;
use crate::document::incoming::{self, IncomingError, Limits};

pub use accounts::Accounts;
pub use auth_design::missing_auth_design;
pub use peruser::Peruser;
pub use rules::UsersRules;

/// What the ids of user documents begin with.
const ID_PREFIX: &str = "org.couchdb.user:";

/// Whether documents of a database of this name are users.
#[must_use]
pub fn is_users_database(name: &str) -> bool {
    name == "_users" || name.ends_with("/_users")
}

/// Whose document has this id.
#[must_use]
pub fn name_of(id: &str) -> Option<&str> {
    id.strip_prefix(ID_PREFIX)
}

/// The id of a user's document; `None` for a name that no document can have.
fn document_id(name: &str) -> Option<DocId> {
    DocId::parse(&format!("{ID_PREFIX}{name}")).ok()
}

/// Gives an edit another body.
fn set_body(edit: &mut Edit, body: Map<String, Value>) -> Result<(), IncomingError> {
    let text = Value::Object(body).to_string();
    let parsed = incoming::parse(text.as_bytes(), &Limits::default())?;
    (edit.body, edit.body_term) = (parsed.body, parsed.body_term);
    Ok(())
}
