//! `settee export` and `settee import`: the built binary moves databases between real servers.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http_peer::content;
use crate::server::{ADMIN, PASSWORD};
use crate::stage::{Stage, text};

const DOCUMENTS: usize = 5_000;
/// Bytes of a large attachment, and memory that moving it may take.
const LARGE: usize = 200 << 20;
const MEMORY_MAX: u64 = 100 << 20;

fn settee(server: &Stage, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
    command.env("SETTEE_URL", url(server, PASSWORD)).current_dir(folder).stdin(Stdio::null());
    command
}

fn url(server: &Stage, password: &str) -> String {
    format!("http://{ADMIN}:{password}@{}", server.client.host)
}

/// Runs a command to its end; what it says on stderr.
#[track_caller]
fn run(server: &Stage, folder: &Path, arguments: &[&str], status: i32) -> String {
    let Output { status: ended, stderr, .. } =
        settee(server, folder).args(arguments).output().unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(ended.code(), Some(status), "{arguments:?}: {told}");
    assert!(!told.contains(PASSWORD), "{arguments:?}: {told}");
    told
}

/// Documents with conflicts, tombstones and attachments, and design documents that would refuse
/// most of them.
fn fill(server: &Stage) {
    let attachments = |n: usize| {
        let words = "words ".repeat(n % 300);
        json!({
            "t.txt": {"content_type": "text/plain", "data": base64(words.as_bytes())},
            "b": {"content_type": "image/png", "data": base64(n.to_string().as_bytes())},
        })
    };
    let documents = |from: usize| {
        let one = |n: usize| match n % 10 {
            0 => json!({"_id": format!("doc-{n}"), "n": n, "_attachments": attachments(n)}),
            _ => json!({"_id": format!("doc-{n}"), "n": n, "text": "ü€ \u{2028} ".repeat(n % 50)}),
        };
        (from..from + 1_000).map(one).collect::<Vec<Value>>()
    };
    for from in (0..DOCUMENTS).step_by(1_000) {
        let body = json!({ "docs": documents(from) });
        assert_eq!(server.ask("POST", "/db/_bulk_docs", Some(&body)).status, 201);
    }
    let branch = |n: usize| {
        let rev = format!("{n:032x}");
        json!({"_id": format!("doc-{n}"), "_rev": format!("2-{rev}"), "_deleted": n.is_multiple_of(2),
            "_revisions": {"start": 2, "ids": [rev, "f".repeat(32)]}})
    };
    let branches: Vec<Value> = (0..DOCUMENTS).step_by(7).map(branch).collect();
    let body = json!({"new_edits": false, "docs": branches});
    assert_eq!(server.ask("POST", "/db/_bulk_docs", Some(&body)).status, 201);
    let rule = "function (doc) { throw({forbidden: 'closed'}); }";
    server.put("/db/_design/rule", &json!({"validate_doc_update": rule}));
    server.put("/db/_security", &json!({"admins": {"names": ["bob"]}, "members": {}}));
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn a_database_moves_through_a_file() {
    let (source, target) = (Stage::new(), Stage::new());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fill(&source);
    let told = run(&source, folder, &["export", "db", "--output", "db.jsonl"], 0);
    assert!(told.contains("exported"), "{told}");
    run(&source, folder, &["export", "db", "-o", "db.jsonl.gz"], 0);
    let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");

    run(&target, folder, &["import", "db.jsonl", "--to", "copy"], 0);
    run(&target, folder, &["import", "db.jsonl.gz", "--to", "other"], 0);
    let from = format!("{}/db", url(&source, PASSWORD));
    run(&target, folder, &["import", &from, "--to", "straight", "--security"], 0);
    let (expect, security) = (content(&source, "db"), source.ask("GET", "/db/_security", None));
    for copy in ["copy", "other", "straight"] {
        assert_eq!(content(&target, copy), expect, "{copy}");
        let copied = target.ask("GET", &format!("/{copy}/_security"), None);
        assert_eq!(copied.body, security.body, "{copy}");
    }

    let before = target.ask("GET", "/copy", None).body;
    let told = run(&target, folder, &["import", "db.jsonl", "--to", "copy"], 0);
    assert!(told.contains("there already"), "{told}");
    let told = run(&target, folder, &["import", &from, "--to", "copy"], 0);
    assert!(told.contains("there already"), "{told}");
    assert_eq!(target.ask("GET", "/copy", None).body, before, "nothing is written twice");
}

/// Runs a command to its end; the most memory that it had.
fn memory_of(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        let known = fs::read_to_string(&status).unwrap_or_default();
        let peak = known.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) << 10);
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(ended.success() && most > 0, "{ended}");
    most
}

#[test]
fn a_large_attachment_takes_little_memory() {
    let server = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let mut large = String::with_capacity(LARGE);
    for n in 0..LARGE / 16 {
        write!(large, "{n:015} ").unwrap();
    }
    let typed = [("Content-Type", "application/octet-stream")];
    let put = server.send("PUT", "/db/large/file", &typed, &large);
    assert_eq!(put.status, 201, "{}", text(&put));
    drop(large);
    let command = || settee(&server, folder.path());
    let export = memory_of(command().args(["export", "db", "-o", "db.jsonl"]));
    let import = memory_of(command().args(["import", "db.jsonl", "--to", "copy"]));
    let digest = |database: &str| {
        let document = server.ask("GET", &format!("/{database}/large"), None);
        let document: Value = serde_json::from_slice(&document.body).unwrap();
        document["_attachments"]["file"].clone()
    };
    assert_eq!(digest("copy"), digest("db"));
    assert_eq!(digest("copy")["length"], LARGE);
    assert!(export < MEMORY_MAX && import < MEMORY_MAX, "{export} and {import} bytes");
}

#[test]
fn documents_of_other_tools_are_written_once() {
    let server = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("docs"), text).unwrap();
    let import = |status| run(&server, folder.path(), &["import", "docs", "--to", "new"], status);
    let count = || {
        let info = server.ask("GET", "/new", None);
        let info: Value = serde_json::from_slice(&info.body).unwrap();
        (info["doc_count"].as_u64().unwrap(), info["update_seq"].clone())
    };
    let inline = json!({"_id": "b", "x": [1, 2.5], "_attachments": {
        "t.txt": {"content_type": "text/plain", "data": base64(&[b'x'; 500])}}});
    write(&format!("{{\"_id\":\"a\",\"n\":1}}\n{inline}\n{{\"n\":2}}\n{{\"n\":2}}\n"));
    import(0);
    let before = count();
    assert_eq!(before.0, 4);
    import(0);
    assert_eq!(count(), before, "nothing is written twice");

    write("[{\"_id\":\"a\",\"n\":2},\n{\"_id\":\"_x\"},\n{\"_id\":\"c\",\"_rev\":\"3-d\"}]");
    let told = import(1);
    assert!(told.contains("a: conflict: ") && told.contains("_x: "), "{told}");
    assert!(told.contains("2 documents failed"), "{told}");
    let kept = server.ask("GET", "/new/c", None);
    assert!(text(&kept).contains("3-d"), "{}", text(&kept));

    let rule = "function (doc) { if (doc.bad) throw({forbidden: 'too bad'}); }";
    server.put("/new/_design/rule", &json!({"validate_doc_update": rule}));
    write("{\"_id\":\"d\",\"bad\":1}\n{\"_id\":\"e\",\"_rev\":\"1-f\",\"bad\":1}\n{\"_id\":\"g\"}");
    let told = import(1);
    for id in ["d", "e"] {
        assert!(told.contains(&format!("{id}: forbidden: too bad")), "{told}");
    }
    let listed = server.ask("GET", "/db/_all_docs", None);
    assert_eq!(listed.status, 200);
    let rows = server.ask("GET", "/new/_all_docs?include_docs=true&attachments=true", None);
    write(&text(&rows));
    run(&server, folder.path(), &["import", "docs", "--to", "rows"], 0);
    assert_eq!(content(&server, "rows"), content(&server, "new"));
}

#[test]
fn what_is_wrong_is_said_plainly() {
    let server = Stage::new();
    server.put("/db/a", &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let check = |arguments: &[&str], expect: &str| {
        let told = run(&server, folder, arguments, 1);
        assert!(told.contains(expect), "{arguments:?}: {told}");
    };
    let at = |user: &str, path: &str| format!("http://{user}{}{path}", server.client.host);
    check(&["export", "none"], "there is no database at http://127.0.0.1:");
    check(&["export", &at("admin:wrong@", "/db")], "does not take this name and password");
    check(&["export", &at("", "/db")], "wants a name and a password");
    check(&["export", &at("", "/")], "say which of its databases");
    check(&["export", "db", "--url", "127.0.0.1"], "is no address");
    // Nobody listens where a server has just been.
    let gone = url(&Stage::new(), PASSWORD);
    check(&["export", "db", "--url", &gone], "no server answers: http://127.0.0.1:");
    check(&["export", "db", "-o", "none/db.jsonl"], "none/db.jsonl: No such file");
    check(&["import", "none"], "none: No such file");

    run(&server, folder, &["export", "db", "-o", "db.jsonl"], 0);
    let whole = fs::read_to_string(folder.join("db.jsonl")).unwrap();
    let write = |text: &str| fs::write(folder.join("x"), text).unwrap();
    write(&whole[..whole.len() - 9]);
    check(&["import", "x", "--to", "x"], "was cut");
    assert_eq!(server.ask("GET", "/x", None).status, 404, "nothing has been done");
    run(&server, folder, &["import", "x", "--to", "x", "--truncated"], 0);
    assert_eq!(server.ask("GET", "/x/a", None).status, 200);
    write("{\"_id\":\"a\"}\n{\"_id\" \"b\"}\n");
    check(&["import", "x", "--to", "x"], "x: line 2: ");
    check(&["import", "x"], "--to NAME");
    check(&["import", "x", "--to", "y", "--no-create"], "there is no database at");

    let full = settee(&server, folder)
        .args(["export", "db"])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1));
}
