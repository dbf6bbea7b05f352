//! Documents of replicator databases as others see them: without credentials
//! (couchdb-api.md 1.19).

use serde_json::{Map, Value};

use crate::document::Document;
use crate::replicator::strip_password;

use super::error::ApiError;
use super::request::Request;

/// Resources of a replicator database that every member may use. The others show whole
/// documents, and are for its admins.
const FOR_MEMBERS: [&str; 4] = ["", "_bulk_docs", "_security", "_ensure_full_commit"];

/// Lets members of a replicator database read and write single documents, and no more.
///
/// # Errors
/// 403 for a resource that shows whole documents.
pub fn require_role(request: &Request) -> Result<(), ApiError> {
    let second = request.path.get(1).map_or("", String::as_str);
    let is_document = !second.starts_with('_') && request.path.len() == 2;
    let whole = request.query.get("open_revs").is_some();
    if FOR_MEMBERS.contains(&second) || is_document && !whole {
        return Ok(());
    }
    Err(crate::auth::AuthError::NotDatabaseAdmin.into())
}

/// A replication as a user who is no admin may see it.
#[must_use]
pub fn conceal(name: Option<&str>, mut document: Document) -> Document {
    let Ok(mut body) = serde_json::from_slice::<Map<String, Value>>(&document.body) else {
        return document;
    };
    if name.is_some() && body.get("owner").and_then(Value::as_str) == name {
        return document;
    }
    for side in ["source", "target"] {
        match body.get_mut(side) {
            Some(Value::String(address)) => *address = without_credentials(address),
            Some(Value::Object(members)) => {
                members.shift_remove("headers");
                members.shift_remove("auth");
                if let Some(Value::String(address)) = members.get_mut("url") {
                    *address = without_credentials(address);
                }
            }
            _ => {}
        }
    }
    document.body = Value::Object(body).to_string().into();
    document
}

/// The address without name and password.
fn without_credentials(address: &str) -> String {
    let shown = strip_password(address);
    let Some((scheme, rest)) = shown.split_once("://") else { return shown };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_credentials() {
        for (address, expect) in [
            ("http://a:b@host:5984/db", "http://host:5984/db"),
            ("https://a@host/x@y", "https://host/x@y"),
            ("http://host/db", "http://host/db"),
            ("db", "db"),
        ] {
            assert_eq!(without_credentials(address), expect);
        }
    }
}
