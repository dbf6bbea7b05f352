//! What replication documents live through: a power cut, a source that is deleted, a filter that
//! comes later, two documents that want the same.

use serde_json::{Value, json};

use crate::server::{ADMIN, PASSWORD};
use crate::stage::Stage;

use super::proxy::Proxy;
use super::{numbered, until};

#[test]
fn a_power_cut_costs_nothing_that_a_checkpoint_says() {
    let (here, there) = (Stage::new(), Stage::new());
    there.write("db", &numbered("early", 200));
    let body = json!({
        "source": there.address("db"), "target": here.address("db"), "continuous": true,
        "checkpoint_interval": 50
    });
    here.put("/_replicator/live", &body);
    let reached = |stage: &Stage, count: u64| {
        until("everything to be written and remembered", || {
            let info = stage.state_of("_replicator", "live")["info"].take();
            let is_there = info["docs_written"] == count;
            let is_kept = info["checkpointed_source_seq"] == info["through_seq"];
            (is_there && is_kept && info["through_seq"] != 0).then_some(info)
        })
    };
    reached(&here, 200);
    there.write("db", &numbered("meanwhile", 30));
    let before = reached(&here, 230);
    let here = here.killed_and_started_again();
    there.write("db", &numbered("late", 5));
    let after = reached(&here, 235);
    // What was counted before goes on; whatever had been read once more would be counted twice.
    assert_eq!(before["revisions_checked"], 230, "{before}");
    assert_eq!(after["revisions_checked"], 235, "{after}");
    assert_eq!(after["docs_read"], 235, "{after}");
    assert_eq!(here.ids("db").len(), 235);
}

#[test]
fn a_power_cut_in_the_middle_costs_little() {
    const DOCUMENTS: u64 = 100;
    const BATCH: u64 = 5;
    let (here, there) = (Stage::new(), Stage::new());
    let filler = "x".repeat(10_000);
    let docs: Vec<Value> =
        (0..DOCUMENTS).map(|n| json!({"_id": format!("doc-{n:03}"), "filler": filler})).collect();
    there.write("db", &docs);
    let proxy = Proxy::stalling(&there.client.host, 400_000);
    let address = format!("http://{ADMIN}:{PASSWORD}@127.0.0.1:{}/db", proxy.port);
    let body = json!({
        "source": address, "target": here.address("db"), "checkpoint_interval": 10,
        "worker_processes": 1, "worker_batch_size": BATCH
    });
    here.put("/_replicator/once", &body);
    until("the source to fall silent", || (proxy.ended() > 0).then_some(()));
    let before = here.until_state("_replicator", "once", "running")["info"].take();
    let written = before["docs_written"].as_u64().unwrap();
    assert!(0 < written && written < DOCUMENTS, "{before}");
    assert_ne!(before["checkpointed_source_seq"], 0, "{before}");
    let here = here.killed_and_started_again();
    proxy.go_on();
    let after = here.until_state("_replicator", "once", "completed")["info"].take();
    assert_eq!(here.everything("db"), there.everything("db"));
    // A batch may have been on its way, another written after the last checkpoint.
    let checked = after["revisions_checked"].as_u64().unwrap();
    assert!((DOCUMENTS..=DOCUMENTS + 2 * BATCH).contains(&checked), "{before} {after}");
}

#[test]
fn a_replication_whose_source_is_deleted_crashes() {
    let stage = Stage::new();
    stage.new_db("source");
    stage.write("source", &numbered("doc", 3));
    let body = json!({
        "source": stage.address("source"), "target": stage.address("db"), "continuous": true,
        "retries_per_request": 1
    });
    stage.put("/_replicator/live", &body);
    until("the documents", || (stage.ids("db").len() == 3).then_some(()));
    assert_eq!(stage.ask("DELETE", "/source", None).status, 200);
    let shown = stage.until_state("_replicator", "live", "crashing");
    assert_eq!(shown["error_count"], 1, "{shown}");
    assert!(shown["info"]["error"].is_string(), "{shown}");
    let job = &stage.jobs()[0];
    assert_eq!((&job["pid"], &job["history"][0]["type"]), (&Value::Null, &json!("crashed")));
    assert_eq!(stage.replication_tasks(), Vec::<Value>::new());
    assert_eq!(stage.ids("db").len(), 3);
}

#[test]
fn an_edit_gets_a_document_out_of_its_error() {
    let stage = Stage::new();
    stage.write("db", &numbered("doc", 4));
    stage.new_db("target");
    let mut body = json!({
        "source": stage.address("db"), "target": stage.address("target"), "filter": "app/small"
    });
    let first = stage.put("/_replicator/late", &body);
    let shown = stage.until_state("_replicator", "late", "error");
    let reason = shown["info"]["error"].as_str().unwrap();
    assert!(reason.contains("_design/app"), "{reason}");
    assert_eq!(stage.jobs(), Vec::<Value>::new());
    let filter = json!({"filters": {"small": "function(doc) { return doc.n < 2; }"}});
    stage.put("/db/_design/app", &filter);
    body["_rev"] = first["rev"].clone();
    body["worker_batch_size"] = json!(100);
    stage.put("/_replicator/late", &body);
    stage.until_state("_replicator", "late", "completed");
    assert_eq!(stage.ids("target"), ["doc-000", "doc-001"]);
}

#[test]
fn of_two_documents_that_want_the_same_one_fails() {
    let stage = Stage::new();
    stage.new_db("target");
    let body = json!({
        "source": stage.address("db"), "target": stage.address("target"), "continuous": true
    });
    stage.put("/_replicator/first", &body);
    stage.until_state("_replicator", "first", "running");
    stage.put("/_replicator/second", &body);
    let shown = stage.until_state("_replicator", "second", "failed");
    let reason = shown["info"]["error"].as_str().unwrap();
    assert!(reason.contains("already started by document `first` in db `_replicator`"), "{reason}");
    let doc = stage.read("/_replicator/second");
    assert_eq!(doc["_replication_state_reason"], reason);
    assert_eq!(stage.jobs().len(), 1);
}
