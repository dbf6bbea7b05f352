//! Who may do what: every route, asked for by six users, against the table `routes_by_user.txt`.
//!
//! The databases `db`, `_users` and the other system databases have the same security object: one
//! admin, one member. The router's own literals are read, so that a route without a row fails.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::stage::Stage;

/// The columns of the table. `metrics` has a role that only reads statistics.
const USERS: [&str; 6] = ["nobody", "member", "stranger", "dbadmin", "admin", "metrics"];
const SECURITY: &str = r#"{"admins":{"names":["dbadmin"]},"members":{"names":["member"]}}"#;
/// In the table: anything but a refusal.
const ALLOWED: &str = "ok";
const REFUSALS: [u16; 4] = [401, 403, 404, 500];

/// A request, and what becomes of it.
struct Row {
    method: String,
    path: String,
    expect: Vec<String>,
    body: String,
}

impl Row {
    /// `METHOD path | six statuses | body`.
    fn parse(line: &str) -> Self {
        let mut parts = line.splitn(3, " | ");
        let (method, path) = parts.next().unwrap().split_once(' ').expect("a method and a path");
        let expect = parts.next().expect("a status for each user");
        let expect: Vec<String> = expect.split_whitespace().map(str::to_owned).collect();
        assert_eq!(expect.len(), USERS.len(), "{line}");
        let body = parts.next().unwrap_or_default().replace("SECURITY", SECURITY);
        Self { method: method.to_owned(), path: path.trim().to_owned(), expect, body }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn rows() -> Vec<Row> {
    let table = read("compat-tests/routes_by_user.txt");
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(Row::parse).collect()
}

/// Databases with everything that the rows ask for.
fn stage() -> Stage {
    let stage = Stage::new();
    for (section, key, value) in [
        ("chttpd_auth", "iterations", "1"),
        ("chttpd_auth", "upgrade_hash_on_auth", "false"),
        ("couchdb", "users_db_security_editable", "true"),
        ("chttpd", "changes_timeout", "100"),
    ] {
        stage.put(&format!("/_node/_local/_config/{section}/{key}"), &json!(value));
    }
    let others = ["target", "app%2F_users", "app%2F_replicator"];
    for name in others {
        assert_eq!(stage.ask("PUT", &format!("/{name}"), None).status, 201);
    }
    let design = json!({
        "views": {"v": {"map": "function (doc) { emit(doc._id, null); }"}},
        "shows": {"s": "function () { return 'x'; }"},
        "lists": {"l": "function () { return 'x'; }"},
        "updates": {"u": "function () { return [null, 'x']; }"},
        "filters": {"f": "function () { return true; }"},
        "rewrites": [
            {"from": "/doc", "to": "../../doc"},
            {"from": "/security", "to": "../../_security"},
            {"from": "/:name", "to": "../../_design/:name", "method": "PUT"},
        ],
        "_attachments": {"file.txt": {"content_type": "text/plain", "data": "eA=="}},
    });
    let security = serde_json::from_str(SECURITY).unwrap();
    let own = ["db", "_users", "_replicator", "_global_changes"];
    for name in own.into_iter().chain(others) {
        stage.put(&format!("/{name}/_security"), &security);
        stage.put(&format!("/{name}/_design/d"), &design);
        stage.put(&format!("/{name}/_local/l"), &json!({}));
    }
    for (user, roles) in [
        ("member", json!([])),
        ("stranger", json!([])),
        ("dbadmin", json!([])),
        ("metrics", json!(["_metrics"])),
    ] {
        let document = json!({"type": "user", "name": user, "roles": roles, "password": "pw",
            "_attachments": {"file.txt": {"content_type": "text/plain", "data": "eA=="}}});
        stage.put(&format!("/_users/org.couchdb.user:{user}"), &document);
    }
    stage.put("/app%2F_users/org.couchdb.user:member", &json!({"name": "member"}));
    let file =
        json!({"_attachments": {"file.txt": {"content_type": "text/plain", "data": "eA=="}}});
    stage.put("/db/doc", &file);
    let mut replication = file;
    (replication["source"], replication["target"]) =
        (json!("http://127.0.0.1:9/a"), json!("http://127.0.0.1:9/b"));
    stage.put("/_replicator/doc", &replication);
    stage.put("/app%2F_replicator/doc", &replication);
    stage
}

fn ask(stage: &Stage, row: &Row, number: usize) -> u16 {
    let number_text = number.to_string();
    let with_number = |text: &str| text.replace("{n}", &number_text);
    let mut headers = match USERS[number] {
        "admin" => Vec::new(),
        "nobody" => vec![("X-No-Auth", "1".to_owned())],
        user => {
            let pair = STANDARD.encode(format!("{user}:pw"));
            vec![("Authorization", format!("Basic {pair}"))]
        }
    };
    let content_type = if row.body == "x" { "text/plain" } else { "application/json" };
    headers.push(("Content-Type", content_type.to_owned()));
    headers.push(("Destination", format!("copy{number}")));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    stage.send(&row.method, &with_number(&row.path), &headers, &with_number(&row.body)).status
}

#[test]
fn nobody_may_more_than_the_table_says() {
    let stage = stage();
    let mut wrong = Vec::new();
    for row in rows() {
        let found: Vec<String> = (0..USERS.len())
            .map(|number| {
                let status = ask(&stage, &row, number);
                let allowed = row.expect[number] == ALLOWED && !REFUSALS.contains(&status);
                if allowed { ALLOWED.to_owned() } else { status.to_string() }
            })
            .collect();
        if found != row.expect {
            let Row { method, path, expect, .. } = &row;
            let (found, expect) = (found.join(" "), expect.join(" "));
            wrong.push(format!("{method} {path} | {found} | expected {expect}"));
        }
    }
    assert!(wrong.is_empty(), "as {USERS:?}:\n{}", wrong.join("\n"));
}

/// Path segments that the router names.
fn literals(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2).collect::<Vec<_>>());
    let segments = quoted.map(|text| text.trim_end_matches('/'));
    let segments = segments.filter(|text| text.starts_with('_') || *text == "favicon.ico");
    segments
        .filter(|text| text.len() > 1 && !text.contains([' ', '{']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_route_has_a_row() {
    let rows = rows();
    let segments: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row.path.split(['/', '?', '%']).map(|part| part.trim_start_matches("2F")))
        .collect();
    for file in ["router", "node", "partitions"] {
        let named = literals(&read(&format!("src/couch_api/{file}.rs")));
        let without: Vec<&String> =
            named.iter().filter(|literal| !segments.contains(literal.as_str())).collect();
        assert!(without.is_empty(), "{file}.rs has routes without a row: {without:?}");
    }
    let methods: BTreeSet<&str> = rows.iter().map(|row| row.method.as_str()).collect();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "COPY"] {
        assert!(methods.contains(method), "{method}");
    }
}

#[test]
fn literals_are_found() {
    let source =
        "match path {\n  [_, \"_find\" | \"_explain\"] => a(\"Not _this\"),\n  // \"_no\"\n";
    let found: Vec<String> = literals(source).into_iter().collect();
    assert_eq!(found, ["_explain", "_find"]);
}
