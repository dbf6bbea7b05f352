//! `[global_changes]` from outside: what happens to databases stands in `_global_changes`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Stage, text};

/// Waits until the database has all these documents; the ids of all that it has then.
fn wait_for(stage: &Stage, ids: &[&str]) -> BTreeSet<String> {
    let (mut seen, mut since) = (BTreeSet::new(), "0".to_owned());
    while !ids.iter().all(|id| seen.contains(*id)) {
        let path = format!("/_global_changes/_changes?feed=longpoll&since={since}");
        let response = stage.ask("GET", &path, None);
        let page: Value = serde_json::from_slice(&response.body).unwrap();
        let rows = page["results"].as_array().unwrap_or_else(|| panic!("{}", text(&response)));
        assert!(!rows.is_empty(), "nothing came of {ids:?}: {seen:?}");
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        page["last_seq"].as_str().unwrap().clone_into(&mut since);
    }
    seen
}

fn configure(stage: &Stage, key: &str, value: &str) {
    stage.put(&format!("/_node/_local/_config/global_changes/{key}"), &json!(value));
}

fn generation(stage: &Stage, id: &str) -> u64 {
    let response = stage.ask("GET", &format!("/_global_changes/{id}"), None);
    let document: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(document.as_object().unwrap().len(), 2, "{document}");
    document["_rev"].as_str().unwrap().split_once('-').unwrap().0.parse().unwrap()
}

#[test]
fn what_happens_to_databases_becomes_documents() {
    let stage = Stage::new();
    configure(&stage, "max_write_delay", "1");
    configure(&stage, "max_event_delay", "1");
    assert_eq!(stage.ask("PUT", "/a%2Fb", None).status, 201);
    stage.put("/a%2Fb/x", &json!({}));
    wait_for(&stage, &["created:a/b", "updated:a/b"]);
    assert_eq!(stage.ask("DELETE", "/a%2Fb", None).status, 200);
    wait_for(&stage, &["deleted:a/b"]);
    // Again is a new revision.
    assert_eq!(generation(&stage, "created:a%2Fb"), 1);
    assert_eq!(stage.ask("PUT", "/a%2Fb", None).status, 201);
    assert_eq!(stage.ask("PUT", "/c", None).status, 201);
    wait_for(&stage, &["created:c"]);
    assert_eq!(generation(&stage, "created:a%2Fb"), 2);
    // It does not tell of itself.
    let response = stage.ask("GET", "/_db_updates", None);
    assert!(!text(&response).contains("_global_changes"), "{}", text(&response));
    assert!(!wait_for(&stage, &["created:c"]).contains("updated:_global_changes"));
    // Without the database nothing is written, and nothing breaks.
    assert_eq!(stage.ask("DELETE", "/_global_changes", None).status, 200);
    stage.put("/c/x", &json!({}));
    assert_eq!(stage.ask("PUT", "/_global_changes", None).status, 201);
    stage.put("/c/y", &json!({}));
    wait_for(&stage, &["updated:c"]);
}

#[test]
fn events_are_gathered_and_can_be_turned_off() {
    let stage = Stage::new();
    configure(&stage, "max_write_delay", "700");
    // What is gathered by now would be written while the next is.
    wait_for(&stage, &["created:db"]);
    configure(&stage, "update_db", "false");
    assert_eq!(stage.ask("PUT", "/unseen", None).status, 201);
    configure(&stage, "update_db", "true");
    let begun = Instant::now();
    assert_eq!(stage.ask("PUT", "/seen", None).status, 201);
    stage.put("/seen/x", &json!({}));
    stage.put("/seen/y", &json!({}));
    let found = wait_for(&stage, &["created:seen", "updated:seen"]);
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert!(!found.contains("created:unseen"), "{found:?}");
}
