//! Validation functions on every way into a database, and functions as filters of changes: what
//! the transcripts do not show.

use serde_json::{Value, json};

use crate::stage::{Headers, Stage};
use crate::wire::Response;

/// Refuses what is bad, and changes of what is locked.
const VALIDATE: &str = "function (newDoc, oldDoc, userCtx, secObj) {
  var files = Object.keys(newDoc._attachments || {});
  if (newDoc.bad || files.indexOf('bad.txt') >= 0) throw {forbidden: 'bad'};
  if (oldDoc && oldDoc.locked) throw {forbidden: {locked: oldDoc._id}};
  if (newDoc.secret && !userCtx.name) throw {unauthorized: 'who are you?'};
}";

const JSON: Headers = &[("Content-Type", "application/json")];
const NOBODY: Headers = &[("Content-Type", "application/json"), ("X-No-Auth", "1")];

/// A stage whose database everybody may write, and whose functions have a second.
fn open_stage() -> Stage {
    let stage = Stage::new();
    let nobody = json!({"names": [], "roles": []});
    stage.put("/db/_security", &json!({"admins": nobody, "members": nobody}));
    stage.put("/_node/_local/_config/couchdb/os_process_timeout", &json!("1000"));
    stage
}

impl Stage {
    /// Status and answer; `null` sends no body.
    fn json(&self, method: &str, path: &str, headers: Headers<'_>, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        answer(&self.send(method, path, headers, &body))
    }

    /// Saves a document; its revision.
    fn save(&self, path: &str, document: &Value) -> String {
        self.put(path, document)["rev"].as_str().unwrap().to_owned()
    }

    fn exists(&self, path: &str) -> bool {
        self.json("GET", path, JSON, &Value::Null).0 == 200
    }
}

fn answer(response: &Response) -> (u16, Value) {
    let text = String::from_utf8_lossy(&response.body);
    (response.status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

fn forbidden(reason: &Value) -> (u16, Value) {
    (403, json!({"error": "forbidden", "reason": reason}))
}

#[test]
fn no_way_into_a_database_leads_past_its_functions() {
    let stage = open_stage();
    let source = stage.save("/db/bad-source", &json!({"bad": true}));
    let locked = stage.save("/db/locked", &json!({"locked": true}));
    stage.put("/db/_design/d", &json!({"validate_doc_update": VALIDATE}));
    let bad = json!({"bad": true});
    let is_locked = json!({"locked": "locked"});

    // The function counts for the very next write.
    assert_eq!(stage.json("PUT", "/db/x", JSON, &bad), forbidden(&json!("bad")));
    assert_eq!(stage.json("POST", "/db", JSON, &bad), forbidden(&json!("bad")));
    let replicated = json!({"bad": true, "_rev": "1-abc"});
    let path = "/db/x?new_edits=false";
    assert_eq!(stage.json("PUT", path, JSON, &replicated), forbidden(&json!("bad")));
    let path = format!("/db/locked?rev={locked}");
    assert_eq!(stage.json("DELETE", &path, JSON, &Value::Null), forbidden(&is_locked));
    assert_eq!(stage.json("PUT", &path, JSON, &json!({})), forbidden(&is_locked));
    let copy: Headers = &[("Destination", "x")];
    let copied = stage.json("COPY", "/db/bad-source", copy, &Value::Null);
    assert_eq!(copied, forbidden(&json!("bad")));

    // Attachments: a new document, an old one, a deletion.
    let text: Headers = &[("Content-Type", "text/plain")];
    let put = |path: &str| answer(&stage.send("PUT", path, text, "x"));
    assert_eq!(put("/db/x/bad.txt"), forbidden(&json!("bad")));
    assert_eq!(put(&format!("/db/locked/a.txt?rev={locked}")), forbidden(&is_locked));
    assert_eq!(put(&format!("/db/bad-source/a.txt?rev={source}")), forbidden(&json!("bad")));
    let inline = json!({"_attachments": {"bad.txt": {"data": "eA=="}}});
    assert_eq!(stage.json("PUT", "/db/x", JSON, &inline), forbidden(&json!("bad")));

    // Bodies of several parts.
    let related: Headers = &[("Content-Type", "multipart/related; boundary=B")];
    let document = json!({"_attachments": {"bad.txt": {"follows": true, "length": 1}}});
    let body =
        format!("--B\r\nContent-Type: application/json\r\n\r\n{document}\r\n--B\r\n\r\nx\r\n--B--");
    let put = answer(&stage.send("PUT", "/db/x", related, &body));
    assert_eq!(put, forbidden(&json!("bad")));
    let referer = format!("http://{}/", stage.client.host);
    let form: Headers =
        &[("Content-Type", "multipart/form-data; boundary=B"), ("Referer", &referer)];
    let field = "Content-Disposition: form-data; name=\"_doc\"";
    let body = format!("--B\r\n{field}\r\n\r\n{bad}\r\n--B--");
    let posted = answer(&stage.send("POST", "/db/x", form, &body));
    assert_eq!(posted, forbidden(&json!("bad")));

    // Nobody is told that a write which is not waited for was refused, but it was.
    assert_eq!(stage.json("PUT", "/db/x?batch=ok", JSON, &bad).0, 202);
    stage.put("/db/later", &json!({}));
    assert!(!stage.exists("/db/x") && stage.exists("/db/later"));
    let info = stage.json("GET", "/db", JSON, &Value::Null).1;
    assert_eq!(info["doc_count"], 4);
}

#[test]
fn what_update_functions_make_is_refused_too() {
    let stage = open_stage();
    stage.put("/db/locked", &json!({"locked": true}));
    let save = "function (doc, req) {
      var made = doc || {_id: req.id}, given = JSON.parse(req.body);
      for (var name in given) made[name] = given[name];
      return [made, {json: {saved: made}}];
    }";
    let ddoc = json!({"validate_doc_update": VALIDATE, "updates": {"save": save}});
    stage.put("/db/_design/d", &ddoc);
    let save = |id: &str, headers, body: Value| {
        stage.json("PUT", &format!("/db/_design/d/_update/save/{id}"), headers, &body)
    };
    assert_eq!(save("x", JSON, json!({"bad": true})), forbidden(&json!("bad")));
    let is_locked = json!({"locked": "locked"});
    assert_eq!(save("locked", JSON, json!({"n": 1})), forbidden(&is_locked));
    let unauthorized = json!({"error": "unauthorized", "reason": "who are you?"});
    assert_eq!(save("x", NOBODY, json!({"secret": true})), (401, unauthorized));
    assert!(!stage.exists("/db/x"));
    let made = json!({"saved": {"_id": "x", "secret": true}});
    assert_eq!(save("x", JSON, json!({"secret": true})), (201, made));
    assert!(stage.exists("/db/x"));
}

#[test]
fn documents_of_a_request_are_refused_one_by_one() {
    let stage = open_stage();
    let rev = stage.save("/db/locked", &json!({"locked": true}));
    stage.put("/db/_design/d", &json!({"validate_doc_update": VALIDATE}));
    let docs = json!({"docs": [
        {"_id": "a", "bad": 1},
        {"_id": "b"},
        {"_id": "locked", "_rev": rev, "n": 1},
        {"_id": "locked", "n": 2},
        {"_id": "c", "secret": true},
        {"_id": "_local/l", "bad": 1},
    ]});
    let (status, outcomes) = stage.json("POST", "/db/_bulk_docs", NOBODY, &docs);
    assert_eq!(status, 201);
    assert_eq!(outcomes[0], json!({"id": "a", "error": "forbidden", "reason": "bad"}));
    assert_eq!(outcomes[1]["ok"], true);
    let locked = json!({"id": "locked", "error": "forbidden", "reason": {"locked": "locked"}});
    assert_eq!(outcomes[2], locked);
    assert_eq!(outcomes[3]["error"], "conflict");
    let refused = json!({"id": "c", "error": "unauthorized", "reason": "who are you?"});
    assert_eq!(outcomes[4], refused);
    assert_eq!(outcomes[5]["ok"], true);

    // Replicated: only what failed is listed, with its revision.
    let docs = json!({"new_edits": false, "docs": [
        {"_id": "a", "_rev": "1-aa", "bad": 1},
        {"_id": "d", "_rev": "1-aa"},
        {"_id": "locked", "_revisions": {"start": 2, "ids": ["bb", rev.split_once('-').unwrap().1]}},
        {"_id": "locked", "_rev": "1-cc"},
    ]});
    let (status, outcomes) = stage.json("POST", "/db/_bulk_docs", JSON, &docs);
    assert_eq!(status, 201);
    let expected = json!([
        {"id": "a", "rev": "1-aa", "error": "forbidden", "reason": "bad"},
        {"id": "locked", "rev": "2-bb", "error": "forbidden", "reason": {"locked": "locked"}},
    ]);
    assert_eq!(outcomes, expected);
    assert!(!stage.exists("/db/a") && stage.exists("/db/d"));
    assert!(stage.exists("/db/locked?rev=1-cc"));
}

#[test]
fn functions_that_give_no_answer_refuse_what_they_are_asked_about() {
    let stage = open_stage();
    let source = "function (doc) {
      if (doc.loops) while (true);
      if (doc.grows) for (var all = []; ; ) all.push('x'.repeat(1000000) + all.length);
      if (doc.deep) { var f = function () { f(); f(); }; f(); }
      if (doc.wrong) doc.no.such.member;
    }";
    stage.put("/db/_design/d", &json!({"validate_doc_update": source}));
    let docs = json!({"docs": [
        {"_id": "a", "wrong": 1}, {"_id": "b"}, {"_id": "c", "grows": 1}, {"_id": "d"},
        {"_id": "e", "deep": 1}, {"_id": "f"},
    ]});
    let outcomes = stage.json("POST", "/db/_bulk_docs", JSON, &docs).1;
    assert_eq!(outcomes[0]["error"], "TypeError");
    for (at, outcome) in outcomes.as_array().unwrap().iter().enumerate() {
        assert_eq!(outcome["ok"] == true, at % 2 == 1, "{outcome}");
    }
    // One that does not end is not asked again in the same request.
    let docs: Vec<Value> = (0..50).map(|n| json!({"_id": format!("l{n}"), "loops": 1})).collect();
    let outcomes = stage.json("POST", "/db/_bulk_docs", JSON, &json!({"docs": docs})).1;
    for outcome in outcomes.as_array().unwrap() {
        assert_eq!(outcome["error"], "os_process_error", "{outcome}");
    }
    stage.put("/db/fine", &json!({}));
}

/// The rows' ids, and the error or the last line.
fn changes(stage: &Stage, query: &str) -> (Vec<String>, String) {
    let response = stage.send("GET", &format!("/db/_changes?{query}"), &[], "");
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let ids = text.match_indices("\"id\":\"").map(|(at, start)| {
        let rest = &text[at + start.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    });
    (ids.collect(), text.trim_end().lines().next_back().unwrap_or_default().to_owned())
}

#[test]
fn every_kind_of_feed_asks_the_function() {
    let stage = open_stage();
    let filters = json!({
        "odd": "function (doc, req) { return doc.n % 2 === 1; }",
        "this": "function (doc, req) { return this.names.indexOf(doc._id) >= 0; }",
        "member": "function (doc, req) { return !!doc[req.query.member]; }",
        "thrower": "function (doc) { if (doc.n === 1) throw {forbidden: 'x'}; return true; }",
        "broken": "function (doc) {",
        "loops": "function (doc) { while (true); }",
    });
    let views = json!({"odd": {"map": "function (doc) { if (doc.n % 2) emit(1); }"}});
    let ddoc = json!({"filters": filters, "views": views, "names": ["d2", "d5"]});
    stage.put("/db/_design/d", &ddoc);
    let docs: Vec<Value> = (0..6).map(|n| json!({"_id": format!("d{n}"), "n": n})).collect();
    stage.json("POST", "/db/_bulk_docs", JSON, &json!({"docs": docs}));
    for feed in ["normal", "longpoll", "continuous&timeout=1", "eventsource&timeout=1"] {
        let ids = |query: &str| changes(&stage, &format!("{query}&feed={feed}")).0;
        assert_eq!(ids("filter=d/odd"), ["d1", "d3", "d5"], "{feed}");
        assert_eq!(ids("filter=_view&view=d/odd"), ["d1", "d3", "d5"], "{feed}");
        assert_eq!(ids("filter=d/odd&limit=2"), ["d1", "d3"], "{feed}");
        assert_eq!(ids("filter=d/this&style=all_docs"), ["d2", "d5"], "{feed}");
        assert_eq!(ids("filter=d/member&member=filters"), ["_design/d"], "{feed}");
        assert_eq!(ids("filter=d/odd&since=now"), [""; 0], "{feed}");
        for (name, error) in [("broken", "compilation_error"), ("none", "missing json key: none")] {
            let (_, answer) = changes(&stage, &format!("filter=d/{name}&feed={feed}"));
            assert!(answer.contains(error), "{feed} {name}: {answer}");
        }
        let (_, answer) = changes(&stage, &format!("filter=d/thrower&feed={feed}"));
        assert!(answer.contains("\"error\""), "{feed}: {answer}");
    }
    let (_, answer) = changes(&stage, "filter=d/loops");
    assert!(answer.contains("os_process_error"), "{answer}");
    let (_, backward) = changes(&stage, "filter=d/odd&descending=true&limit=1&include_docs=true");
    assert!(backward.contains("\"pending\":"), "{backward}");
}

#[test]
fn filters_see_leaves_tombstones_conflicts_and_attachments() {
    let stage = open_stage();
    let seen = "function (doc, req) { return JSON.stringify(doc) === req.query.is; }";
    let rev = "function (doc, req) { return doc._rev === req.query.rev; }";
    stage.put("/db/_design/d", &json!({"filters": {"seen": seen, "rev": rev}}));
    let docs = json!({"new_edits": false, "docs": [
        {"_id": "c", "_rev": "1-a"},
        {"_id": "c", "n": 1, "_revisions": {"start": 2, "ids": ["b", "a"]}},
        {"_id": "c", "n": 2, "_revisions": {"start": 2, "ids": ["bb", "a"]}},
        {"_id": "c", "_deleted": true, "_revisions": {"start": 2, "ids": ["bbb", "a"]}},
        {"_id": "t", "_deleted": true, "n": 3, "_revisions": {"start": 2, "ids": ["y", "x"]}},
    ]});
    assert_eq!(stage.json("POST", "/db/_bulk_docs", JSON, &docs).1, json!([]));
    let is = |text: &str, style: &str| {
        let text = text.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        changes(&stage, &format!("filter=d/seen&style={style}&is={text}")).0
    };
    let winner = r#"{"_id":"c","_rev":"2-bb","n":2,"_revisions":{"start":2,"ids":["bb"]}"#;
    assert_eq!(is(&format!(r#"{winner},"_conflicts":["2-b"]}}"#), "main_only"), ["c"]);
    assert_eq!(is(&format!("{winner}}}"), "all_docs"), ["c"]);
    let other = r#"{"_id":"c","_rev":"2-b","n":1,"_revisions":{"start":2,"ids":["b"]}}"#;
    assert_eq!((is(other, "main_only").len(), is(other, "all_docs").len()), (0, 1));
    let tombstone =
        r#"{"_id":"t","_rev":"2-y","n":3,"_deleted":true,"_revisions":{"start":2,"ids":["y"]}}"#;
    assert_eq!(is(tombstone, "main_only"), ["t"]);
    let path = "/db/_changes?filter=d/rev&rev=2-bbb&style=all_docs&include_docs=true";
    let (_, found) = stage.json("GET", path, &[], &Value::Null);
    assert_eq!(found["results"][0]["changes"], json!([{"rev": "2-bbb"}]));
    assert_eq!(found["results"][0]["doc"]["_rev"], "2-bb");

    let text: Headers = &[("Content-Type", "text/plain")];
    let (_, saved) = answer(&stage.send("PUT", "/db/f/a.txt", text, "x"));
    let rev = saved["rev"].as_str().unwrap();
    let path = format!(
        "/db/_changes?filter=d/rev&rev={rev}&include_docs=true&attachments=true&conflicts=true"
    );
    let (_, found) = stage.json("GET", &path, &[], &Value::Null);
    assert_eq!(found["results"][0]["doc"]["_attachments"]["a.txt"]["data"], "eA==");
}

/// A feed keeps the function that it began with.
#[test]
fn a_design_document_that_goes_takes_no_feed_with_it() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    let stage = open_stage();
    let filter = "function (doc) { return doc._id !== 'no'; }";
    let rev = stage.save("/db/_design/d", &json!({"filters": {"f": filter}}));
    let mut stream = TcpStream::connect(&stage.client.host).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let path = "/db/_changes?feed=continuous&filter=d/f&since=now&heartbeat=1000";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.is_empty()), "the headers are there");
    let path = format!("/db/_design/d?rev={rev}");
    assert_eq!(stage.json("DELETE", &path, JSON, &Value::Null).0, 200);
    stage.put("/db/no", &json!({}));
    stage.put("/db/yes", &json!({}));
    let rows: Vec<String> = lines.filter(|line| line.starts_with('{')).take(2).collect();
    assert!(rows[0].contains("_design/d") && rows[1].contains("\"yes\""), "{rows:?}");
}
