//! Configuration from outside: a CouchDB `etc` folder, changes over HTTP, `settee config show`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::stage::{Stage, text};

/// As an installation of CouchDB has it, shortened; the password hash is that of `couch`.
const DEFAULT_INI: &str = "\
; Upgrading CouchDB will overwrite this file.
[vendor]
name = The Apache Software Foundation
[couchdb]
database_dir = /opt/couchdb/data
os_process_timeout = 5000 ; 5 seconds. for view servers.
max_dbs_open = 500
[cluster]
q = 2
n = 3
[chttpd]
port = 5984
bind_address = 127.0.0.1
[uuids]
max_count = 1000
";
const LOCAL_INI: &str = "\
[couchdb]
uuid = 00112233445566778899aabbccddeeff
single_node=true
[admins]
carol = -pbkdf2-1cf3298f1ae9d2a7d3d0e4e2dbd5d7b0e1a9a1b1,salt,1
";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn with_etc(folder: &Path) -> Vec<String> {
    let etc = folder.join("etc");
    write(&etc.join("default.ini"), DEFAULT_INI);
    write(&etc.join("default.d/10.ini"), "[uuids]\nmax_count = 10\n");
    write(&etc.join("local.ini"), LOCAL_INI);
    write(&etc.join("local.d/20-b.ini"), "[uuids]\nmax_count = 3\n[chttpd]\nmax_uri_lenght = 1\n");
    write(&etc.join("local.d/10-a.ini"), "[uuids]\nmax_count = 2\n[nouveau]\nenable = true\n");
    vec!["--config".to_owned(), etc.to_str().unwrap().to_owned()]
}

fn json(stage: &Stage, path: &str) -> Value {
    let response = stage.ask("GET", path, None);
    assert_eq!(response.status, 200, "{path}: {}", text(&response));
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn the_folder_of_a_couchdb_is_read_as_it_is() {
    let stage = Stage::with(with_etc);
    let welcome = json(&stage, "/");
    assert_eq!(welcome["uuid"], "00112233445566778899aabbccddeeff");
    assert_eq!(welcome["vendor"], json!({"name": "The Apache Software Foundation"}));
    assert_eq!(json(&stage, "/_node/_local/_config/uuids/max_count"), "3");
    assert_eq!(stage.ask("GET", "/_uuids?count=4", None).status, 400);
    assert_eq!(json(&stage, "/_node/_local/_config/cluster"), json!({"q": "2", "n": "3"}));
    let log = stage.log();
    let nouveau = "[nouveau] enable asks for full-text search, which this server does not have";
    assert!(log.contains(nouveau), "{log}");
    assert!(log.contains("[chttpd] max_uri_lenght is no known setting; nothing reads it"), "{log}");
    // A change wins over the folder, is kept, and is told of no second time.
    let path = "/_node/_local/_config/uuids/max_count";
    assert_eq!(stage.put(path, &json!("5")), "3");
    assert_eq!(stage.ask("GET", "/_uuids?count=5", None).status, 200);
    assert_eq!(stage.log().matches(nouveau).count(), 1);
    let local = fs::read_to_string(stage.folder().join("data/local.ini")).unwrap();
    assert!(local.contains("[uuids]\nmax_count = 5\n"), "{local}");
    // What somebody changes by hand is taken up when asked for.
    write(&stage.folder().join("etc/local.d/30.ini"), "[vendor]\nname = me\nphone = 1\n");
    let reload = "/_node/_local/_config/_reload";
    assert_eq!(stage.ask("POST", reload, None).status, 200);
    assert_eq!(json(&stage, "/")["vendor"], json!({"name": "me", "phone": "1"}));
    assert_eq!(json(&stage, path), "5");
}

#[test]
fn frames_are_refused_where_asked_for() {
    let stage = Stage::new();
    let frame = || {
        let response = stage.ask("GET", "/", None);
        response.header("x-frame-options").map(str::to_owned)
    };
    let set = |key: &str, value: &str| {
        stage.put(&format!("/_node/_local/_config/{key}"), &json!(value));
    };
    assert_eq!(frame(), None);
    set("chttpd/enable_xframe_options", "true");
    assert_eq!(frame().as_deref(), Some("SAMEORIGIN"));
    set("x_frame_options/same_origin", "false");
    assert_eq!(frame().as_deref(), Some("DENY"));
    set("x_frame_options/hosts", &format!("http://a.b, http://{}", stage.client.host));
    assert_eq!(frame(), Some(format!("ALLOW-FROM http://{}", stage.client.host)));
}

fn show(folder: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
    command.args(["config", "show", "--data-dir"]).arg(folder.join("data")).args(arguments);
    let output = command.env("SETTEE_LOG_LEVEL", "debug").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = with_etc(folder.path());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (text, warnings) = show(folder.path(), &[&arguments[..], &["--port", "99"]].concat());
    let etc = folder.path().join("etc");
    let line = |key: &str| {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{key} =")));
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.collect::<Vec<_>>().join("\n")
    };
    let from = |file: &str| etc.join(file).display().to_string();
    assert_eq!(line("max_count"), format!("max_count = 3 ; {}", from("local.d/20-b.ini")));
    assert_eq!(line("level"), "level = debug ; environment");
    assert!(line("port").contains("port = 99 ; command line"), "{}", line("port"));
    assert_eq!(line("max_uri_length"), "max_uri_length = 8000 ; default");
    assert_eq!(line("carol"), format!("carol = ******** ; {}", from("local.ini")));
    let engine = from("default.ini");
    assert_eq!(line("max_dbs_open"), format!("max_dbs_open = 500 ; {engine}, no effect here"));
    assert!(warnings.contains("[chttpd] max_uri_lenght is no known setting"), "{warnings}");
    assert!(!folder.path().join("data").exists(), "showing writes nothing");
    let (text, _) = show(folder.path(), &[&arguments[..], &["--changed", "--json"]].concat());
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["uuids"]["max_count"]["value"], "3");
    assert_eq!(shown["csp"], Value::Null);
}

#[test]
fn a_disk_that_is_too_full_takes_no_more() {
    let stage = Stage::new();
    let configure = |key: &str, value: &str| {
        let path = format!("/_node/_local/_config/disk_monitor/{key}");
        assert_eq!(stage.ask("PUT", &path, Some(&json!(value))).status, 200);
    };
    let refused = |method: &str, path: &str, body: Option<&Value>, reason: &str| {
        let response = stage.ask(method, path, body);
        let found: Value = serde_json::from_slice(&response.body).unwrap();
        let expect = json!({"error": "insufficient_storage", "reason": reason});
        assert_eq!((response.status, found), (507, expect), "{method} {path}");
    };
    let map = json!({"views": {"v": {"map": "function (doc) { emit(null, null); }"}}});
    stage.put("/db/_design/d", &map);
    stage.put("/db/kept", &json!({}));
    // Every disk is fuller than this.
    configure("interactive_database_writes_threshold", "0");
    configure("interactive_view_indexing_threshold", "0");
    stage.put("/db/before", &json!({}));
    configure("enable", "true");
    let writes = "database_dir is too full";
    refused("PUT", "/db/a", Some(&json!({})), writes);
    refused("POST", "/db/_bulk_docs", Some(&json!({"docs": [{"_id": "b"}]})), writes);
    refused("GET", "/db/_design/d/_view/v", None, "not enough room to update index");
    assert_eq!(stage.ask("GET", "/db/kept", None).status, 200);
    assert_eq!(stage.ask("PUT", "/db/_local/l", Some(&json!({}))).status, 201);
    configure("enable", "false");
    stage.put("/db/a", &json!({}));
    assert_eq!(stage.ask("GET", "/db/_design/d/_view/v", None).status, 200);
}
