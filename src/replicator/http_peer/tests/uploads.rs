//! Writing documents with attachments, which come from a source that may fail meanwhile.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::*;
use crate::replicator::{AttachmentSource, Peer, PeerError, Retries, WriteFailure};

fn digest(bytes: &str) -> String {
    format!("md5-{}", STANDARD.encode(Md5::digest(bytes)))
}

/// A document with an attachment of its first revision, and one of its second that is packed.
fn document() -> Value {
    json!({
        "_id": "a", "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]},
        "_attachments": {
            "old": {"content_type": "text/x", "revpos": 1, "digest": digest("first"),
                    "length": 5, "stub": true},
            "new": {"content_type": "text/y", "revpos": 2, "digest": digest("packed"),
                    "length": 20, "stub": true, "encoding": "gzip", "encoded_length": 6},
        },
        "x": 1.0,
    })
}

fn revision_after(possible_ancestors: &[&str]) -> Arc<Revision> {
    let possible_ancestors = revs(possible_ancestors);
    Arc::new(Revision { possible_ancestors, ..revision(&document()) })
}

async fn source() -> Scripted {
    Scripted::start(|seen, _| match seen.target.as_str() {
        "/db/a/old?rev=2-b" => answer(200, "", "first"),
        _ => answer(200, "Content-Encoding: gzip\r\n", "packed"),
    })
    .await
}

async fn write(
    source: &Scripted,
    target: &Scripted,
    revision: &Arc<Revision>,
) -> Result<Option<WriteFailure>, PeerError> {
    let attachments = AttachmentSource::new(Arc::new(peer(source)), Retries::new(2));
    peer(target).write_with_attachments(revision, &attachments).await
}

fn created() -> Vec<Step> {
    json_answer(201, &json!({"ok": true, "id": "a", "rev": "2-b"}))
}

/// The parts of a body: the document, and of each attachment its head and its bytes.
fn parts(body: &str) -> (Value, Vec<(String, String)>) {
    let boundary = body.lines().next().unwrap();
    let inner = body.strip_prefix(boundary).unwrap().strip_suffix(&format!("\r\n{boundary}--"));
    let inner = inner.expect("the end of the body");
    let between = format!("\r\n{boundary}");
    let mut parts = inner.split(&between).map(|part| {
        let (head, bytes) = part.split_once("\r\n\r\n").unwrap();
        (head.trim().to_owned(), bytes.to_owned())
    });
    let (head, document) = parts.next().unwrap();
    assert_eq!(head, "Content-Type: application/json");
    (sent(&document), parts.collect())
}

#[tokio::test(start_paused = true)]
async fn all_attachments_of_an_unknown_document_are_sent() {
    let (source, target) = (source().await, Scripted::start(|_, _| created()).await);
    assert_eq!(write(&source, &target, &revision_after(&[])).await, Ok(None));
    let seen = target.seen().remove(0);
    assert_eq!(seen.line(), "PUT /db/a?new_edits=false");
    let content_type = seen.header("content-type").unwrap();
    assert!(content_type.starts_with("multipart/related; boundary="), "{content_type}");
    let (found, sent) = parts(&seen.body);
    let mut expect = document();
    for name in ["old", "new"] {
        let members = expect["_attachments"][name].as_object_mut().unwrap();
        members.remove("stub");
        members.insert("follows".to_owned(), true.into());
    }
    assert_eq!(found, expect);
    let old = "Content-Disposition: attachment; filename=\"old\"\r\n\
        Content-Type: text/x\r\nContent-Length: 5";
    let new = "Content-Disposition: attachment; filename=\"new\"\r\n\
        Content-Type: text/y\r\nContent-Length: 6\r\nContent-Encoding: gzip";
    let expect = [(old, "first"), (new, "packed")];
    assert_eq!(sent, expect.map(|(head, bytes)| (head.to_owned(), bytes.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn attachments_that_the_target_has_stay_stubs() {
    for (ancestors, sent) in [
        (&["1-a"][..], vec!["packed"]),
        (&["1-a", "1-z"], vec!["packed"]),
        // Of another branch, which may have other attachments.
        (&["1-z"], vec!["first", "packed"]),
        (&["2-b"], vec![]),
    ] {
        let (source, target) = (source().await, Scripted::start(|_, _| created()).await);
        assert_eq!(write(&source, &target, &revision_after(ancestors)).await, Ok(None));
        let body = target.seen().remove(0).body;
        if sent.is_empty() {
            assert_eq!(body, document().to_string());
            continue;
        }
        let (found, parts) = parts(&body);
        let bytes: Vec<_> = parts.iter().map(|(_, bytes)| bytes.as_str()).collect();
        assert_eq!(bytes, sent, "{ancestors:?}");
        assert_eq!(found["_attachments"]["old"].get("stub").is_some(), sent.len() == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_lacks_a_stub_gets_all() {
    let target = Scripted::start(|_, before| match before {
        0 => refusal(412, "missing_stub", "id:a, name:old"),
        _ => created(),
    })
    .await;
    let source = source().await;
    assert_eq!(write(&source, &target, &revision_after(&["1-a"])).await, Ok(None));
    let counts: Vec<_> = target.seen().iter().map(|seen| parts(&seen.body).1.len()).collect();
    assert_eq!(counts, [1, 2]);
}

/// A source that fails must never make the target believe that it has all.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_cuts_the_request_off() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfir".to_owned();
    for steps in [
        vec![Step::Send(short), Step::Cut],
        answer(200, "", "other"),
        answer(200, "", "firstly"),
        answer(404, "", ""),
    ] {
        let source = Scripted::start(move |_, _| steps.clone()).await;
        let target = Scripted::start(|_, _| created()).await;
        let written = write(&source, &target, &revision_after(&[])).await;
        assert!(written.is_err(), "{written:?}");
        assert!(target.seen().iter().all(|seen| !seen.is_whole), "{:?}", target.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_recovers_is_read_on() {
    let source = Scripted::start(|seen, before| match (seen.target.as_str(), before) {
        ("/db/a/old?rev=2-b", 0) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfir".to_owned();
            vec![Step::Send(head), Step::Cut]
        }
        ("/db/a/old?rev=2-b", 1) => refusal(503, "x", "y"),
        ("/db/a/old?rev=2-b", _) if seen.header("range") == Some("bytes=3-") => {
            answer(206, "Content-Range: bytes 3-4/5\r\n", "st")
        }
        _ => answer(200, "Content-Encoding: gzip\r\n", "packed"),
    })
    .await;
    let target = Scripted::start(|_, _| created()).await;
    assert_eq!(write(&source, &target, &revision_after(&[])).await, Ok(None));
    assert_eq!(parts(&target.seen()[0].body).1[0].1, "first");
    assert_eq!(target.lines().len(), 1, "the target noticed nothing");
}

/// A server between that unpacks: the target gets what there is, and is not told otherwise.
#[tokio::test(start_paused = true)]
async fn attachments_that_come_unpacked() {
    let source = Scripted::start(|seen, _| match seen.target.as_str() {
        "/db/a/old?rev=2-b" => answer(200, "", "first"),
        _ => answer(200, "", "unpacked and longer."),
    })
    .await;
    let target = Scripted::start(|_, _| created()).await;
    assert_eq!(write(&source, &target, &revision_after(&[])).await, Ok(None));
    let last = target.seen().pop().unwrap();
    assert!(last.is_whole);
    let (found, parts) = parts(&last.body);
    let new = json!({"content_type": "text/y", "revpos": 2, "length": 20, "follows": true});
    assert_eq!(found["_attachments"]["new"], new);
    assert_eq!(parts[1].1, "unpacked and longer.");
    assert!(!parts[1].0.contains("gzip"));
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_document_are_failures_of_it() {
    for (status, error) in [
        (401, "unauthorized"),
        (403, "forbidden"),
        (409, "conflict"),
        (415, "bad_content_type"),
        (412, "missing_stub"),
    ] {
        let target = Scripted::start(move |_, _| refusal(status, error, "x")).await;
        let failure = write(&source().await, &target, &revision_after(&[])).await.unwrap().unwrap();
        assert_eq!((failure.id.as_str(), failure.error.as_str()), ("a", error));
    }
    let target = Scripted::start(|_, _| refusal(413, "too_large", "a")).await;
    let failure = write(&source().await, &target, &revision_after(&[])).await.unwrap().unwrap();
    assert_eq!(failure.error, "request_entity_too_large");
    let target = Scripted::start(|_, _| refusal(404, "not_found", "no_db_file")).await;
    let error = write(&source().await, &target, &revision_after(&[])).await.unwrap_err();
    assert_eq!(error, PeerError::NotFound(target.address("db/")));
    let target = Scripted::start(|_, before| match before {
        0..3 => refusal(500, "unknown_error", "x"),
        _ => created(),
    })
    .await;
    assert_eq!(write(&source().await, &target, &revision_after(&[])).await, Ok(None));
}
