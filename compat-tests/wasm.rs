//! Design documents in WebAssembly over HTTP: one with a function of every kind, pushed and driven,
//! and those that cannot be saved or used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Stage, text};

const ALL_KINDS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wasm/all_kinds.wat"));

impl Stage {
    /// The text of an answer that is to have this status.
    #[track_caller]
    fn check(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> String {
        let response = self.ask(method, path, body);
        let text = text(&response);
        assert_eq!(response.status, status, "{method} {path}: {text}");
        text
    }

    #[track_caller]
    fn check_json(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
        serde_json::from_str(&self.check(method, path, body, status)).unwrap()
    }
}

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The design document of [`ALL_KINDS`]; `wasm` says where the module is.
fn all_kinds(wasm: &Value) -> Value {
    json!({
        "_id": "_design/w",
        "language": "wasm",
        "wasm": wasm,
        "views": {
            "docs": {"map": "by_document"},
            "count": {"map": "by_document", "reduce": "_sum"},
            "own": {"map": "by_document", "reduce": "reduce"},
        },
        "filters": {"loud": "loud"},
        "shows": {"show": "show", "endless": "endless"},
        "updates": {"update": "update"},
        "lists": {"list": "list"},
        "validate_doc_update": "validate",
    })
}

fn attached(mut ddoc: Value, module: &[u8]) -> Value {
    ddoc["_attachments"] =
        json!({"m.wasm": {"content_type": "application/wasm", "data": STANDARD.encode(module)}});
    ddoc
}

#[track_caller]
fn drive(stage: &Stage) {
    let keys = |view: &Value| -> Vec<Value> {
        view["rows"].as_array().unwrap().iter().map(|row| row["key"]["_id"].clone()).collect()
    };
    let view = stage.check_json("GET", "/db/_design/w/_view/docs", None, 200);
    assert_eq!(keys(&view), ["a", "b"], "the document that the function gave up on is left out");
    assert_eq!(view["rows"][0]["value"], 1);
    assert_eq!(view["rows"][0]["key"]["n"], 1);
    let count = stage.check_json("GET", "/db/_design/w/_view/count", None, 200);
    assert_eq!(count["rows"], json!([{"key": null, "value": 2}]));
    let own = stage.check_json("GET", "/db/_design/w/_view/own?key={}&limit=1", None, 200);
    assert_eq!(own["rows"], json!([]));
    let own = stage.check_json("GET", "/db/_design/w/_view/own", None, 200);
    let reduced = own["rows"][0]["value"].to_string();
    assert!(reduced.contains("rereduce") && reduced.contains("values"), "{reduced}");
    let changes = stage.check_json("GET", "/db/_changes?filter=w/loud", None, 200);
    let ids: Vec<&Value> =
        changes["results"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, ["b"]);
    let shown = stage.check_json("GET", "/db/_design/w/_show/show/a?x=y", None, 200);
    assert_eq!(shown["doc"]["_id"], "a");
    assert_eq!(shown["req"]["query"], json!({"x": "y"}));
    let listed = stage.ask("GET", "/db/_design/w/_list/list/docs", None);
    assert_eq!(String::from_utf8_lossy(&listed.body), "begin;rows;end");
    assert_eq!(listed.header("content-type"), Some("text/x-list"));
    let updated = stage.ask("POST", "/db/_design/w/_update/update", Some(&json!({})));
    assert_eq!((updated.status, updated.body.as_slice()), (202, b"made it".as_slice()));
    assert_eq!(stage.check_json("GET", "/db/made", None, 200)["from"], "wasm");
    let refused = stage.check_json("PUT", "/db/bad", Some(&json!({"text": "#"})), 403);
    assert_eq!(refused, json!({"error": "forbidden", "reason": "no # in here"}));
}

fn fill(stage: &Stage) {
    for (id, body) in
        [("a", json!({"n": 1})), ("b", json!({"n": 2, "text": "!"})), ("c", json!({"text": "?"}))]
    {
        stage.check("PUT", &format!("/db/{id}"), Some(&body), 201);
    }
}

#[test]
fn all_kinds_of_functions_work_from_an_attachment() {
    let stage = Stage::new();
    fill(&stage);
    let ddoc = attached(all_kinds(&json!({"attachment": "m.wasm"})), &module(ALL_KINDS));
    stage.check("PUT", "/db/_design/w", Some(&ddoc), 201);
    drive(&stage);
}

#[test]
fn all_kinds_of_functions_work_from_base64() {
    let stage = Stage::new();
    fill(&stage);
    let wasm = json!({"base64": STANDARD.encode(module(ALL_KINDS))});
    let saved =
        stage.check_json("POST", "/db/_bulk_docs", Some(&json!({"docs": [all_kinds(&wasm)]})), 201);
    assert_eq!(saved[0]["ok"], true, "{saved}");
    drive(&stage);
}

/// A module that is put after the design document is found, and another one means another index.
#[test]
fn modules_may_come_later_and_change() {
    let stage = Stage::new();
    let ddoc = json!({"language": "wasm", "wasm": {"attachment": "m.wasm"},
        "views": {"v": {"map": "map"}}});
    let saved = stage.check_json("PUT", "/db/_design/w", Some(&ddoc), 201);
    stage.check("PUT", "/db/a", Some(&json!({})), 201);
    let missing = stage.check_json("GET", "/db/_design/w/_view/v", None, 500);
    assert_eq!(missing["error"], "compilation_error", "{missing}");
    let mut rev = saved["rev"].as_str().unwrap().to_owned();
    for (content_type, number) in [("application/wasm", 1), ("text/plain", 2)] {
        // A text is stored compressed.
        let text = format!(
            r#"(module (memory (export "memory") 1 1) (data (i32.const 0) "[[{number},null]]")
            (func (export "alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "map") (param i32 i32) (result i64) (i64.const 10)))"#
        );
        let headers = [
            ("Content-Type".to_owned(), content_type.to_owned()),
            ("If-Match".to_owned(), rev.clone()),
        ];
        let path = "/db/_design/w/m.wasm";
        let put = stage.client.send("PUT", path, &headers, Some(&module(&text))).unwrap();
        assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
        let answer: Value = serde_json::from_slice(&put.body).unwrap();
        answer["rev"].as_str().unwrap().clone_into(&mut rev);
        let view = stage.check_json("GET", "/db/_design/w/_view/v", None, 200);
        assert_eq!(view["rows"], json!([{"id": "a", "key": number, "value": null}]));
    }
}

#[test]
fn what_cannot_work_is_not_saved() {
    let stage = Stage::new();
    let good = module(ALL_KINDS);
    let foreign = module(
        r#"(module (import "env" "abort" (func)) (memory (export "memory") 1)
            (func (export "alloc") (param i32) (result i32) (i32.const 1)))"#,
    );
    let by = |wasm: Value, members: Value| {
        let mut ddoc = json!({"language": "wasm", "wasm": wasm});
        ddoc.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        ddoc
    };
    let attachment = || json!({"attachment": "m.wasm"});
    let view = json!({"views": {"v": {"map": "nothing"}}});
    let no_export = "Compilation of the map function in the 'v' view failed: \
                     The module has no export `nothing`. (nothing)";
    for (ddoc, error, reason) in [
        (json!({"language": "wasm"}), "invalid_design_doc", "`wasm` field must have object type"),
        (
            by(json!({"base64": "?"}), json!({})),
            "invalid_design_doc",
            "`wasm.base64` field must have base64 data",
        ),
        (
            by(json!({"base64": STANDARD.encode("no module")}), json!({})),
            "compilation_error",
            "Compilation of the WebAssembly module failed: The module is not valid",
        ),
        (
            by(json!({"base64": STANDARD.encode(&foreign)}), json!({})),
            "compilation_error",
            "Compilation of the WebAssembly module failed: The module imports `env.abort`",
        ),
        (
            by(json!({"base64": STANDARD.encode(&good)}), view.clone()),
            "compilation_error",
            no_export,
        ),
        (attached(by(attachment(), view), &good), "compilation_error", no_export),
        (
            attached(by(attachment(), json!({"shows": {"s": "alloc"}})), &good),
            "compilation_error",
            "Compilation of the function `shows.s` failed: \
             The export `alloc` must be a function of type (i32, i32) -> i64.",
        ),
        (
            by(attachment(), json!({"shows": {"s": {"t": "show"}}})),
            "invalid_design_doc",
            "`shows.s` field must have string type",
        ),
    ] {
        let answer = stage.check_json("PUT", "/db/_design/w", Some(&ddoc), 400);
        assert_eq!(answer["error"], error, "{answer}");
        assert!(answer["reason"].as_str().unwrap().starts_with(reason), "{answer}");
    }
}

/// The function is stopped, and other requests are answered meanwhile and afterwards.
#[test]
fn an_endless_function_holds_up_nobody() {
    let stage = Stage::new();
    let timeout = json!("500");
    stage.check("PUT", "/_node/_local/_config/couchdb/os_process_timeout", Some(&timeout), 200);
    let ddoc = all_kinds(&json!({"base64": STANDARD.encode(module(ALL_KINDS))}));
    stage.check("PUT", "/db/_design/w", Some(&ddoc), 201);
    std::thread::scope(|scope| {
        let endless: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| stage.check_json("GET", "/db/_design/w/_show/endless", None, 500))
            })
            .collect();
        stage.check("GET", "/db/_design/w/_show/show", None, 200);
        for answer in endless {
            assert_eq!(answer.join().unwrap()["error"], "os_process_error");
        }
    });
    stage.check("GET", "/db/_design/w/_show/show", None, 200);
}
