//! What each kind of function is given and may answer.

use serde_json::{Map, Value, json};

use super::super::calls_tests::shown;
use super::super::{CallError, ChunkSink, Code, Options, Program, ReduceCall, RowSource, Sandbox};
use super::{WasmCode, WasmModule};
use std::sync::{Arc, Mutex};

/// A module with the given functions: the input stands at 1024 or, where a function wants to put
/// something before it, may be moved; answers of their own stand from 65536 on.
pub(super) fn module(functions: &str) -> WasmModule {
    let text = format!(
        r#"(module
            (import "settee" "log" (func $log (param i32 i32)))
            (memory (export "memory") 3)
            (func (export "alloc") (param i32) (result i32) (i32.const 1024))
            (func $answer (param $pointer i32) (param $length i32) (result i64)
                (i64.or (i64.shl (i64.extend_i32_u (local.get $pointer)) (i64.const 32))
                        (i64.extend_i32_u (local.get $length))))
            {functions})"#
    );
    WasmModule::new(&wat::parse_str(text).unwrap())
}

/// A function that always answers the same.
pub(super) fn constant(name: &str, answer: &str) -> String {
    let bytes: Vec<String> = answer.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let bytes = bytes.concat();
    // Several such functions share the place, so each writes its answer there first.
    let segment = format!("${name}_text");
    format!(
        r#"(data {segment} "{bytes}")
        (func (export "{name}") (param i32 i32) (result i64)
            (memory.init {segment} (i32.const 65536) (i32.const 0) (i32.const {length}))
            (call $answer (i32.const 65536) (i32.const {length})))"#,
        length = answer.len()
    )
}

/// A function that answers with what it was given.
pub(super) const ECHO: &str = r#"(func (export "echo") (param i32 i32) (result i64)
    (call $answer (local.get 0) (local.get 1)))"#;

/// A map function that emits the document and the number of its calls.
const COUNTING_MAP: &str = r#"
    (global $calls (mut i32) (i32.const 0))
    (func (export "count") (param $from i32) (param $length i32) (result i64)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store16 (i32.const 65536) (i32.const 0x5b5b))
        (memory.copy (i32.const 65538) (local.get $from) (local.get $length))
        (i32.store (i32.add (i32.const 65538) (local.get $length))
            (i32.add (i32.const 0x5d5d302c) (i32.shl (global.get $calls) (i32.const 8))))
        (call $answer (i32.const 65536) (i32.add (local.get $length) (i32.const 6))))"#;

const TRAP: &str = r#"(func (export "trap") (param i32 i32) (result i64) (unreachable))"#;

pub(super) fn sandbox() -> Sandbox {
    Sandbox::new(Options::default()).unwrap()
}

pub(super) fn maps(module: &WasmModule, exports: &[&str]) -> Program {
    let exports = exports.iter().map(|&export| export.to_owned()).collect();
    Program::new(Code::Wasm { module: module.clone(), code: WasmCode::Maps(exports) })
}

pub(super) fn reduce(module: &WasmModule, export: &str) -> Program {
    let code = WasmCode::Reduce(export.to_owned());
    Program::new(Code::Wasm { module: module.clone(), code })
}

fn design(module: &WasmModule, members: Value) -> Program {
    let Value::Object(members) = members else { panic!("no object") };
    design_of(module, members)
}

fn design_of(module: &WasmModule, members: Map<String, Value>) -> Program {
    Program::new(Code::Wasm { module: module.clone(), code: WasmCode::Design(members) })
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn maps_emit_rows() {
    let answer = "[[1, {\"a b\": [1, 2]} ],[ \"ä\",null]]";
    let functions =
        [COUNTING_MAP, TRAP, &constant("two", answer), &constant("none", "[]")].concat();
    let program = maps(&module(&functions), &["two", "none", "count", "trap"]);
    let results = sandbox().map(&program, texts(&["{\"_id\":\"a\"}", "{\"_id\":\"b\"}"])).unwrap();
    let two = "1: {\"a b\":[1,2]}; \"ä\": null";
    // The trap of the first document ended the instance that counted.
    assert_eq!(
        shown(&results),
        [[two, "", "{\"_id\":\"a\"}: 1", "failed"], [two, "", "{\"_id\":\"b\"}: 1", "failed"],]
    );
}

#[test]
fn an_instance_serves_one_batch() {
    let program = maps(&module(COUNTING_MAP), &["count"]);
    let sandbox = sandbox();
    for _ in 0..3 {
        let results = sandbox.map(&program, texts(&["1", "2"])).unwrap();
        assert_eq!(shown(&results), [["1: 1"], ["2: 2"]], "nothing is left of an earlier batch");
    }
}

#[test]
fn maps_that_answer_something_else_fail() {
    let sandbox = sandbox();
    for answer in ["", "{}", "null", "[1]", "[[1]]", "[[1,2,3]]", "[[1,2]", "[[1,1e999]]"] {
        let program = maps(&module(&constant("map", answer)), &["map"]);
        let failed = sandbox.map(&program, texts(&["{}"])).unwrap_err();
        let invalid =
            matches!(&failed, CallError::Thrown { error, .. } if error == "invalid_wasm_answer");
        assert!(invalid, "{answer}: {failed:?}");
    }
}

#[test]
fn reduces_are_given_keys_and_values() {
    let module = module(&[ECHO, TRAP].concat());
    let calls = vec![
        ReduceCall::Reduce { keys: "[[1,\"a\"]]".to_owned(), values: "[2]".to_owned() },
        ReduceCall::Rereduce { values: "[3,4]".to_owned() },
    ];
    let answers = sandbox().reduce(&reduce(&module, "echo"), calls.clone()).unwrap();
    let expect = [
        r#"{"keys":[[1,"a"]],"values":[2],"rereduce":false}"#,
        r#"{"keys":null,"values":[3,4],"rereduce":true}"#,
    ];
    assert_eq!(answers, expect.map(|text| Ok(text.to_owned())));
    let trapped = sandbox().reduce(&reduce(&module, "trap"), calls).unwrap();
    let reason = "wasm trap: wasm `unreachable` instruction executed";
    assert_eq!(trapped, [reason, reason].map(|text| Err(text.to_owned())));
}

#[test]
fn shows_and_updates_answer_with_responses() {
    let functions = [
        ECHO.to_owned(),
        constant("text", "\"h\\u00e4\""),
        constant("object", " {\"body\": \"b\", \"code\": 201} "),
        constant("number", "5"),
        constant("up", "[{\"_id\":\"x\"}, \"done\"]"),
        constant("none", "[null,{\"body\":\"no\"}]"),
        constant("path", "\"a/b\""),
        constant("nowhere", " null"),
    ];
    let module = module(&functions.concat());
    let program = design(
        &module,
        json!({
            "shows": {"echo": "echo", "text": "text", "object": "object", "number": "number",
                "lost": "lost", "odd": 5},
            "updates": {"up": "up", "none": "none", "text": "text"},
        }),
    );
    let sandbox = sandbox();
    let call = |path: [&str; 2]| sandbox.call(&program, &path, texts(&["{\"_id\":\"d\"}", "{}"]));
    for (path, expect) in [
        (["shows", "echo"], r#"["resp",{"doc":{"_id":"d"},"req":{}}]"#),
        (["shows", "text"], r#"["resp",{"body":"h\u00e4"}]"#),
        (["shows", "object"], r#"["resp",{"body": "b", "code": 201}]"#),
        (["updates", "up"], r#"["up",{"_id":"x"},{"body":"done"}]"#),
        (["updates", "none"], r#"["up",null,{"body":"no"}]"#),
    ] {
        assert_eq!(call(path), Ok(expect.to_owned()), "{path:?}");
    }
    for (export, expect) in [
        ("path", r#"["ok",{"path":"a/b"}]"#),
        ("echo", r#"["ok",{"req":{"a":1}}]"#),
        ("nowhere", r#"["no_dispatch_rule"]"#),
    ] {
        let program = design(&module, json!({"rewrites": export}));
        let answer = sandbox.call(&program, &["rewrites"], texts(&["{\"a\":1}"]));
        assert_eq!(answer, Ok(expect.to_owned()), "{export}");
    }
    assert_eq!(call(["shows", "nothing"]), Err(CallError::MissingKey("nothing".to_owned())));
    assert_eq!(call(["lists", "l"]), Err(CallError::MissingKey("lists".to_owned())));
    let lost = "The module has no export `lost`.".to_owned();
    assert_eq!(call(["shows", "lost"]), Err(CallError::Compilation(lost)));
    let odd = "`shows.odd` must be the name of an export.".to_owned();
    assert_eq!(call(["shows", "odd"]), Err(CallError::Compilation(odd)));
    for path in [["shows", "number"], ["updates", "text"]] {
        assert!(matches!(call(path), Err(CallError::Thrown { .. })), "{path:?}");
    }
}

#[test]
fn validations_refuse_with_a_reason() {
    let sandbox = sandbox();
    let call = |answer: &str| {
        let program = design(
            &module(&constant("validate", answer)),
            json!({"validate_doc_update": "validate"}),
        );
        let arguments = texts(&["{}", "null", "{}", "{}"]);
        sandbox.call(&program, &["validate_doc_update"], arguments)
    };
    assert_eq!(call("null"), Ok("1".to_owned()));
    let forbidden = CallError::Forbidden("\"no\"".to_owned());
    assert_eq!(call("{\"forbidden\":\"no\"}"), Err(forbidden));
    let unauthorized = CallError::Unauthorized("{\"a\":1}".to_owned());
    assert_eq!(call("{\"unauthorized\":{\"a\":1}}"), Err(unauthorized));
    for odd in ["1", "true", "{}", "{\"other\":1}", "\"no\""] {
        assert!(matches!(call(odd), Err(CallError::Thrown { .. })), "{odd}");
    }
    let program = design(&module(ECHO), json!({"validate_doc_update": "echo"}));
    let arguments = texts(&["1", "2", "3", "4"]);
    let echoed = sandbox.call(&program, &["validate_doc_update"], arguments).unwrap_err();
    assert!(echoed.to_string().contains("newDoc"), "{echoed}");
}

/// Refuses each document with the number of its calls, counted by a global. It traps at 7, and has
/// no memory left for 8 but in its first call.
const COUNTING_VALIDATE: &str = r#"
    (global $calls (mut i32) (i32.const 0x30))
    (data $refusal "{\"forbidden\":0}")
    (func (export "validate") (param $from i32) (param i32) (result i64)
        (local $new i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (local.set $new (i32.load8_u (i32.add (local.get $from) (i32.const 10))))
        (if (i32.eq (local.get $new) (i32.const 0x37)) (then (unreachable)))
        (if (i32.and (i32.eq (local.get $new) (i32.const 0x38))
                (i32.gt_u (global.get $calls) (i32.const 0x31)))
            (then (drop (memory.grow (i32.const 65535))) (unreachable)))
        (memory.init $refusal (i32.const 65536) (i32.const 0) (i32.const 15))
        (i32.store8 (i32.const 65549) (global.get $calls))
        (call $answer (i32.const 65536) (i32.const 15)))"#;

#[test]
fn one_instance_validates_documents_until_it_fails() {
    let program = design(&module(COUNTING_VALIDATE), json!({"validate_doc_update": "validate"}));
    let calls = ["1", "2", "7", "3", "8", "4"].map(|new| texts(&[new, "null", "{}", "{}"]));
    let sandbox = sandbox();
    for _ in 0..2 {
        let answers = sandbox.call_each(&program, &["validate_doc_update"], calls.to_vec());
        let answers = answers.into_iter().map(|answer| match answer {
            Err(CallError::Forbidden(calls)) => calls,
            Err(CallError::Thrown { error, .. }) => error,
            other => panic!("{other:?}"),
        });
        let answers: Vec<String> = answers.collect();
        assert_eq!(answers, ["1", "2", "wasm_trap", "1", "1", "2"]);
    }
}

#[test]
fn filters_pass_documents() {
    let functions = [
        COUNTING_MAP.to_owned(),
        TRAP.to_owned(),
        constant("yes", "true"),
        constant("no", "false"),
        constant("number", "1"),
        constant("none", "[]"),
    ];
    let members = json!({
        "filters": {"yes": "yes", "no": "no", "number": "number", "trap": "trap"},
        "views": {"rows": {"map": "count"}, "none": {"map": "none"}, "trap": {"map": "trap"}},
    });
    let program = design(&module(&functions.concat()), members);
    let sandbox = sandbox();
    let filter = |path: &[&str]| {
        sandbox.filter(&program, path, texts(&["{}", "{\"_id\":\"b\"}"]), "{}".to_owned())
    };
    assert_eq!(filter(&["filters", "yes"]), Ok(vec![true, true]));
    assert_eq!(filter(&["filters", "no"]), Ok(vec![false, false]));
    assert_eq!(filter(&["views", "rows", "map"]), Ok(vec![true, true]));
    assert_eq!(filter(&["views", "none", "map"]), Ok(vec![false, false]));
    assert_eq!(filter(&["views", "trap", "map"]), Ok(vec![false, false]));
    for path in [["filters", "number"], ["filters", "trap"]] {
        assert!(matches!(filter(&path), Err(CallError::Thrown { .. })), "{path:?}");
    }
}

/// A list that answers its input's length in letters, and each call's input in the log.
const LIST: &str = r#"
    (func (export "list") (param $pointer i32) (param $length i32) (result i64)
        (call $log (local.get $pointer) (local.get $length))
        (i32.store8 (i32.const 65536) (i32.const 0x22))
        (memory.fill (i32.const 65537) (i32.const 0x78) (local.get $length))
        (i32.store8 (i32.add (i32.const 65537) (local.get $length)) (i32.const 0x22))
        (call $answer (i32.const 65536) (i32.add (local.get $length) (i32.const 2))))"#;

struct Rows(std::vec::IntoIter<String>);

impl RowSource for Rows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        match self.0.next() {
            Some(row) if row == "broken" => Err("the index is gone".to_owned()),
            row => Ok(row),
        }
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<String>>>);

impl ChunkSink for Sink {
    fn start(&mut self, response: String) -> Result<(), String> {
        self.0.lock().unwrap().push(response);
        Ok(())
    }

    fn chunk(&mut self, text: String) -> Result<(), String> {
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

fn list(functions: &str, rows: Vec<String>) -> (Result<(), CallError>, Vec<String>) {
    let program = design(&module(functions), json!({"lists": {"l": "list"}}));
    let sink = Sink::default();
    let arguments = ["{\"offset\":0}".to_owned(), "{}".to_owned()];
    let (rows, written) = (Box::new(Rows(rows.into_iter())), Box::new(sink.clone()));
    let ended = sandbox().list(&program, &["lists", "l"], arguments, rows, written);
    let written = sink.0.lock().unwrap().clone();
    (ended, written)
}

#[test]
fn lists_are_given_rows_in_portions() {
    let lengths = |written: &[String]| written.iter().map(String::len).collect::<Vec<_>>();
    let start = r#"{"phase":"start","head":{"offset":0},"req":{}}"#.len();
    let rows = r#"{"phase":"rows","rows":[]}"#.len();
    let end = r#"{"phase":"end"}"#.len();
    let (ended, written) = list(LIST, texts(&["1", "22", "333"]));
    assert_eq!((ended, lengths(&written)), (Ok(()), vec![2, start, rows + 8, end]));
    let (_, written) = list(LIST, Vec::new());
    assert_eq!(lengths(&written), [2, start, end]);
    let (_, written) = list(LIST, vec!["5".to_owned(); 250]);
    assert_eq!(lengths(&written), [2, start, rows + 199, rows + 199, rows + 99, end]);
    let long = format!("\"{}\"", "x".repeat(80_000));
    let (_, written) = list(LIST, vec![long.clone(), long, "1".to_owned()]);
    assert_eq!(lengths(&written), [2, start, rows + 80_002, rows + 80_002, rows + 1, end]);
    let (ended, written) = list(LIST, texts(&["1", "broken"]));
    assert_eq!(ended, Err(CallError::Aborted("the index is gone".to_owned())));
    assert_eq!(lengths(&written), [2, start]);
}

#[test]
fn lists_begin_with_a_response_and_may_stop() {
    let stop = |answer: &str| list(&constant("list", answer), texts(&["1", "2"]));
    let (ended, written) = stop("{\"body\":\"b\",\"stop\":true}");
    assert_eq!(ended, Ok(()));
    assert_eq!(written, ["{}", "b", "b", "b"]);
    let (_, written) = stop("\"\"");
    assert_eq!(written, ["{}"]);
    let (ended, written) = stop("{\"code\":404,\"headers\":{\"A\": \"b\"}}");
    assert!(matches!(ended, Err(CallError::Thrown { .. })), "no piece has a code");
    assert_eq!(written, [r#"{"code":404,"headers":{"A": "b"}}"#]);
    assert!(stop("null").0.is_err(), "a list begins with a response");
}

#[test]
fn programs_without_a_module_say_so() {
    let program = Program::new(Code::Unusable { reason: "no module".to_owned() });
    let failed = sandbox().map(&program, texts(&["{}"]));
    assert_eq!(failed, Err(CallError::Compilation("no module".to_owned())));
    let maps = maps(&module(ECHO), &["echo"]);
    let failed = sandbox().call(&maps, &["shows", "echo"], Vec::new());
    assert!(matches!(failed, Err(CallError::Compilation(_))));
}
