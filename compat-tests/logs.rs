//! The log from outside: its forms and writers, what a line tells, and that it holds no secrets.

use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::Stage;

const DEADLINE: Duration = Duration::from_secs(30);

fn with(text: &str, arguments: &[&str]) -> Stage {
    Stage::with(|folder| {
        let file = folder.join("log.ini");
        std::fs::write(&file, text.replace("FOLDER", folder.to_str().unwrap())).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        config.iter().chain(arguments).map(|&argument| argument.to_owned()).collect()
    })
}

fn lines(stage: &Stage) -> Vec<Value> {
    let log = stage.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_request_is_a_json_object_that_says_who_and_what() {
    let stage = with("", &["--log-level", "info", "--log-format", "json"]);
    let headers = [("X-Couch-Request-ID", "my-request")];
    stage.send("GET", "/db/some%20doc?rev=secret-query", &headers, "");
    let lines = lines(&stage);
    let line = lines.iter().find(|line| line["request.id"] == "my-request").unwrap();
    for (member, expect) in [
        ("level", json!("info")),
        ("message", json!("request")),
        ("http.method", json!("GET")),
        ("http.path", json!("/db/some%20doc")),
        ("http.status", json!(400)),
        ("user", json!("admin")),
        ("peer", json!("127.0.0.1")),
    ] {
        assert_eq!(line[member], expect, "{member}: {line}");
    }
    assert!(line["took_ms"].as_f64() > Some(0.0) && line["time"].is_string(), "{line}");
}

/// A replication that must fail, with a password on each side.
fn replication(source: &str) -> Value {
    let auth = json!({"basic": {"username": "eve", "password": "hidden-word-7"}});
    json!({
        "source": {"url": source, "auth": auth},
        "target": "http://eve:hidden-word-7@127.0.0.1:1/b",
    })
}

#[test]
fn secrets_are_not_logged_wherever_they_are_sent() {
    let secret = "hidden-word-7";
    let stage = with("[log]\nlevel = debug\n[chttpd]\nrequire_valid_user = false\n", &[]);
    let basic = "Basic YWRtaW46aGlkZGVuLXdvcmQtNw==";
    let json_body = |body: &Value| body.to_string();
    for (method, path, headers, body) in [
        ("GET", "/db?password=hidden-word-7", &[][..], String::new()),
        ("GET", "/", &[("Authorization", basic)], String::new()),
        ("GET", "/", &[("Authorization", "Bearer hidden-word-7")], String::new()),
        ("GET", "/", &[("Cookie", "AuthSession=hidden-word-7")], String::new()),
        ("GET", "/", &[("X-Auth-CouchDB-Token", secret)], String::new()),
        ("POST", "/_session", &[], json_body(&json!({"name": "admin", "password": secret}))),
        ("PUT", "/_node/_local/_config/admins/eve", &[], json!(secret).to_string()),
        ("PUT", "/_node/_local/_config/chttpd_auth/secret", &[], json!(secret).to_string()),
        ("PUT", "/_node/_local/_config/chttpd/port", &[], json!(secret).to_string()),
        ("PUT", "/db/doc", &[], json_body(&json!({"card": secret}))),
        ("PUT", "/db/broken", &[], format!("{{\"card\": \"{secret}")),
        (
            "PUT",
            "/_users/org.couchdb.user:eve",
            &[],
            json_body(&json!({"name": "eve", "type": "user", "roles": [], "password": secret})),
        ),
        ("POST", "/_replicate", &[], json_body(&replication("http://127.0.0.1:1/a"))),
        ("PUT", "/_replicator/r", &[], json_body(&replication("http://127.0.0.1:1/c"))),
        (
            "POST",
            "/_cluster_setup",
            &[],
            json_body(&json!({
                "action": "enable_single_node",
                "username": "eve",
                "password": secret,
            })),
        ),
    ] {
        let typed = [("Content-Type", "application/json")];
        let headers: Vec<_> = typed.iter().chain(headers).copied().collect();
        stage.send(method, path, &headers, &body);
    }
    // The replication has failed by now, or will soon; both ways are told of.
    let end = Instant::now() + DEADLINE;
    while !stage.log().contains("a replication") {
        assert!(Instant::now() < end, "{}", stage.log());
        thread::sleep(Duration::from_millis(20));
    }
    let log = stage.log();
    assert!(log.matches("http.path=").count() >= 15, "{log}");
    assert!(!log.contains(secret) && !log.contains("aGlkZGVu"), "{log}");
    let local = std::fs::read_to_string(stage.folder().join("data/local.ini")).unwrap();
    assert!(!local.contains(&format!("eve = {secret}")), "{local}");
}

#[test]
fn the_level_changes_while_the_server_runs_and_slow_requests_are_told_of() {
    let stage = with("[log]\nlevel = warning\n", &[]);
    let set = |key: &str, value: &str| {
        stage.put(&format!("/_node/_local/_config/log/{key}"), &json!(value));
    };
    stage.ask("GET", "/db", None);
    assert!(!stage.log().contains("http.path=\"/db\""), "{}", stage.log());
    set("level", "info");
    stage.ask("GET", "/db", None);
    assert!(stage.log().contains("http.path=\"/db\""), "{}", stage.log());
    set("level", "warning");
    set("slow_request_ms", "1");
    let slow = "function() { var s = 0; for (var i = 0; i < 3e6; i++) { s += i; } return '' + s; }";
    stage.put("/db/_design/s", &json!({"shows": {"s": slow}}));
    assert_eq!(stage.ask("GET", "/db/_design/s/_show/s", None).status, 200);
    let log = stage.log();
    let line = log.lines().find(|line| line.contains("slow request") && line.contains("_show"));
    assert!(line.is_some_and(|line| line.starts_with("[warning] ")), "{log}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_file_is_written_and_made_anew_once_it_was_moved() {
    let stage = with("[log]\nlevel = info\nwriter = file\nfile = FOLDER/couch.log\n", &[]);
    let path = stage.folder().join("couch.log");
    stage.ask("GET", "/db", None);
    assert!(read(&path).contains("http.path=\"/db\""));
    assert!(!stage.log().contains("http.path"), "{}", stage.log());
    std::fs::rename(&path, stage.folder().join("couch.log.1")).unwrap();
    let end = Instant::now() + DEADLINE;
    while !read(&path).contains("http.path=\"/_up\"") {
        assert!(Instant::now() < end, "{}", read(&path));
        stage.ask("GET", "/_up", None);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_syslog_server_gets_each_line() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let text = format!(
        "[log]\nlevel = info\nwriter = syslog\nsyslog_host = 127.0.0.1\nsyslog_port = {port}\n\
         syslog_appid = mine\nsyslog_facility = local0\n"
    );
    let stage = with(&text, &[]);
    stage.ask("GET", "/db", None);
    let mut packet = [0; 4096];
    loop {
        let length = socket.recv(&mut packet).unwrap();
        let line = String::from_utf8_lossy(&packet[..length]).into_owned();
        if line.contains("http.path=\"/db\"") {
            // local0 is 16, a message 6.
            assert!(line.starts_with("<134>1 ") && line.contains(" mine "), "{line}");
            break;
        }
    }
}

#[test]
fn journald_is_told_the_level_and_no_time() {
    let stage = with("[log]\nlevel = info\nwriter = journald\n", &[]);
    stage.ask("GET", "/db", None);
    let log = stage.log();
    let line = log.lines().find(|line| line.contains("http.path=\"/db\" http.status=200"));
    assert!(line.is_some_and(|line| line.starts_with("<6>request http.method=")), "{log}");
    let broken = stage.ask("GET", "/db/_all_docs?startkey=x", None);
    assert_eq!(broken.status, 400);
    assert!(stage.log().lines().all(|line| line.starts_with('<')), "{}", stage.log());
}

#[test]
fn lines_of_a_file_wait_for_others_but_not_for_long() {
    let text = "[log]\nlevel = info\nwriter = file\nfile = FOLDER/couch.log\n\
                write_buffer = 1000000\nwrite_delay = 200\n";
    let stage = with(text, &[]);
    let path = stage.folder().join("couch.log");
    stage.ask("GET", "/db", None);
    let end = Instant::now() + DEADLINE;
    while !read(&path).contains("http.path=\"/db\" http.status=200") {
        assert!(Instant::now() < end, "{}", read(&path));
        thread::sleep(Duration::from_millis(20));
    }
    // The last lines are written before the server ends.
    stage.put("/_node/_local/_config/log/write_delay", &json!("60000"));
    stage.ask("GET", "/last", None);
    assert!(!read(&path).contains("http.path=\"/last\""));
    stage.server.terminate();
    let end = Instant::now() + DEADLINE;
    while !read(&path).contains("http.path=\"/last\"") {
        assert!(Instant::now() < end, "{}", read(&path));
        thread::sleep(Duration::from_millis(20));
    }
}
