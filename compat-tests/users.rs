//! Users as documents, on the real server: rules of `_users`, accounts, what others see of them,
//! and a database for each user.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Stage, text};

const ID: &str = "org.couchdb.user:";
/// How long the server may take for what it does in the background.
const DEADLINE: Duration = Duration::from_secs(20);

/// Who sends a request.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    Admin,
    Nobody,
    /// Basic, with a name and a password.
    User(&'a str, &'a str),
    /// A session cookie.
    Session(&'a str),
}

pub const BOB: Who<'_> = Who::User("bob", "bobpw");
const EVE: Who<'_> = Who::User("eve", "evepw");

pub struct Answer {
    pub status: u16,
    pub json: Value,
    pub cookie: Option<String>,
}

impl Answer {
    fn reason(&self) -> (u16, &str) {
        (self.status, self.json["reason"].as_str().unwrap_or_default())
    }
}

pub fn call(stage: &Stage, who: Who<'_>, method: &str, path: &str, body: &Value) -> Answer {
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    headers.extend(match who {
        Who::Admin => None,
        Who::Nobody => Some(("X-No-Auth", "1".to_owned())),
        Who::User(name, password) => {
            let pair = STANDARD.encode(format!("{name}:{password}"));
            Some(("Authorization", format!("Basic {pair}")))
        }
        Who::Session(cookie) => Some(("Cookie", cookie.to_owned())),
    });
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = stage.send(method, path, &headers, &body);
    let cookie = response.header("set-cookie").map(str::to_owned);
    let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    Answer { status: response.status, json, cookie }
}

pub fn get(stage: &Stage, who: Who<'_>, path: &str) -> Answer {
    call(stage, who, "GET", path, &Value::Null)
}

pub fn set(stage: &Stage, section: &str, key: &str, value: &str) {
    stage.put(&format!("/_node/_local/_config/{section}/{key}"), &json!(value));
}

fn user(name: &str, password: &str) -> Value {
    json!({"type": "user", "name": name, "roles": [], "password": password})
}

fn path_of(name: &str) -> String {
    format!("/_users/{ID}{name}")
}

/// With bob and eve, in a users database that is open to everybody.
pub fn stage() -> Stage {
    let stage = Stage::new();
    set(&stage, "chttpd_auth", "iterations", "1");
    set(&stage, "couchdb", "users_db_security_editable", "true");
    stage.put("/_users/_security", &json!({}));
    for (name, password) in [("bob", "bobpw"), ("eve", "evepw")] {
        stage.put(&path_of(name), &user(name, password));
    }
    stage
}

/// Waits for what happens in the background.
#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_users_database_that_a_replication_makes_has_its_rules_too() {
    let stage = Stage::new();
    assert_eq!(stage.ask("DELETE", "/_users", None).status, 200);
    let wanted = json!({"source": "db", "target": "_users", "create_target": true});
    let response = stage.ask("POST", "/_replicate", Some(&wanted));
    assert_eq!(response.status, 200, "{}", text(&response));
    assert_eq!(stage.ask("GET", "/_users/_design/_auth", None).status, 200);
    let bad = stage.ask("PUT", "/_users/org.couchdb.user:x", Some(&json!({"name": "x"})));
    assert_eq!(bad.status, 403, "{}", text(&bad));
}

#[test]
fn documents_become_accounts() {
    let stage = stage();
    let document = get(&stage, Who::Admin, &path_of("bob")).json;
    assert!(document.get("password").is_none());
    let hash = ["password_scheme", "pbkdf2_prf", "iterations"].map(|member| &document[member]);
    assert_eq!(hash, [&json!("pbkdf2"), &json!("sha256"), &json!(1)]);
    let session = get(&stage, BOB, "/_session").json;
    assert_eq!(session["userCtx"], json!({"name": "bob", "roles": []}));
    assert_eq!(session["info"]["authenticated"], "default");
    let wrong = get(&stage, Who::User("bob", "evepw"), "/");
    assert_eq!(wrong.reason(), (401, "Name or password is incorrect."));

    // Roles and the password follow the document at once; a session ends with its password.
    let login = json!({"name": "bob", "password": "bobpw"});
    let login = call(&stage, Who::Nobody, "POST", "/_session", &login);
    assert_eq!(login.json, json!({"ok": true, "name": "bob", "roles": []}));
    let cookie = login.cookie.unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let by_cookie = || get(&stage, Who::Session(cookie), "/_session").json;
    assert_eq!(by_cookie()["userCtx"]["name"], "bob");
    assert_eq!(by_cookie()["info"]["authenticated"], "cookie");
    let mut with_role = document.clone();
    with_role["roles"] = json!(["staff"]);
    let rev = stage.put(&path_of("bob"), &with_role)["rev"].clone();
    assert_eq!(by_cookie()["userCtx"]["roles"], json!(["staff"]));
    (with_role["_rev"], with_role["password"]) = (rev, json!("new"));
    let rev = stage.put(&path_of("bob"), &with_role)["rev"].clone();
    assert_eq!(by_cookie()["userCtx"]["name"], Value::Null);
    assert_eq!(get(&stage, BOB, "/").status, 401);
    assert_eq!(get(&stage, Who::User("bob", "new"), "/").status, 200);

    let gone = format!("{}?rev={}", path_of("bob"), rev.as_str().unwrap());
    assert_eq!(call(&stage, Who::Admin, "DELETE", &gone, &Value::Null).status, 200);
    assert_eq!(get(&stage, Who::User("bob", "new"), "/").status, 401);
    assert_eq!(get(&stage, EVE, "/").status, 200);

    // Accounts come back after a crash.
    let stage = stage.killed_and_started_again();
    assert_eq!(get(&stage, EVE, "/_session").json["userCtx"]["name"], "eve");
}

fn put_as(stage: &Stage, who: Who<'_>, id: &str, document: &Value) -> (u16, String) {
    let answer = call(stage, who, "PUT", &format!("/_users/{id}"), document);
    (answer.status, answer.json["reason"].as_str().unwrap_or_default().to_owned())
}

/// A user document with some members that are other ones.
fn tom_with(more: &Value) -> Value {
    let mut document = json!({"type": "user", "name": "tom", "roles": []});
    for (member, value) in more.as_object().unwrap() {
        document[member] = value.clone();
    }
    document
}

#[test]
fn what_a_user_document_must_look_like() {
    let stage = stage();
    let put = |who: Who<'_>, id: &str, document: Value| put_as(&stage, who, id, &document);
    let design = get(&stage, Who::Admin, "/_users/_design/_auth").json;
    assert!(design["validate_doc_update"].is_string());
    let tom = |more: Value| tom_with(&more);
    let id = format!("{ID}tom");
    for (document, reason) in [
        (tom(json!({"type": "other"})), "doc.type must be user"),
        (json!({"type": "user", "roles": []}), "doc.name is required"),
        (json!({"type": "user", "name": "tom"}), "doc.roles must exist"),
        (tom(json!({"roles": "x"})), "doc.roles must be an array"),
        (tom(json!({"roles": [12]})), "doc.roles can only contain strings"),
        (tom(json!({"name": "tim"})), "Doc ID must be of the form org.couchdb.user:name"),
        (tom(json!({"password_scheme": "md5"})), "Password scheme `md5` not supported."),
        (tom(json!({"password_scheme": "pbkdf2"})), "iterations must be a number."),
        (
            tom(json!({"password_scheme": "pbkdf2", "iterations": 1})),
            "derived_key must be a string.",
        ),
        (
            tom(json!({"roles": ["_admin"]})),
            "No system roles (starting with underscore) in users db.",
        ),
    ] {
        assert_eq!(put(Who::Admin, &id, document.clone()), (403, reason.to_owned()), "{document}");
    }
    for (name, reason) in [
        ("_tom", "Username may not start with underscore."),
        ("tom:x", "Character `:` is not allowed in usernames."),
    ] {
        let found = put(Who::Admin, &format!("{ID}{name}"), user(name, "x"));
        assert_eq!(found, (403, reason.to_owned()));
    }
}

#[test]
fn roles_are_for_admins() {
    let stage = stage();
    let put = |who: Who<'_>, id: &str, document: Value| put_as(&stage, who, id, &document);
    let tom = |more: Value| tom_with(&more);
    let id = format!("{ID}tom");
    let found = put(Who::Nobody, &id, tom(json!({"roles": ["a"]})));
    assert_eq!(found, (403, "Only _admin may set roles".to_owned()));
    assert_eq!(put(BOB, &id, tom(json!({}))), (404, "missing".to_owned()));
    assert_eq!(put(Who::Nobody, &id, tom(json!({"password": "tompw"}))).0, 201);
    let tom_himself = Who::User("tom", "tompw");
    let mut own = get(&stage, tom_himself, &path_of("tom")).json;
    own["roles"] = json!(["boss"]);
    let found = put(tom_himself, &id, own.clone());
    assert_eq!(found, (403, "Only _admin may edit roles".to_owned()));
    own["roles"] = json!(["_metrics", "a"]);
    assert_eq!(put(Who::Admin, &id, own).0, 201);
    let session = get(&stage, tom_himself, "/_session").json;
    assert_eq!(session["userCtx"]["roles"], json!(["_metrics", "a"]));
}

#[test]
fn no_way_in_leads_past_the_rules() {
    let stage = stage();
    let bulk = json!({"docs": [{"_id": format!("{ID}bulk"), "type": "user", "name": "bulk",
        "roles": [], "password": "bulkpw"}, {"_id": "x", "type": "y"}]});
    let bulk = call(&stage, Who::Admin, "POST", "/_users/_bulk_docs", &bulk);
    assert_eq!(bulk.json[0]["ok"], true);
    assert_eq!(bulk.json[1]["reason"], "doc.type must be user");
    assert_eq!(get(&stage, Who::User("bulk", "bulkpw"), "/").status, 200);
    let posted = call(&stage, Who::Nobody, "POST", "/_users", &{
        let mut document = user("post", "postpw");
        document["_id"] = json!(format!("{ID}post"));
        document
    });
    assert_eq!(posted.status, 201);
    assert_eq!(get(&stage, Who::User("post", "postpw"), "/").status, 200);
}

#[test]
fn passwords_must_match_what_is_configured() {
    let stage = stage();
    let rules = r#"[{".{10,}"}, {"[A-Z]+", "Requirement 2."}]"#;
    set(&stage, "chttpd_auth", "password_regexp", rules);
    let attempt = |password: &str| {
        let answer = call(&stage, Who::Admin, "PUT", &path_of("tom"), &user("tom", password));
        (answer.status, answer.json["reason"].as_str().unwrap_or_default().to_owned())
    };
    let conform = "Password does not conform to requirements.";
    assert_eq!(attempt("short"), (400, conform.to_owned()));
    assert_eq!(attempt("long enough"), (400, format!("{conform} Requirement 2.")));
    set(&stage, "chttpd_auth", "password_regexp", "{nonsense");
    assert_eq!(attempt("Long enough"), (403, "Server cannot hash passwords at this time.".into()));
    set(&stage, "chttpd_auth", "password_regexp", rules);
    assert_eq!(attempt("Long enough").0, 201);
}

#[test]
fn stored_hashes_of_every_kind_log_in_and_are_upgraded() {
    let stage = stage();
    set(&stage, "chttpd_auth", "iterations", "3");
    // Made with Python's hashlib: password `passwort`.
    let salt = "0123456789abcdef0123456789abcdef";
    let sha1 = "5f71c0fa7be51d2ea8fee917119eda5e28dfad91";
    let sha256 = "f93f44cf8f35fb66e5d6897dbcf1851e31e30db8328bfc7d3cb213c31ab1aa10";
    let simple = "dd3cf353307b7fb1f3dd0b3db3efde303f9f8c25";
    for (name, members) in [
        ("old", json!({"salt": "abc", "password_sha": simple})),
        ("simple", json!({"password_scheme": "simple", "salt": "abc", "password_sha": simple})),
        (
            "legacy",
            json!({"password_scheme": "pbkdf2", "iterations": 25, "salt": salt,
            "derived_key": sha1}),
        ),
        (
            "sha256",
            json!({"password_scheme": "pbkdf2", "pbkdf2_prf": "sha256", "iterations": 25,
            "salt": salt, "derived_key": sha256}),
        ),
    ] {
        let mut document = json!({"type": "user", "name": name, "roles": [], "more": 1.0});
        for (member, value) in members.as_object().unwrap() {
            document[member] = value.clone();
        }
        stage.put(&path_of(name), &document);
        let stored = get(&stage, Who::Admin, &path_of(name)).json;
        for (member, value) in document.as_object().unwrap() {
            assert_eq!(&stored[member], value, "{name}: stored as it is");
        }
        set(&stage, "chttpd_auth", "upgrade_hash_on_auth", "false");
        let who = Who::User(name, "passwort");
        assert_eq!(get(&stage, who, "/").status, 200, "{name}");
        set(&stage, "chttpd_auth", "upgrade_hash_on_auth", "true");
        let login = json!({"name": name, "password": "passwort"});
        let login = call(&stage, Who::Nobody, "POST", "/_session", &login);
        let cookie = login.cookie.unwrap();
        let cookie = Who::Session(cookie.split(';').next().unwrap());
        let upgraded = || get(&stage, Who::Admin, &path_of(name)).json;
        eventually("the hash is upgraded", || upgraded()["iterations"] == 3);
        assert_eq!(upgraded()["pbkdf2_prf"], "sha256");
        assert_eq!(upgraded()["more"], json!(1.0));
        assert_eq!(get(&stage, who, "/").status, 200, "{name}");
        assert_eq!(get(&stage, cookie, "/_session").json["userCtx"]["name"], name);
    }
}

#[test]
fn hashes_that_no_server_makes() {
    let stage = stage();
    let odd = json!({"type": "user", "name": "odd", "roles": [], "password_scheme": "pbkdf2",
        "pbkdf2_prf": "md5", "iterations": 1, "salt": "x", "derived_key": "00"});
    let odd_again = {
        let mut odd = odd.clone();
        (odd["name"], odd["pbkdf2_prf"]) = (json!("odd2"), json!("sha"));
        odd
    };
    stage.put(&path_of("odd"), &odd);
    stage.put(&path_of("odd2"), &odd_again);
    assert_eq!(get(&stage, Who::User("odd", "x"), "/").reason(), (403, "PRF is invalid"));
    set(&stage, "chttpd_auth", "min_iterations", "2");
    let few = get(&stage, Who::User("odd2", "x"), "/");
    assert_eq!(few.reason(), (403, "Iteration count is too low for this server"));
}

#[test]
fn conflicts_lock_an_account() {
    let stage = stage();
    let mut other = get(&stage, Who::Admin, &path_of("bob")).json;
    let rev = format!("1-{}", "0".repeat(32));
    (other["_rev"], other["roles"]) = (json!(rev), json!(["x"]));
    let bulk = json!({"new_edits": false, "docs": [other]});
    assert_eq!(call(&stage, Who::Admin, "POST", "/_users/_bulk_docs", &bulk).status, 201);
    let reason = "User document conflicts must be resolved before the document is used for \
                  authentication purposes.";
    assert_eq!(get(&stage, BOB, "/").reason(), (401, reason));
    let login = json!({"name": "bob", "password": "bobpw"});
    let login = call(&stage, Who::Nobody, "POST", "/_session", &login);
    assert_eq!(login.reason(), (401, reason));
    let gone = format!("{}?rev={rev}", path_of("bob"));
    assert_eq!(call(&stage, Who::Admin, "DELETE", &gone, &Value::Null).status, 200);
    assert_eq!(get(&stage, BOB, "/").status, 200);
}

/// With a design document, and a file of bob's. Answers his revision.
fn stage_with_designs() -> (Stage, String) {
    let stage = stage();
    stage.put(
        "/_users/_design/d",
        &json!({
            "shows": {"name": "function (doc) { return doc ? doc.name : 'nobody'; }"},
            "updates": {"see": "function (doc) { return [null, toJSON(doc)]; }"},
            "views": {"all": {"map": "function (doc) { emit(doc._id, doc); }"}},
            "lists": {"all": "function () { return 'x'; }"},
            "rewrites": [{"from": "/all", "to": "../../_all_docs"}],
        }),
    );
    let bob = path_of("bob");
    let rev = get(&stage, Who::Admin, &bob).json["_rev"].as_str().unwrap().to_owned();
    let file = format!("{bob}/photo.txt?rev={rev}");
    let body: &[(&str, &str)] = &[("Content-Type", "text/plain")];
    assert_eq!(stage.send("PUT", &file, body, "me").status, 201);
    let rev = get(&stage, Who::Admin, &bob).json["_rev"].as_str().unwrap().to_owned();
    (stage, rev)
}

#[test]
fn nobody_sees_other_users() {
    let (stage, rev) = stage_with_designs();
    let bob = path_of("bob");
    let reads = [
        bob.clone(),
        format!("{bob}?rev={rev}"),
        format!("{bob}?revs=true"),
        format!("{bob}?conflicts=true&meta=true"),
        format!("{bob}?open_revs=all"),
        format!("{bob}?open_revs=[\"{rev}\"]"),
        format!("{bob}?attachments=true"),
        format!("{bob}/photo.txt"),
        format!("/_users/_design/d/_show/name/{ID}bob"),
    ];
    for path in &reads {
        assert_eq!(get(&stage, BOB, path).status, 200, "{path}: his own");
        assert_eq!(get(&stage, Who::Admin, path).status, 200, "{path}: an admin's");
        for who in [EVE, Who::Nobody] {
            let answer = get(&stage, who, path);
            assert_eq!(answer.reason(), (404, "missing"), "{path}");
            assert_eq!(call(&stage, who, "HEAD", path, &Value::Null).status, 404, "{path}");
        }
    }
    let updated =
        call(&stage, EVE, "POST", &format!("/_users/_design/d/_update/see/{ID}bob"), &json!({}));
    assert_eq!(updated.status, 404);
}

#[test]
fn what_shows_all_users_is_for_admins() {
    let (stage, rev) = stage_with_designs();
    let bob = path_of("bob");
    for path in [
        "/_users/_design/d",
        "/_users/_design/_auth",
        "/_users/_design/d/_view/all",
        "/_users/_design/d/_list/all/all",
        "/_users/_design/d/_info",
        "/_users/_design/d/_rewrite/all",
    ] {
        let answer = get(&stage, EVE, path);
        let reason = "Only administrators can view design docs in the users database.";
        assert_eq!(answer.reason(), (403, reason), "{path}");
    }
    for path in ["_all_docs", "_changes", "_design_docs", "_local_docs"] {
        for who in [EVE, Who::Nobody] {
            let path = format!("/_users/{path}?include_docs=true");
            assert_eq!(get(&stage, who, &path).reason(), (401, "You are not a server admin."));
        }
    }
    let asked = json!({"docs": [{"id": format!("{ID}bob")}, {"id": format!("{ID}bob"), "rev": rev},
        {"id": format!("{ID}eve")}, {"id": "_design/d"}]});
    let bulk = call(&stage, EVE, "POST", "/_users/_bulk_get", &asked).json;
    let errors: Vec<&Value> =
        (0..4).map(|at| &bulk["results"][at]["docs"][0]["error"]["error"]).collect();
    let none = &Value::Null;
    assert_eq!(errors, [&json!("not_found"), &json!("not_found"), none, &json!("forbidden")]);
    let etag = [("If-None-Match", format!("\"{rev}\""))];
    let headers = [("X-No-Auth", "1"), (etag[0].0, etag[0].1.as_str())];
    assert_eq!(stage.send("GET", &bob, &headers, "").status, 404, "no 304 either");
}

#[test]
fn nobody_gets_at_other_users_by_writing() {
    let (stage, rev) = stage_with_designs();
    let bob = path_of("bob");
    for (method, path) in [
        ("PUT", bob.clone()),
        ("DELETE", format!("{bob}?rev={rev}")),
        ("DELETE", format!("{bob}/photo.txt?rev={rev}")),
    ] {
        assert_eq!(call(&stage, EVE, method, &path, &json!({})).status, 404, "{method} {path}");
    }
    let pair = STANDARD.encode("eve:evepw");
    let authorization = format!("Basic {pair}");
    let copy = [("Authorization", authorization.as_str()), ("Destination", "x")];
    assert_eq!(stage.send("COPY", &bob, &copy, "").status, 404);
    stage.put("/db/_security", &json!({}));
    let replication = json!({"source": "_users", "target": "db"});
    let replicated = call(&stage, EVE, "POST", "/_replicate", &replication);
    assert!(replicated.status >= 400, "{}", replicated.json);
    assert_eq!(get(&stage, Who::Admin, "/db").json["doc_count"], 0);
}

#[test]
fn public_fields_are_seen_by_all() {
    let stage = stage();
    stage.put(
        &path_of("tom"),
        &json!({"type": "user", "name": "tom", "roles": [], "city": "x",
        "password": "tompw"}),
    );
    set(&stage, "chttpd_auth", "public_fields", "name, city");
    let seen = get(&stage, EVE, &path_of("tom")).json;
    let members: Vec<&String> = seen.as_object().unwrap().keys().collect();
    assert_eq!(members, ["_id", "_rev", "name", "city"]);
    assert!(get(&stage, Who::User("tom", "tompw"), &path_of("tom")).json["salt"].is_string());
    assert_eq!(get(&stage, Who::Nobody, &path_of("tom")).json["city"], "x");
    let open = format!("{}?open_revs=all", path_of("tom"));
    let open =
        text(&stage.send("GET", &open, &[("X-No-Auth", "1"), ("Accept", "application/json")], ""));
    assert!(open.contains("\"city\":\"x\"") && !open.contains("salt"), "{open}");
    let list = "/_users/_all_docs?include_docs=true";
    assert_eq!(get(&stage, EVE, list).status, 401);
    set(&stage, "chttpd_auth", "users_db_public", "true");
    let rows = get(&stage, EVE, list).json["rows"].clone();
    let docs: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["doc"]).collect();
    assert!(docs.iter().any(|doc| doc["city"] == "x"));
    let salted: Vec<_> = docs.iter().filter(|doc| doc.get("salt").is_some()).collect();
    assert_eq!(salted.len(), 1, "her own: {docs:?}");
    assert_eq!(get(&stage, EVE, "/_users/_changes").status, 401);
    set(&stage, "chttpd_auth", "public_fields", "street");
    assert_eq!(get(&stage, EVE, &path_of("tom")).status, 404);
}

#[test]
fn admins_of_the_users_database_and_of_the_server() {
    let stage = stage();
    stage.put("/_users/_security", &json!({"admins": {"names": ["eve"]}}));
    assert_eq!(get(&stage, EVE, &path_of("bob")).status, 200);
    assert_eq!(get(&stage, EVE, "/_users/_design/_auth").status, 200);
    let mut bob = get(&stage, EVE, &path_of("bob")).json;
    bob["password"] = json!("other");
    assert_eq!(call(&stage, EVE, "PUT", &path_of("bob"), &bob).status, 201);
    assert_eq!(get(&stage, Who::User("bob", "other"), "/").status, 200);
    assert_eq!(get(&stage, EVE, "/_users/_changes").status, 401, "for server admins only");

    // One who is both has the roles of both, and the password of the admin.
    stage.put(
        &path_of("root"),
        &json!({"type": "user", "name": "root", "roles": ["a"],
        "password": "userpw"}),
    );
    set(&stage, "admins", "root", "rootpw");
    let root = get(&stage, Who::User("root", "rootpw"), "/_session").json;
    assert_eq!(root["userCtx"]["roles"], json!(["_admin", "a"]));
    assert_eq!(get(&stage, Who::User("root", "userpw"), "/").status, 401);

    set(&stage, "couchdb", "users_db_security_editable", "false");
    let refused = call(&stage, Who::Admin, "PUT", "/_users/_security", &json!({}));
    assert_eq!(refused.status, 403);
    assert_eq!(call(&stage, Who::Admin, "DELETE", "/_users", &Value::Null).status, 200);
    assert_eq!(get(&stage, EVE, "/").status, 401);
    assert_eq!(call(&stage, Who::Admin, "PUT", "/_users", &Value::Null).status, 201);
    let design = get(&stage, Who::Admin, "/_users/_design/_auth").status;
    assert_eq!(design, 200, "born with its design document");
}

#[test]
fn a_database_for_every_user() {
    let stage = stage();
    let hex = |name: &str| data_encoding::HEXLOWER.encode(name.as_bytes());
    let db = |name: &str| format!("/userdb-{}", hex(name));
    let exists = |stage: &Stage, name: &str| get(stage, Who::Admin, &db(name)).status == 200;
    assert!(!exists(&stage, "bob"));
    set(&stage, "couch_peruser", "q", "3");
    set(&stage, "couch_peruser", "enable", "true");
    eventually("users from before get theirs", || exists(&stage, "bob") && exists(&stage, "eve"));
    let security = || get(&stage, Who::Admin, &format!("{}/_security", db("bob"))).json;
    let expect = json!({"members": {"roles": ["_admin"], "names": ["bob"]},
        "admins": {"roles": ["_admin"], "names": ["bob"]}});
    eventually("bob is its admin", || security() == expect);
    assert_eq!(get(&stage, Who::Admin, &db("bob")).json["cluster"]["q"], 3);
    assert_eq!(get(&stage, BOB, &db("bob")).status, 200);
    assert_eq!(get(&stage, EVE, &db("bob")).status, 403);
    stage.put(&path_of("zoë"), &user("zoë", "x"));
    eventually("a new user gets one", || exists(&stage, "zoë"));

    // After a crash everything goes on; a database that is missing comes again.
    assert_eq!(stage.ask("DELETE", &db("eve"), None).status, 200);
    let stage = stage.killed_and_started_again();
    eventually("the database is there again", || exists(&stage, "eve"));
    stage.put(&path_of("tom"), &user("tom", "x"));
    eventually("a new user gets one", || exists(&stage, "tom"));

    let remove = |name: &str| {
        let rev = get(&stage, Who::Admin, &path_of(name)).json["_rev"].clone();
        let path = format!("{}?rev={}", path_of(name), rev.as_str().unwrap());
        assert_eq!(call(&stage, Who::Admin, "DELETE", &path, &Value::Null).status, 200);
    };
    remove("tom");
    let names = || {
        let security = get(&stage, Who::Admin, &format!("{}/_security", db("tom"))).json;
        security["members"]["names"].clone()
    };
    eventually("who is gone is no member", || names() == json!([]));
    set(&stage, "couch_peruser", "delete_dbs", "true");
    eventually("the database goes, too", || !exists(&stage, "tom"));
    remove("eve");
    eventually("the database goes with its user", || !exists(&stage, "eve"));
    set(&stage, "couch_peruser", "enable", "false");
    stage.put(&path_of("late"), &user("late", "x"));
    remove("bob");
    set(&stage, "couch_peruser", "database_prefix", "mine/");
    set(&stage, "couch_peruser", "enable", "true");
    eventually("the prefix counts", || {
        get(&stage, Who::Admin, &format!("/mine%2F{}", hex("late"))).status == 200
    });
    assert!(exists(&stage, "bob") && !exists(&stage, "late"), "nothing was done while it was off");
}
