//! What a user may see of the documents of system databases (couchdb-api.md 1.5, 1.19): of users,
//! the own document and public members of others; of replications, no credentials of others.
//!
//! Every read on a user's behalf goes through a [`Viewer`], whatever form its answer has.

use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::database::Database;
use crate::document::{DocId, Document};
use crate::replicator::is_replicator_database;
use crate::users::{is_users_database, name_of};

use super::error::ApiError;
use super::replicator_docs;
use super::request::Request;
use super::router::{Role, authorise};

const ADMINS_ONLY: &str = "Only administrators can view design docs in the users database.";
/// Resources of a users database that show what its documents say, whoever asks.
const SHOWING_ALL: [&str; 4] = ["_find", "_explain", "_index", "_temp_view"];

/// Through whose eyes documents are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// All there is: no system database, or one of its admins.
    Everything,
    /// Of a users database.
    User { name: Option<String>, public_fields: Vec<String> },
    /// Of a replicator database.
    Replications { name: Option<String> },
}

impl Viewer {
    /// The one of a request.
    ///
    /// # Errors
    /// Where the database's security object refuses the user.
    pub fn of(request: &Request, db: &Database) -> Result<Self, ApiError> {
        let database = db.name().as_str();
        let (users, replications) = (is_users_database(database), is_replicator_database(database));
        if !(users || replications) || authorise(request, db)? == Role::Admin {
            return Ok(Self::Everything);
        }
        let name = request.user.name.clone();
        Ok(if users {
            Self::User { name, public_fields: request.settings.auth.public_fields.clone() }
        } else {
            Self::Replications { name }
        })
    }

    /// What can be said before a document is read.
    ///
    /// # Errors
    /// 403 for design documents of users databases, 404 for other users.
    pub fn check(&self, id: &DocId) -> Result<(), ApiError> {
        match self {
            Self::User { .. } if id.is_design() => Err(ApiError::Forbidden(ADMINS_ONLY.into())),
            Self::User { public_fields, .. } if public_fields.is_empty() && !self.owns(id) => {
                Err(ApiError::missing())
            }
            Self::Everything | Self::User { .. } | Self::Replications { .. } => Ok(()),
        }
    }

    fn owns(&self, id: &DocId) -> bool {
        match self {
            Self::User { name: Some(name), .. } => name_of(id.as_str()) == Some(name),
            Self::Everything | Self::User { .. } | Self::Replications { .. } => false,
        }
    }

    /// The document as the user may see it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; 404 where nothing of the document is public.
    pub fn show(&self, mut document: Document) -> Result<Document, ApiError> {
        self.check(&document.id)?;
        match self {
            Self::User { public_fields, .. } if !self.owns(&document.id) => {
                let body = serde_json::from_slice::<Map<String, Value>>(&document.body);
                let mut body = body.map_err(|_| ApiError::missing())?;
                body.retain(|field, _| public_fields.contains(field));
                if body.is_empty() {
                    return Err(ApiError::missing());
                }
                document.body = Value::Object(body).to_string().into();
                Ok(document)
            }
            Self::Replications { name } if !document.id.is_design() => {
                Ok(replicator_docs::conceal(name.as_deref(), document))
            }
            Self::Everything | Self::User { .. } | Self::Replications { .. } => Ok(document),
        }
    }
}

/// Keeps what shows documents without regard to who asks for the admins of a system database.
///
/// # Errors
/// 401 and 403 with CouchDB's reasons.
pub fn require_role(request: &Request, db: &Database, role: Role) -> Result<(), ApiError> {
    let database = db.name().as_str();
    if role == Role::Admin || !db.name().is_system() {
        return Ok(());
    }
    let second = request.path.get(1).map_or("", String::as_str);
    if is_replicator_database(database) {
        return replicator_docs::require_role(request);
    }
    if matches!(second, "_changes" | "_design_docs" | "_local_docs")
        || second == "_all_docs" && !lists_public_fields(request, db)
    {
        return Err(AuthError::NotServerOrDatabaseAdmin.into());
    }
    if SHOWING_ALL.contains(&second) {
        return Err(ApiError::Forbidden(ADMINS_ONLY.into()));
    }
    Ok(())
}

/// Keeps what a design document of a system database does for its admins, but for what shows
/// users their own documents.
///
/// # Errors
/// 403 with CouchDB's reasons.
pub fn require_action_role(db: &Database, role: Role, action: &str) -> Result<(), ApiError> {
    if role == Role::Admin || !db.name().is_system() {
        return Ok(());
    }
    let is_users = is_users_database(db.name().as_str());
    match action {
        "_show" | "_update" if is_users => Ok(()),
        _ if is_users => Err(ApiError::Forbidden(ADMINS_ONLY.into())),
        _ => Err(ApiError::Forbidden(
            "Only admins can access design document actions for system databases.".into(),
        )),
    }
}

/// Whether everybody who may read a users database may list what is public of its documents.
#[must_use]
pub fn lists_public_fields(request: &Request, db: &Database) -> bool {
    let auth = &request.settings.auth;
    auth.users_db_public
        && !auth.public_fields.is_empty()
        && db.name().as_str() == auth.users_database()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::Rev;

    fn seen(viewer: &Viewer, id: &str, body: &Value) -> Result<Value, u16> {
        let document = Document {
            id: DocId::parse(id).unwrap(),
            rev: Rev::parse("1-a").unwrap(),
            deleted: false,
            attachments: Vec::new(),
            body: body.to_string().into(),
        };
        let shown = viewer.show(document).map_err(|error| error.describe().0.as_u16())?;
        Ok(serde_json::from_slice(&shown.body).unwrap())
    }

    #[test]
    fn users_see_themselves_and_what_is_public() {
        let viewer = |name: Option<&str>, fields: &[&str]| Viewer::User {
            name: name.map(str::to_owned),
            public_fields: fields.iter().map(|&field| field.to_owned()).collect(),
        };
        let bob = "org.couchdb.user:bob";
        let body = json!({"name": "bob", "salt": "s", "city": "x"});
        for (viewer, id, expect) in [
            (Viewer::Everything, bob, Ok(body.clone())),
            (viewer(Some("bob"), &[]), bob, Ok(body.clone())),
            (viewer(Some("eve"), &[]), bob, Err(404)),
            (viewer(None, &[]), bob, Err(404)),
            (viewer(None, &[]), "other", Err(404)),
            (viewer(Some("bob"), &[]), "bob", Err(404)),
            (viewer(Some("eve"), &["city", "name"]), bob, Ok(json!({"name": "bob", "city": "x"}))),
            (viewer(None, &["name"]), bob, Ok(json!({"name": "bob"}))),
            (viewer(None, &["street"]), bob, Err(404)),
            (viewer(Some("bob"), &["name"]), bob, Ok(body.clone())),
            (viewer(Some("bob"), &["name"]), "_design/_auth", Err(403)),
            (viewer(None, &[]), "_design/_auth", Err(403)),
            (Viewer::Everything, "_design/_auth", Ok(body.clone())),
        ] {
            assert_eq!(seen(&viewer, id, &body), expect, "{viewer:?} {id}");
        }
    }

    #[test]
    fn replications_show_no_credentials() {
        let body = json!({"owner": "bob", "source": "http://a:b@host/db"});
        let viewer = |name: Option<&str>| Viewer::Replications { name: name.map(str::to_owned) };
        let concealed = json!({"owner": "bob", "source": "http://host/db"});
        for (name, expect) in [(Some("bob"), &body), (Some("eve"), &concealed), (None, &concealed)]
        {
            assert_eq!(seen(&viewer(name), "r", &body).as_ref(), Ok(expect), "{name:?}");
            assert_eq!(seen(&viewer(name), "_design/r", &body).as_ref(), Ok(&body));
        }
    }
}
