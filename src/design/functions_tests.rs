//! What callers get of the functions of a design document.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::document::{Attachment, Digest, DocId, Document, Encoding, Rev};
use crate::sandbox::{CallError, Options, PoolOptions, Sandbox, Told};

use super::{
    Ddoc, FunctionCall, FunctionError, Functions, Question, Response, ResponseBody, Rewritten,
    Updated,
};

fn functions() -> Functions {
    Functions::new(Sandbox::new(Options::default()).unwrap())
}

fn ddoc(body: &Value) -> Ddoc {
    let document = Document {
        id: DocId::parse("_design/d").unwrap(),
        rev: Rev::parse("1-00000000000000000000000000000001").unwrap(),
        deleted: false,
        body: body.to_string().into(),
        attachments: vec![Attachment {
            name: "a.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            digest: Digest([0; 16]),
            length: 3,
            encoded_length: 3,
            encoding: Encoding::Identity,
            revpos: 1,
        }],
    };
    Ddoc::new(&document, None).unwrap()
}

fn untold() -> Told {
    Arc::new(|| {})
}

fn request() -> String {
    json!({"method": "POST", "path": [], "headers": {}, "query": {}}).to_string()
}

fn thrown(error: &str, reason: &str) -> FunctionError {
    CallError::Thrown { error: error.to_owned(), reason: reason.to_owned() }.into()
}

#[test]
fn shows_give_responses() {
    let show = |source: &str| {
        let ddoc = ddoc(&json!({"shows": {"f": source}}));
        functions()
            .show(&ddoc, "f", "null".to_owned(), request(), untold())
            .and_then(FunctionCall::wait)
    };
    let body = Some(ResponseBody::Text("x".to_owned()));
    assert_eq!(show("() => 'x'"), Ok(Response { body, ..Response::default() }));
    assert_eq!(show("() => {}"), Ok(Response::default()));
    let body = Some(ResponseBody::Json(json!({"rev": "1-00000000000000000000000000000001"})));
    let rev = "function(){ return {json: {rev: this._rev}}; }";
    assert_eq!(show(rev), Ok(Response { body, ..Response::default() }));
    let keys = "function(){ return Object.keys(this).join() + this._attachments['a.txt'].length; }";
    let body = Some(ResponseBody::Text("_id,_rev,shows,_attachments,_module_cache3".to_owned()));
    assert_eq!(show(keys), Ok(Response { body, ..Response::default() }));
    for sees in [
        "function(doc, req) { return req.method; }",
        "function(doc, req) { return arguments[1].method; }",
        "function (doc , r) { return r.method; }",
        "function(doc, req) { return eval('re' + 'q').method; }",
        "(doc, req) => req.method",
        "function(doc, req) { provides('html', () => 'POST'); return {}; }",
    ] {
        let Ok(Response { body, .. }) = show(sees) else { panic!("{sees}") };
        assert_eq!(body, Some(ResponseBody::Text("POST".to_owned())), "{sees}");
    }
    let evaluated = "function(){ return Object.keys(eval('th' + 'is')).length + ''; }";
    let body = Some(ResponseBody::Text("5".to_owned()));
    assert_eq!(show(evaluated), Ok(Response { body, ..Response::default() }));
    let invalid = |text: &str| Err(FunctionError::InvalidAnswer(text.to_owned()));
    assert_eq!(show("() => ({foo: 1})"), invalid("{<<\"foo\">>,1}"));
    assert_eq!(show("() => new String('b')"), invalid("<<\"b\">>"));
    let none = ddoc(&json!({"shows": {}}));
    let answer = functions()
        .show(&none, "f", "null".to_owned(), request(), untold())
        .and_then(FunctionCall::wait);
    assert_eq!(answer, Err(CallError::MissingKey("f".to_owned()).into()));
}

#[test]
fn updates_give_documents_and_responses() {
    let update = |source: &str| {
        let ddoc = ddoc(&json!({"updates": {"f": source}}));
        functions()
            .update(&ddoc, "f", "null".to_owned(), request(), untold())
            .and_then(FunctionCall::wait)
    };
    let with = |document: Value| Updated {
        document: document.as_object().cloned(),
        response: Response {
            body: Some(ResponseBody::Text("x".to_owned())),
            ..Response::default()
        },
    };
    assert_eq!(update("() => [{_id: 'a'}, 'x']"), Ok(with(json!({"_id": "a"}))));
    assert_eq!(update("() => [null, 'x']"), Ok(with(json!(null))));
    assert_eq!(update("() => ['text', {body: 'x'}]"), Ok(with(json!(null))));
    assert_eq!(
        update("() => [null, {foo: {}}]"),
        Err(FunctionError::InvalidAnswer("{<<\"foo\">>,{[]}}".to_owned()))
    );
}

#[test]
fn rewrites_give_requests_or_answers() {
    let rewrite =
        |source: &str| functions().rewrite(&ddoc(&json!({"rewrites": source})), request());
    let to = |members: Value| Ok(Rewritten::Request(members.as_object().cloned().unwrap()));
    assert_eq!(rewrite("() => '../a'"), to(json!({"path": "../a"})));
    assert_eq!(
        rewrite("() => ({path: 'a', query: {a: 1, b: 'x', c: [true]}, headers: {X: 5}, odd: 1})"),
        to(
            json!({"path": "a", "query": {"a": "1", "b": "x", "c": "[true]"}, "headers": {"X": "5"},
            "odd": 1})
        )
    );
    assert_eq!(rewrite("() => {}"), Ok(Rewritten::Invalid));
    let response = Response {
        code: Some(418),
        headers: vec![("A".to_owned(), "b".to_owned())],
        body: Some(ResponseBody::Text("tea".to_owned())),
        ..Response::default()
    };
    assert_eq!(
        rewrite("() => ({code: 418, path: 'ignored', headers: {A: 'b'}, body: 'tea', odd: 1})"),
        Ok(Rewritten::Response(response))
    );
    for (source, reason) in [
        ("() => 5", "bad rewrite"),
        ("() => [1]", "bad rewrite"),
        ("() => ({path: 5})", "bad path"),
        ("() => ({method: null})", "bad method"),
        ("() => ({path: 'a', body: {}})", "bad body"),
        ("() => ({path: 'a', query: 'a=b'})", "bad query"),
        ("() => ({path: 'a', headers: []})", "bad headers"),
        ("() => ({code: 600})", "bad code"),
        ("() => ({code: '200'})", "bad code"),
    ] {
        assert_eq!(rewrite(source), Err(thrown("rewrite_error", reason)), "{source}");
    }
}

#[test]
fn validations_let_in_or_refuse() {
    let validate = |body: &str| {
        let ddoc = ddoc(&json!({"validate_doc_update": format!("function(){{ {body} }}")}));
        let json = || "{}".to_owned();
        let question = Question { new: json(), old: json() };
        functions().validate(&ddoc, &[question], "{}", "{}").remove(0)
    };
    assert_eq!(validate(""), Ok(()));
    assert_eq!(
        validate("throw {forbidden: {a: 1}}"),
        Err(CallError::Forbidden("{\"a\":1}".to_owned()).into())
    );
    assert_eq!(validate("throw new RangeError('x')"), Err(thrown("RangeError", "{[]}")));
    assert_eq!(
        validate("throw {"),
        Err(CallError::Compilation(
            "(new Error(\"Line 1: Unexpected end of input\", \"./share/server/main.js\", 1)) \
             (function(){ throw { })"
                .to_owned()
        )
        .into())
    );
}

#[test]
fn a_filter_is_asked_once_by_all_who_ask_the_same() {
    let callers = PoolOptions { threads: 1, ..PoolOptions::default() };
    let options = Options { callers, ..Options::default() };
    let functions = Functions::new(Sandbox::new(options).unwrap());
    // Passes the first documents that it is asked about.
    let first =
        "function(doc, req) { return (globalThis.asked = (globalThis.asked || 0) + 1) < 3; }";
    let ddoc = ddoc(&json!({"filters": {"f": first}}));
    let passes = |document: &str, uuid: &str, asked: &str| {
        let request = json!({"uuid": uuid}).to_string();
        functions.filter(&ddoc, "f", vec![document.to_owned()], [&request, asked]).unwrap()
    };
    for listener in ["1", "2", "3"] {
        assert_eq!(passes("{\"n\":1}", listener, "{}"), [true], "{listener}");
    }
    assert_eq!(passes("{\"n\":1}", "4", "{\"query\":{}}"), [true]);
    assert_eq!(passes("{\"n\":2}", "5", "{}"), [false]);
}

/// What runs natively and what the engine is asked about keep their places.
#[test]
fn one_batch_is_judged_natively_and_by_the_engine() {
    let ddoc = ddoc(&json!({
        "validate_doc_update": "function(newDoc, oldDoc, userCtx) {
            if (newDoc.date) throw({forbidden: new Date(newDoc.date)});
            if (newDoc.n) throw({unauthorized: userCtx.name + newDoc.n});
            if (newDoc.x) oldDoc.x.y = 1;
        }",
        "filters": {"f": "function(doc, req) {
            if (doc.first) req.query.n = doc.n;
            return doc.n == req.query.n;
        }"},
    }));
    let functions = functions();
    let news = ["{\"n\":1}", "{\"date\":1}", "{}", "{\"x\":1}", "{\"n\":2}"];
    let questions = news.map(|new| Question { new: new.to_owned(), old: "{\"x\":{}}".to_owned() });
    let refused =
        |refusal: fn(String) -> CallError, reason: &str| Err(refusal(reason.into()).into());
    assert_eq!(
        functions.validate(&ddoc, &questions, "{\"name\":\"jan\"}", "{}"),
        [
            refused(CallError::Unauthorized, "\"jan1\""),
            refused(CallError::Forbidden, "\"1970-01-01T00:00:00.001Z\""),
            Ok(()),
            Ok(()),
            refused(CallError::Unauthorized, "\"jan2\""),
        ]
    );
    // What the function does to the request is seen from then on.
    let documents =
        ["{\"n\":1}", "{\"n\":2}", "{\"n\":1,\"first\":true}", "{\"n\":2}", "{\"n\":1}"];
    let request = json!({"query": {"n": 2}}).to_string();
    let passing =
        functions.filter(&ddoc, "f", documents.map(str::to_owned).to_vec(), [&request; 2]);
    assert_eq!(passing, Ok(vec![false, true, true, false, true]));
    let native = functions.native(&ddoc).into_iter().collect::<Vec<_>>();
    let known = [("filters.f", true), ("validate_doc_update", false)];
    assert_eq!(native, known.map(|(path, native)| (path.to_owned(), native)));
}

/// Nothing runs natively that the engine would not compile.
#[test]
fn a_source_is_one_for_the_engine_too() {
    for source in [
        "function(doc) { return doc.n || /(/.test(doc.a); }",
        "function(doc) { 'use strict'; return doc.n || (doc = 010); }",
        "function(doc) { return doc.n || (() => { break; })(); }",
    ] {
        let ddoc = ddoc(&json!({"filters": {"f": source}}));
        let passing = functions().filter(&ddoc, "f", vec!["{\"n\":1}".to_owned()], ["{}"; 2]);
        let is_refused = matches!(passing, Err(FunctionError::Call(CallError::Compilation(_))));
        assert!(is_refused, "{source}: {passing:?}");
    }
}

#[test]
fn filters_pass_documents() {
    let ddoc = ddoc(&json!({
        "filters": {"f": "(doc, req) => doc.n == req.query.n"},
        "views": {"v": {"map": "doc => { if (doc.n > 1) emit(1); }"}},
    }));
    let documents = || vec!["{\"n\":1}".to_owned(), "{\"n\":2}".to_owned()];
    let request = json!({"query": {"n": "1"}}).to_string();
    assert_eq!(functions().filter(&ddoc, "f", documents(), [&request; 2]), Ok(vec![true, false]));
    assert_eq!(functions().filter_by_view(&ddoc, "v", documents()), Ok(vec![false, true]));
    let missing = |key: &str| Err(CallError::MissingKey(key.to_owned()).into());
    assert_eq!(functions().filter_by_view(&ddoc, "w", documents()), missing("w"));
    assert_eq!(functions().filter(&ddoc, "g", documents(), ["{}"; 2]), missing("g"));
}
