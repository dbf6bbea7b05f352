//! Calls with one answer: what they send, what they make of it, and when they try again.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::replicator::{Changed, CreateTarget, Peer, PeerError, PeerInfo, Selection};

#[tokio::test(start_paused = true)]
async fn a_database_tells_of_itself() {
    for (body, time) in [
        (json!({"instance_start_time": "17", "update_seq": "5-x"}), "17"),
        (json!({"instance_start_time": 17, "update_seq": "5-x"}), "17"),
        (json!({"update_seq": "5-x"}), "0"),
    ] {
        let server = Scripted::start(move |_, _| json_answer(200, &body)).await;
        let expect = PeerInfo { instance_start_time: time.to_owned(), update_seq: json!("5-x") };
        assert_eq!(Peer::info(&peer(&server)).await, Ok(expect));
        assert_eq!(server.lines(), ["GET /db/"]);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_have_a_meaning_and_no_password() {
    let server = Scripted::start(|seen, _| match seen.target.as_str() {
        "/gone/" => refusal(404, "not_found", "Database does not exist."),
        "/odd/" => answer(404, "", "<html>"),
        "/closed/" => refusal(401, "unauthorized", "You are not authorized to access this db."),
        "/other/" => refusal(403, "forbidden", "You are not allowed to access this db."),
        _ => answer(404, "", ""),
    })
    .await;
    for database in ["gone", "odd", "closed", "other"] {
        let address = server.address(database);
        let with_password = address.replace("http://", "http://user:secret@");
        let error = Peer::info(&peer_of(&json!(with_password), true)).await.unwrap_err();
        let expect = match database {
            "gone" | "odd" => PeerError::NotFound(address + "/"),
            _ => PeerError::Unauthorized(address + "/"),
        };
        assert_eq!(error, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_waited_for() {
    let server = Scripted::start(|_, before| match before {
        0 => refusal(500, "unknown_error", "x"),
        1 => vec![Step::Cut],
        2 => answer(200, "", "{\"update_seq\":"),
        3 => answer(429, "Retry-After: 20\r\n", ""),
        4 => answer(503, "Retry-After: 999999\r\n", ""),
        _ => json_answer(200, &json!({})),
    })
    .await;
    let begun = Instant::now();
    assert!(Peer::info(&peer(&server)).await.is_ok());
    // 0.25 + 0.5 + 1 seconds, what the server asked for, and the most that is granted.
    let waited = begun.elapsed().as_millis();
    assert!((81_750..82_500).contains(&waited), "{waited}");
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn failures_that_stay_are_told() {
    let server = Scripted::start(|_, _| refusal(502, "x", "y")).await;
    let error = Peer::info(&peer(&server)).await.unwrap_err();
    assert!(matches!(error, PeerError::Status { status: 502, .. }), "{error}");
    assert_eq!(server.lines().len(), 6);

    let server = Scripted::start(|_, _| refusal(400, "bad_request", "y")).await;
    let error = Peer::info(&peer(&server)).await.unwrap_err();
    let address = server.address("db/");
    assert_eq!(error.to_string(), format!("{address} answered 400 bad_request: y"));
    assert_eq!(server.lines().len(), 1, "asking again is of no use");
}

#[tokio::test(start_paused = true)]
async fn databases_are_made() {
    let server = Scripted::start(|seen, _| match seen.target.as_str() {
        "/db/" => json_answer(201, &json!({"ok": true})),
        "/db/?q=2&n=1&partitioned=true" => refusal(412, "file_exists", "x"),
        _ => refusal(403, "forbidden", "x"),
    })
    .await;
    let peer = peer(&server);
    let all = CreateTarget { q: Some(2), n: Some(1), partitioned: true };
    assert_eq!(Peer::create(&peer, &CreateTarget::default()).await, Ok(()));
    assert_eq!(Peer::create(&peer, &all).await, Ok(()), "it exists already");
    let one = CreateTarget { q: Some(1), ..CreateTarget::default() };
    let address = server.address("db/");
    assert_eq!(Peer::create(&peer, &one).await, Err(PeerError::Unauthorized(address)));
}

/// A server that asks for the revision of a local document, as old CouchDBs do.
#[tokio::test(start_paused = true)]
async fn checkpoints_replace_what_is_there() {
    let server = Scripted::start(|seen, _| match (seen.method.as_str(), seen.target.as_str()) {
        ("GET", "/db/_local/a%2Bb") => json_answer(200, &json!({"_rev": "0-7", "x": 1})),
        ("GET", _) => refusal(404, "not_found", "missing"),
        (_, "/db/_local/a%2Bb") if sent(&seen.body)["_rev"] == "0-7" => {
            json_answer(201, &json!({"ok": true}))
        }
        _ => refusal(409, "conflict", "Document update conflict."),
    })
    .await;
    let peer = peer(&server);
    let Value::Object(members) = json!({"_rev": "0-1", "x": 2}) else { unreachable!() };
    assert_eq!(Peer::local(&peer, "none").await, Ok(None));
    assert_eq!(Peer::local(&peer, "a+b").await.unwrap().unwrap()["x"], 1);
    assert_eq!(Peer::write_local(&peer, "a+b", members.clone()).await, Ok(()));
    let last = server.seen().pop().unwrap();
    assert_eq!(sent(&last.body), json!({"_rev": "0-7", "x": 2}));
    let error = Peer::write_local(&peer, "never", members).await.unwrap_err();
    assert!(matches!(error, PeerError::Status { status: 409, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_target_lacks() {
    let server = Scripted::start(|_, _| {
        let b = json!({"missing": ["2-y", "1-x"], "possible_ancestors": ["1-a"]});
        json_answer(200, &json!({"b": b, "a": {"missing": ["1-a"]}, "c": {"missing": []}}))
    })
    .await;
    let changed = |id: &str, texts| Changed { id: id.to_owned(), revs: revs(texts) };
    let asked = [
        changed("a", &["1-a"]),
        changed("b", &["1-x"]),
        changed("c", &["3-c"]),
        changed("b", &["2-y"]),
    ];
    let found = Peer::revs_diff(&peer(&server), &asked).await.unwrap();
    let b = Missing { possible_ancestors: revs(&["1-a"]), ..missing("b", &["2-y", "1-x"]) };
    assert_eq!(found, [missing("a", &["1-a"]), b]);
    let body = sent(&server.seen()[0].body);
    assert_eq!(body, json!({"a": ["1-a"], "b": ["1-x", "2-y"], "c": ["3-c"]}));
}

#[tokio::test(start_paused = true)]
async fn sources_of_filters() {
    let server = Scripted::start(|_, _| {
        let filters = json!({"one": "\n function() {} ", "two": " function() {\n} "});
        json_answer(200, &json!({"filters": filters}))
    })
    .await;
    let peer = peer(&server);
    // CouchDB's expression does not match over lines.
    for (name, code) in [("one", "function() {}"), ("two", " function() {\n} ")] {
        assert_eq!(Peer::filter_code(&peer, "a/b", name).await.unwrap(), code);
    }
    let error = Peer::filter_code(&peer, "a/b", "three").await.unwrap_err();
    assert!(error.to_string().ends_with("404 not_found: missing json key: three"), "{error}");
    assert_eq!(server.lines()[0], "GET /db/_design/a%2Fb");
}

#[tokio::test(start_paused = true)]
async fn commits_and_what_is_pending() {
    let server = Scripted::start(|seen, _| match seen.target.as_str() {
        "/new/_ensure_full_commit" => json_answer(201, &json!({"instance_start_time": "7"})),
        "/old/" => json_answer(200, &json!({"instance_start_time": "8"})),
        "/new/_changes?limit=0&since=5-%2B" => json_answer(200, &json!({"pending": 3})),
        "/old/_changes?limit=0&since=%5B1%5D" => json_answer(200, &json!({"results": []})),
        _ => refusal(404, "not_found", "missing"),
    })
    .await;
    let at = |database| peer_of(&json!(server.address(database)), true);
    let (new, old) = (at("new"), at("old"));
    assert_eq!(Peer::ensure_full_commit(&new).await.unwrap(), "7");
    assert_eq!(Peer::ensure_full_commit(&old).await.unwrap(), "8");
    let all = Selection::Everything;
    assert_eq!(Peer::pending(&new, &json!("5-+"), &all).await, Ok(Some(3)));
    assert_eq!(Peer::pending(&old, &json!([1]), &all).await, Ok(None));
    let some = Selection::DocIds(Vec::new());
    assert_eq!(Peer::pending(&new, &json!(1), &some).await, Ok(None));
}
