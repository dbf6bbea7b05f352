//! What the server tells of itself: `_stats`, `_prometheus`, `_system` and their like, and the
//! cluster that it always is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Stage, text};

const DEADLINE: Duration = Duration::from_secs(30);

fn get(stage: &Stage, path: &str) -> Value {
    let response = stage.ask("GET", path, None);
    assert_eq!(response.status, 200, "{path}: {}", text(&response));
    serde_json::from_slice(&response.body).unwrap()
}

fn stat(stage: &Stage, path: &str) -> u64 {
    let stat = get(stage, &format!("/_node/_local/_stats/{path}"));
    stat["value"].as_u64().unwrap_or_else(|| panic!("{path}: {stat}"))
}

#[test]
fn work_is_counted() {
    let stage = Stage::new();
    let counted = [
        "couchdb/httpd/requests",
        "couchdb/httpd_request_methods/PUT",
        "couchdb/httpd_status_codes/201",
        "couchdb/httpd_status_codes/404",
        "couchdb/database_writes",
        "couchdb/database_reads",
        "couchdb/document_inserts",
        "couchdb/document_writes",
        "couchdb/local_document_writes",
        "couchdb/httpd/bulk_requests",
        "couchdb/httpd/view_reads",
        "couchdb/httpd/purge_requests",
        "couchdb/mrview/map_doc",
        "couchdb/mrview/emits",
        "couchdb/query_server/calls/ddoc_vdu",
        "couchdb/query_server/vdu_rejects",
        "couchdb/commits",
        "couchdb/auth_cache_hits",
        "fsync/count",
    ];
    let before = counted.map(|path| stat(&stage, path));
    let doc = stage.put("/db/a", &json!({"n": 1}));
    stage.put("/db/_local/l", &json!({}));
    let map = "function(doc) { emit(doc.n, null); emit(null, 1); }";
    stage.put("/db/_design/v", &json!({"views": {"v": {"map": map}}}));
    get(&stage, "/db/a");
    assert_eq!(stage.ask("GET", "/db/none", None).status, 404);
    stage.ask("POST", "/db/_bulk_docs", Some(&json!({"docs": [{}, {}]})));
    assert_eq!(get(&stage, "/db/_design/v/_view/v")["total_rows"], 6);
    stage.ask("POST", "/db/_purge", Some(&json!({"a": [doc["rev"]]})));
    let refuse = "function() { throw({forbidden: 'no'}); }";
    stage.put("/db/_design/r", &json!({"validate_doc_update": refuse}));
    assert_eq!(stage.ask("PUT", "/db/b", Some(&json!({}))).status, 403);
    for (path, before) in counted.iter().zip(before) {
        let now = stat(&stage, path);
        assert!(now > before, "{path}: {before}, then {now}");
    }
    assert_eq!(stat(&stage, "couchdb/mrview/map_doc"), 3);
    assert_eq!(stat(&stage, "couchdb/mrview/emits"), 6);
    let time = get(&stage, "/_node/_local/_stats/couchdb/request_time");
    assert!(time["value"]["n"].as_u64() > Some(5) && time["type"] == "histogram", "{time}");
    assert!(time["value"]["percentile"][0][1].as_f64() > Some(0.0), "{time}");
    for nothing in ["couchdb/nope", "couchdb/httpd/requests/value/deeper"] {
        assert_eq!(get(&stage, &format!("/_node/_local/_stats/{nothing}")), Value::Null);
    }
    assert!(stat(&stage, "couchdb/open_databases") > 0);
    assert!(stat(&stage, "couchdb/open_os_files") > 3);
}

/// What comes until the server closes the connection.
fn send(stage: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&stage.client.host).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A connection that is cut ends as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_refused_unread_is_counted_and_logged() {
    let stage = Stage::with(|_| vec!["--log-level=info".to_owned()]);
    let set = |key: &str, value: &str| {
        let path = format!("/_node/_local/_config/chttpd/{key}");
        stage.ask("PUT", &path, Some(&json!(value))).status
    };
    assert_eq!(set("header_timeout", "100"), 200);
    let paths = ["requests", "400", "408", "503"].map(|what| match what {
        "requests" => "couchdb/httpd/requests".to_owned(),
        status => format!("couchdb/httpd_status_codes/{status}"),
    });
    let before = paths.clone().map(|path| stat(&stage, &path));
    assert!(send(&stage, b"GET / HTTP/1.1\r\nno header\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    assert!(send(&stage, long.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert_eq!(send(&stage, b"GET / HTTP/1.1\r\nhost"), "");
    // One connection is kept, so that the next one is one too many.
    let kept = stage.ask_and_hold("/db/_changes?feed=continuous&heartbeat=100");
    assert_eq!(set("max_connections", "1"), 200);
    assert_eq!(stage.ask("GET", "/", None).status, 503);
    drop(kept);
    let end = Instant::now() + DEADLINE;
    while set("max_connections", "100") == 503 {
        assert!(Instant::now() < end, "there is no room again");
    }
    for (path, before) in paths.iter().zip(before) {
        let now = stat(&stage, path);
        assert!(now > before, "{path}: {before}, then {now}");
    }
    let log = stage.log();
    for status in [400, 408, 431, 503] {
        let line = format!("http.method=\"-\" http.path=\"-\" http.status={status}");
        assert!(log.contains(&line), "{status} in {log}");
    }
}

#[test]
fn waiting_feeds_are_counted_while_they_wait() {
    let stage = Stage::new();
    let waiting = || stat(&stage, "couchdb/httpd/clients_requesting_changes");
    let until = |expect: u64| {
        let end = Instant::now() + DEADLINE;
        while waiting() != expect {
            assert!(Instant::now() < end, "{} feeds, not {expect}", waiting());
            thread::sleep(Duration::from_millis(5));
        }
    };
    until(0);
    let feed = "/db/_changes?feed=continuous&heartbeat=100";
    let held = [stage.ask_and_hold(feed), stage.ask_and_hold(feed)];
    until(2);
    drop(held);
    until(0);
}

#[test]
fn prometheus_reads_metrics_also_without_a_password_at_their_own_port() {
    let stage = Stage::with(|folder| {
        let file = folder.join("prometheus.ini");
        let text = "[log]\nlevel = info\n[prometheus]\nadditional_port = true\nport = 0\n";
        std::fs::write(&file, text).unwrap();
        vec!["--config".to_owned(), file.to_str().unwrap().to_owned()]
    });
    let response = stage.ask("GET", "/_node/_local/_prometheus", None);
    assert_eq!(response.header("content-type"), Some("text/plain; version=2.0"));
    let metrics = text(&response);
    for line in ["couchdb_httpd_status_codes{code=\"201\"} 1", "couchdb_uptime_seconds "] {
        assert!(metrics.lines().any(|found| found.starts_with(line)), "{line} in {metrics}");
    }
    let log = stage.log();
    let port = log.split("metrics are at http://127.0.0.1:").nth(1).unwrap();
    let port: u16 = port.split('/').next().unwrap().parse().unwrap();
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("/_node/_local/_prometheus");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\ncouchdb_httpd_requests_total "), "{answer}");
    assert!(ask("/").starts_with("HTTP/1.1 404 "));
    assert!(ask("/_all_dbs").starts_with("HTTP/1.1 404 "));
}

#[test]
fn the_node_tells_of_itself() {
    let stage = Stage::new();
    let system = get(&stage, "/_node/_local/_system");
    assert!(system["memory"]["processes"].as_u64() > Some(1 << 20), "{system}");
    assert_eq!(
        (&system["internal_replication_jobs"], &system["run_queue"]),
        (&json!(0), &json!(0))
    );
    let versions = get(&stage, "/_node/settee@127.0.0.1/_versions");
    assert!(versions["javascript_engine"]["name"].is_string(), "{versions}");
    let smoosh = get(&stage, "/_node/_local/_smoosh/status");
    assert_eq!(smoosh["channels"]["ratio_dbs"]["waiting"]["size"], 0);
    let anonymous = |path: &str| {
        let response = stage.send("GET", path, &[("X-No-Auth", "1")], "");
        (response.status, text(&response))
    };
    for path in ["_stats", "_stats/couchdb", "_system", "_prometheus"] {
        let (status, body) = anonymous(&format!("/_node/_local/{path}"));
        assert_eq!(status, 401);
        assert!(body.contains("You are not a server admin or read-only metrics user"), "{body}");
    }
    assert!(anonymous("/_node/_local/_versions").1.contains("You are not a server admin."));
    for (path, allow) in [("_stats", "GET"), ("_system", "GET"), ("_prometheus", "GET")] {
        let response = stage.ask("POST", &format!("/_node/_local/{path}"), Some(&json!({})));
        assert_eq!((response.status, response.header("allow")), (405, Some(allow)), "{path}");
    }
}

#[test]
fn programs_are_made_anew_when_asked_for() {
    let stage = Stage::new();
    let source = "var calls = 0; \nfunction() { calls += 1; return String(calls); }";
    stage.put("/db/_design/s", &json!({"shows": {"s": source}}));
    let show = || text(&stage.ask("GET", "/db/_design/s/_show/s", None));
    let _ = show();
    let reload = stage.ask("POST", "/_reload_query_servers", Some(&json!({})));
    assert_eq!((reload.status, text(&reload).as_str()), (200, "{\"ok\":true}"));
    assert_eq!(show(), "1");
    assert_eq!(stage.send("POST", "/_reload_query_servers", &[], "").status, 415);
    assert_eq!(stage.ask("GET", "/_reload_query_servers", None).status, 405);
}

#[test]
fn a_restart_forgets_what_is_in_memory_only() {
    let stage = Stage::new();
    let path = "/_node/_local/_config/mine/key";
    let memory = [("X-Couch-Persist", "false")];
    assert_eq!(stage.send("PUT", path, &memory, "\"value\"").status, 200);
    assert_eq!(stage.ask("GET", path, None).status, 200);
    let restarted = stage.ask("POST", "/_node/_local/_restart", None);
    assert_eq!((restarted.status, text(&restarted).as_str()), (200, "{\"ok\":true}"));
    assert_eq!(get(&stage, "/")["couchdb"], "Welcome");
    assert_eq!(stage.ask("GET", path, None).status, 404);
    assert_eq!(stage.ask("GET", "/_node/_local/_restart", None).status, 405);
}

#[test]
fn search_and_the_web_interface_are_not_there() {
    let stage = Stage::new();
    for (method, path, status, body) in [
        ("GET", "/_search_analyze", 503, "Search is not available"),
        ("POST", "/_nouveau_analyze", 404, "missing"),
        ("GET", "/_nouveau_analyze", 405, "Only POST allowed"),
        ("GET", "/_utils/index.html", 404, "missing"),
        ("GET", "/_utils/", 404, "missing"),
        ("GET", "/favicon.ico", 404, "missing"),
    ] {
        let response = stage.ask(method, path, Some(&json!({})));
        assert_eq!(response.status, status, "{path}");
        assert!(text(&response).contains(body), "{path}: {}", text(&response));
        let policy = response.header("content-security-policy");
        assert_eq!(policy.is_some(), path.starts_with("/_utils"), "{path}");
    }
    let redirected = stage.send("GET", "/_utils", &[("X-No-Auth", "1")], "");
    assert_eq!(redirected.status, 301);
    assert!(redirected.header("location").is_some_and(|to| to.ends_with("/_utils/")));
}

#[test]
fn the_cluster_is_one_node_that_is_set_up() {
    let stage = Stage::new();
    let state = || get(&stage, "/_cluster_setup")["state"].clone();
    let post = |body: &Value| {
        let response = stage.ask("POST", "/_cluster_setup", Some(body));
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        (response.status, body["reason"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |body: &Value, reason: &str| assert_eq!(post(body), (400, reason.to_owned()));
    assert_eq!(state(), "single_node_enabled");
    let more = get(&stage, "/_cluster_setup?ensure_dbs_exist=[\"db\",\"later\"]");
    assert_eq!(more["state"], "single_node_disabled");
    refused(&json!({"action": "dance"}), "Invalid Action'");
    refused(&json!({}), "Invalid Action'");
    refused(&json!({"action": "finish_cluster"}), "Cluster is already finished");
    refused(&json!({"action": "add_node", "host": "a"}), "Cluster is not enabled.");
    let local = "Cluster setup requires a remote bind_address (not 127.0.0.1 nor ::1)";
    refused(&json!({"action": "enable_cluster"}), local);
    let setup = json!({"action": "enable_cluster", "bind_address": "0.0.0.0"});
    refused(&setup, "Cluster setup requires node_count to be configured");
    let setup = json!({"action": "enable_single_node", "bind_address": "here"});
    refused(&setup, "Setup requires a valid IP bind_address. here is invalid.");
    let setup = json!({
        "action": "enable_single_node",
        "username": "carol",
        "password": "carols word",
        "bind_address": "127.0.0.1",
        "port": 5999,
        "singlenode": true,
        "ensure_dbs_exist": ["_users", "later"],
    });
    assert_eq!(post(&setup).0, 201);
    assert_eq!(get(&stage, "/_node/_local/_config/chttpd/port"), "5999");
    assert_eq!(get(&stage, "/_node/_local/_config/cluster/n"), "1");
    assert_eq!(get(&stage, "/later")["doc_count"], 0);
    let hash = get(&stage, "/_node/_local/_config/admins/carol");
    assert!(hash.as_str().is_some_and(|hash| hash.starts_with("-pbkdf2:sha256-")), "{hash}");
    let carol = [("Authorization", "Basic Y2Fyb2w6Y2Fyb2xzIHdvcmQ=")];
    assert_eq!(stage.send("GET", "/_cluster_setup", &carol, "").status, 200);
    stage.put("/_node/_local/_config/cluster/n", &json!("3"));
    assert_eq!(state(), "cluster_disabled");
    stage.put("/_node/_local/_config/couchdb/single_node", &json!("true"));
    assert_eq!(state(), "single_node_enabled");
}

#[test]
fn resharding_can_be_stopped_and_jobs_are_refused() {
    let stage = Stage::new();
    let put = |body: &Value| stage.ask("PUT", "/_reshard/state", Some(body));
    let summary = get(&stage, "/_reshard");
    let expect = "{\"state\":\"running\",\"state_reason\":null,\"completed\":0,\"failed\":0,\
        \"running\":0,\"stopped\":0,\"total\":0}";
    assert_eq!(summary.to_string(), expect);
    assert_eq!(put(&json!({"state": "stopped", "reason": "tea"})).status, 200);
    let state = get(&stage, "/_reshard/state");
    assert_eq!(state, json!({"state": "stopped", "reason": "tea"}));
    assert_eq!(put(&json!({"state": "running"})).status, 200);
    assert_eq!(get(&stage, "/_reshard")["state_reason"], Value::Null);
    for (body, reason) in
        [(json!({}), "Expected a `state`"), (json!({"state": 1}), "State field not")]
    {
        assert!(text(&put(&body)).contains(reason));
    }
    let jobs = get(&stage, "/_reshard/jobs");
    assert_eq!(jobs, json!({"total_rows": 0, "offset": 0, "jobs": []}));
    let post = |body: Value| {
        let response = stage.ask("POST", "/_reshard/jobs", Some(&body));
        (response.status, text(&response))
    };
    assert!(post(json!({"db": "none", "type": "split"})).1.contains("Invalid `db`"));
    assert!(post(json!({"db": "db"})).1.contains("`job type must be `split`"));
    assert!(post(json!({"type": "split"})).1.contains("Must specify at least"));
    let (status, answer) = post(json!({"db": "db", "type": "split"}));
    assert!(status == 500 && answer.contains("shards/00000000-ffffffff/db"), "{answer}");
    assert_eq!(stage.ask("GET", "/_reshard/jobs/x", None).status, 404);
    assert_eq!(stage.ask("POST", "/_reshard", Some(&json!({}))).status, 405);
    assert_eq!(get(&stage, "/_membership")["all_nodes"], json!(["settee@127.0.0.1"]));
    let shards = get(&stage, "/db/_shards");
    assert_eq!(shards["shards"]["00000000-ffffffff"], json!(["settee@127.0.0.1"]));
}
