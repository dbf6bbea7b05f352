//! Real clients against the real server: recorded CouchDB transcripts, PouchDB and nano (node),
//! the test suite of Python's aiocouch, and whole couchapps. Every test starts the built binary on
//! a free port with a data folder of its own, so tests neither share state nor depend on order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod archive;
mod authentication;
mod backup;
mod bootstrap;
mod compare;
mod configuration;
mod couchapps;
mod feeds;
mod functions;
mod global_changes;
mod hostile;
mod http_peer;
mod logs;
mod monitoring;
mod network;
mod node;
mod partition_limit;
mod python;
mod replication;
mod routes_by_user;
mod server;
mod stage;
mod tokens;
mod transcripts;
mod users;
mod validation;
mod views;
mod wasm;
mod wire;

use server::{Port, Server};

#[test]
fn a_termination_signal_ends_the_server_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let status = Server::start(folder.path(), Port::Free).stop();
    assert_eq!(status.code(), Some(0), "exit status after SIGTERM: {status}");
}

#[test]
fn a_database_outlives_kill_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(folder.path(), Port::Free);
    let made = wire::Client::new(first.port()).send("PUT", "/kept", &[], None).unwrap();
    assert_eq!(made.status, 201);
    let port = first.port();
    first.kill();
    let second = Server::start(folder.path(), Port::Same(port));
    let found = wire::Client::new(second.port()).send("GET", "/kept", &[], None).unwrap();
    assert_eq!((second.port(), found.status), (port, 200));
}
