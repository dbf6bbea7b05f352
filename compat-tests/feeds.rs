//! Many who listen to one database, also those who fall behind.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::Stage;

const DOCUMENTS: usize = 1500;
const LISTENERS: usize = 12;

fn listen(stage: &Stage, query: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(&stage.client.host).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let path = format!("/db/_changes?feed=continuous&heartbeat=30000&{query}");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the headers are there");
    }
    reader
}

/// The rows up to that of the document `last`.
fn rows_until_last(reader: &mut BufReader<TcpStream>) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for line in reader.lines() {
        let line = line.unwrap();
        // Sizes of chunks and heartbeats stand between rows.
        let Ok(Value::Object(row)) = serde_json::from_str(&line) else { continue };
        let id = row["id"].as_str().unwrap().to_owned();
        let rev = row["changes"][0]["rev"].as_str().unwrap().to_owned();
        let is_last = id == "last";
        rows.push((id, rev));
        if is_last {
            return rows;
        }
    }
    panic!("the feed ended")
}

/// Pages are shared between listeners, wherever each of them stands.
#[test]
fn everybody_hears_of_every_change_once() {
    let stage = Stage::new();
    let nobody = json!({"members": {"roles": []}, "admins": {"roles": ["_admin"]}});
    assert_eq!(stage.ask("PUT", "/db/_security", Some(&nobody)).status, 200);
    // Every third reads at once; the others only when all has been written.
    let queries = ["since=0", "since=now", "since=0&style=all_docs"];
    let mut feeds: Vec<_> =
        (0..LISTENERS).map(|number| listen(&stage, queries[number % 3])).collect();
    let mut early: Vec<_> = Vec::new();
    for (number, feed) in feeds.drain(..).enumerate().collect::<Vec<_>>() {
        if number % 4 == 0 {
            early.push(std::thread::spawn(move || {
                let mut feed = feed;
                rows_until_last(&mut feed)
            }));
        } else {
            feeds.push(feed);
        }
    }
    let mut newest: HashMap<String, String> = HashMap::new();
    for round in 0..3 {
        for first in (0..DOCUMENTS).step_by(70) {
            let docs: Vec<Value> = (first..(first + 70).min(DOCUMENTS))
                // The second round leaves gaps in the sequence.
                .filter(|number| round != 1 || number % 7 != 0)
                .map(|number| {
                    let id = format!("doc-{number}");
                    let mut doc = json!({"_id": id, "round": round});
                    if let Some(rev) = newest.get(&id) {
                        doc["_rev"] = rev.as_str().into();
                    }
                    doc
                })
                .collect();
            let body = json!({ "docs": docs });
            let answer = stage.ask("POST", "/db/_bulk_docs", Some(&body));
            assert_eq!(answer.status, 201);
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            for saved in answer.as_array().unwrap() {
                let text = |name: &str| saved[name].as_str().unwrap().to_owned();
                newest.insert(text("id"), text("rev"));
            }
        }
    }
    let last = stage.put("/db/last", &json!({}));
    newest.insert("last".to_owned(), last["rev"].as_str().unwrap().to_owned());
    let late = feeds.iter_mut().map(rows_until_last);
    let early = early.into_iter().map(|feed| feed.join().unwrap());
    for rows in late.chain(early) {
        let once: HashSet<_> = rows.iter().cloned().collect();
        assert_eq!(once.len(), rows.len(), "no row comes twice");
        let found: HashMap<String, String> = rows.into_iter().collect();
        assert_eq!(found.len(), newest.len());
        assert!(found == newest, "the last row of a document tells its newest revision");
    }
}

/// The documents that the server reads for a request, and the body of its answer.
fn documents_read(stage: &Stage, path: &str, body: &Value) -> (u64, Vec<u8>) {
    let reads = || {
        let stat = stage.ask("GET", "/_node/_local/_stats/couchdb/database_reads", None);
        let stat: Value = serde_json::from_slice(&stat.body).unwrap();
        stat["value"].as_u64().unwrap()
    };
    let before = reads();
    let answer = stage.ask("POST", path, Some(body));
    assert_eq!(answer.status, 200, "{path}");
    (reads() - before, answer.body.clone())
}

/// A built index spares feeds and replications with a selector the documents that cannot pass.
#[test]
fn an_index_tells_feeds_what_to_read() {
    let stage = Stage::new();
    let docs = (0..DOCUMENTS).map(|n| json!({"_id": format!("doc-{n:04}"), "n": n % 100}));
    let docs = json!({"docs": docs.collect::<Vec<_>>()});
    assert_eq!(stage.ask("POST", "/db/_bulk_docs", Some(&docs)).status, 201);
    let selector = json!({"selector": {"n": {"$lt": 2}}});
    let feed = |query: &str| {
        documents_read(&stage, &format!("/db/_changes?filter=_selector&{query}"), &selector)
    };
    let queries = ["", "descending=true&include_docs=true", "limit=20&seq_interval=7&since=0"];
    let replicate = |target: &str| {
        let mut body = json!({"source": "db", "target": target, "create_target": true});
        body["selector"] = selector["selector"].clone();
        let (reads, answer) = documents_read(&stage, "/_replicate", &body);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        (reads, answer["history"][0]["docs_written"].clone())
    };
    let (whole, written) = replicate("before");
    assert!(whole >= 1500 && written == 30, "{whole} {written}");
    let unindexed = queries.map(feed);
    let index = json!({"index": {"fields": ["n"]}, "ddoc": "index", "name": "n"});
    assert_eq!(stage.ask("POST", "/db/_index", Some(&index)).status, 200);
    let find = json!({"selector": {"n": 1}, "limit": 1});
    assert_eq!(stage.ask("POST", "/db/_find", Some(&find)).status, 200);
    for (query, (whole, expect)) in queries.iter().zip(unindexed) {
        let (read, body) = feed(query);
        let rows = |body: &[u8]| {
            let answer: Value = serde_json::from_slice(body).unwrap();
            let rows = answer["results"].as_array().unwrap().clone();
            rows.into_iter().map(|row| (row["id"].clone(), row["doc"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(rows(&body), rows(&expect), "{query}");
        assert!(whole > 900 && read < 100, "{query}: {read} of {whole}");
    }
    let (read, written) = replicate("after");
    assert!(read < whole / 4 && written == 30, "{read} of {whole}");
}
