//! Writing documents: in bodies of a bounded size, and what a target does not take.

use serde_json::{Value, json};

use super::*;
use crate::replicator::{Peer, PeerError, WriteFailure};

fn ids(body: &str) -> Vec<String> {
    let docs = sent(body)["docs"].as_array().unwrap().clone();
    docs.iter().map(|document| document["_id"].as_str().unwrap().to_owned()).collect()
}

fn documents(count: usize, x: &Value) -> Vec<Revision> {
    let document = |n| revision(&json!({"_id": format!("d{n}"), "_rev": "1-a", "x": x}));
    (0..count).map(document).collect()
}

fn failure(id: &str, error: &str, reason: &str) -> WriteFailure {
    WriteFailure { id: id.to_owned(), error: error.to_owned(), reason: reason.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_the_text_itself() {
    let server = Scripted::start(|_, _| {
        let refused = json!({"id": "d1", "rev": "1-a", "error": "forbidden", "reason": "no"});
        json_answer(201, &json!([{"ok": true, "id": "d0", "rev": "1-a"}, refused]))
    })
    .await;
    let written = peer(&server).write(&documents(2, &json!(1.0))).await;
    assert_eq!(written, Ok(vec![failure("d1", "forbidden", "no")]));
    let seen = server.seen().remove(0);
    assert_eq!(seen.line(), "POST /db/_bulk_docs");
    assert_eq!(seen.header("x-couch-full-commit"), Some("false"));
    assert_eq!(
        seen.body,
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"d0\",\"_rev\":\"1-a\",\"x\":1.0},\
         {\"_id\":\"d1\",\"_rev\":\"1-a\",\"x\":1.0}]}"
    );
    assert_eq!(peer(&server).write(&[]).await, Ok(Vec::new()));
    assert_eq!(server.lines().len(), 1, "nothing is no request");
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded() {
    let server = Scripted::start(|_, _| json_answer(201, &json!([]))).await;
    let written = peer(&server).write(&documents(5, &"x".repeat(1_500_000).into())).await;
    assert_eq!(written, Ok(Vec::new()));
    let groups: Vec<_> = server.seen().iter().map(|seen| ids(&seen.body)).collect();
    assert_eq!(groups, [vec!["d0", "d1"], vec!["d2", "d3"], vec!["d4"]]);
    let large = peer(&server).write(&documents(1, &"x".repeat(5_000_000).into())).await;
    assert_eq!(large, Ok(Vec::new()), "one is written however large it is");
}

/// A document that is too large, or that makes no sense, keeps no other from being written.
#[tokio::test(start_paused = true)]
async fn one_bad_document_is_one_failure() {
    for (status, error, reason, told) in [
        (413, "too_large", "d3", "the request is too large for "),
        (400, "doc_validation", "Bad special document member: _x", "Bad special"),
    ] {
        let server = Scripted::start(move |seen, _| {
            let is_bad = ids(&seen.body).contains(&"d3".to_owned());
            if is_bad { refusal(status, error, reason) } else { json_answer(201, &json!([])) }
        })
        .await;
        let failures = peer(&server).write(&documents(6, &json!(1))).await.unwrap();
        assert_eq!((failures.len(), failures[0].id.as_str()), (1, "d3"));
        assert!(failures[0].reason.starts_with(told), "{failures:?}");
        let whole = server.seen().iter().filter(|seen| seen.body.contains("d0")).count();
        let written: usize = server.seen().iter().map(|seen| ids(&seen.body).len()).sum();
        assert!(whole <= 3 && written < 30, "{:?}", server.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_no_failure_of_documents() {
    for steps in [
        refusal(400, "bad_request", "no writes here"),
        answer(400, "", "<html>"),
        refusal(403, "forbidden", "read only"),
        refusal(404, "not_found", "missing"),
        refusal(401, "unauthorized", "x"),
    ] {
        let server = Scripted::start(move |_, _| steps.clone()).await;
        let error = peer(&server).write(&documents(4, &json!(1))).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
    }
    let server =
        Scripted::start(|_, _| refusal(404, "not_found", "Database does not exist.")).await;
    let error = peer(&server).write(&documents(4, &json!(1))).await.unwrap_err();
    assert_eq!(error, PeerError::NotFound(server.address("db/")));
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_is_written_again() {
    let server = Scripted::start(|_, before| match before {
        0 => vec![Step::Cut],
        1 => answer(201, "", "[{"),
        _ => json_answer(201, &json!([])),
    })
    .await;
    assert_eq!(peer(&server).write(&documents(2, &json!(1))).await, Ok(Vec::new()));
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies.len() == 3 && bodies[0] == bodies[2]);
}
