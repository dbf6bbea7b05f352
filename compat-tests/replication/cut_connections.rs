//! A large attachment over connections that are cut again and again: it ends up whole, and the
//! server that fetches it keeps little of it in memory.

use serde_json::{Value, json};

use crate::server::{ADMIN, PASSWORD};
use crate::stage::{Stage, text};

use super::proxy::Proxy;
use super::routes::noise;
use super::session;

const MIB: usize = 1 << 20;
const ATTACHMENT: usize = 200 * MIB;
const CUT_AFTER: usize = 20 * MIB;
const MEMORY_GROWTH: usize = 64 * MIB;

/// The most memory that the server has had so far, in bytes.
fn peak_memory(stage: &Stage) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes = line.trim().strip_suffix(" kB").unwrap();
    kibibytes.parse::<usize>().unwrap() * 1024
}

#[test]
fn a_large_attachment_survives_cut_connections() {
    let (source, target) = (Stage::new(), Stage::new());
    let bytes = noise(ATTACHMENT);
    let headers = [("Content-Type".to_owned(), "application/octet-stream".to_owned())];
    let put = source.client.send("PUT", "/db/large/file", &headers, Some(&bytes)).unwrap();
    assert_eq!(put.status, 201, "{}", text(&put));
    source.write("db", &[json!({"_id": "small"})]);
    let proxy = Proxy::cutting(&source.client.host, CUT_AFTER);
    // What the storage needs for as much, it has had before.
    target.new_db("other");
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    let put = target.client.send("PUT", "/other/large/file", &headers, Some(&other)).unwrap();
    assert_eq!(put.status, 201, "{}", text(&put));
    let before = peak_memory(&target);

    let address = format!("http://{ADMIN}:{PASSWORD}@127.0.0.1:{}/db", proxy.port);
    let body = json!({"source": address, "target": "db"});
    // As a document: it takes longer than the client here waits for an answer.
    let doc = json!({"source": address, "target": target.address("db")});
    target.put("/_replicator/large", &doc);
    target.until_state("_replicator", "large", "completed");
    let grown = peak_memory(&target) - before;

    let stub = |stage: &Stage| -> Value {
        let mut stub = stage.read("/db/large")["_attachments"]["file"].take();
        stub.as_object_mut().unwrap().remove("revpos");
        stub
    };
    assert_eq!(stub(&target), stub(&source));
    let fetched = target.client.send("GET", "/db/large/file", &[], None).unwrap();
    assert!(fetched.body == bytes, "{} bytes arrived", fetched.body.len());
    let cuts = proxy.ended();
    assert!(cuts >= ATTACHMENT / CUT_AFTER - 1, "{cuts} connections were cut");
    assert!(grown < MEMORY_GROWTH, "the target's memory grew by {} MiB", grown / MIB);
    let again = target.replicate(&body);
    assert_eq!(session(&again)["docs_written"], 0, "{again}");
}
