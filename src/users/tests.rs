//! Rules, accounts and upgrades on a database in memory, without functions of design documents.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::auth::{AuthError, UserRecord, Users, hash_plain_text_admins};
use crate::config::{Config, Override, Persist};
use crate::database::{
    Admitted, Author, Base, CreateOptions, Database, DatabaseName, EditOutcome, NoFunctions,
    Registry,
};
use crate::document::Rev;
use crate::storage::MemoryEngine;

struct Fixture {
    config: Arc<Config>,
    registry: Arc<Registry>,
    db: Arc<Database>,
    accounts: Accounts,
}

fn new_database() -> Fixture {
    let overrides = vec![Override::new("chttpd_auth", "iterations", "2")];
    let config = Arc::new(Config::in_memory(overrides).unwrap());
    hash_plain_text_admins(&config).unwrap();
    let security = b"{}".as_slice().into();
    let engine = Arc::new(MemoryEngine::new());
    let registry = Registry::open(engine, security, Arc::new(NoFunctions)).unwrap();
    let registry = Arc::new(registry.with_rules(Arc::new(UsersRules { config: config.clone() })));
    let name = DatabaseName::parse("_users").unwrap();
    registry.create(&name, CreateOptions::default()).unwrap();
    let db = registry.get(&name).unwrap();
    let accounts = Accounts::new(registry.clone(), config.clone());
    Fixture { config, registry, db, accounts }
}

/// Without the design document, whose function nobody runs here.
fn fixture() -> Fixture {
    let f = new_database();
    f.delete_auth_design();
    f
}

fn edit_of(id: &str, base: Base, body: Value) -> Edit {
    let Value::Object(body) = body else { panic!("{body} is no object") };
    let mut edit = Edit {
        id: DocId::parse(id).unwrap(),
        base,
        deleted: body.is_empty(),
        body: Vec::new(),
        body_term: Vec::new(),
        attachments: Vec::new(),
    };
    set_body(&mut edit, body).unwrap();
    edit
}

fn author(name: &str, roles: &[&str]) -> Author {
    let name = (!name.is_empty()).then(|| name.to_owned());
    Author::User { name, roles: roles.iter().map(|&role| role.to_owned()).collect() }
}

impl Fixture {
    fn delete_auth_design(&self) {
        let gone = edit_of("_design/_auth", self.base("_design/_auth"), json!({}));
        self.write(gone, &Author::Server).unwrap();
    }

    fn write(&self, edit: Edit, author: &Author) -> Result<Rev, String> {
        let admitted = self.db.admit(vec![edit], author).unwrap();
        match self.db.edit(admitted).unwrap().wait().unwrap().remove(0) {
            EditOutcome::Saved(rev) | EditOutcome::Known(rev) => Ok(rev),
            EditOutcome::Refused(error) => Err(format!("{error:?}")),
            other => Err(format!("{other:?}")),
        }
    }

    fn put(&self, name: &str, body: Value) -> Rev {
        let id = format!("org.couchdb.user:{name}");
        let base = self.base(&id);
        self.write(edit_of(&id, base, body), &author("root", &["_admin"])).unwrap()
    }

    fn base(&self, id: &str) -> Base {
        let winner = self.db.winner(&DocId::parse(id).unwrap()).unwrap();
        winner.filter(|winner| !winner.deleted).map_or(Base::New, |winner| Base::On(winner.rev))
    }

    fn body(&self, name: &str) -> Map<String, Value> {
        let id = document_id(name).unwrap();
        serde_json::from_slice(&self.db.winner(&id).unwrap().unwrap().body).unwrap()
    }

    fn find(&self, name: &str) -> Result<Option<UserRecord>, AuthError> {
        self.accounts.find(&self.config.snapshot(), name)
    }

    fn fits(&self, name: &str, password: &str) -> bool {
        let record = self.find(name).unwrap().unwrap();
        record.password.verify(password.as_bytes(), &self.config.snapshot().auth).unwrap()
    }

    fn set(&self, key: &str, value: &str) {
        self.config.set("chttpd_auth", key, value, Persist::MemoryOnly).unwrap();
    }
}

#[test]
fn which_databases() {
    for (name, expect) in
        [("_users", true), ("app/_users", true), ("users", false), ("a_users", false)]
    {
        assert_eq!(is_users_database(name), expect, "{name}");
    }
    assert_eq!(name_of("org.couchdb.user:bob"), Some("bob"));
    assert_eq!(name_of("bob"), None);
}

#[test]
fn a_password_becomes_a_hash() {
    let f = fixture();
    f.put("bob", json!({"name": "bob", "type": "user", "roles": [], "password": "geheim"}));
    let body = f.body("bob");
    let members: Vec<&str> = body.keys().map(String::as_str).collect();
    let hash = ["password_scheme", "pbkdf2_prf", "salt", "iterations", "derived_key"];
    assert_eq!(members, [&hash[..], &["name", "type", "roles"]].concat());
    assert_eq!(body["iterations"], 2);
    assert_eq!(body["derived_key"].as_str().unwrap().len(), 64);
    assert_eq!(body["salt"].as_str().unwrap().len(), 32);
    assert!(f.fits("bob", "geheim") && !f.fits("bob", "Geheim"));

    // Written as it is read, nothing changes; a new password gets a new salt, unless it is to
    // stay.
    let before = body.clone();
    f.put("bob", Value::Object(body.clone()));
    assert_eq!(f.body("bob"), before);
    for (preserve, same) in [(false, false), (true, true)] {
        let mut body = before.clone();
        body.insert("password".to_owned(), "neu".into());
        body.insert("preserve_salt".to_owned(), preserve.into());
        f.put("bob", Value::Object(body));
        assert!(f.fits("bob", "neu"));
        let after = f.body("bob");
        assert_eq!(after["salt"] == before["salt"], same);
        assert!(!after.contains_key("preserve_salt") && !after.contains_key("password"));
    }

    f.set("password_scheme", "simple");
    f.put("bob", json!({"name": "bob", "roles": [], "password": "alt"}));
    let body = f.body("bob");
    let members: Vec<&str> = body.keys().map(String::as_str).collect();
    assert_eq!(members, ["password_scheme", "salt", "password_sha", "name", "roles"]);
    assert!(f.fits("bob", "alt"));
}

#[test]
fn what_needs_no_hash() {
    let f = fixture();
    for body in [
        json!({"name": "bob", "password": null, "roles": []}),
        json!({"name": "bob", "roles": [], "password_scheme": "pbkdf2", "iterations": 5,
            "derived_key": "00", "salt": "x"}),
        json!({"name": "bob", "big": 1e300, "long": "12345678901234567890123"}),
    ] {
        f.put("bob", body.clone());
        assert_eq!(Value::Object(f.body("bob")), body);
    }
    let by_server = edit_of(&format!("{ID_PREFIX}eve"), Base::New, json!({"password": "x"}));
    f.write(by_server, &Author::Server).unwrap();
    assert_eq!(f.body("eve")["password"], "x", "the server writes what it means");
}

#[test]
fn passwords_that_cannot_be_set() {
    let f = fixture();
    let attempt = |password: Value| {
        let id = format!("{ID_PREFIX}bob");
        let edit = edit_of(&id, Base::New, json!({"name": "bob", "password": password}));
        f.write(edit, &author("root", &["_admin"])).unwrap_err()
    };
    assert!(attempt(json!(7)).contains("Password value of '7' is invalid."));
    f.set("password_scheme", "rot13");
    assert!(attempt(json!("x")).contains("Server cannot hash passwords at this time."));
    f.set("password_scheme", "pbkdf2");
    f.set("password_regexp", r#"[{".{10,}"}, {"[A-Z]+", "Requirement 2."}, {"[a-z]+", ""}]"#);
    let conform = "Password does not conform to requirements.";
    for (password, expect) in [
        ("funnybone", conform.to_owned()),
        ("funnnnnybone", format!("{conform} Requirement 2.")),
        ("FUNNNNNYBONE", conform.to_owned()),
    ] {
        assert!(attempt(json!(password)).contains(&format!("{expect}\"")), "{password}");
    }
    for unreadable in ["{{\"x\"}}", "[{\"x\"]", "[\"(\"]"] {
        f.set("password_regexp", unreadable);
        assert!(attempt(json!("x")).contains("Server cannot hash"), "{unreadable}");
    }
}

#[test]
fn nobody_writes_documents_of_others() {
    let f = fixture();
    let bob = |author: &Author| {
        let id = format!("{ID_PREFIX}bob");
        let edit = edit_of(&id, f.base(&id), json!({"name": "bob", "roles": []}));
        f.write(edit, author)
    };
    let missing =
        |written: Result<Rev, String>| written.is_err_and(|error| error.contains("missing"));
    assert!(missing(bob(&author("eve", &["x"]))));
    for who in [author("bob", &[]), author("", &[]), author("root", &["_admin"])] {
        bob(&who).unwrap();
    }
    let other = edit_of("other", Base::New, json!({"name": "bob"}));
    assert!(missing(f.write(other, &author("bob", &[]))));
    let security = br#"{"admins":{"names":["eve"]}}"#.to_vec();
    f.db.set_security(security).unwrap().wait().unwrap();
    bob(&author("eve", &[])).unwrap();
    assert!(missing(bob(&author("tom", &[]))));
}

#[test]
fn accounts_follow_their_documents() {
    let f = fixture();
    assert_eq!(f.find("bob"), Ok(None));
    f.put("bob", json!({"name": "bob", "roles": ["a"], "password": "x"}));
    assert_eq!(f.find("bob").unwrap().unwrap().roles, ["a"]);
    assert!(f.fits("bob", "x"));
    f.put("bob", json!({"name": "bob", "roles": ["b"], "password": "y"}));
    assert_eq!(f.find("bob").unwrap().unwrap().roles, ["b"]);
    assert!(f.fits("bob", "y"));
    f.put("bob", json!({}));
    assert_eq!(f.find("bob"), Ok(None));
    f.put("bob", json!({"name": "bob", "roles": ["c"]}));
    assert_eq!(f.find("bob").unwrap().unwrap().roles, ["c"]);

    let other = DatabaseName::parse("people").unwrap();
    f.set("authentication_db", "people");
    assert_eq!(f.find("bob"), Ok(None));
    f.registry.create(&other, CreateOptions::default()).unwrap();
    assert_eq!(f.find("bob"), Ok(None));
    f.set("authentication_db", "_users");
    assert!(f.find("bob").unwrap().is_some());
    f.registry.delete(f.db.name()).unwrap().wait().unwrap();
    assert_eq!(f.find("bob"), Ok(None));
}

#[test]
fn conflicts_lock_an_account() {
    let f = fixture();
    f.put("bob", json!({"name": "bob", "roles": []}));
    let id = format!("{ID_PREFIX}bob");
    let revisions = crate::document::Revisions {
        start: 1,
        ids: vec![crate::document::RevHash::parse("00000000000000000000000000000000")],
    };
    let other = edit_of(&id, Base::Replicated(revisions), json!({"name": "bob", "roles": ["x"]}));
    let other = f.write(other, &author("root", &["_admin"])).unwrap();
    assert_eq!(f.find("bob"), Err(AuthError::UserConflicts));
    f.set("allow_conflicted_user_docs", "true");
    assert!(f.find("bob").unwrap().is_some());
    f.set("allow_conflicted_user_docs", "false");
    let gone = edit_of(&id, Base::On(other), json!({}));
    f.write(gone, &author("root", &["_admin"])).unwrap();
    assert_eq!(f.find("bob").unwrap().unwrap().roles.len(), 0);
}

#[test]
fn the_cache_is_bounded() {
    let f = fixture();
    f.config.set("chttpd_auth_cache", "max_objects", "2", Persist::MemoryOnly).unwrap();
    for number in 0..10 {
        assert_eq!(f.find(&format!("user{number}")), Ok(None));
        assert!(f.accounts.cached() <= 2);
    }
}

#[test]
fn hashes_are_upgraded_in_the_background() {
    let f = fixture();
    f.set("password_scheme", "simple");
    f.put("bob", json!({"name": "bob", "roles": ["a"], "password": "x", "more": [1.0]}));
    f.set("password_scheme", "pbkdf2");
    let before = f.body("bob");
    let mut published = f.db.subscribe();
    let seq = f.db.state().update_seq;
    let record = f.find("bob").unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        f.accounts.upgrade("bob", b"x", &record);
        published.wait_for(|published| published.update_seq > seq).await.unwrap();
    });
    let after = f.body("bob");
    assert_eq!(
        (&after["password_scheme"], &after["pbkdf2_prf"]),
        (&"pbkdf2".into(), &"sha256".into())
    );
    assert_eq!(after["salt"], before["salt"]);
    assert_eq!((&after["more"], &after["roles"]), (&before["more"], &before["roles"]));
    assert!(!after.contains_key("password_sha") && f.fits("bob", "x"));
}

#[test]
fn a_password_that_changed_meanwhile_stays() {
    let f = fixture();
    f.put("bob", json!({"name": "bob", "roles": [], "password": "x"}));
    let record = f.find("bob").unwrap().unwrap();
    let rev = f.put("bob", json!({"name": "bob", "roles": [], "password": "y"}));
    f.accounts.upgrade_job("bob", b"x", &record).run().unwrap();
    assert_eq!(f.db.winner(&document_id("bob").unwrap()).unwrap().unwrap().rev, rev);
}

#[test]
fn the_auth_design_document() {
    let f = new_database();
    assert!(missing_auth_design(&f.db).unwrap().is_none());
    f.delete_auth_design();
    let edit = missing_auth_design(&f.db).unwrap().unwrap();
    f.db.edit(Admitted::by_server(vec![edit])).unwrap().wait().unwrap();
    assert!(missing_auth_design(&f.db).unwrap().is_none());
}
