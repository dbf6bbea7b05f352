//! What the functions of one design document share and what they do not: modules, names, `this`,
//! and a prelude that they cannot break.

use serde_json::{Value, json};

use super::boa_tests::Engines;
use super::{CallError, Code, Program};

/// Calls shows of a design document one after the other, on one thread of each engine.
struct Shows {
    engines: Engines,
    program: Program,
}

impl Shows {
    fn of(mut ddoc: Value, sources: &[(&str, &str)]) -> Self {
        ddoc["_id"] = json!("_design/d");
        for (name, source) in sources {
            ddoc["shows"][*name] = json!(source);
        }
        let program = Program::new(Code::Design { json: ddoc.to_string() });
        Self { engines: Engines::new(), program }
    }

    fn call(&self, name: &str) -> Result<String, CallError> {
        let request = json!({"method": "GET", "path": [], "headers": {}, "query": {}}).to_string();
        self.engines.same(name, |sandbox| {
            let arguments = vec!["{}".to_owned(), request.clone()];
            sandbox.call(&self.program, &["shows", name], arguments)
        })
    }

    /// What a show returned as its text, or what it threw.
    fn text(&self, name: &str) -> String {
        match self.call(name) {
            Ok(json) => {
                let answer: Value = serde_json::from_str(&json).unwrap();
                answer[1]["body"].as_str().unwrap_or(&json).to_owned()
            }
            Err(CallError::Compilation(text)) => format!("compilation {text}"),
            Err(CallError::Thrown { error, reason }) => format!("{error}: {reason}"),
            Err(other) => other.to_string(),
        }
    }
}

fn modules() -> Value {
    json!({
        "top": "exports.id = module.id;",
        "lib": {
            "a": "exports.id = module.id; exports.b = require('./b').id; exports.up = require('../top').id;",
            "b": "module.exports = {id: module.id, holder: module.parent.id, \
                kept: Object.keys(module.parent.current).length, above: module.parent.parent.id};",
            "count": "total = (typeof total === 'undefined' ? 0 : total) + 1; exports.n = total;",
            "one": "exports.early = 1; exports.other = require('./two'); exports.late = 1;",
            "two": "var one = require('lib/one'); exports.saw = Object.keys(one).join();",
            "broken": "exports.x = ;",
            "throws": "throw new Error('no');",
            "deep": {"er": {"c": "module.exports = require('../../b').id + require('../.././b').id;"}},
            "comment": "exports.x = 1; // the last line",
            "whose": "exports.same = (this === (function(){ return this; })());",
            "number": 5,
        },
    })
}

#[test]
fn modules_are_found_by_path() {
    for (code, expect) in [
        ("require('lib/a').id", "lib/a"),
        ("require('lib/a').b", "lib/b"),
        ("require('lib/a').up", "top"),
        ("require('top').id", "top"),
        ("JSON.stringify(require('lib/b'))", r#"{"id":"lib/b","holder":"lib","kept":11}"#),
        ("require('lib/deep/er/c')", "lib/blib/b"),
        ("require('lib/' + 'b').id", "lib/b"),
        ("require('lib/count').n + require('lib/count').n + ''", "2"),
        ("require('lib/one').other.saw", "early"),
        ("require('lib/comment').x + ''", "1"),
        ("require('lib/whose').same + ''", "true"),
    ] {
        let shows = Shows::of(modules(), &[("f", &format!("function(){{ return {code}; }}"))]);
        assert_eq!(shows.text("f"), expect, "{code}");
    }
}

#[test]
fn modules_that_fail_are_told() {
    for (name, expect) in [
        ("lib/none", "invalid_require_path: Object has no property \"none\". {\"a\":"),
        ("none/x", "invalid_require_path: Object has no property \"none\". {\"top\":"),
        ("lib", "invalid_require_path: Must require a JavaScript string, not: object"),
        ("lib/number", "invalid_require_path: Must require a JavaScript string, not: number"),
        ("./a", "invalid_require_path: Object has no parent {"),
        ("lib/../../a", "invalid_require_path: Object has no parent {"),
        (
            "lib/broken",
            "compilation_error: Module require('lib/broken') raised error (new Error(\"Line 1: ",
        ),
        (
            "lib/throws",
            "compilation_error: Module require('lib/throws') raised error (new Error(\"no\", ",
        ),
    ] {
        let source = format!("function(){{ require('{name}'); }}");
        let caught = format!(
            "function(){{ try {{ require('{name}'); }} catch (e) {{ return e.slice(0, 2).join(); }} }}"
        );
        let shows = Shows::of(modules(), &[("f", &source), ("caught", &caught)]);
        for _ in 0..2 {
            let answer = shows.text("f");
            assert!(answer.starts_with(expect), "{name}\n  {answer}");
            let error = expect.split_once(':').unwrap().0;
            assert_eq!(shows.text("caught"), format!("error,{error}"), "{name}");
        }
    }
}

#[test]
fn declarations_are_their_functions_own() {
    let shows = Shows::of(
        json!({}),
        &[
            (
                "a",
                "function name(){ return 'a'; }\nconst x = 1; let y; class C {}\nfunction(){ return name(); }",
            ),
            (
                "b",
                "function name(){ return 'b'; }\nconst x = 2; let y; class C {}\nfunction(){ return name(); }",
            ),
            ("set", "function(){ shared = 1; return typeof name; }"),
            (
                "strict",
                "'use strict'; function(){ try { loose = 1; } catch (e) { return e.name; } }",
            ),
            (
                "function",
                "function(){ return new Function('a', 'return a + 1')(1) + eval('1 + 1') + ''; }",
            ),
        ],
    );
    for _ in 0..2 {
        assert_eq!(shows.text("a"), "a");
        assert_eq!(shows.text("b"), "b");
    }
    assert_eq!(shows.text("set"), "undefined");
    assert_eq!(shows.text("strict"), "ReferenceError");
    assert_eq!(shows.text("function"), "4");
}

#[test]
fn the_design_document_is_as_new_in_every_call() {
    let shows = Shows::of(
        json!({"data": {"list": [1], "text": "t"}, "lib": {"m": "exports.x = 1"}}),
        &[
            (
                "change",
                "function(){ this.data.list.push(2); this.own = 1; delete this.lib; this._id = 'x'; \
                 return this.data.list.length + typeof this.lib + this.own + this._id; }",
            ),
            (
                "look",
                "function(){ return [this.data.list, this.own, typeof this.lib, this._id, \
                 typeof this.shows.look, typeof this.shows.change, this.data === this.data]; }",
            ),
            ("json", "function(){ require('lib/m'); return JSON.stringify(this); }"),
        ],
    );
    assert_eq!(shows.text("change"), "2undefined1x");
    let answer = shows.call("look").unwrap();
    assert_eq!(answer, r#"["resp",[[1],null,"object","_design/d","function","string",true]]"#);
    let json: Value = serde_json::from_str(&shows.text("json")).unwrap();
    assert_eq!(json["_module_cache"], json!({"lib/m": {"x": 1}}));
    assert_eq!(json["shows"].as_object().unwrap().len(), 2, "the called function has no JSON");
}
