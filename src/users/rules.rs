//! What is done to user documents before they are written: whose they are is checked, a password
//! becomes a hash. What a user document must look like is the affair of `_design/_auth`.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::{PasswordHash, SecurityObject, UserCtx, set_password};
use crate::config::{AuthSettings, Config, PasswordRules};
use crate::database::{Author, Database, DatabaseName, Edit, WriteRules};
use crate::design::FunctionError;
use crate::mango::selector::Pattern;
use crate::sandbox::CallError;

use super::auth_design::auth_design;
use super::{is_users_database, name_of, set_body};

const NOT_CONFORMING: &str = "Password does not conform to requirements.";
const CANNOT_HASH: &str = "Server cannot hash passwords at this time.";

/// The rules of `_users` and its like.
pub struct UsersRules {
    pub config: Arc<Config>,
}

impl fmt::Debug for UsersRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsersRules").finish_non_exhaustive()
    }
}

impl WriteRules for UsersRules {
    fn apply_to(&self, name: &DatabaseName) -> bool {
        is_users_database(name.as_str())
    }

    fn first_edits(&self, name: &DatabaseName) -> Vec<Edit> {
        let settings = self.config.snapshot();
        let is_asked = name.as_str() == settings.auth.users_database();
        is_asked.then(auth_design).flatten().into_iter().collect()
    }

    fn prepare(
        &self,
        db: &Database,
        edit: &mut Edit,
        author: &Author,
    ) -> Result<(), FunctionError> {
        let Author::User { name, roles } = author else { return Ok(()) };
        let user = UserCtx { name: name.clone(), roles: roles.clone() };
        let is_admin = || SecurityObject::stored(&db.security()).require_admin(&user).is_ok();
        // An anonymous user may be about to become a user.
        if name.is_some() && name.as_deref() != name_of(edit.id.as_str()) && !is_admin() {
            return Err(thrown("not_found", "missing".to_owned()));
        }
        if edit.id.is_design() {
            return Ok(());
        }
        // It was read as JSON before it became an edit.
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&edit.body) else {
            return Ok(());
        };
        match hashed(body, &self.config.snapshot().auth)? {
            Some(body) => set_body(edit, body).map_err(|error| forbidden(&error.to_string())),
            None => Ok(()),
        }
    }
}

/// The document with a hash in the place of its password; `None` where it has none.
fn hashed(
    body: Map<String, Value>,
    settings: &AuthSettings,
) -> Result<Option<Map<String, Value>>, FunctionError> {
    let password = match body.get("password") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(password)) => password,
        Some(other) => {
            return Err(forbidden(&format!("Password value of '{other}' is invalid.")));
        }
    };
    check(password, &settings.password_rules)?;
    let preserve = body.get("preserve_salt") == Some(&Value::Bool(true));
    let salt = body.get("salt").and_then(Value::as_str).filter(|_| preserve).map(str::to_owned);
    let hash = PasswordHash::of_user(password.as_bytes(), salt, settings);
    let hash = hash.ok_or_else(|| forbidden(CANNOT_HASH))?;
    Ok(Some(set_password(body, &hash)))
}

/// Whether a password looks as `password_regexp` wants it.
fn check(password: &str, rules: &PasswordRules) -> Result<(), FunctionError> {
    let rules = match rules {
        PasswordRules::Anything => return Ok(()),
        PasswordRules::Unreadable => return Err(forbidden(CANNOT_HASH)),
        PasswordRules::Patterns(rules) => rules,
    };
    for rule in rules {
        let pattern = Pattern::compile(&rule.pattern).ok_or_else(|| forbidden(CANNOT_HASH))?;
        if !pattern.is_match(password) {
            let reason = format!("{NOT_CONFORMING} {}", rule.reason);
            return Err(thrown("bad_request", reason.trim_end().to_owned()));
        }
    }
    Ok(())
}

fn forbidden(reason: &str) -> FunctionError {
    CallError::Forbidden(Value::from(reason).to_string()).into()
}

fn thrown(error: &str, reason: String) -> FunctionError {
    CallError::Thrown { error: error.to_owned(), reason }.into()
}
