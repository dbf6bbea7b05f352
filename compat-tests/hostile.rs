//! Ten thousand malformed requests, generated from a seed, against the real server: each is
//! answered or cut off in time, nothing is a server error that CouchDB would not give, memory
//! stays where it was, nobody's headers end up in an answer's head, and a client that behaves is
//! served all the while.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::Stage;
use generator::{Generator, INJECTED, Shot};

mod bodies;
mod floods;
mod framing;
mod generator;
mod random;

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;
/// How long one may take: the limits of the server are a second.
const SHOT_TIME_MAX: Duration = Duration::from_secs(20);
/// How long the client that behaves may wait for an answer.
const GOOD_TIME_MAX: Duration = Duration::from_secs(10);
/// How much more may lie in memory in the end.
const GROWTH_KB_MAX: u64 = 200_000;

/// Server errors that are CouchDB's answer too: status, a part of the body, why.
const EXPECTED: &[(u16, &str, &str)] = &[
    (500, "\"os_process_error\"", "a design function that does not end"),
    (500, "\"no_majority\"", "a _security that is no object"),
    (500, "\"function_clause\"", "members of another type than CouchDB's functions take"),
    (500, "\"badarg\"", "parameters of _changes that are no numbers"),
    (500, "\"Missing replicator database\"", "_replicate without a source"),
];

/// Limits that end what is slow soon.
const CONFIGURATION: &str = "\
[chttpd]
header_timeout = 1000
body_timeout = 1000
idle_timeout = 1000
write_timeout = 1000
changes_timeout = 100
max_http_request_size = 16000000
max_request_memory = 128000000
admin_only_all_dbs = false
[couchdb]
default_security = everyone
[chttpd_auth]
iterations = 10
";

#[test]
fn ten_thousand_malformed_requests() {
    let stage = start();
    let seed = std::env::var("HOSTILE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(16);
    println!("HOSTILE_SEED={seed}");
    // What is made once does not count as growth.
    fire(&stage, seed ^ 1, REQUESTS / 10);
    let before = resident_kb(stage.server.pid());
    let complaints = fire(&stage, seed, REQUESTS);
    let after = resident_kb(stage.server.pid());
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    assert!(after < before + GROWTH_KB_MAX, "memory grew from {before} to {after} KB");
    assert_eq!(stage.ask("GET", "/_up", None).status, 200);
    let log = stage.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(stage.stop().code(), Some(0));
}

/// A server with something in it to be asked for.
fn start() -> Stage {
    let stage = Stage::with(|folder| {
        let ini = folder.join("hostile.ini");
        fs::write(&ini, CONFIGURATION).unwrap();
        vec!["--config".to_owned(), ini.to_str().unwrap().to_owned()]
    });
    let map = "function (doc) { emit(doc._id, 1); }";
    stage.put(
        "/db/_design/d",
        &json!({
            "views": {"v": {"map": map, "reduce": "_sum"}},
            "shows": {"s": "function (doc, req) { return req.query.a || 'x'; }"},
            "lists": {"l": "function () { var row; while ((row = getRow())) { send(String(row.key)); } }"},
            "updates": {"u": "function (doc, req) { return [null, req.body]; }"},
            "rewrites": [{"from": "/a/:b", "to": "_show/s", "query": {"a": ":b"}}],
        }),
    );
    stage.put("/db/doc", &json!({"a": 1, "list": [1, 2, 3]}));
    let types = [("Content-Type", "application/octet-stream")];
    let answer = stage.send("PUT", "/db/attached/a.bin", &types, &"0123456789".repeat(1000));
    assert_eq!(answer.status, 201);
    assert_eq!(stage.ask("PUT", "/good", None).status, 201);
    stage
}

/// Requests of a round, and how many rounds there are.
const ROUND: usize = 600;
const ROUNDS: u64 = 8;
/// How much more may lie in memory after the last rounds than after the first ones: what was
/// written fills blocks and write buffers, and freed memory returns to the system in pieces.
const ROUNDS_GROWTH_KB_MAX: u64 = 64_000;

#[test]
fn memory_does_not_grow_from_round_to_round() {
    let stage = start();
    // More of them for whoever looks for a leak.
    let rounds = std::env::var("HOSTILE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let resident: Vec<u64> = (0..rounds.unwrap_or(ROUNDS))
        .map(|seed| {
            let started = Instant::now();
            let complaints = fire(&stage, seed, ROUND);
            assert!(complaints.is_empty(), "{}", complaints.join("\n"));
            let now = resident_kb(stage.server.pid());
            println!("round {seed}: {now} KB after {:?}", started.elapsed());
            now
        })
        .collect();
    let (first, last) = resident.split_at(resident.len() / 2);
    let (warm, end) = (first.iter().max().unwrap(), last.iter().min().unwrap());
    assert!(*end < warm + ROUNDS_GROWTH_KB_MAX, "memory grows: {resident:?} KB");
}

/// Sends so many requests from several clients, while another one behaves. What went wrong.
fn fire(stage: &Stage, seed: u64, requests: usize) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let behave = scope.spawn(|| behave(stage, seed, &ended));
        let hostile = [(); CLIENTS].map(|()| {
            scope.spawn(|| {
                let mut complaints = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return complaints;
                    }
                    let shot = Generator::new(seed, number as u64).shot();
                    if let Err(complaint) = shoot(&stage.client.host, &shot) {
                        let kind = shot.kind;
                        complaints
                            .push(format!("seed {seed}, number {number}, {kind}: {complaint}"));
                    }
                }
            })
        });
        let mut complaints: Vec<String> =
            hostile.into_iter().flat_map(|client| client.join().unwrap()).collect();
        ended.store(true, Ordering::Relaxed);
        complaints.extend(behave.join().unwrap());
        complaints
    })
}

/// Writes and reads until the others have ended.
fn behave(stage: &Stage, seed: u64, ended: &AtomicBool) -> Vec<String> {
    let path = format!("/good/{seed}");
    let mut rev = Value::Null;
    let mut complaints = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let started = Instant::now();
        let mut document = json!({"n": 1});
        if !rev.is_null() {
            document["_rev"] = rev.take();
        }
        rev = stage.put(&path, &document)["rev"].take();
        let found = stage.ask("GET", &path, None);
        if found.status != 200 || started.elapsed() > GOOD_TIME_MAX {
            complaints.push(format!(
                "the good client got {} after {:?}",
                found.status,
                started.elapsed()
            ));
        }
    }
    complaints
}

/// Sends one and reads until the server closes the connection.
fn shoot(host: &str, shot: &Shot) -> Result<(), String> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(host).map_err(|error| format!("no connection: {error}"))?;
    stream.set_read_timeout(Some(SHOT_TIME_MAX)).unwrap();
    stream.set_write_timeout(Some(SHOT_TIME_MAX)).unwrap();
    // The server may have refused it before all was sent.
    let _ = stream.write_all(&shot.bytes);
    if shot.half_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(format!("no end after {SHOT_TIME_MAX:?}: {}", shot.shown()));
            }
            // Cut off, which is an answer too.
            Err(_) => break,
        }
        if started.elapsed() > SHOT_TIME_MAX || answer.len() > 64 << 20 {
            return Err(format!("it does not end: {}", shot.shown()));
        }
    }
    judge(shot, &String::from_utf8_lossy(&answer))
}

fn judge(shot: &Shot, answer: &str) -> Result<(), String> {
    let mut rest = answer;
    while let Some(at) = rest.find("HTTP/1.1 ") {
        rest = &rest[at..];
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        if head.lines().skip(1).any(|line| line.to_ascii_lowercase().starts_with(INJECTED)) {
            return Err(format!("a header was injected: {}\n{head}", shot.shown()));
        }
        let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let expected = EXPECTED.iter().any(|(s, part, _)| *s == status && body.contains(part));
        // Without a body nobody can tell; the same is asked with GET.
        let untold = body.is_empty() && shot.bytes.starts_with(b"HEAD ");
        if status >= 500 && !expected && !untold {
            let body: String = body.chars().take(300).collect();
            return Err(format!("{status} {body}\n    {}", shot.shown()));
        }
        rest = &rest[9..];
    }
    Ok(())
}

fn resident_kb(pid: u32) -> u64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
