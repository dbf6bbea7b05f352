//! What the functions of design documents see, and what becomes of what they answer and throw.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::boa_tests::both;
use super::{CallError, ChunkSink, Code, Program, RowSource};

fn program(ddoc: &Value) -> Program {
    let mut whole = json!({"_id": "_design/d", "_rev": "1-a"});
    whole.as_object_mut().unwrap().extend(ddoc.as_object().unwrap().clone());
    Program::new(Code::Design { json: whole.to_string() })
}

fn request() -> Value {
    json!({"method": "POST", "path": ["db", "_design", "d", "_show", "f"], "query": {},
        "headers": {}, "body": "undefined"})
}

/// What a call gives, as one text.
fn shown(answer: Result<String, CallError>) -> String {
    match answer {
        Ok(text) => text,
        Err(CallError::MissingKey(key)) => format!("missing {key}"),
        Err(CallError::Compilation(text)) => format!("compilation {text}"),
        Err(CallError::Forbidden(json)) => format!("forbidden {json}"),
        Err(CallError::Unauthorized(json)) => format!("unauthorized {json}"),
        Err(CallError::Thrown { error, reason }) => format!("{error}: {reason}"),
        Err(other) => other.to_string(),
    }
}

fn call(ddoc: &Value, path: &[&str], arguments: &[Value]) -> String {
    let arguments: Vec<String> = arguments.iter().map(Value::to_string).collect();
    both(&ddoc.to_string(), |sandbox| shown(sandbox.call(&program(ddoc), path, arguments.clone())))
}

#[track_caller]
fn check_show(source: &str, expect: &str) {
    check_show_of(source, &json!({"_id": "a"}), &request(), expect);
}

#[track_caller]
fn check_show_of(source: &str, document: &Value, request: &Value, expect: &str) {
    let ddoc = json!({"shows": {"f": source}});
    let answer = call(&ddoc, &["shows", "f"], &[document.clone(), request.clone()]);
    match expect.strip_suffix('*') {
        Some(beginning) => assert!(answer.starts_with(beginning), "{source}\n  {answer}"),
        None => assert_eq!(answer, expect, "{source}"),
    }
}

#[test]
fn shows_answer_with_texts_and_objects() {
    for (source, expect) in [
        ("function(doc){ return doc._id; }", r#"["resp",{"body":"a"}]"#),
        ("function(){ }", r#"["resp",{}]"#),
        ("function(){ return 0; }", r#"["resp",{}]"#),
        ("function(){ return ''; }", r#"["resp",{}]"#),
        ("function(){ return {}; }", r#"["resp",{}]"#),
        ("function(){ return [1]; }", r#"["resp",[1]]"#),
        ("function(){ return new String('boxed'); }", r#"["resp","boxed"]"#),
        ("function(){ return {foo: 1, code: 5}; }", r#"["resp",{"foo":1,"code":5}]"#),
        ("() => ({json: {a: undefined, b: NaN}})", r#"["resp",{"json":{"b":null}}]"#),
        (
            "function(){ return '\\ud800\\\\ud800x\\ud83d\\ude00'; }",
            "[\"resp\",{\"body\":\"\u{fffd}\\\\ud800x😀\"}]",
        ),
        ("function f(){ return 'named'; }; f", r#"["resp",{"body":"named"}]"#),
        ("var a = 'x';\nfunction(){ return a; }", r#"["resp",{"body":"x"}]"#),
    ] {
        check_show(source, expect);
    }
    for source in ["function(){ return 5; }", "() => true", "() => function(){}", "() => 1n"] {
        check_show(source, "render_error: undefined response from show function");
    }
}

#[test]
fn shows_may_send() {
    for (source, expect) in [
        (
            "function(){ send('one '); send(2); return 'tail'; }",
            r#"["resp",{"body":"one 2tail","headers":{}}]"#,
        ),
        ("function(){ send('alone'); }", r#"["resp",{"headers":{},"body":"alone"}]"#),
        (
            "function(){ start({'X-A': 'yes'}); send('s'); }",
            r#"["resp",{"headers":{"X-A":"yes"},"body":"s"}]"#,
        ),
        ("function(){ start({'X-A': 'yes'}); return 's'; }", r#"["resp",{"body":"s"}]"#),
        (
            "function(){ start({code: 404, headers: {A: 'b'}}); send('s'); }",
            r#"["resp",{"code":404,"headers":{"A":"b"},"body":"s"}]"#,
        ),
        (
            "function(){ send('a'); return {body: 'b', code: 201, headers: {B: 1}}; }",
            r#"["resp",{"body":"ab","code":201,"headers":{"B":1}}]"#,
        ),
        ("function(){ return {json: getRow()}; }", r#"["resp",{"json":null}]"#),
        (
            "function(){ send(''); return 5; }",
            "render_error: undefined response from show function",
        ),
    ] {
        check_show(source, expect);
    }
    check_show(
        "function(){ send(null); }",
        "render_error: function raised error: (new TypeError(*",
    );
}

#[test]
fn shows_negotiate() {
    const SHOW: &str = "function(doc, req){ \
        registerType('foo', 'application/foo', 'application/x-foo'); \
        provides('html', function(){ return 'html ' + this._id; }); \
        provides('json', function(){ send('sent '); return {body: 'json', code: 500}; }); \
        provides('foo', function(){ return 'foo'; }); }";
    let with = |query: Value, headers: Value| {
        let mut request = request();
        request["query"] = query;
        request["headers"] = headers;
        request
    };
    let html = r#"["resp",{"body":"html _design/d","headers":{"Content-Type":"text/html; charset=utf-8"}}]"#;
    let json_body =
        r#"["resp",{"body":"sent json","headers":{"Content-Type":"application/json"}}]"#;
    let foo = r#"["resp",{"body":"foo","headers":{"Content-Type":"application/foo"}}]"#;
    let x_foo = r#"["resp",{"body":"foo","headers":{"Content-Type":"application/x-foo"}}]"#;
    let accepts = |header: &str| with(json!({}), json!({"Accept": header}));
    for (request, expect) in [
        (with(json!({}), json!({})), html),
        (with(json!({"format": "json"}), json!({"Accept": "text/html"})), json_body),
        (accepts("application/json"), json_body),
        (accepts("text/html"), html),
        (accepts("*/*"), html),
        (accepts("*"), html),
        (accepts("application/*"), json_body),
        (accepts("application/foo"), foo),
        (accepts("application/x-foo, text/plain"), x_foo),
        (accepts("text/html;q=0.4, application/json; q=0.5"), json_body),
        (accepts("text/html;q=0.6, application/json; q=0.5, */*;q=0.1"), html),
        (accepts("application/xhtml+xml, application/xml;q=0.9, text/html;q=0.8"), html),
        (accepts("text/*;q=0.9, application/json;q=0.1"), json_body),
    ] {
        check_show_of(SHOW, &json!(null), &request, expect);
    }
    let refused = "not_acceptable: Content-Type image/png not supported, try one of: \
        application/foo, application/x-foo, application/json, text/x-json, text/html; charset=utf-8";
    check_show_of(SHOW, &json!(null), &accepts("image/png"), refused);
    let refused = "not_acceptable: Content-Type csv not supported, try one of: \
        text/html; charset=utf-8, application/json, text/x-json, application/foo, application/x-foo";
    check_show_of(SHOW, &json!(null), &with(json!({"format": "csv"}), json!({})), refused);
    let unknown = with(json!({"format": "toString"}), json!({}));
    check_show_of(
        SHOW,
        &json!(null),
        &unknown,
        "render_error: function raised error: (new TypeError(*",
    );
    // The last name of a type is as good as its first to those who take anything.
    check_show_of(
        "function(){ send('1 '); provides('text', function(){ send('3 '); return '4'; }); return '2 '; }",
        &json!(null),
        &accepts("*/*"),
        r#"["resp",{"body":"1 2 3 4","headers":{"Content-Type":"txt"}}]"#,
    );
}

#[test]
fn what_shows_throw_is_told() {
    for (source, expect) in [
        (
            "() => { throw 'x' }",
            "function raised error: (new String(\"x\")) \nstacktrace: undefined",
        ),
        ("() => { throw 5 }", "function raised error: (new Number(5)) \nstacktrace: undefined"),
        (
            "() => { throw {forbidden: 'é', a: [1, {b: null}], 'c d': undefined} }",
            "function raised error: ({forbidden:\"\\xE9\", a:[1, {b:null}], \"c d\":(void 0)}) \n\
             stacktrace: undefined",
        ),
        ("() => { throw ['a', 1] }", "function raised error: [\"a\", 1] \nstacktrace: undefined"),
        (
            "() => { throw new Date(5) }",
            "function raised error: (new Date(5)) \nstacktrace: undefined",
        ),
        (
            "() => { throw {error: 'e'} }",
            "function raised error: ({error:\"e\"}) \nstacktrace: undefined",
        ),
        (
            "function(){ \n\n throw new RangeError('no') }",
            "function raised error: (new RangeError(\"no\", \"shows.f\", 3)) \nstacktrace: *",
        ),
        ("(doc) => doc.a.b", "function raised error: (new TypeError(*"),
    ] {
        check_show(source, &format!("render_error: {expect}"));
    }
    for (source, expect) in [
        ("() => { throw ['error', 'own', 'reason'] }", "own: reason"),
        ("() => { throw ['fatal', 'own', {a: 1}] }", "own: {[{<<\"a\">>,1}]}"),
        ("() => { throw {error: 'own', reason: ['a', 'b']} }", "own: ab"),
        ("() => { throw null }", "TypeError: {[]}"),
        ("() => { throw undefined }", "TypeError: {[]}"),
        ("() => { throw {get error(){ throw new RangeError('deep'); }} }", "RangeError: {[]}"),
        ("() => { throw {get error(){ throw {get error(){ throw 1 }} }} }", "unnamed_error: {[]}"),
    ] {
        check_show(source, expect);
    }
    let request = json!({"path": ["db", "_design", "d", "_show", "f", "a"]});
    check_show_of("doc => doc.a", &json!(null), &request, "not_found: document not found");
    check_show_of(
        "() => { throw ['error', 'a', 'b'] }",
        &json!(null),
        &request,
        "not_found: document not found",
    );
}

#[test]
fn the_place_of_an_error_is_that_of_user_code() {
    let answer = call(
        &json!({"shows": {"f": "function(){ inner(); function inner(){ throw new Error('x'); } }"}}),
        &["shows", "f"],
        &[json!({}), request()],
    );
    let (_, stack) = answer.split_once("stacktrace: ").unwrap();
    assert!(stack.contains("inner"), "{answer}");
    assert!(!stack.contains("<script>") && !stack.contains("(native)"), "{answer}");
}

#[test]
fn updates_answer_with_a_document_and_a_response() {
    let update = |source: &str| {
        call(
            &json!({"updates": {"f": source}}),
            &["updates", "f"],
            &[json!({"_id": "a"}), request()],
        )
    };
    for (source, expect) in [
        (
            "doc => { doc.n = 1; return [doc, 'text']; }",
            r#"["up",{"_id":"a","n":1},{"body":"text"}]"#,
        ),
        ("() => [null, {json: 1}]", r#"["up",null,{"json":1}]"#),
        ("() => [undefined, '']", r#"["up",null,{"body":""}]"#),
        ("() => [null, 'a', 403]", r#"["up",null,{"body":"a"}]"#),
        ("() => [function(){}, [1]]", r#"["up",null,[1]]"#),
        ("() => [null]", "render_error: undefined response from update function"),
        ("() => [null, null]", "render_error: undefined response from update function"),
        ("() => [null, 5]", "render_error: undefined response from update function"),
    ] {
        assert_eq!(update(source), expect, "{source}");
    }
    assert!(update("() => {}").starts_with("render_error: function raised error: (new TypeError("));
    let ddoc = json!({"updates": {"f": "() => [null, 'x']"}});
    let answer = call(&ddoc, &["updates", "f"], &[json!(null), json!({"method": "GET"})]);
    assert_eq!(answer, "method_not_allowed: Update functions do not allow GET");
}

#[test]
fn rewrites_answer_with_a_path_or_an_object() {
    let rewrite = |source: &str| call(&json!({"rewrites": source}), &["rewrites"], &[request()]);
    for (source, expect) in [
        ("req => '../' + req.path[0]", r#"["ok",{"path":"../db"}]"#),
        ("() => ({path: 'a', query: {b: 1}})", r#"["ok",{"path":"a","query":{"b":1}}]"#),
        ("() => {}", r#"["no_dispatch_rule"]"#),
        ("() => ''", r#"["no_dispatch_rule"]"#),
        ("() => 5", r#"["ok",5]"#),
        ("() => { throw ['error', 'a', 'b'] }", "a: b"),
        (
            "() => { throw 'x' }",
            "render_error: function raised error: (new String(\"x\")) \nstacktrace: undefined",
        ),
    ] {
        assert_eq!(rewrite(source), expect, "{source}");
    }
}

#[test]
fn validations_refuse() {
    let validate = |body: &str| {
        let ddoc = json!({"validate_doc_update": format!("function(n, o, user, sec){{ {body} }}")});
        let arguments = [json!({"_id": "a"}), json!(null), json!({"name": "joe"}), json!({"x": 1})];
        call(&ddoc, &["validate_doc_update"], &arguments)
    };
    for (body, expect) in [
        ("", "1"),
        ("return {forbidden: 'returned'}", "1"),
        ("throw true", "1"),
        ("throw 1", "1"),
        ("throw {forbidden: 'bad'}", "forbidden \"bad\""),
        ("throw {forbidden: {a: 1}}", "forbidden {\"a\":1}"),
        ("throw {forbidden: 5}", "forbidden 5"),
        ("throw {forbidden: ''}", "forbidden \"\""),
        ("throw {unauthorized: user.name + sec.x}", "unauthorized \"joe1\""),
        ("throw {other: 'thing'}", "unknown_error: thing"),
        ("throw {other: {a: 1}}", "unknown_error: {[{<<\"a\">>,1}]}"),
        ("throw 'plain'", "unknown_error: plain"),
        ("throw ['error', 'own', 'reason']", "own: reason"),
        ("throw ['fatal', 'f', 'r']", "f: r"),
        ("throw new Error('e')", "Error: {[]}"),
        ("n.a.b", "TypeError: {[]}"),
        ("throw null", "TypeError: {[]}"),
        ("var e = new Error('e'); e.own = 1; throw e", "Error: {[{<<\"own\">>,1}]}"),
        ("throw 5", "case_clause: 5"),
        (
            "throw {forbidden: 'f', unauthorized: 'u'}",
            "case_clause: {[{<<\"forbidden\">>,<<\"f\">>},{<<\"unauthorized\">>,<<\"u\">>}]}",
        ),
        ("var a = {}; a.a = a; throw a", "TypeError: {[]}"),
        ("function Own(m){ this.forbidden = m; } throw new Own('x')", "forbidden \"x\""),
        ("throw {toJSON: function(){ return {forbidden: 'j'}; }}", "forbidden \"j\""),
        ("throw {forbidden: 'x', get y(){ return undefined; }}", "forbidden \"x\""),
    ] {
        assert_eq!(validate(body), expect, "{body}");
    }
}

#[test]
fn filters_pass_documents() {
    let filter = |path: &[&str], source: &str| {
        let mut ddoc = json!({"lib": {"m": "exports.two = 2"}});
        match path {
            ["filters", name] => ddoc["filters"][name] = json!(source),
            _ => ddoc["views"]["v"]["map"] = json!(source),
        }
        let documents = [json!({"n": 1}), json!({"n": 2}), json!({"n": 0})];
        let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
        let request = json!({"query": {"n": "2"}}).to_string();
        both(source, |sandbox| {
            let answer = sandbox.filter(&program(&ddoc), path, documents.clone(), request.clone());
            let digit = |&pass: &bool| if pass { '1' } else { '0' };
            shown(answer.map(|passed| passed.iter().map(digit).collect()))
        })
    };
    for (source, expect) in [
        ("(doc, req) => doc.n == req.query.n", "010"),
        ("doc => doc.n", "110"),
        ("() => 'yes'", "111"),
        ("() => {}", "000"),
        (
            "function(doc){ return doc.n == require('lib/m').two && this._id === '_design/d'; }",
            "010",
        ),
        ("() => { throw 'x' }", "unnamed_error: (new String(\"x\"))"),
        ("() => { throw {forbidden: 'x'} }", "unnamed_error: ({forbidden:\"x\"})"),
        ("() => { throw ['error', 'a', 'b'] }", "a: b"),
        ("doc => doc.a.b", "TypeError: {[]}"),
        ("() => { throw null }", "TypeError: {[]}"),
    ] {
        assert_eq!(filter(&["filters", "f"], source), expect, "{source}");
    }
    for (source, expect) in [
        ("doc => { if (doc.n) emit(1) }", "110"),
        ("doc => { if (doc.n === require('lib/m').two) { emit(1); emit(1); } }", "010"),
        ("doc => doc.n", "000"),
        ("doc => { if (doc.n === 2) throw 'x'; emit(1); }", "unnamed_error: (new String(\"x\"))"),
    ] {
        assert_eq!(filter(&["views", "v", "map"], source), expect, "{source}");
    }
}

/// Rows, the last one first.
struct Rows(Vec<String>);

impl RowSource for Rows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        match self.0.pop() {
            Some(row) if row == "fails" => Err("the rows are gone".to_owned()),
            row => Ok(row),
        }
    }
}

struct Sink(Arc<Mutex<Vec<String>>>);

impl ChunkSink for Sink {
    fn start(&mut self, response: String) -> Result<(), String> {
        self.0.lock().unwrap().push(format!("start {response}"));
        Ok(())
    }

    fn chunk(&mut self, text: String) -> Result<(), String> {
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

fn list(source: &str, request: &Value, rows: &[&str]) -> (Vec<String>, String) {
    both(source, |sandbox| {
        let written = Arc::new(Mutex::new(Vec::new()));
        let answer = sandbox.list(
            &program(&json!({"lists": {"f": source}})),
            &["lists", "f"],
            [json!({"total_rows": 3}).to_string(), request.to_string()],
            Box::new(Rows(rows.iter().rev().map(ToString::to_string).collect())),
            Box::new(Sink(Arc::clone(&written))),
        );
        let written = written.lock().unwrap().clone();
        (written, shown(answer.map(|()| "done".to_owned())))
    })
}

const ROWS: &[&str] = &[r#"{"id":"a","key":1}"#, r#"{"id":"b","key":2}"#];

#[track_caller]
fn check_list(source: &str, expect: &[&str], end: &str) {
    let (written, answer) = list(source, &request(), ROWS);
    assert_eq!(written, expect, "{source}");
    match end.strip_suffix('*') {
        Some(beginning) => assert!(answer.starts_with(beginning), "{source}\n  {answer}"),
        None => assert_eq!(answer, end, "{source}"),
    }
}

#[test]
fn lists_write_pieces() {
    let started = r#"start {"headers":{}}"#;
    check_list(
        "function(head){ start({code: 201, headers: {A: 'b'}}); send('head' + head.total_rows); send('!'); \
         var row; while (row = getRow()) { start({code: 1}); send(row.key + ';'); } return 'tail'; }",
        &[r#"start {"code":201,"headers":{"A":"b"}}"#, "head3!", "1;", "2;", "tail"],
        "done",
    );
    check_list("function(){ return 'no rows'; }", &[started, "no rows"], "done");
    check_list("function(){ }", &[started], "done");
    check_list("function(){ while (getRow()); return getRow(); }", &[started], "done");
    check_list("function(){ getRow(); return 5; }", &[started, "5"], "done");
    check_list(
        "function(){ send('a'); getRow(); return {b: 1}; }",
        &[started, "a", "{\"b\":1}"],
        "done",
    );
    check_list(
        "function(){ return this.lists.f.length + this._id; }",
        &[started, "0_design/d"],
        "done",
    );
    check_list(
        "function(){ send('a'); throw 'early'; }",
        &[],
        "render_error: function raised error: (new String(\"early\")) \nstacktrace: undefined",
    );
    check_list(
        "function(){ send('a'); getRow(); send('b'); throw ['error', 'late', 'r']; }",
        &[started, "a"],
        "late: r",
    );
}

#[test]
fn lists_negotiate() {
    const LIST: &str = "function(){ \
        provides('html', function(){ start({headers: {'X-H': '1'}}); var row; \
            while (row = getRow()) send(row.id); return '.'; }); \
        provides('csv', function(){ return 'tail'; }); }";
    let mut csv = request();
    csv["headers"]["Accept"] = json!("text/csv");
    let (written, _) = list(LIST, &csv, ROWS);
    assert_eq!(written, [r#"start {"headers":{"Content-Type":"text/csv"}}"#, "tail"]);
    let (written, _) = list(LIST, &request(), ROWS);
    let html = r#"start {"headers":{"X-H":"1","Content-Type":"text/html; charset=utf-8"}}"#;
    assert_eq!(written, [html, "a", "b", "."]);
    csv["headers"]["Accept"] = json!("image/png");
    let (written, answer) = list(LIST, &csv, ROWS);
    assert_eq!(written, [""; 0]);
    assert!(answer.starts_with("not_acceptable: Content-Type image/png not supported"), "{answer}");
}

#[test]
fn rows_that_fail_end_the_list() {
    let source =
        "function(){ send('a'); getRow(); try { getRow(); } catch (e) { send('caught'); } }";
    let (written, answer) = list(source, &request(), &["{}", "fails"]);
    assert_eq!(written, [r#"start {"headers":{}}"#, "a"]);
    assert_eq!(answer, "the rows are gone");
}

/// What couchapps ship to write feeds with, in its old syntax.
const ATOM: &str = r#"
    exports.header = function(data) {
      var f = <feed xmlns="http://www.w3.org/2005/Atom"/>;
      f.title = data.title;
      f.link.@href = data.link;
      f.link.@rel = "self";
      return f.toXMLString().replace(/\<\/feed\>/,'');
    };
    exports.entry = function(data) {
      var entry = <entry/>;
      entry.id = data.id;
      entry.content = data.content;
      entry.content.@type = (data.content_type || 'html');
      entry.author = <author><name>{data.author}</name></author>;
      for each (var tag in data.tags || []) {
        entry.category += <category term={tag}/>;
      }
      entry.link.@href = data.alternate;
      return entry;
    };"#;

#[test]
fn xml_literals_are_understood() {
    let list = "function(){ var atom = require('lib/atom'); \
        send(atom.header({title: 'a <b> & \"c\"', link: '/x?a=\"1\"&b=<2>'})); \
        send(atom.entry({id: 1, content: '<p>hi</p>', author: 'J & K', alternate: '/y', \
            tags: ['one', 'two']})); \
        return '</feed>'; }";
    let ddoc = json!({"lib": {"atom": ATOM}, "shows": {"f": list}});
    let answer = call(&ddoc, &["shows", "f"], &[json!(null), request()]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let expect = r#"<feed xmlns="http://www.w3.org/2005/Atom">
  <title>a &lt;b&gt; &amp; "c"</title>
  <link href="/x?a=&quot;1&quot;&amp;b=&lt;2>" rel="self"/>
<entry>
  <id>1</id>
  <content type="html">&lt;p&gt;hi&lt;/p&gt;</content>
  <author>
    <name>J &amp; K</name>
  </author>
  <category term="one"/>
  <category term="two"/>
  <link href="/y"/>
</entry></feed>"#;
    assert_eq!(answer[1]["body"], expect);
}

#[test]
fn xml_values_have_members_and_methods() {
    let show = |code: &str| {
        format!(
            "function(doc, req){{ var x = <a i=\"1\"><b n=\"1\">one</b><b n=\"2\">two</b>{{doc._id}}</a>; {code} }}"
        )
    };
    for (code, expect) in [
        ("return x", "<a i=\"1\">\n  <b n=\"1\">one</b>\n  <b n=\"2\">two</b>\n  a\n</a>"),
        (
            "XML.prettyPrinting = false; return x.b.toXMLString()",
            "<b n=\"1\">one</b>\n<b n=\"2\">two</b>",
        ),
        ("return x.@i + x.b[1] + x.b.length() + x.b[0].@n", "1two21"),
        (
            "x.@i = 5; x.b[0] = '<'; delete x.b[1]; return x.b.toXMLString() + x.@i",
            "<b n=\"1\">&lt;</b>5",
        ),
        ("x.c.d.@e = 1; return x.c", "<c>\n  <d e=\"1\"/>\n</c>"),
        ("x.b = 'only'; return x.b.toXMLString()", "<b n=\"1\">only</b>"),
        ("x.b = <b>new</b>; return x.b", "new"),
        ("x.appendChild(<c/>); return x.children().length() + x.c.name()", "4c"),
        ("x.prependChild('t'); return x.text().length() + x.text()[0]", "2t"),
        ("return x..b.length() + x.elements('b')[1].@n + x.attributes().length()", "221"),
        ("return x.child('b')[0].parent().@i + x.b[1].childIndex()", "11"),
        ("x.name = 'Joe'; x.name.@id = 7; return x.name + x.name() + x.name.@id", "Joea7"),
        (
            "return '' + (x.b[0] == 'one') + ('b' in x) + ('c' in x) + (x instanceof XML)",
            "truetruefalsetrue",
        ),
        (
            "var s = ''; for each (var b in x.b) s += b.@n; for (var i in x.b) s += i; return s",
            "1201",
        ),
        (
            "var s = ''; for each (var v in {p: 1, q: 2}) s += v; for each (v in [3]) s += v; return s",
            "123",
        ),
        ("return {json: {x: x.b[0], n: x.name}}.json.x", "one"),
        ("return toJSON({x: x.b[0]})", "{\"x\":\"one\"}"),
        (
            "return new XML('<q r=\"&amp;&#65;\"><!-- --><![CDATA[<]]></q>').toXMLString()",
            "<q r=\"&amp;A\">&lt;</q>",
        ),
        ("var l = <></>; l += <i/>; l += <j/>; return l.toXMLString()", "<i/>\n<j/>"),
        (
            "return <p>{'<script>'}{x.b[0]}{null}</p>",
            "<p>\n  &lt;script&gt;\n  <b n=\"1\">one</b>\n  null\n</p>",
        ),
        ("x.appendChild(x); return x.a.b.length() + ''", "2"),
        (
            "XML.ignoreWhitespace = false; XML.setSettings(); return <a> <b/> </a>",
            "<a>\n  <b/>\n</a>",
        ),
        ("var y = x.copy(); y.@i = 2; return x.@i + y.@i", "12"),
    ] {
        check_show(&show(code), &json!(["resp", {"body": expect}]).to_string());
    }
    check_show(&show("new XML('<a>')"), "render_error: function raised error: (new SyntaxError(*");
    check_show(&show("x.b.@n = 1"), "render_error: function raised error: (new TypeError(*");
    // What is neither old nor new is refused as it was written.
    check_show(
        "function(){ return <a>; }",
        "compilation (new Error(\"Line 1: Unexpected token <\", \"./share/server/main.js\", 1)) \
         (function(){ return <a>; })",
    );
}
