//! What the transcripts of shows, lists, updates and rewrites do not show: virtual hosts, rewrites
//! into rewrites, lists whose readers are slow or gone, what functions log, who may do what.

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Stage, text};
use crate::wire::Response;

const DEADLINE: Duration = Duration::from_mins(1);

/// A stage whose database everybody may use.
fn open_stage() -> Stage {
    let stage = Stage::new();
    stage.put("/db/_security", &json!({}));
    stage
}

impl Stage {
    fn get_at(&self, host: &str, path: &str) -> Response {
        self.send("GET", path, &[("Host", host)], "")
    }

    fn check_get(&self, path: &str, status: u16, body: &str) {
        let response = self.send("GET", path, &[], "");
        assert_eq!((response.status, text(&response).as_str()), (status, body), "{path}");
    }

    /// Waits until a function has logged a line.
    fn wait_for_log(&self, line: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let log = self.send("GET", "/_log?bytes=1000000", &[], "");
            if text(&log).lines().any(|logged| logged.ends_with(line)) {
                return;
            }
            assert!(Instant::now() < end, "{line} was not logged: {}", text(&log));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn virtual_hosts_lead_to_applications() {
    let stage = open_stage();
    let paths = "function(doc, req) { return {json: [req.requested_path, req.path.slice(2), \
                 req.headers['x-couchdb-vhost-path'] || null]}; }";
    stage.put(
        "/db/_design/app",
        &json!({
            "shows": {"paths": paths},
            "rewrites": [
                {"from": "", "to": "_show/paths"},
                {"from": "/doc/:id", "to": "_show/paths/:id"},
                {"from": "/api/*", "to": "../../*"},
            ],
        }),
    );
    stage.put("/db/one", &json!({"n": 1}));
    let set = |host: &str, target: &str| {
        stage.put(&format!("/_node/_local/_config/vhosts/{host}"), &json!(target));
    };
    let welcome = stage.get_at("app.example.com", "/");
    assert!(text(&welcome).contains("Welcome"));
    set("app.example.com", "/db/_design/app/_rewrite");
    set("%3Aname.data.example.com", "/:name");
    set("example.com%2Fblog", "/db/_design/app/_rewrite/doc");
    let check = |host: &str, path: &str, expect: Value| {
        let found = stage.get_at(host, path);
        let found: Value = serde_json::from_slice(&found.body).unwrap();
        assert_eq!(found, expect, "{host}{path}");
    };
    check("app.example.com", "/", json!([[], ["app", "_show", "paths"], "/"]));
    check(
        "App.Example.com:5984",
        "/doc/a%2Fb?x=1",
        json!([["doc", "a/b?x=1"], ["app", "_show", "paths", "a/b"], "/doc/a%2Fb?x=1"]),
    );
    check("example.com", "/blog/x", json!([["x"], ["app", "_show", "paths", "x"], "/x"]));
    let document = stage.get_at("app.example.com", "/api/one");
    assert_eq!((document.status, document.header("etag").is_some()), (200, true));
    assert!(text(&stage.get_at("db.data.example.com", "/one")).contains("\"n\":1"));
    assert_eq!(stage.get_at("none.data.example.com", "/one").status, 404);
    assert!(text(&stage.get_at("app.example.com", "/_session")).contains("userCtx"));
    assert!(text(&stage.get_at("elsewhere.com", "/")).contains("Welcome"));
    let forwarded = [("X-Forwarded-Host", "db.data.example.com")];
    assert!(text(&stage.send("GET", "/one", &forwarded, "")).contains("\"n\":1"));
    stage.send("DELETE", "/_node/_local/_config/vhosts/app.example.com", &[], "");
    assert!(text(&stage.get_at("app.example.com", "/")).contains("Welcome"));
}

#[test]
fn rewrites_lead_into_rewrites() {
    let stage = open_stage();
    stage.put(
        "/db/_design/front",
        &json!({"rewrites": [
            {"from": "/p/:id", "to": "../back/_rewrite/show/:id", "query": {"n": 1, "deep": {"a": [true]}}},
            {"from": "/save/*", "to": "../back/_rewrite/save/*", "method": "POST"},
        ]}),
    );
    let function = "function(req) { var p = req.path.slice(4); \
        if (p[0] === 'show') return '_show/it/' + p[1]; \
        if (p[0] === 'save') return {path: '_update/keep/' + p[1], method: 'PUT', \
            headers: {'X-By': 'rewrite'}, query: {n: 5}, body: req.body + '!'}; \
        if (p[0] === 'teapot') return {code: 418, headers: {'X-Tea': 'yes'}, body: 'short'}; \
        if (p[0] === 'bad') return {path: 5}; }";
    stage.put(
        "/db/_design/back",
        &json!({
            "rewrites": function,
            "shows": {"it": "function(d, req) { return req.id + toJSON(req.query); }"},
            "updates": {"keep": "function(d, req) { \
                return [{_id: req.id, body: req.body, by: req.headers['X-By'], n: req.query.n}, \
                    req.method + req.body]; }"},
        }),
    );
    let shown = r#"x y{"n":"1","deep":"{\"a\":[true]}","z":"2","id":"x y"}"#;
    stage.check_get("/db/_design/front/_rewrite/p/x%20y?z=2", 200, shown);
    let saved = stage.send("POST", "/db/_design/front/_rewrite/save/k", &[], "sent");
    assert_eq!((saved.status, text(&saved).as_str()), (201, "PUTsent!"));
    assert_eq!(saved.header("x-couch-id"), Some("k"));
    let document = text(&stage.send("GET", "/db/k", &[], ""));
    assert!(document.ends_with(r#""body":"sent!","by":"rewrite","n":"5"}"#), "{document}");
    let tea = stage.send("GET", "/db/_design/back/_rewrite/teapot", &[], "");
    assert_eq!((tea.status, tea.header("x-tea"), text(&tea).as_str()), (418, Some("yes"), "short"));
    assert_eq!(tea.header("content-type"), None);
    let bad = stage.send("GET", "/db/_design/back/_rewrite/bad", &[], "");
    assert!(text(&bad).contains("rewrite_error"), "{}", text(&bad));
    let insecure = r#"{"error":"insecure_rewrite_rule","reason":"too many ../.. segments"}"#;
    stage.put("/db/_design/far", &json!({"rewrites": [{"to": "../../../_uuids"}]}));
    stage.check_get("/db/_design/far/_rewrite/x", 500, insecure);
    stage.put("/_node/_local/_config/chttpd/secure_rewrites", &json!("false"));
    let far = stage.send("GET", "/db/_design/far/_rewrite/x?count=2", &[], "");
    assert!(text(&far).contains("uuids"), "{}", text(&far));
}

#[test]
fn a_list_does_not_wait_for_its_reader() {
    let stage = open_stage();
    // 24 MB: more than sockets and memory hold.
    let list = "function(head, req) { var s = new Array(10001).join('x'); \
        for (var i = 0; i < 2400; i++) { send(s); getRow(); } \
        log('the list ' + req.query.name + ' has ended'); return 'end'; }";
    stage.put("/db/_design/d", &json!({"lists": {"big": list}}));
    let mut unread = stage.ask_and_hold("/db/_design/d/_list/big/_all_docs?name=unread");
    stage.wait_for_log("the list unread has ended");
    drop(stage.ask_and_hold("/db/_design/d/_list/big/_all_docs?name=left"));
    let mut answer = Vec::new();
    unread.read_to_end(&mut answer).unwrap();
    let sent = String::from_utf8_lossy(&answer).matches('x').count();
    assert!(sent >= 24_000_000, "only {sent} bytes");
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "the answer broke off");
    let whole = stage.send("GET", "/db/_design/d/_list/big/_all_docs?name=read", &[], "");
    assert_eq!(whole.body.len(), 24_000_003);
    let head = stage.send("HEAD", "/db/_design/d/_list/big/_all_docs?name=head", &[], "");
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));
}

#[test]
fn errors_of_lists_come_before_their_first_text_or_cut_it() {
    let stage = open_stage();
    stage.put(
        "/db/_design/d",
        &json!({"lists": {
            "early": "function() { throw(['error', 'not_found', 'no such page']); }",
            "late": "function() { send('some'); getRow(); throw 'late'; }",
            "odd": "function() { start({foo: 1}); send('x'); }",
        }}),
    );
    let early = r#"{"error":"not_found","reason":"no such page"}"#;
    stage.check_get("/db/_design/d/_list/early/_all_docs", 404, early);
    stage.check_get("/db/_design/d/_list/late/_all_docs", 200, "some\n<<the body did not end>>");
    let odd = r#"{"error":"external_response_error","reason":"Invalid data from external server: {<<\"foo\">>,1}"}"#;
    stage.check_get("/db/_design/d/_list/odd/_all_docs", 500, odd);
}

#[test]
fn members_use_functions_but_do_not_write_design_documents() {
    let stage = open_stage();
    stage.put(
        "/db/_design/d",
        &json!({
            "shows": {"me": "function(d, req) { return toJSON(req.userCtx); }"},
            "updates": {
                "doc": "function(d, req) { return [{_id: req.uuid}, 'saved']; }",
                "ddoc": "function(d, req) { return [{_id: '_design/x'}, 'saved']; }",
            },
        }),
    );
    let nobody = [("X-No-Auth", "1")];
    let shown = stage.send("GET", "/db/_design/d/_show/me", &nobody, "");
    assert_eq!(text(&shown), r#"{"db":"db","name":null,"roles":[]}"#);
    assert_eq!(stage.send("POST", "/db/_design/d/_update/doc", &nobody, "").status, 201);
    assert_eq!(stage.send("POST", "/db/_design/d/_update/ddoc", &nobody, "").status, 401);
    assert_eq!(stage.send("POST", "/db/_design/d/_update/ddoc", &[], "").status, 201);
    assert_eq!(stage.send("GET", "/_log", &nobody, "").status, 401);
    stage.put("/db/_security", &json!({"members": {"roles": ["some"]}}));
    for path in ["_show/me", "_rewrite/x", "_list/l/_all_docs"] {
        let refused = stage.send("GET", &format!("/db/_design/d/{path}"), &nobody, "");
        assert_eq!(refused.status, 401, "{path}");
    }
}
