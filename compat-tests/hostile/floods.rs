//! Floods of HTTP/2 by clients that mean harm, frame by frame: others are served all the while,
//! and memory stays where it was.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{behave, resident_kb, start};
use crate::stage::Stage;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const ACKNOWLEDGED: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames that one attacker sends at most.
const FRAMES: u32 = 50_000;
/// Frames that go out with one write.
const AT_ONCE: u32 = 100;
/// Who attacks at the same time, in the same way.
const ATTACKERS: usize = 3;
const ATTACK_TIME_MAX: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(30);
/// How much more may lie in memory after all floods.
const GROWTH_KB_MAX: u64 = 60_000;

/// What is sent for the n-th time.
type Flood = (&'static str, fn(u32) -> Vec<u8>);

const FLOODS: [Flood; 11] = [
    ("rapid resets", |n| [get(n, "/"), reset(n)].concat()),
    ("rapid resets of work", |n| [get(n, "/db/_all_docs"), reset(n)].concat()),
    ("streams", |n| get(n, "/db/_all_docs")),
    ("feeds", |n| get(n, "/db/_changes?feed=continuous")),
    ("bodies that do not come", |n| headers(n, "/db/_bulk_docs", true, END_HEADERS)),
    ("pings", |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
    ("settings", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
    ("priorities", |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 16])),
    ("windows", |n| frame(WINDOW, 0, 0, &1_u32.wrapping_add(n % 2).to_be_bytes())),
    ("continuations", |n| match n {
        0 => headers(0, "/", false, END_STREAM),
        _ => frame(CONTINUATION, 0, 1, &b"\0\x01a\x01b".repeat(200)),
    }),
    ("empty frames", |n| match n {
        0 => headers(0, "/db/_bulk_docs", true, END_HEADERS),
        _ => frame(DATA, 0, 1, &[]),
    }),
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Clients use odd numbers.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// The head of a GET or POST; short texts only.
fn headers(n: u32, path: &str, post: bool, flags: u8) -> Vec<u8> {
    let mut block = vec![0x82 + u8::from(post), 0x86];
    for (name, value) in [(4_u8, path), (1, "host")] {
        block.extend_from_slice(&[name, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value.as_bytes());
    }
    frame(HEADERS, flags, stream(n), &block)
}

fn get(n: u32, path: &str) -> Vec<u8> {
    headers(n, path, false, END_HEADERS | END_STREAM)
}

fn reset(n: u32) -> Vec<u8> {
    frame(RESET, 0, stream(n), &8_u32.to_be_bytes())
}

fn connect(host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    stream
}

/// Sends until the server has had enough. Every second attacker takes what is answered.
fn attack(host: &str, number: usize, flood: fn(u32) -> Vec<u8>) {
    let stream = connect(host);
    let started = Instant::now();
    thread::scope(|scope| {
        if number.is_multiple_of(2) {
            let mut answers = stream.try_clone().unwrap();
            scope.spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while answers.read(&mut buffer).is_ok_and(|count| count > 0) {}
            });
        }
        let mut next = 0;
        while next < FRAMES && started.elapsed() < ATTACK_TIME_MAX {
            let frames: Vec<u8> = (next..next + AT_ONCE).flat_map(flood).collect();
            if (&stream).write_all(&frames).is_err() {
                break;
            }
            next += AT_ONCE;
        }
        // Fails where the server was quicker.
        let _ = stream.shutdown(Shutdown::Both);
    });
}

/// All attackers, while somebody else reads and writes.
fn flood(stage: &Stage, seed: u64, flood: fn(u32) -> Vec<u8>) -> Vec<String> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let behaving = scope.spawn(|| behave(stage, seed, &ended));
        let host = stage.client.host.as_str();
        let attackers = [0, 1, 2].map(|number| scope.spawn(move || attack(host, number, flood)));
        assert_eq!(attackers.len(), ATTACKERS);
        for attacker in attackers {
            attacker.join().unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        behaving.join().unwrap()
    })
}

#[test]
fn floods_of_frames() {
    let stage = start();
    // What is made once does not count as growth.
    flood(&stage, 0, FLOODS[2].1);
    let before = resident_kb(stage.server.pid());
    for (seed, (name, frames)) in (1..).zip(FLOODS) {
        let complaints = flood(&stage, seed, frames);
        assert!(complaints.is_empty(), "{name}: {complaints:?}");
        let now = resident_kb(stage.server.pid());
        println!("{name}: {now} KB");
        assert!(now < before + GROWTH_KB_MAX, "{name}: memory grew from {before} to {now} KB");
    }
    assert!(!stage.log().contains("panicked"), "{}", stage.log());
    assert_eq!(stage.stop().code(), Some(0));
}

/// Waits until the server has seen all that was sent.
fn settle(mut stream: &TcpStream, number: u64) {
    stream.write_all(&frame(PING, 0, 0, &number.to_be_bytes())).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).unwrap();
        if (head[3], head[4] & ACKNOWLEDGED, &payload[..]) == (PING, 1, &number.to_be_bytes()[..]) {
            return;
        }
    }
}

#[test]
fn requests_that_were_reset_count_until_their_work_has_ended() {
    let stage = start();
    let spin = "function (doc, req) { while (true) {} }";
    stage.put("/db/_design/spin", &json!({"shows": {"s": spin}}));
    stage.put("/_node/_local/_config/chttpd/max_http2_streams", &json!("2"));
    let stream = connect(&stage.client.host);
    let refused = || {
        let path = "/_node/_local/_stats/couchdb/httpd_status_codes/503/value";
        crate::stage::text(&stage.ask("GET", path, None)).parse::<u64>().unwrap()
    };
    for n in 0..12 {
        (&stream).write_all(&get(n, "/db/_design/spin/_show/s")).unwrap();
        settle(&stream, u64::from(n) * 2);
        (&stream).write_all(&reset(n)).unwrap();
        settle(&stream, u64::from(n) * 2 + 1);
    }
    assert_eq!(refused(), 8, "four may be worked on");
}
