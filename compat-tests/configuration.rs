//! Configuration from outside: a CouchDB `etc` folder, changes over HTTP, `settee config show`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::stage::{Stage, text};
use crate::users::eventually;

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

/// The options of the table of documents that the store's engine wrote down last.
fn engine_options(stage: &Stage) -> String {
    let files = fs::read_dir(stage.folder().join("data/store")).unwrap();
    let names = files.map(|file| file.unwrap().path());
    let newest = names.filter(|path| path.to_str().unwrap().contains("OPTIONS-")).max();
    let text = fs::read_to_string(newest.unwrap()).unwrap();
    let (_, table) = text.split_once("[CFOptions \"bodies\"]").unwrap();
    table.split("\n[").next().unwrap().to_owned()
}

#[test]
fn files_are_compressed_as_asked_for() {
    let stage = Stage::with(|folder| {
        write(&folder.join("a.ini"), "[couchdb]\nfile_compression = none\n");
        vec!["--config".to_owned(), folder.join("a.ini").to_str().unwrap().to_owned()]
    });
    let uses = |what: &str| engine_options(&stage).contains(&format!("  compression={what}\n"));
    assert!(uses("kNoCompression"), "{}", engine_options(&stage));
    let path = "/_node/_local/_config/couchdb/file_compression";
    stage.put(path, &json!("deflate_9"));
    assert!(uses("kZSTD") && engine_options(&stage).contains("level=9;"));
    stage.put(path, &json!("snappy"));
    assert!(uses("kLZ4Compression") && !uses("kZSTD"));
    stage.put("/db/a", &json!({}));
}

#[test]
fn data_lies_where_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let settee = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
        command.args(arguments).args(["--config", "a.ini"]).current_dir(folder.path());
        command
    };
    write(&folder.path().join("a.ini"), "[couchdb]\ndatabase_dir = there/data\n");
    let mut serve = settee(&["serve", "--port", "0", "--admin", "admin:pw"]);
    let mut server = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let ready = BufReader::new(server.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(ready.starts_with("settee is ready"), "{ready}");
    server.kill().unwrap();
    server.wait().unwrap();
    let data = folder.path().join("there/data");
    assert!(data.join("store").is_dir() && data.join("local.ini").is_file());
    assert!(!folder.path().join("data").exists());
    let verified = settee(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).starts_with("3 databases"), "{verified:?}");
}

#[test]
fn indexes_are_not_built_ahead_on_a_disk_that_is_rather_full() {
    let stage = Stage::new();
    let configure = |key: &str, value: &str| {
        stage.put(&format!("/_node/_local/_config/disk_monitor/{key}"), &json!(value));
    };
    let built = |name: &str| {
        let info = json(&stage, &format!("/db/_design/{name}/_info"));
        info["view_index"]["update_seq"] != 0
    };
    let map = |name: &str| format!("function (doc) {{ emit('{name}'); }}");
    let save = |name: &str| {
        let ddoc = json!({"views": {"v": {"map": map(name)}}});
        stage.put(&format!("/db/_design/{name}"), &ddoc);
    };
    // Every disk is fuller than this, and none than that.
    configure("background_view_indexing_threshold", "0");
    configure("interactive_view_indexing_threshold", "100");
    configure("interactive_database_writes_threshold", "100");
    configure("enable", "true");
    save("full");
    assert!(!built("full"));
    configure("enable", "false");
    save("free");
    eventually("an index is built ahead", || built("free"));
    assert!(!built("full"));
    configure("enable", "true");
    assert_eq!(stage.ask("GET", "/db/_design/full/_view/v", None).status, 200);
    assert!(built("full"));
}

#[test]
fn an_index_that_lacks_purges_for_long_is_told_of() {
    let stage = Stage::new();
    let told = "an index lacks purges of its database";
    let compact = || {
        assert_eq!(stage.ask("POST", "/db/_compact", Some(&json!({}))).status, 202);
    };
    let purge = |id: &str| {
        let rev = stage.put(&format!("/db/{id}"), &json!({}))["rev"].clone();
        let response = stage.ask("POST", "/db/_purge", Some(&json!({id: [rev]})));
        assert_eq!(response.status, 201, "{}", text(&response));
    };
    let map = json!({"views": {"v": {"map": "function (doc) { emit(null, null); }"}}});
    stage.put("/db/_design/d", &map);
    assert_eq!(stage.ask("GET", "/db/_design/d/_view/v", None).status, 200);
    purge("a");
    stage.put("/_node/_local/_config/log/level", &json!("info"));
    // Not for long yet.
    compact();
    stage.put("/_node/_local/_config/purge/index_lag_warn_seconds", &json!("0"));
    eventually("the log tells of the index", || {
        compact();
        stage.log().contains(told)
    });
    assert!(
        stage.log().contains("db.name=db") || stage.log().contains("\"db\""),
        "{}",
        stage.log()
    );
    let times = || stage.log().matches(told).count();
    // Once it has been asked it lacks nothing.
    assert_eq!(stage.ask("GET", "/db/_design/d/_view/v", None).status, 200);
    eventually("no compaction is under way", || json(&stage, "/db")["compact_running"] == false);
    let before = times();
    compact();
    stage.put("/_node/_local/_config/purge/index_lag_warn_seconds", &json!("86400"));
    purge("b");
    compact();
    eventually("no compaction is under way", || json(&stage, "/db")["compact_running"] == false);
    assert_eq!(times(), before);
}

#[test]
fn an_engine_that_is_not_there_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    for (engine, is_told) in [("spidermonkey", false), ("quickjs", false), ("v8", true)] {
        let ini = folder.path().join("a.ini");
        write(&ini, &format!("[couchdb]\njs_engine = {engine}\n"));
        let (_, warnings) = show(folder.path(), &["--config", ini.to_str().unwrap()]);
        let told = warnings.contains("[couchdb] js_engine is not spidermonkey or quickjs");
        assert_eq!(told, is_told, "{engine}: {warnings}");
    }
}

#[test]
fn functions_wait_where_few_may_run() {
    let stage = Stage::new();
    let set = |key: &str| {
        stage.put(&format!("/_node/_local/_config/query_server_config/{key}"), &json!("1"));
    };
    set("os_process_limit");
    set("os_process_soft_limit");
    let spin = "function () { var n = 0; while (n < 2e6) n++; return 'done'; }";
    stage.put("/db/_design/d", &json!({"shows": {"a": spin, "b": "function () { return 'b'; }"}}));
    let ask = |name: &str| {
        let response = stage.ask("GET", &format!("/db/_design/d/_show/{name}"), None);
        (response.status, text(&response))
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| ask("a"))).collect();
        for one in asked {
            assert_eq!(one.join().unwrap(), (200, "done".to_owned()));
        }
    });
    assert_eq!(ask("b"), (200, "b".to_owned()));
}
