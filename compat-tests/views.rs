//! What the transcripts of views do not show: waiting for an index and going away, updates after
//! the answer, cleanup, linked documents, answers of many pages, functions without end.
//!
//! Tests look again and again for what must come; none relies on how long something takes, but
//! that a build of [`SLOW_DOCUMENTS`] outlasts a few requests.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Stage, text};

const SLOW_DOCUMENTS: usize = 1500;
const SLOW_MAP: &str =
    "function(doc) { var s = 0; for (var i = 0; i < 60000; i++) { s += i; } emit(doc.n, null); }";
const DEADLINE: Duration = Duration::from_mins(1);

impl Stage {
    /// The JSON of an answer that is to succeed.
    fn get(&self, path: &str) -> Value {
        let response = self.ask("GET", path, None);
        assert_eq!(response.status, 200, "{path}: {}", text(&response));
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Saves documents `d00000`, `d00001`... with `n` counting up.
    fn fill(&self, count: usize) {
        let docs: Vec<Value> =
            (0..count).map(|n| json!({"_id": format!("d{n:05}"), "n": n})).collect();
        let saved = self.ask("POST", "/db/_bulk_docs", Some(&json!({"docs": docs})));
        assert_eq!(saved.status, 201);
    }

    fn view_index(&self, ddoc: &str) -> Value {
        self.get(&format!("/db/_design/{ddoc}/_info"))["view_index"].clone()
    }
}

fn ddoc(map: &str) -> Value {
    json!({"views": {"v": {"map": map}}})
}

/// Looks until there is what must come.
fn await_some<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not come: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_wait_together_for_one_build_that_active_tasks_shows() {
    let stage = Stage::new();
    stage.fill(SLOW_DOCUMENTS);
    stage.put("/db/_design/slow", &ddoc(SLOW_MAP));
    thread::scope(|scope| {
        let path = "/db/_design/slow/_view/v?limit=0";
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| stage.get(path))).collect();
        let index = await_some("three waiting clients", || {
            Some(stage.view_index("slow")).filter(|index| index["waiting_clients"] == 3)
        });
        assert_eq!(index["updater_running"], true);
        let tasks = await_some("an indexer with progress", || {
            let tasks = stage.get("/_active_tasks");
            (tasks[0]["changes_done"].as_u64() > Some(0)).then_some(tasks)
        });
        assert_eq!(tasks.as_array().map(Vec::len), Some(1), "one build: {tasks}");
        let task = &tasks[0];
        for (member, expect) in [
            ("type", json!("indexer")),
            ("database", json!("db")),
            ("design_document", json!("_design/slow")),
            ("total_changes", json!(SLOW_DOCUMENTS)),
        ] {
            assert_eq!(task[member], expect, "{member}");
        }
        let (done, total) = (task["changes_done"].as_u64(), task["total_changes"].as_u64());
        let progress = done.unwrap() * 100 / total.unwrap();
        assert_eq!(task["progress"].as_u64(), Some(progress));
        assert!(task["updated_on"].as_u64() >= task["started_on"].as_u64());
        for client in waiting {
            assert_eq!(client.join().unwrap()["total_rows"], SLOW_DOCUMENTS);
        }
    });
    await_some("the end of the task", || (stage.get("/_active_tasks") == json!([])).then_some(()));
    let index = stage.view_index("slow");
    assert_eq!(
        (&index["waiting_clients"], &index["updates_pending"]["total"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn who_asks_sees_which_maps_run_without_an_engine() {
    let stage = Stage::new();
    stage.put("/db/_design/plain", &ddoc("function(doc) { emit(doc.n, null); }"));
    stage.put("/db/_design/dates", &ddoc("function(doc) { emit(new Date(doc.n), null); }"));
    for (name, native) in [("plain", true), ("dates", false)] {
        let info = stage.get(&format!("/db/_design/{name}/_info?native=true"));
        assert_eq!(info["view_index"]["native"], json!({"v": native}));
        assert_eq!(stage.view_index(name).get("native"), None);
    }
    let functions = json!({
        "filters": {
            "plain": "function(doc, req) { return doc.type == req.query.type; }",
            "dates": "function(doc) { return doc.n && new Date(doc.n) > 0; }",
        },
        "validate_doc_update": "function(doc) { if (!doc.type) throw({forbidden: 'no type'}); }",
    });
    stage.put("/db/_design/functions", &functions);
    let info = stage.get("/db/_design/functions/_info?native=true");
    let native =
        json!({"filters.dates": false, "filters.plain": true, "validate_doc_update": true});
    assert_eq!(info["native"], native);
}

#[test]
fn a_client_that_goes_away_waits_no_more_and_the_build_goes_on() {
    let stage = Stage::new();
    stage.fill(SLOW_DOCUMENTS);
    stage.put("/db/_design/slow", &ddoc(SLOW_MAP));
    let held = stage.ask_and_hold("/db/_design/slow/_view/v");
    let waiting = |count: u64| {
        let index = stage.view_index("slow");
        (index["waiting_clients"] == count).then_some(index)
    };
    await_some("a waiting client", || waiting(1));
    drop(held);
    let index = await_some("nobody waiting", || waiting(0));
    assert_eq!(index["updater_running"], true, "it went away before the end: {index}");
    await_some("the end of the build", || {
        (stage.view_index("slow")["updates_pending"]["total"] == 0).then_some(())
    });
}

#[test]
fn a_server_that_stops_keeps_nobody_waiting() {
    let stage = Stage::new();
    stage.fill(SLOW_DOCUMENTS);
    stage.put("/db/_design/slow", &ddoc(SLOW_MAP));
    let _held = stage.ask_and_hold("/db/_design/slow/_view/v");
    await_some("a waiting client", || {
        (stage.view_index("slow")["waiting_clients"] == 1).then_some(())
    });
    let Stage { server, .. } = stage;
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn lazy_updates_come_after_the_answer() {
    let stage = Stage::new();
    stage.fill(10);
    let mut ddoc = ddoc("function(doc) { emit(doc.n, null); }");
    ddoc["autoupdate"] = json!(false);
    stage.put("/db/_design/d", &ddoc);
    let rows = |parameters: &str| {
        stage.get(&format!("/db/_design/d/_view/v?{parameters}"))["total_rows"].clone()
    };
    assert_eq!(rows("update=false"), 0);
    assert_eq!(rows("stale=ok"), 0);
    assert_eq!(rows("update=lazy"), 0);
    await_some("the update", || (rows("update=false") == 10).then_some(()));
    stage.put("/db/late", &json!({"n": 1}));
    assert_eq!(rows("stale=ok"), 10);
    assert_eq!(rows("stale=update_after"), 10);
    await_some("the update", || (rows("update=false") == 11).then_some(()));
}

#[test]
fn cleanup_drops_what_no_design_document_computes() {
    let stage = Stage::new();
    stage.fill(10);
    let map = "function(doc) { emit(doc.n, null); }";
    let first = stage.put("/db/_design/d", &ddoc(map));
    let second = stage.put("/db/_design/e", &ddoc("function(doc) { emit(doc._id, null); }"));
    let rows = |name: &str, parameters: &str| {
        stage.get(&format!("/db/_design/{name}/_view/v?{parameters}"))["total_rows"].clone()
    };
    assert_eq!((rows("d", ""), rows("e", "")), (json!(10), json!(10)));
    let cleanup = || assert_eq!(stage.ask("POST", "/db/_view_cleanup", None).status, 202);
    // As long as a design document has the same views their index stays, whatever its name.
    stage.put("/db/_design/copy", &ddoc(map));
    let removed = format!("/db/_design/d?rev={}", first["rev"].as_str().unwrap());
    assert_eq!(stage.ask("DELETE", &removed, None).status, 200);
    cleanup();
    assert_eq!((rows("copy", "update=false"), rows("e", "update=false")), (json!(10), json!(10)));
    let gone = stage.ask("GET", "/db/_design/d/_view/v", None);
    let gone: Value = serde_json::from_slice(&gone.body).unwrap();
    assert_eq!(gone, json!({"error": "not_found", "reason": "deleted"}));
    let mut changed = ddoc("function(doc) { emit(doc._id, 1); }");
    changed["_rev"] = second["rev"].clone();
    let changed = stage.put("/db/_design/e", &changed);
    cleanup();
    let mut again = ddoc("function(doc) { emit(doc._id, null); }");
    again["_rev"] = changed["rev"].clone();
    again["autoupdate"] = json!(false);
    stage.put("/db/_design/e", &again);
    assert_eq!(rows("e", "update=false"), 0, "the dropped index is empty");
    assert_eq!((rows("e", ""), rows("copy", "")), (json!(10), json!(10)));
}

#[test]
fn answers_are_framed_as_couchdb_frames_them() {
    let stage = Stage::new();
    stage.fill(3);
    let views = json!({"views": {
        "m": {"map": "function(doc) { emit(doc.n, {a: [doc.n]}); }"},
        "r": {"map": "function(doc) { emit([doc.n % 2, doc.n], 2); }", "reduce": "_sum"},
    }});
    stage.put("/db/_design/d", &views);
    let check = |path: &str, expect: &str| {
        let found = stage.ask("GET", &format!("/db/_design/d/_view/{path}"), None);
        assert_eq!(String::from_utf8_lossy(&found.body), expect, "{path}");
    };
    check(
        "m?skip=1&limit=2",
        "{\"total_rows\":3,\"offset\":1,\"rows\":[\r\n\
         {\"id\":\"d00001\",\"key\":1,\"value\":{\"a\":[1]}},\r\n\
         {\"id\":\"d00002\",\"key\":2,\"value\":{\"a\":[2]}}\r\n]}\n",
    );
    check("m?key=9", "{\"total_rows\":3,\"offset\":3,\"rows\":[\r\n\r\n]}\n");
    check(
        "m?keys=[9,2,2]",
        "{\"total_rows\":3,\"offset\":2,\"rows\":[\r\n\
         {\"id\":\"d00002\",\"key\":2,\"value\":{\"a\":[2]}},\r\n\
         {\"id\":\"d00002\",\"key\":2,\"value\":{\"a\":[2]}}\r\n]}\n",
    );
    check("m?keys=[9,1.5]", "{\"total_rows\":3,\"offset\":2,\"rows\":[\r\n\r\n]}\n");
    check("r", "{\"rows\":[\r\n{\"key\":null,\"value\":6}\r\n]}\n");
    check("r?startkey=[2]", "{\"rows\":[\r\n\r\n]}\n");
    check(
        "r?group_level=1",
        "{\"rows\":[\r\n{\"key\":[0],\"value\":4},\r\n{\"key\":[1],\"value\":2}\r\n]}\n",
    );
    let queries = json!({"queries": [{"reduce": false, "limit": 1}, {"key": [0, 0]}]});
    let found = stage.ask("POST", "/db/_design/d/_view/r/queries", Some(&queries));
    let expect = "{\"results\":[\r\n{\"total_rows\":3,\"offset\":0,\"rows\":[\r\n\
         {\"id\":\"d00000\",\"key\":[0,0],\"value\":2}\r\n]},\r\n\
         {\"rows\":[\r\n{\"key\":null,\"value\":2}\r\n]}\r\n]}\n";
    assert_eq!(String::from_utf8_lossy(&found.body), expect);
}

#[test]
fn long_answers_hold_every_row_once() {
    const ROWS: usize = 20_000;
    let stage = Stage::new();
    stage.fill(ROWS);
    stage.put("/db/_design/d", &ddoc("function(doc) { emit(doc.n, doc._id + doc._id); }"));
    for (parameters, first, last) in [
        ("", 0, ROWS - 1),
        ("?include_docs=true", 0, ROWS - 1),
        ("?include_docs=true&descending=true", ROWS - 1, 0),
        ("?startkey=100&endkey=15000", 100, 15_000),
        ("?skip=9000&limit=9000&include_docs=true", 9000, 17_999),
    ] {
        let answer = stage.get(&format!("/db/_design/d/_view/v{parameters}"));
        let rows = answer["rows"].as_array().unwrap();
        let expect: Vec<usize> =
            if first < last { (first..=last).collect() } else { (last..=first).rev().collect() };
        assert_eq!(rows.len(), expect.len(), "{parameters}");
        for (row, n) in rows.iter().zip(expect) {
            let id = format!("d{n:05}");
            assert_eq!((&row["id"], &row["key"]), (&json!(id), &json!(n)), "{parameters}");
            assert_eq!(row["value"], format!("{id}{id}"), "{parameters}");
            if parameters.contains("include_docs") {
                assert_eq!((&row["doc"]["_id"], &row["doc"]["n"]), (&json!(id), &json!(n)));
            }
        }
    }
}

#[test]
fn the_configuration_bounds_the_rows_of_a_query() {
    let stage = Stage::new();
    stage.fill(5);
    stage.put("/db/_design/d", &ddoc("function(doc) { emit(doc.n, null); }"));
    stage.put("/_node/_local/_config/query_server_config/query_limit", &json!("3"));
    let rows = |parameters: &str| {
        let answer = stage.get(&format!("/db/_design/d/_view/v{parameters}"));
        answer["rows"].as_array().map(Vec::len)
    };
    assert_eq!((rows(""), rows("?limit=2")), (Some(3), Some(2)));
    let refused = stage.ask("GET", "/db/_design/d/_view/v?limit=4", None);
    let refused: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(refused["reason"], "Limit is too large, must not exceed 3");
    stage.put("/_node/_local/_config/query_server_config/query_limit", &json!("infinity"));
    assert_eq!(rows(""), Some(5));
}

#[test]
fn values_can_name_the_documents_of_rows() {
    let stage = Stage::new();
    let old = stage.put("/db/target", &json!({"is": "old"}))["rev"].clone();
    stage.put("/db/target", &json!({"is": "new", "_rev": old}));
    let rev = stage.put("/db/deleted", &json!({}))["rev"].as_str().unwrap().to_owned();
    let deleted = stage.ask("DELETE", &format!("/db/deleted?rev={rev}"), None);
    let tombstone: Value = serde_json::from_slice(&deleted.body).unwrap();
    for (id, value) in [
        ("a", json!({"_id": "target"})),
        ("b", json!({"_id": "target", "_rev": old})),
        ("c", json!({"_id": "deleted"})),
        ("d", json!({"_id": "deleted", "_rev": tombstone["rev"]})),
        ("e", json!({"_id": "never"})),
        ("f", json!({"_id": null})),
        ("g", json!({"_id": 5})),
        ("h", json!({"other": "_id"})),
        ("i", json!({"_id": "target", "_rev": "9-x"})),
    ] {
        stage.put(&format!("/db/{id}"), &json!({"value": value}));
    }
    let map = "function(doc) { if (doc.value) emit(doc._id, doc.value); }";
    stage.put("/db/_design/d", &ddoc(map));
    let answer = stage.get("/db/_design/d/_view/v?include_docs=true");
    let docs = answer["rows"].as_array().unwrap().iter().map(|row| row["doc"].clone());
    let shown: Vec<Value> = docs
        .map(|doc| match doc {
            Value::Null => json!(null),
            doc => json!([doc["_id"], doc["is"], doc["_deleted"]]),
        })
        .collect();
    let expect = json!([
        ["target", "new", null],
        ["target", "old", null],
        null,
        ["deleted", null, true],
        null,
        null,
        null,
        ["h", null, null],
        null,
    ]);
    assert_eq!(Value::Array(shown), expect);
}

#[test]
fn a_function_without_end_fails_its_own_views_only() {
    let stage = Stage::new();
    stage.fill(1);
    stage.put("/_node/_local/_config/couchdb/os_process_timeout", &json!("200"));
    stage.put("/db/_design/endless", &ddoc("function(doc) { for (;;) {} }"));
    stage.put("/db/_design/good", &ddoc("function(doc) { emit(doc.n, null); }"));
    for _ in 0..2 {
        let failed = stage.ask("GET", "/db/_design/endless/_view/v", None);
        let error: Value = serde_json::from_slice(&failed.body).unwrap();
        assert_eq!((failed.status, &error["error"]), (500, &json!("os_process_error")));
        assert_eq!(error["reason"], "OS process timed out.");
        assert_eq!(stage.get("/db/_design/good/_view/v")["total_rows"], 1);
    }
}

#[test]
fn views_over_users_are_for_admins() {
    let stage = Stage::new();
    stage.ask("PUT", "/_users", None);
    stage.put("/_users/_design/d", &ddoc("function(doc) { emit(null, null); }"));
    assert_eq!(stage.get("/_users/_design/d/_view/v")["total_rows"], 0);
    let nobody = [("X-No-Auth".to_owned(), "1".to_owned())];
    let refused = stage.client.send("GET", "/_users/_design/d/_view/v", &nobody, None).unwrap();
    assert_eq!(refused.status, 401);
}
