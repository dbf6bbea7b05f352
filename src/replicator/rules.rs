//! What may be written to replicator databases: only replications that make sense, each by its
//! owner (couchdb-api.md 1.19).

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::{SecurityObject, UserCtx};
use crate::config::Config;
use crate::database::{Author, Database, DatabaseName, Edit, WriteRules};
use crate::design::FunctionError;
use crate::document::incoming::{self, Limits};
use crate::sandbox::CallError;

use super::documents::is_replicator_database;
use super::{Endpoint, Specification, SpecificationError, Tuning};

/// The member that says whose replication it is.
const OWNER: &str = "owner";
/// Whoever has this role writes as the replicator itself.
const REPLICATOR_ROLE: &str = "_replicator";

/// The rules of `_replicator` and its like.
pub struct ReplicatorRules {
    pub config: Arc<Config>,
}

impl fmt::Debug for ReplicatorRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicatorRules").finish_non_exhaustive()
    }
}

impl WriteRules for ReplicatorRules {
    fn apply_to(&self, name: &DatabaseName) -> bool {
        is_replicator_database(name.as_str())
    }

    fn prepare(
        &self,
        db: &Database,
        edit: &mut Edit,
        author: &Author,
    ) -> Result<(), FunctionError> {
        let Author::User { name, roles } = author else { return Ok(()) };
        let user = UserCtx { name: name.clone(), roles: roles.clone() };
        if edit.id.is_design() || user.has_role(REPLICATOR_ROLE) {
            return Ok(());
        }
        // It was read as JSON before it became an edit.
        let Ok(mut body) = serde_json::from_slice::<Map<String, Value>>(&edit.body) else {
            return Ok(());
        };
        own(db, &user, edit, &mut body)?;
        let failed = body.get("_replication_state").and_then(Value::as_str) == Some("failed");
        if edit.deleted || failed {
            return Ok(());
        }
        let settings = &self.config.snapshot().replicator;
        check(&body, &Tuning::of(settings)).map_err(|reason| forbidden(&reason))
    }
}

fn forbidden(reason: &str) -> FunctionError {
    CallError::Forbidden(Value::from(reason).to_string()).into()
}

/// Sets the owner, and lets nobody but admins write what is another's.
fn own(
    db: &Database,
    user: &UserCtx,
    edit: &mut Edit,
    body: &mut Map<String, Value>,
) -> Result<(), FunctionError> {
    let name = Value::from(user.name.clone());
    let is_admin = || SecurityObject::stored(&db.security()).require_admin(user).is_ok();
    match body.get(OWNER) {
        Some(owner) if *owner == name => return Ok(()),
        None => {}
        Some(Value::Null) if is_admin() => {}
        Some(_) if is_admin() => return Ok(()),
        Some(_) => {
            return Err(forbidden("Can't update replication documents from other users."));
        }
    }
    body.insert(OWNER.to_owned(), name);
    let text = serde_json::to_vec(&body).unwrap_or_default();
    let parsed = incoming::parse(&text, &Limits::default());
    let parsed = parsed.map_err(|error| forbidden(&error.to_string()))?;
    (edit.body, edit.body_term) = (parsed.body, parsed.body_term);
    Ok(())
}

/// CouchDB's reasons, which are Erlang terms where it did not expect the error.
fn check(body: &Map<String, Value>, defaults: &Tuning) -> Result<(), String> {
    match Specification::parse(body, defaults) {
        Ok(specification) => {
            let sides = [&specification.source, &specification.target];
            let local = sides.into_iter().any(|side| matches!(side, Endpoint::Local(_)));
            if local { Err("local_endpoints_not_supported".to_owned()) } else { Ok(()) }
        }
        Err(error @ (SpecificationError::MissingDatabase | SpecificationError::Address(_))) => {
            Err(error.to_string())
        }
        Err(SpecificationError::NoEndpoint) => Err("{error,function_clause}".to_owned()),
        Err(SpecificationError::Parameter(reason)) => {
            Err(format!("{{throw,{{bad_request,<<\"{reason}\">>}}}}"))
        }
        Err(SpecificationError::Exclusive(reason)) => {
            Err(format!("{{throw,{{bad_request,\"{reason}\"}}}}"))
        }
    }
}
