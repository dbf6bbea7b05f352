//! `[couchdb] max_partition_size` from outside.

use serde_json::{Value, json};

use crate::stage::{Stage, text};

fn limit(stage: &Stage, bytes: &str) {
    stage.put("/_node/_local/_config/couchdb/max_partition_size", &json!(bytes));
}

fn answer(stage: &Stage, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let response = stage.ask(method, path, Some(body));
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

fn external(stage: &Stage, partition: &str) -> Value {
    let response = stage.ask("GET", &format!("/parts/_partition/{partition}"), None);
    let found: Value = serde_json::from_slice(&response.body).unwrap();
    found["sizes"]["external"].clone()
}

fn overflow(id: &str) -> (Value, Value) {
    let reason = format!("Partition limit exceeded due to update on '{id}'");
    (json!("partition_overflow"), json!(reason))
}

#[test]
fn a_full_partition_refuses_what_makes_it_larger() {
    let stage = Stage::new();
    assert_eq!(stage.ask("PUT", "/parts?partitioned=true", None).status, 201);
    let filling = "x".repeat(2000);
    let saved = stage.put("/parts/a:1", &json!({"filling": filling}));
    limit(&stage, "1000");
    let (error, reason) = overflow("a:2");
    let refused = json!({"error": error, "reason": reason});
    assert_eq!(answer(&stage, "PUT", "/parts/a:2", &json!({})), (403, refused.clone()));
    assert_eq!(answer(&stage, "POST", "/parts", &json!({"_id": "a:2"})), (403, refused.clone()));
    let attachment = stage.send("PUT", "/parts/a:2/file", &[("Content-Type", "text/plain")], "x");
    assert_eq!((attachment.status, text(&attachment)), (403, refused.to_string()));
    // Rows tell of it one by one; other partitions, and the deletion of documents, are not hit.
    let rev = &saved["rev"];
    let docs = json!([
        {"_id": "a:2"}, {"_id": "b:1"}, {"_id": "a:1", "_rev": rev, "_deleted": true},
    ]);
    let (status, rows) = answer(&stage, "POST", "/parts/_bulk_docs", &json!({"docs": docs}));
    assert_eq!((status, rows[0]["id"].as_str()), (201, Some("a:2")), "{rows}");
    assert_eq!((&rows[0]["error"], &rows[0]["reason"]), (&error, &reason));
    assert_eq!((&rows[1]["ok"], &rows[2]["ok"]), (&json!(true), &json!(true)), "{rows}");
    assert_eq!(external(&stage, "a"), 2);
    stage.put("/parts/a:2", &json!({"filling": filling}));
    // Replicated revisions are taken as they are.
    let (error, reason) = overflow("a:4");
    let replicated = json!({"new_edits": false, "docs": [{"_id": "a:3", "_rev": "1-abc"}]});
    assert_eq!(answer(&stage, "POST", "/parts/_bulk_docs", &replicated), (201, json!([])));
    let refused = json!({"error": error, "reason": reason});
    assert_eq!(answer(&stage, "PUT", "/parts/a:4", &json!({})), (403, refused));
    // Nothing of it is for databases without partitions.
    stage.put("/db/a:1", &json!({"filling": filling}));
    stage.put("/db/a:2", &json!({"filling": filling}));
    limit(&stage, "0");
    stage.put("/parts/a:4", &json!({}));
}

#[test]
fn sizes_outlive_a_power_cut() {
    let stage = Stage::new();
    assert_eq!(stage.ask("PUT", "/parts?partitioned=true", None).status, 201);
    stage.put("/parts/a:1", &json!({"filling": "x".repeat(100)}));
    let before = external(&stage, "a");
    let stage = stage.killed_and_started_again();
    assert_eq!(external(&stage, "a"), before);
    limit(&stage, "100");
    assert_eq!(stage.ask("PUT", "/parts/a:2", Some(&json!({}))).status, 403);
}
