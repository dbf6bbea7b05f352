//! A database at an address as the replicator reads and writes it, on the real server: everything
//! that is in one database gets into another, call by call, and nothing is changed on the way.

use std::sync::Arc;

use serde_json::{Value, json};
use settee::config::Settings;
use settee::http::client::HttpClients;
use settee::replicator::{
    AttachmentSource, ChangesQuery, CreateTarget, Endpoint, HttpPeer, Peer, PeerError, Retries,
    Selection, Tuning,
};

use crate::server::{ADMIN, PASSWORD};
use crate::stage::{Stage, text};

fn peer(stage: &Stage, database: &str, password: &str, use_bulk_get: bool) -> HttpPeer {
    let url = format!("http://{ADMIN}:{password}@{}/{database}", stage.client.host);
    let Endpoint::Remote(remote) = Endpoint::parse(&json!(url), None).unwrap() else {
        panic!("{url} is an address")
    };
    let tuning = Tuning::of(&Settings::default().replicator);
    HttpPeer::new(&HttpClients::new(), &remote, &tuning, use_bulk_get).unwrap()
}

fn everything(continuous: bool, since: Value) -> ChangesQuery {
    let (selection, batch) = (Selection::Everything, 100);
    ChangesQuery { since, selection, winning_revs_only: false, continuous, batch }
}

/// Documents of all kinds: a conflict, a tombstone, a design document, attachments stored packed
/// and plain, an id that must be escaped.
fn fill(stage: &Stage) {
    let conflict = |id: &str| {
        json!({"_id": "two", "_rev": format!("2-{id}"), "n": id,
            "_revisions": {"start": 2, "ids": [id, "aa"]}})
    };
    let docs =
        json!([conflict("bb"), conflict("cc"), {"_id": "a/b c+d", "_rev": "1-dd", "x": 1.0}]);
    let body = json!({"new_edits": false, "docs": docs});
    assert_eq!(stage.ask("POST", "/db/_bulk_docs", Some(&body)).status, 201);
    stage.put("/db/_design/d", &json!({"filters": {"f": " function () {} "}}));
    let gone = stage.put("/db/gone", &json!({}));
    let gone =
        stage.ask("DELETE", &format!("/db/gone?rev={}", gone["rev"].as_str().unwrap()), None);
    assert_eq!(gone.status, 200);
    let large = "many words ".repeat(60_000);
    let first = stage.send("PUT", "/db/att/words", &[("Content-Type", "text/plain")], &large);
    let rev = serde_json::from_slice::<Value>(&first.body).unwrap()["rev"].clone();
    let path = format!("/db/att/plain%2Fbytes?rev={}", rev.as_str().unwrap());
    let second = stage.send("PUT", &path, &[("Content-Type", "image/x")], &large);
    assert_eq!(second.status, 201, "{}", text(&second));
}

/// All that a database says of its documents, bytes of attachments and history included.
pub fn content(stage: &Stage, database: &str) -> Value {
    let changes = stage.ask("GET", &format!("/{database}/_changes?style=all_docs"), None);
    let changes: Value = serde_json::from_slice(&changes.body).unwrap();
    let mut asked = Vec::new();
    for row in changes["results"].as_array().unwrap() {
        for change in row["changes"].as_array().unwrap() {
            asked.push(json!({"id": row["id"], "rev": change["rev"]}));
        }
    }
    asked.sort_by_key(Value::to_string);
    let path = format!("/{database}/_bulk_get?revs=true&attachments=true");
    let found = stage.ask("POST", &path, Some(&json!({ "docs": asked })));
    serde_json::from_slice(&found.body).unwrap()
}

/// What a run of a replication does, without its speed.
async fn copy(source: &Arc<HttpPeer>, target: &HttpPeer) -> Value {
    let mut reader = source.changes(everything(false, json!(0))).await.unwrap();
    let attachments = AttachmentSource::new(source.clone(), Retries::new(1));
    let mut last_seq = Value::Null;
    while let Some(batch) = reader.next().await.unwrap() {
        last_seq = batch.last_seq;
        let missing = target.revs_diff(&batch.changed).await.unwrap();
        let mut rest = missing.as_slice();
        while !rest.is_empty() {
            let fetched = source.fetch(rest).await.unwrap();
            rest = &rest[fetched.done..];
            let (with, without): (Vec<_>, Vec<_>) =
                fetched.revisions.into_iter().partition(|read| !read.attachments.is_empty());
            assert_eq!(target.write(&without).await, Ok(Vec::new()));
            for revision in with {
                let written =
                    target.write_with_attachments(&Arc::new(revision), &attachments).await;
                assert_eq!(written, Ok(None));
            }
        }
    }
    last_seq
}

#[tokio::test]
async fn a_database_is_copied_call_by_call() {
    for use_bulk_get in [true, false] {
        let stage = Stage::new();
        fill(&stage);
        let source = Arc::new(peer(&stage, "db", PASSWORD, use_bulk_get));
        let target = peer(&stage, "copy", PASSWORD, use_bulk_get);
        let missing = target.info().await.unwrap_err();
        assert_eq!(missing, PeerError::NotFound(target.name()));
        for _ in 0..2 {
            // One that is there already is fine.
            target.create(&CreateTarget { q: Some(1), ..CreateTarget::default() }).await.unwrap();
        }
        let last_seq = copy(&source, &target).await;
        assert_eq!(content(&stage, "copy"), content(&stage, "db"), "bulk_get: {use_bulk_get}");

        // A new revision of a document whose attachments are there already.
        let known = stage.ask("GET", "/db/att", None);
        let mut known: Value = serde_json::from_slice(&known.body).unwrap();
        known["new"] = true.into();
        stage.put("/db/att", &known);
        assert_eq!(source.pending(&last_seq, &Selection::Everything).await, Ok(Some(1)));
        copy(&source, &target).await;
        assert_eq!(content(&stage, "copy"), content(&stage, "db"));
        let before = target.info().await.unwrap().instance_start_time;
        assert_eq!(target.ensure_full_commit().await, Ok(before));
        assert_eq!(source.filter_code("d", "f").await.unwrap(), "function () {}");
    }
}

#[tokio::test]
async fn a_continuous_reader_sees_what_is_written_later() {
    let stage = Stage::new();
    stage.put("/db/one", &json!({}));
    let source = peer(&stage, "db", PASSWORD, true);
    let mut reader = source.changes(everything(true, json!(0))).await.unwrap();
    let mut ids = Vec::new();
    while ids.len() < 3 {
        ids.extend(reader.next().await.unwrap().unwrap().changed.into_iter().map(|row| row.id));
        match ids.len() {
            1 => stage.put("/db/two", &json!({})),
            2 => stage.put("/db/three", &json!({})),
            _ => Value::Null,
        };
    }
    assert_eq!(ids, ["one", "two", "three"]);
}

#[tokio::test]
async fn checkpoints_and_strangers() {
    let stage = Stage::new();
    let peer_of = |password| peer(&stage, "db", password, true);
    let known = peer_of(PASSWORD);
    for n in [1, 2] {
        let Value::Object(members) = json!({ "n": n }) else { unreachable!() };
        assert_eq!(known.write_local("a+b", members).await, Ok(()));
        assert_eq!(known.local("a+b").await.unwrap().unwrap()["n"], n);
    }
    assert_eq!(known.local("none").await, Ok(None));
    let stranger = peer_of("wrong").info().await.unwrap_err();
    assert_eq!(stranger, PeerError::Unauthorized(known.name()));
    assert!(!stranger.to_string().contains("wrong"));
}
