//! The scripts in `node/` (PouchDB and nano), each a test of its own. A script gets the server's
//! address, prints a line a check and ends with a status other than 0 when one fails; its output
//! is shown then. Needs `node` and the installed packages (`make deps`).

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::server::{ADMIN, PASSWORD, Port, Server};

#[test]
fn nano() {
    run_on_fresh_server("nano.mjs");
}

#[test]
fn pouchdb_as_http_client() {
    run_on_fresh_server("pouchdb-http.mjs");
}

#[test]
fn pouchdb_asks_views() {
    run_on_fresh_server("pouchdb-views.mjs");
}

#[test]
fn pouchdb_filters_by_views() {
    run_on_fresh_server("view-filter.mjs");
}

#[test]
fn pouchdb_find_and_nano_ask_mango() {
    run_on_fresh_server("find.mjs");
}

#[test]
fn pouchdb_replicates() {
    run_on_fresh_server("pouchdb-replication.mjs");
}

#[test]
fn pouchdb_syncs_live() {
    run_on_fresh_server("pouchdb-live.mjs");
}

#[test]
fn pouchdb_attachments() {
    run_on_fresh_server("pouchdb-attachments.mjs");
}

#[test]
fn pouchdb_filters_and_is_refused() {
    run_on_fresh_server("pouchdb-functions.mjs");
}

#[test]
fn pouchdb_server_replicates() {
    run_on_fresh_server("pouchdb-server.mjs");
}

#[test]
fn pouchdb_resumes_from_its_checkpoint_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let client = folder.path().join("client");
    std::fs::create_dir(&client).unwrap();
    let client = client.to_str().unwrap();
    let run = |server: &Server, phase: &str| {
        finish(node("pouchdb-resume.mjs", server, &[phase, client, "resume"]).spawn().unwrap());
    };
    let first = Server::start(folder.path(), Port::Free);
    run(&first, "first");
    first.kill();
    let second = Server::start(folder.path(), Port::Free);
    run(&second, "second");
}

#[test]
fn pouchdb_live_sync_survives_an_outage() {
    const SIGNAL: &str = "KILL THE SERVER";
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let mut script = node("pouchdb-outage.mjs", &server, &[]).spawn().unwrap();
    let mut input = script.stdin.take().unwrap();
    let mut output = BufReader::new(script.stdout.take().unwrap());
    let mut said = String::new();
    while !said.ends_with(&format!("{SIGNAL}\n")) {
        let read = output.read_line(&mut said).unwrap();
        assert!(read > 0, "the script ended before it asked for the kill:\n{said}");
    }
    let port = server.port();
    server.kill();
    let _again = Server::start(folder.path(), Port::Same(port));
    // Where the script has ended, its output says why.
    let _ = writeln!(input, "it is back");
    output.read_to_string(&mut said).unwrap();
    let status = script.wait().unwrap();
    assert!(status.success(), "{status}\n{said}");
}

fn run_on_fresh_server(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    finish(node(script, &server, &[]).spawn().unwrap());
}

pub fn scripts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/node")
}

pub fn node(script: &str, server: &Server, arguments: &[&str]) -> Command {
    let folder = scripts_folder();
    assert!(folder.join("node_modules").is_dir(), "node's packages are missing: run `make deps`");
    let mut command = Command::new("node");
    command
        .current_dir(folder)
        .arg(script)
        .arg(format!("http://{ADMIN}:{PASSWORD}@127.0.0.1:{}", server.port()))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Waits for a script, which has a deadline of its own, and fails with its output if it failed.
pub fn finish(script: Child) {
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(said.contains(" checks passed, 0 failed"), "the script counted nothing:\n{said}");
}
