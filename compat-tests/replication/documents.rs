//! Documents of `_replicator` and its like: what may be written, and what becomes of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Stage, text};

use super::{numbered, until};

/// A server with ten documents in `db` and an empty `target`.
fn filled() -> Stage {
    let stage = Stage::new();
    stage.write("db", &numbered("doc", 10));
    stage.new_db("target");
    stage
}

fn job(stage: &Stage, more: &Value) -> Value {
    let mut body = json!({"source": stage.address("db"), "target": stage.address("target")});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn completed_documents_say_so_and_run_once() {
    let stage = filled();
    let first = stage.put("/_replicator/once", &job(&stage, &json!({})));
    let shown = stage.until_state("_replicator", "once", "completed");
    assert_eq!(stage.ids("target").len(), 10);
    assert_eq!(shown["id"], Value::Null);
    assert_eq!((&shown["info"]["docs_written"], &shown["error_count"]), (&json!(10), &json!(0)));
    assert_eq!(shown["source"], format!("http://{}/db/", stage.client.host));
    let doc = stage.read("/_replicator/once");
    assert_ne!(doc["_rev"], first["rev"]);
    assert_eq!((&doc["_replication_state"], &doc["owner"]), (&json!("completed"), &json!("admin")));
    let stats = &doc["_replication_stats"];
    assert_eq!((&stats["docs_read"], &stats["docs_written"]), (&json!(10), &json!(10)), "{doc}");
    assert!(doc["_replication_state_time"].as_str().unwrap().ends_with('Z'), "{doc}");
    assert_eq!(stage.jobs(), Vec::<Value>::new());

    // A completed document rests until it is edited, also over a restart.
    stage.write("db", &[json!({"_id": "later"})]);
    let stage = stage.killed_and_started_again();
    stage.put("/_replicator/other", &job(&stage, &json!({"doc_ids": ["doc-000"]})));
    stage.until_state("_replicator", "other", "completed");
    assert!(!stage.has("/target/later"));
    let edited = job(&stage, &json!({"_rev": doc["_rev"]}));
    stage.put("/_replicator/once", &edited);
    until("the edited document to run", || stage.has("/target/later").then_some(()));
    stage.until_state("_replicator", "once", "completed");
}

#[test]
fn continuous_documents_follow_until_they_are_edited_or_deleted() {
    let stage = filled();
    let first = stage.put("/_replicator/live", &job(&stage, &json!({"continuous": true})));
    let shown = stage.until_state("_replicator", "live", "running");
    let id = shown["id"].as_str().unwrap();
    assert!(id.ends_with("+continuous"));
    stage.write("db", &[json!({"_id": "late"})]);
    until("a late document", || stage.has("/target/late").then_some(()));
    let jobs = stage.jobs();
    assert_eq!(
        (jobs.len(), &jobs[0]["doc_id"], &jobs[0]["database"]),
        (1, &json!("live"), &json!("_replicator"))
    );
    assert_eq!(jobs[0]["history"][0]["type"], "started");
    assert_eq!(jobs[0]["history"][1]["type"], "added");
    assert_eq!(stage.read(&format!("/_scheduler/jobs/{id}"))["id"], id);
    assert_eq!(stage.read("/_replicator/live")["_rev"], first["rev"], "its document is left alone");

    stage.new_db("second");
    let mut edited = job(&stage, &json!({"continuous": true, "_rev": first["rev"]}));
    edited["target"] = json!(stage.address("second"));
    let second = stage.put("/_replicator/live", &edited);
    until("the new target to be filled", || (stage.ids("second").len() == 11).then_some(()));
    let jobs = stage.jobs();
    assert_eq!(jobs.len(), 1, "the old job is gone");
    assert_eq!(jobs[0]["target"], format!("http://{}/second/", stage.client.host));
    let rev = second["rev"].as_str().unwrap();
    assert_eq!(stage.ask("DELETE", &format!("/_replicator/live?rev={rev}"), None).status, 200);
    until("the job to be gone", || stage.jobs().is_empty().then_some(()));
    assert_eq!(stage.state_of("_replicator", "live"), Value::Null);
    assert_eq!(stage.replication_tasks(), Vec::<Value>::new());
}

#[test]
fn documents_that_make_no_sense_are_refused() {
    let stage = filled();
    let (source, target) = (stage.address("db"), stage.address("target"));
    let throw = |reason: &str| format!("{{throw,{{bad_request,<<\"{reason}\">>}}}}");
    let local = "local_endpoints_not_supported".to_owned();
    let missing = "Missing replicator database".to_owned();
    for (body, reason) in [
        (json!({}), missing.clone()),
        (json!({"source": source}), missing.clone()),
        (json!({"target": target}), missing),
        (json!({"source": 5, "target": target}), "{error,function_clause}".to_owned()),
        (json!({"source": "db", "target": target}), local.clone()),
        (json!({"source": source, "target": "target"}), local),
        (
            json!({"source": source, "target": target, "continuous": "yes"}),
            throw("parameter `continuous` must be a boolean"),
        ),
        (
            json!({"source": source, "target": target, "selector": 1}),
            throw("parameter `selector` must be a JSON object"),
        ),
        (
            json!({"source": source, "target": target, "doc_ids": ["x"], "filter": "a/b"}),
            "{throw,{bad_request,\"`doc_ids`,`filter`,`selector` are mutually exclusive\"}}"
                .to_owned(),
        ),
    ] {
        let (status, found) = stage.ask_json("PUT", "/_replicator/bad", Some(&body));
        assert_eq!((status, &found["error"]), (403, &json!("forbidden")), "{body}");
        assert_eq!(found["reason"], reason, "{body}");
        let bulk = stage.post("/_replicator/_bulk_docs", &json!({"docs": [body]}));
        assert_eq!(bulk[0]["error"], "forbidden", "{bulk}");
    }
    assert_eq!(stage.read("/_scheduler/docs")["total_rows"], 0);
}

#[test]
fn documents_belong_to_who_wrote_them() {
    let stage = filled();
    stage.put("/_replicator/_security", &json!({}));
    let put_as_nobody = |path: &str, body: &Value| {
        let headers = [("Content-Type", "application/json"), ("X-No-Auth", "yes")];
        stage.send("PUT", path, &headers, &body.to_string())
    };
    stage.put("/_replicator/admins", &job(&stage, &json!({"continuous": true})));
    let mut doc = stage.read("/_replicator/admins");
    assert_eq!(doc["owner"], "admin");
    doc["checkpoint_interval"] = json!(1000);
    let refused = put_as_nobody("/_replicator/admins", &doc);
    assert_eq!(refused.status, 403);
    let reason = "Can't update replication documents from other users.";
    assert!(text(&refused).contains(reason), "{}", text(&refused));
    let claimed = job(&stage, &json!({"owner": "admin"}));
    assert_eq!(put_as_nobody("/_replicator/claimed", &claimed).status, 403);
    let own = job(&stage, &json!({"continuous": true, "doc_ids": ["doc-000"]}));
    assert_eq!(put_as_nobody("/_replicator/own", &own).status, 201);
    let mut own = stage.read("/_replicator/own");
    assert_eq!(own["owner"], Value::Null);
    own["checkpoint_interval"] = json!(1000);
    assert_eq!(put_as_nobody("/_replicator/own", &own).status, 201);
    let mut doc = stage.read("/_replicator/admins");
    stage.new_admin("ann", "pw");
    let ann = format!("Basic {}", STANDARD.encode("ann:pw"));
    doc["checkpoint_interval"] = json!(2000);
    let headers = [("Content-Type", "application/json"), ("Authorization", ann.as_str())];
    let by_ann = stage.send("PUT", "/_replicator/admins", &headers, &doc.to_string());
    assert_eq!(by_ann.status, 201, "{}", text(&by_ann));
    assert_eq!(stage.read("/_replicator/admins")["owner"], "admin", "an admin takes nothing");
}

#[test]
fn other_databases_can_hold_replications() {
    let stage = filled();
    stage.put("/a%2Fb%2F_replicator", &json!({}));
    stage.put("/a%2Fb%2F_replicator/once", &job(&stage, &json!({})));
    let shown = until("its state", || {
        let found = stage.state_of("a%2Fb%2F_replicator", "once");
        (found["state"] == "completed").then_some(found)
    });
    assert_eq!(shown["database"], "a/b/_replicator");
    assert_eq!(stage.state_of("a/b/_replicator", "once"), shown, "slashes may stay as they are");
    assert_eq!(stage.read("/_scheduler/docs/a/b/_replicator")["total_rows"], 1);
    assert_eq!(stage.read("/_scheduler/docs")["total_rows"], 0);
    let refused = stage.ask("PUT", "/a%2Fb%2F_replicator/bad", Some(&json!({})));
    assert_eq!(refused.status, 403);

    stage.put("/a%2Fb%2F_replicator/live", &job(&stage, &json!({"continuous": true})));
    until("its job", || (stage.jobs().len() == 1).then_some(()));
    assert_eq!(stage.ask("DELETE", "/a%2Fb%2F_replicator", None).status, 200);
    until("the job to go with its database", || stage.jobs().is_empty().then_some(()));
}

#[test]
fn the_scheduler_lists_documents_by_state() {
    let stage = filled();
    stage.put("/_replicator/a-done", &job(&stage, &json!({})));
    stage.put("/_replicator/b-live", &job(&stage, &json!({"continuous": true})));
    stage.put("/_replicator/c-error", &job(&stage, &json!({"filter": "no/such"})));
    let mut lost = job(&stage, &json!({}));
    lost["source"] = json!(stage.address("absent"));
    stage.put("/_replicator/d-lost", &lost);
    let states = [
        ("a-done", "completed"),
        ("b-live", "running"),
        ("c-error", "error"),
        ("d-lost", "crashing"),
    ];
    for (id, state) in states {
        let shown = stage.until_state("_replicator", id, state);
        let errors = u64::from(matches!(state, "error" | "crashing"));
        assert_eq!(shown["error_count"], errors, "{shown}");
        assert_eq!(shown["info"]["error"].is_string(), errors > 0, "{shown}");
        assert_eq!(shown["id"].is_string(), matches!(state, "running" | "crashing"), "{shown}");
    }
    let listed = |query: &str| -> Vec<String> {
        let found = stage.read(&format!("/_scheduler/docs{query}"));
        let docs = found["docs"].as_array().unwrap().iter();
        docs.map(|doc| doc["doc_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(""), states.map(|(id, _)| id));
    for (id, state) in states {
        assert_eq!(listed(&format!("?states={state}")), [id]);
    }
    assert_eq!(listed("?states=error,completed"), ["a-done", "c-error"]);
    assert_eq!(listed("?skip=1&limit=2"), ["b-live", "c-error"]);
    assert_eq!(listed("/_replicator?limit=1"), ["a-done"]);
    let reason = stage.ask_json("GET", "/_scheduler/docs?states=odd", None).1["reason"].to_string();
    assert!(reason.contains("States must be one or more of"), "{reason}");
    let crashed = stage.read("/_scheduler/docs/_replicator/d-lost");
    let host = &stage.client.host;
    assert_eq!(
        crashed["info"]["error"],
        format!("db_not_found: could not open http://{host}/absent/")
    );
    let jobs = stage.read("/_scheduler/jobs");
    assert_eq!((&jobs["total_rows"], &jobs["offset"]), (&json!(2), &json!(0)));
    let history = jobs["jobs"].as_array().unwrap().iter().find(|job| job["doc_id"] == "d-lost");
    let history = history.unwrap()["history"].as_array().unwrap();
    let types: Vec<&str> = history.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["crashed", "started", "added"]);
}
