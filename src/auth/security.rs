//! A database's `_security` object, and what it lets a user do.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::DefaultSecurity;

use super::AuthError;
use super::user::{ADMIN_ROLE, UserCtx};

/// Why a text is no `_security` object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecurityError {
    #[error("invalid UTF-8 JSON")]
    InvalidJson,
    #[error("Request body must be a JSON object")]
    NotAnObject,
    #[error("admins and members must be JSON objects")]
    GroupNotAnObject,
    #[error("names must be a JSON list of strings")]
    Names,
    #[error("roles must be a JSON list of strings")]
    Roles,
}

/// The names and roles of one side of a `_security` object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    pub names: Vec<String>,
    pub roles: Vec<String>,
}

/// What a user may do in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything, design documents and `_security` included.
    Admin,
    /// Reading all, writing documents that are no design documents.
    Member,
    Refused(AuthError),
}

/// A checked `_security` object.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityObject {
    admins: Group,
    members: Group,
    /// As it was given: CouchDB keeps members that it does not know.
    object: Map<String, Value>,
}

impl SecurityObject {
    /// Reads and checks an object. `readers` stands in for `members`, its newer name.
    pub fn parse(text: &[u8]) -> Result<Self, SecurityError> {
        match serde_json::from_slice(text).map_err(|_| SecurityError::InvalidJson)? {
            Value::Object(object) => Self::from_object(object),
            _ => Err(SecurityError::NotAnObject),
        }
    }

    /// Reads what is stored of a database. What cannot be read opens it to nobody but server
    /// admins.
    pub fn stored(text: &[u8]) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self::default_object(DefaultSecurity::AdminOnly))
    }

    /// Checks an object.
    pub fn from_object(object: Map<String, Value>) -> Result<Self, SecurityError> {
        let admins = group(object.get("admins"))?;
        let members = group(object.get("members").or_else(|| object.get("readers")))?;
        Ok(Self { admins, members, object })
    }

    /// What holds for a database that nobody gave an object.
    pub fn default_object(default: DefaultSecurity) -> Self {
        let admins = || Group { names: Vec::new(), roles: vec![ADMIN_ROLE.to_owned()] };
        match default {
            DefaultSecurity::Everyone => {
                Self { admins: Group::default(), members: Group::default(), object: Map::new() }
            }
            DefaultSecurity::AdminOnly => {
                let mut object = Map::new();
                object.insert("members".to_owned(), json!({ "roles": [ADMIN_ROLE] }));
                object.insert("admins".to_owned(), json!({ "roles": [ADMIN_ROLE] }));
                Self { admins: admins(), members: admins(), object }
            }
        }
    }

    /// The object as it was given, minified.
    pub fn to_json(&self) -> String {
        Value::Object(self.object.clone()).to_string()
    }

    pub fn admins(&self) -> &Group {
        &self.admins
    }

    pub fn members(&self) -> &Group {
        &self.members
    }

    /// What this user may do.
    pub fn access(&self, user: &UserCtx) -> Access {
        if user.is_server_admin() || self.admins.contains(user) {
            return Access::Admin;
        }
        if self.members.is_empty() || self.members.contains(user) {
            return Access::Member;
        }
        Access::Refused(match user.name {
            None => AuthError::AnonymousNotMember,
            Some(_) => AuthError::NotMember,
        })
    }

    /// For reading, and for writing ordinary documents.
    pub fn require_member(&self, user: &UserCtx) -> Result<(), AuthError> {
        match self.access(user) {
            Access::Admin | Access::Member => Ok(()),
            Access::Refused(refusal) => Err(refusal),
        }
    }

    /// For writing design documents: a check deep inside a write, which tells an anonymous user
    /// to log in and a named one to give up.
    pub fn require_admin(&self, user: &UserCtx) -> Result<(), AuthError> {
        match (self.access(user), &user.name) {
            (Access::Admin, _) => Ok(()),
            (Access::Refused(refusal), _) => Err(refusal),
            (Access::Member, None) => Err(AuthError::AnonymousNotDatabaseAdmin),
            (Access::Member, Some(_)) => Err(AuthError::NotDatabaseAdmin),
        }
    }

    /// For `_compact`, `_view_cleanup` and other resources that are as a whole for admins.
    pub fn require_admin_resource(&self, user: &UserCtx) -> Result<(), AuthError> {
        match self.access(user) {
            Access::Admin => Ok(()),
            Access::Refused(refusal) => Err(refusal),
            Access::Member => Err(AuthError::NotServerOrDatabaseAdmin),
        }
    }
}

impl Group {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.roles.is_empty()
    }

    fn contains(&self, user: &UserCtx) -> bool {
        self.roles.iter().any(|role| user.has_role(role))
            || user.name.as_ref().is_some_and(|name| self.names.contains(name))
    }
}

fn group(value: Option<&Value>) -> Result<Group, SecurityError> {
    match value {
        None => Ok(Group::default()),
        Some(Value::Object(group)) => Ok(Group {
            names: strings(group.get("names")).ok_or(SecurityError::Names)?,
            roles: strings(group.get("roles")).ok_or(SecurityError::Roles)?,
        }),
        Some(_) => Err(SecurityError::GroupNotAnObject),
    }
}

fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|element| element.as_str().map(str::to_owned)).collect()
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, roles: &[&str]) -> UserCtx {
        UserCtx {
            name: (!name.is_empty()).then(|| name.to_owned()),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        }
    }

    const ALICE: &str = r#"{"admins":{"names":["alice"],"roles":["boss"]},
        "members":{"names":["bob"],"roles":["staff"]}}"#;

    #[test]
    fn decisions() {
        use AuthError::{AnonymousNotMember, NotMember};
        let check = |object: &str, user: &UserCtx, expect: Access| {
            let object = SecurityObject::parse(object.as_bytes()).unwrap();
            assert_eq!(object.access(user), expect, "{user:?}");
        };
        for (who, expect) in [
            (user("root", &["_admin"]), Access::Admin),
            (UserCtx::server(), Access::Admin),
            (user("alice", &[]), Access::Admin),
            (user("carl", &["x", "boss"]), Access::Admin),
            (user("bob", &[]), Access::Member),
            (user("carl", &["staff"]), Access::Member),
            (user("carl", &["Staff"]), Access::Refused(NotMember)),
            (user("Bob", &[]), Access::Refused(NotMember)),
            (user("", &[]), Access::Refused(AnonymousNotMember)),
            (user("", &["staff"]), Access::Member),
        ] {
            check(ALICE, &who, expect);
        }
        for open in
            ["{}", r#"{"members":{"names":[],"roles":[]}}"#, r#"{"admins":{"names":["a"]}}"#]
        {
            check(open, &user("", &[]), Access::Member);
            check(open, &user("bob", &[]), Access::Member);
        }
        check(r#"{"readers":{"names":["bob"]}}"#, &user("bob", &[]), Access::Member);
        check(r#"{"readers":{"names":["bob"]}}"#, &user("eve", &[]), Access::Refused(NotMember));
        let both = r#"{"members":{},"readers":{"names":["bob"]}}"#;
        check(both, &user("eve", &[]), Access::Member);
    }

    #[test]
    fn requirements() {
        use AuthError as E;
        let object = SecurityObject::parse(ALICE.as_bytes()).unwrap();
        let open = SecurityObject::default_object(DefaultSecurity::Everyone);
        let check = |object: &SecurityObject, who: UserCtx, expect: [Option<AuthError>; 3]| {
            let found = [
                object.require_member(&who).err(),
                object.require_admin(&who).err(),
                object.require_admin_resource(&who).err(),
            ];
            assert_eq!(found, expect, "{who:?}");
        };
        check(&object, user("alice", &[]), [None, None, None]);
        let member = [None, Some(E::NotDatabaseAdmin), Some(E::NotServerOrDatabaseAdmin)];
        check(&object, user("bob", &[]), member);
        check(&object, user("eve", &[]), [const { Some(E::NotMember) }; 3]);
        check(&object, user("", &[]), [const { Some(E::AnonymousNotMember) }; 3]);
        let anyone = [None, Some(E::AnonymousNotDatabaseAdmin), Some(E::NotServerOrDatabaseAdmin)];
        check(&open, user("", &[]), anyone);
    }

    #[test]
    fn defaults() {
        let admin_only = SecurityObject::default_object(DefaultSecurity::AdminOnly);
        let text = r#"{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}"#;
        assert_eq!(admin_only.to_json(), text);
        assert_eq!(SecurityObject::parse(text.as_bytes()).as_ref(), Ok(&admin_only));
        let refused = Access::Refused(AuthError::AnonymousNotMember);
        assert_eq!(admin_only.access(&UserCtx::anonymous()), refused);
        let everyone = SecurityObject::default_object(DefaultSecurity::Everyone);
        assert_eq!(everyone.to_json(), "{}");
    }

    #[test]
    fn shapes() {
        let check = |text: &str, expect: SecurityError| {
            assert_eq!(SecurityObject::parse(text.as_bytes()), Err(expect), "{text}");
        };
        check("", SecurityError::InvalidJson);
        check("[]", SecurityError::NotAnObject);
        check(r#"{"admins":[]}"#, SecurityError::GroupNotAnObject);
        check(r#"{"members":"bob"}"#, SecurityError::GroupNotAnObject);
        check(r#"{"admins":{"names":"bob"}}"#, SecurityError::Names);
        check(r#"{"members":{"names":["bob",1]}}"#, SecurityError::Names);
        check(r#"{"readers":{"roles":{}}}"#, SecurityError::Roles);
        check(r#"{"admins":{"roles":[null]}}"#, SecurityError::Roles);
        check(&"[".repeat(100_000), SecurityError::InvalidJson);
        let odd = r#"{"z":1,"couchdb_auth_only":true,"admins":{"x":[]}}"#;
        assert_eq!(SecurityObject::parse(odd.as_bytes()).unwrap().to_json(), odd);
    }
}
