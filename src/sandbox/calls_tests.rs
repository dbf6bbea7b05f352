//! Programs and what calling them gives.

use std::time::Duration;

use super::boa_tests::both;
use super::{
    CallError, Code, Emitted, Limits, MapResults, Options, PoolOptions, Program, ReduceCall,
    Sandbox,
};

fn sandbox() -> Sandbox {
    Sandbox::new(Options::default()).unwrap()
}

fn maps(sources: &[&str], modules: Option<&str>) -> Program {
    let sources = sources.iter().map(|&source| source.to_owned()).collect();
    Program::new(Code::Maps { sources, modules: modules.map(str::to_owned) })
}

/// What each function made of each document, as text.
pub(super) fn shown(results: &MapResults) -> Vec<Vec<String>> {
    let text = |range: &std::ops::Range<usize>| results.text[range.clone()].to_owned();
    let function = |emitted: &Emitted| match emitted {
        Emitted::Failed => "failed".to_owned(),
        Emitted::Rows(rows) => {
            let rows = rows.iter().map(|row| format!("{}: {}", text(&row.key), text(&row.value)));
            rows.collect::<Vec<_>>().join("; ")
        }
    };
    results.documents.iter().map(|functions| functions.iter().map(function).collect()).collect()
}

#[track_caller]
fn check_map(source: &str, document: &str, expect: &str) {
    let results = both(source, |sandbox| {
        let results = sandbox.map_in_engine(&maps(&[source], None), vec![document.to_owned()]);
        shown(&results.unwrap())
    });
    assert_eq!(results, [[expect]], "{source}");
}

#[test]
fn maps_emit_rows() {
    check_map("function(doc){ emit(doc._id, doc.n); }", r#"{"_id":"a","n":1}"#, r#""a": 1"#);
    check_map("doc => { emit(); emit(1); }", "{}", "null: null; 1: null");
    check_map(
        "doc => emit([NaN, Infinity, undefined], {a: undefined, b: function(){}})",
        "{}",
        "[null,null,null]: {}",
    );
    check_map("doc => emit(NaN, function(){})", "{}", "null: null");
    check_map("doc => emit(new Date(0), Symbol('a'))", "{}", r#""1970-01-01T00:00:00.000Z": null"#);
    check_map(
        "doc => emit('[\"],{\\\\', {a: ['}', '\"']})",
        "{}",
        r#""[\"],{\\": {"a":["}","\""]}"#,
    );
    check_map("doc => {}", "{}", "");
}

#[test]
fn a_function_that_throws_emits_nothing() {
    check_map("doc => { emit(1); throw 'no'; }", "{}", "failed");
    check_map("doc => { emit(1); doc.a.b; }", "{}", "failed");
    check_map("doc => { var a = []; a[0] = a; emit(a); }", "{}", "failed");
    check_map("doc => { emit(1n); }", "{}", "failed");
    check_map("doc => { emit({toJSON: function(){ throw 1; }}); }", "{}", "failed");
}

#[test]
fn documents_cannot_be_changed() {
    check_map(
        "doc => { doc.a.b = 2; doc.c = 1; doc.a.d = 1; delete doc.a; emit(doc); }",
        r#"{"a":{"b":1}}"#,
        r#"{"a":{"b":1}}: null"#,
    );
    check_map("doc => { 'use strict'; doc.a = 1; emit(doc); }", "{}", "failed");
}

#[test]
fn maps_may_require_modules_of_views() {
    let modules = r#"{"lib":{"a":"exports.n = require('./b').n + 1; exports.id = module.id",
        "b":"exports.n = 1", "deep": {"c": "exports.n = require('../a').n + require('views/lib/b').n"}}}"#;
    let program = maps(
        &[
            "doc => emit(require('views/lib/a'))",
            "doc => emit(require('lib/a'))",
            "doc => emit(require('views/lib/deep/c').n)",
            "doc => emit(require('views/lib') )",
        ],
        Some(modules),
    );
    let results =
        both("modules", |sandbox| shown(&sandbox.map(&program, vec!["{}".to_owned()]).unwrap()));
    assert_eq!(results, [[r#"{"n":2,"id":"views/lib/a"}: null"#, "failed", "3: null", "failed"]]);
}

#[test]
fn fatal_errors_end_the_batch() {
    for (source, error, reason) in [
        ("doc => { throw ['fatal', 'a', 'b']; }", "a", "b"),
        ("doc => { throw 'fatal_error'; }", "map_runtime_error", "function raised 'fatal_error'"),
    ] {
        let answer =
            both(source, |sandbox| sandbox.map(&maps(&[source], None), vec!["{}".to_owned()]));
        let (error, reason) = (error.to_owned(), reason.to_owned());
        assert_eq!(answer, Err(CallError::Thrown { error, reason }));
    }
}

#[test]
fn functions_that_are_none_are_told() {
    let program = maps(&["doc => emit("], None);
    let answer = both("doc => emit(", |sandbox| sandbox.map(&program, vec!["{}".to_owned()]));
    let text = r#"(new Error("Line 1: Unexpected end of input", "./share/server/main.js", 1))"#;
    assert_eq!(answer, Err(CallError::Compilation(text.to_owned())));
}

#[test]
fn reduces_answer_one_by_one() {
    let source = "function(keys, values, rereduce){ \
        if (values[0] === 'x') throw 'x'; \
        return {k: keys, s: sum(values), r: rereduce, q: typeof require, e: emit(1)}; }";
    let program = Program::new(Code::Reduce { source: source.to_owned() });
    let calls = vec![
        ReduceCall::Reduce { keys: r#"[["a","b"]]"#.to_owned(), values: "[1,2]".to_owned() },
        ReduceCall::Rereduce { values: "[3]".to_owned() },
        ReduceCall::Rereduce { values: r#"["x"]"#.to_owned() },
    ];
    let answers = both(source, |sandbox| sandbox.reduce(&program, calls.clone()).unwrap());
    assert_eq!(
        answers,
        [
            Ok(r#"{"k":[["a","b"]],"s":3,"r":false,"q":"undefined"}"#.to_owned()),
            Ok(r#"{"k":null,"s":3,"r":true,"q":"undefined"}"#.to_owned()),
            Err("\"x\"".to_owned()),
        ]
    );
}

#[test]
fn functions_of_a_design_document_are_called_by_their_path() {
    let json = r#"{"_id":"_design/a","shows":{"s":"function(doc, req){ return {json: [this._id, doc, req]}; }"},
        "filters":{"f":"doc => doc.n > 1"},"views":{"v":{"map":"doc => { if (doc.n) emit(1) }"}}}"#;
    let program = Program::new(Code::Design { json: json.to_owned() });
    let sandbox = sandbox();
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let answer = sandbox.call(&program, &["shows", "s"], texts(&["null", "{}"]));
    assert_eq!(answer, Ok(r#"["resp",{"json":["_design/a",null,{}]}]"#.to_owned()));
    let answer = sandbox.call(&program, &["shows", "t"], texts(&["null", "{}"]));
    assert_eq!(answer, Err(CallError::MissingKey("t".to_owned())));
    let documents = texts(&[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    let answer = sandbox.filter(&program, &["filters", "f"], documents.clone(), "{}".to_owned());
    assert_eq!(answer, Ok(vec![false, false, true]));
    let answer = sandbox.filter(&program, &["views", "v", "map"], documents, "{}".to_owned());
    assert_eq!(answer, Ok(vec![false, true, true]));
}

#[test]
fn many_calls_are_answered_one_by_one() {
    let json = r#"{"_id":"_design/a","validate_doc_update":"function(doc) {
        if (doc.no) throw {forbidden: doc.no};
        if (doc.grows) { var all = []; while (true) all.push(new Array(9999).fill(all.length)); }
        while (doc.loops);
    }"}"#;
    let program = Program::new(Code::Design { json: json.replace('\n', " ") });
    let limits = Limits { time: Duration::from_millis(300), ..Limits::default() };
    let sandbox = Sandbox::new(Options { limits, ..Options::default() }).unwrap();
    let call = |doc: &str| vec![doc.to_owned(), "null".to_owned()];
    let grows = ["{}", r#"{"no":"x"}"#, "{}", r#"{"grows":1}"#, "{}"].map(call).to_vec();
    let answers = sandbox.call_each(&program, &["validate_doc_update"], grows);
    assert_eq!(answers[1], Err(CallError::Forbidden("\"x\"".to_owned())));
    assert!(matches!(answers[3], Err(CallError::OutOfMemory | CallError::TimedOut)));
    let loops = ["{}", r#"{"loops":1}"#, "{}"].map(call).to_vec();
    let answers = sandbox.call_each(&program, &["validate_doc_update"], loops);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1..], [Err(CallError::TimedOut), Err(CallError::TimedOut)]);
    assert_eq!(sandbox.call_each(&program, &["none"], Vec::new()), []);
}

/// Programs that count their calls, for as long as they are kept, on one thread.
#[test]
fn no_more_programs_are_kept_ready_than_may() {
    let builders = PoolOptions { threads: 1, ..Options::default().builders };
    let sandbox = Sandbox::new(Options { builders, ..Options::default() }).unwrap();
    let counter = |name: &str| {
        let source = format!("(function(){{ var {name} = 0; return doc => emit(++{name}); }})()");
        maps(&[&source], None)
    };
    let programs = [counter("a"), counter("b")];
    let call = |at: usize| {
        let results = sandbox.map(&programs[at], vec!["{}".to_owned()]).unwrap();
        shown(&results).remove(0).remove(0)
    };
    let counts = |order: [usize; 4]| order.map(call).map(|row| row.replace(": null", ""));
    assert_eq!(counts([0, 1, 0, 1]), ["1", "1", "2", "2"]);
    sandbox.set_instance_limits(usize::MAX, 1);
    assert_eq!(counts([0, 1, 1, 0]), ["3", "1", "2", "1"]);
    // A thread keeps what it used last.
    sandbox.set_instance_limits(usize::MAX, 0);
    assert_eq!(counts([0, 0, 1, 0]), ["2", "3", "1", "1"]);
}
