//! Reading documents and attachments, from servers that can do it well and such that cannot.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use super::*;
use crate::document::Encoding;
use crate::replicator::{AttachmentHolder as _, Fetched, Peer, PeerError, Stub};

fn document(id: &str, rev: &str) -> Value {
    json!({"_id": id, "_rev": rev, "_revisions": {"start": 1, "ids": ["a"]}})
}

fn bulk(results: &[(&str, Value)]) -> Vec<Step> {
    let results = results.iter().map(|(id, docs)| json!({"id": id, "docs": docs}));
    json_answer(200, &json!({"results": results.collect::<Vec<_>>()}))
}

/// All that a peer gives, however many calls it takes, and how many.
async fn fetch(peer: &HttpPeer, mut asked: &[Missing]) -> Result<(Fetched, usize), PeerError> {
    let (mut all, mut calls) = (Fetched::default(), 0);
    while !asked.is_empty() {
        let Fetched { done, by_bulk_get, revisions, not_found } = peer.fetch(asked).await?;
        all.done += done;
        all.by_bulk_get = by_bulk_get;
        all.revisions.extend(revisions);
        all.not_found += not_found;
        asked = &asked[done..];
        calls += 1;
    }
    Ok((all, calls))
}

fn names(fetched: &Fetched) -> Vec<String> {
    fetched.revisions.iter().map(|read| format!("{} {}", read.id, read.rev)).collect()
}

#[tokio::test(start_paused = true)]
async fn many_documents_come_with_one_request() {
    let server = Scripted::start(|_, _| {
        let gone = json!({"error": {"id": "b", "rev": "1-x", "error": "not_found"}});
        bulk(&[
            ("a", json!([{"ok": document("a", "2-b")}])),
            ("a", json!([{"ok": document("a", "2-b")}])),
            ("b", json!([gone, {"ok": document("b", "1-a")}])),
        ])
    })
    .await;
    let mut asked = [missing("a", &["1-a", "2-b"]), missing("b", &["1-x", "1-a"])];
    asked[1].possible_ancestors = revs(&["1-q"]);
    let (found, _) = fetch(&peer(&server), &asked).await.unwrap();
    assert_eq!(names(&found), ["a 2-b", "b 1-a"], "each revision once");
    assert_eq!((found.done, found.by_bulk_get, found.not_found), (2, true, 1));
    assert_eq!(found.revisions[1].possible_ancestors, revs(&["1-q"]));
    assert_eq!(found.revisions[1].text, document("b", "1-a").to_string());
    let seen = server.seen().remove(0);
    let path = "/db/_bulk_get?latest=true&revs=true&attachments=false&att_encoding_info=true";
    assert_eq!(seen.line(), format!("POST {path}"));
    assert_eq!(sent(&seen.body)["docs"][3], json!({"id": "b", "rev": "1-a"}));
}

/// Documents that a server stumbles over are asked for one by one.
#[tokio::test(start_paused = true)]
async fn stumbling_is_no_loss() {
    let server = Scripted::start(|seen, _| match seen.method.as_str() {
        "POST" => {
            let error = json!({"id": "b", "rev": "1-a", "error": "internal_server_error"});
            bulk(&[("a", json!([{"ok": document("a", "1-a")}])), ("b", json!([{"error": error}]))])
        }
        _ => json_answer(200, &json!([{"ok": document("b", "1-a")}])),
    })
    .await;
    let asked = [missing("a", &["1-a"]), missing("b", &["1-a"])];
    let (found, _) = fetch(&peer(&server), &asked).await.unwrap();
    assert_eq!((names(&found), found.not_found), (vec!["a 1-a".into(), "b 1-a".into()], 0));
    assert!(server.lines()[1].starts_with("GET /db/b?revs=true&latest=true"));
}

#[tokio::test(start_paused = true)]
async fn servers_without_bulk_get() {
    for status in [404, 405, 400, 501] {
        let server = Scripted::start(move |seen, _| match seen.method.as_str() {
            "POST" => refusal(status, "x", "y"),
            _ if seen.target.contains("_design/a%2Fb") => json_answer(
                200,
                &json!([{"ok": document("_design/a/b", "1-a")}, {"missing": "1-x"}]),
            ),
            _ => refusal(404, "not_found", "missing"),
        })
        .await;
        let peer = peer(&server);
        let asked = [missing("_design/a/b", &["1-a", "1-x"]), missing("none", &["1-a"])];
        let (found, _) = fetch(&peer, &asked).await.unwrap();
        assert_eq!((names(&found), found.not_found), (vec!["_design/a/b 1-a".into()], 2));
        assert!(!found.by_bulk_get);
        fetch(&peer, &asked).await.unwrap();
        let open_revs = "open_revs=%5B%221-a%22%2C%221-x%22%5D";
        let lines = server.lines();
        assert!(lines[1].ends_with(open_revs), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("POST")).count(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulk_get_that_always_fails_is_left_alone() {
    let server = Scripted::start(|seen, _| match seen.method.as_str() {
        "POST" => refusal(500, "unknown_error", "function_clause"),
        _ => json_answer(200, &json!([{"ok": document("a", "1-a")}])),
    })
    .await;
    let peer = peer(&server);
    for _ in 0..5 {
        let (found, _) = fetch(&peer, &[missing("a", &["1-a"])]).await.unwrap();
        assert_eq!(found.revisions.len(), 1);
    }
    let lines = server.lines();
    let posts = lines.iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!((posts, lines.len()), (3 * 6, 3 * 6 + 5));
}

#[tokio::test(start_paused = true)]
async fn answers_stay_small() {
    let server = Scripted::start(|seen, _| {
        let docs = sent(&seen.body)["docs"].as_array().unwrap().clone();
        if docs.len() > 8 {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n".to_owned();
            return vec![Step::Send(head)];
        }
        let results: Vec<Value> = docs
            .iter()
            .map(|asked| {
                let mut found = document(asked["id"].as_str().unwrap(), "1-a");
                found["x"] = "x".repeat(1 << 20).into();
                json!({"id": asked["id"], "docs": [{"ok": found}]})
            })
            .collect();
        json_answer(200, &json!({ "results": results }))
    })
    .await;
    let asked: Vec<Missing> = (0..20).map(|n| missing(&format!("d{n}"), &["1-a"])).collect();
    let (found, calls) = fetch(&peer(&server), &asked).await.unwrap();
    assert_eq!((found.revisions.len(), found.done), (20, 20));
    let counts: Vec<usize> = server
        .seen()
        .iter()
        .map(|seen| sent(&seen.body)["docs"].as_array().unwrap().len())
        .collect();
    // Halved until it fits, then so many as make two MiB.
    assert_eq!(counts[..4], [20, 10, 5, 1]);
    assert!(counts[4..].iter().all(|count| *count <= 2), "{counts:?}");
    assert_eq!(calls, counts.len() - 2);
}

#[tokio::test(start_paused = true)]
async fn small_documents_come_in_large_groups() {
    let server = Scripted::start(|seen, _| {
        let docs = sent(&seen.body)["docs"].as_array().unwrap().clone();
        let results = docs.iter().map(|asked| {
            let found = document(asked["id"].as_str().unwrap(), "1-a");
            json!({"id": asked["id"], "docs": [{"ok": found}]})
        });
        json_answer(200, &json!({"results": results.collect::<Vec<_>>()}))
    })
    .await;
    let asked: Vec<Missing> = (0..1_000).map(|n| missing(&format!("d{n}"), &["1-a"])).collect();
    let (found, calls) = fetch(&peer(&server), &asked).await.unwrap();
    assert_eq!((found.revisions.len(), calls), (1_000, 4));
}

#[tokio::test(start_paused = true)]
async fn documents_that_nobody_asked_for() {
    let server =
        Scripted::start(|_, _| bulk(&[("a", json!([{"ok": document("z", "1-a")}]))])).await;
    let error = fetch(&peer(&server), &[missing("a", &["1-a"])]).await.unwrap_err();
    assert!(matches!(error, PeerError::Garbage(_)), "{error}");
}

fn stub(encoding: Encoding) -> Stub {
    let (name, content_type) = ("b/c d".to_owned(), "text/plain".to_owned());
    let digest = "md5-x".to_owned();
    Stub { name, content_type, digest, revpos: 1, length: 10, encoding, encoded_length: 10 }
}

/// The bytes of an attachment from an offset, their encoding and where they begin.
async fn attachment(
    server: &Scripted,
    encoding: Encoding,
    offset: u64,
) -> Result<(Encoding, u64, Bytes), PeerError> {
    let read = revision(&json!({"_id": "a", "_rev": "1-a"}));
    let peer = peer(server);
    let body = peer.attachment(&read, &stub(encoding), offset).await?;
    let bytes: Vec<Bytes> = body.bytes.try_collect().await?;
    Ok((body.encoding, body.offset, bytes.concat().into()))
}

#[tokio::test(start_paused = true)]
async fn attachments_come_as_they_are_stored() {
    let server = Scripted::start(|seen, _| match seen.header("accept-encoding") {
        Some("gzip") => answer(200, "Content-Encoding: gzip\r\n", "0123456789"),
        _ if seen.header("range") == Some("bytes=4-") => {
            answer(206, "Content-Range: bytes 4-9/10\r\n", "456789")
        }
        _ => answer(200, "", "0123456789"),
    })
    .await;
    let whole = Bytes::from_static(b"0123456789");
    for (encoding, offset, expect) in [
        (Encoding::Identity, 0, (Encoding::Identity, 0, whole.clone())),
        (Encoding::Identity, 4, (Encoding::Identity, 4, whole.slice(4..))),
        (Encoding::Identity, 5, (Encoding::Identity, 0, whole.clone())),
        (Encoding::Gzip, 4, (Encoding::Gzip, 0, whole.clone())),
    ] {
        assert_eq!(attachment(&server, encoding, offset).await, Ok(expect), "{offset}");
    }
    assert_eq!(server.lines()[0], "GET /db/a/b%2Fc%20d?rev=1-a");
}

#[tokio::test(start_paused = true)]
async fn attachments_that_are_cut_or_packed_by_others() {
    let server = Scripted::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_owned();
        vec![Step::Send(head), Step::Cut]
    })
    .await;
    let error = attachment(&server, Encoding::Identity, 0).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable(_)), "{error}");
    let server = Scripted::start(|_, _| answer(200, "Content-Encoding: gzip\r\n", "x")).await;
    let error = attachment(&server, Encoding::Identity, 0).await.unwrap_err();
    assert!(matches!(error, PeerError::Garbage(_)), "{error}");
}

/// With one connection for all, an attachment that is being read does not keep a feed from it.
#[tokio::test(start_paused = true)]
async fn connections_are_given_back() {
    let server = Scripted::start(|_, _| answer(200, "", "0123456789")).await;
    let Endpoint::Remote(remote) = Endpoint::parse(&json!(server.address("db")), None).unwrap()
    else {
        panic!("an address")
    };
    let tuning = Tuning { http_connections: 1, ..defaults() };
    let peer = HttpPeer::new(&HttpClients::new(), &remote, &tuning, true).unwrap();
    let read = revision(&json!({"_id": "a", "_rev": "1-a"}));
    let body = peer.attachment(&read, &stub(Encoding::Identity), 0).await.unwrap();
    let waiting = tokio::time::timeout(PATIENCE, Peer::info(&peer)).await;
    assert!(waiting.is_err(), "the connection is in use");
    drop(body);
    assert!(Peer::info(&peer).await.is_err(), "no JSON");
    assert_eq!(server.lines().len(), 1 + 6);
}
