//! What runs natively answers as the engine does: rows, failures and log lines, byte by byte.

use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::super::calls_tests::shown;
use super::super::clock::{Clock, Progress};
use super::super::engine::{Limits, engine};
use super::super::instance::{Instance, Setup};
use super::super::javascript::JavaScript;
use super::super::program::{Code, Emitted, MapResults, Program};
use super::super::{Options, Sandbox};
use super::grammar::{Choices, document, function};
use super::inherited::{OF_ALL, OF_SOME};
use super::{NativeFunction, NativeMaps};

/// Nobody waits for the engine.
struct Unwatched;

impl Progress for Unwatched {
    fn restart(&self) {}
    fn pause(&self) {}
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }
}

/// What `run` gives, and what it logs.
pub(super) fn logged<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let answer = tracing::subscriber::with_default(subscriber, run);
    (answer, lines.0.lock().unwrap().clone())
}

/// What the engine makes of documents; none where it does not take the source.
pub(super) fn in_engine(source: &str, documents: &[String]) -> Option<MapResults> {
    let code = Code::Maps { sources: vec![source.to_owned()], modules: None };
    let (mut program, clock) = program(&code)?;
    Some(program.map(documents, &clock).unwrap())
}

/// A program in the engine; none where it does not take it.
pub(super) fn program(code: &Code) -> Option<(JavaScript, Rc<Clock>)> {
    let clock = Rc::new(Clock::new(Duration::from_mins(1), Arc::new(Unwatched)));
    let setup = Setup {
        engine: engine(),
        limits: Limits::default(),
        collate: str::cmp,
        kept: Arc::default(),
    };
    Some((JavaScript::new(code, &setup, &clock).ok()?, clock))
}

/// How many documents a function maps natively, having checked that the engine agrees; none where
/// it does not run natively.
#[track_caller]
fn check(source: &str, documents: &[String]) -> Option<usize> {
    let native = NativeMaps::new(&[source.to_owned()])?;
    let ((results, left), lines) = logged(|| native.map(documents));
    let mapped: Vec<String> = (0..)
        .zip(documents)
        .filter(|(at, _)| !left.contains(at))
        .map(|(_, document)| document.clone())
        .collect();
    let mut found = shown(&results);
    found.retain(|functions| !functions.is_empty());
    let (expected, expected_lines) = logged(|| in_engine(source, &mapped));
    let expected = expected.map(|results| shown(&results));
    for ((document, found), expected) in mapped.iter().zip(&found).zip(expected.as_ref()?) {
        assert_eq!(found, expected, "{source}\n{document}");
    }
    assert_eq!(Some(found), expected, "{source}");
    assert_eq!(lines, expected_lines, "{source}\n{mapped:?}");
    Some(mapped.len())
}

/// Documents that maps are tried on.
pub(super) fn documents() -> Vec<String> {
    [
        r#"{"_id":"a","_rev":"1-a"}"#,
        r#"{"_id":"b","type":"post","author":"jan","date":"2020-01-02","score":1.5,"tags":["x","y","x"],"n":3}"#,
        r#"{"_id":"c","type":"post","tags":[],"n":-0,"text":"Hello, wide World! été 12 İ ß","o":{"b":1,"a":[1,{"c":null}],"2":3,"1":4}}"#,
        r#"{"_id":"d\n\"","n":1e21,"text":"a\u0000b\\\u00e9\ud83d\ude00😀 z","tags":"x","o":[1,[2,[3]]],"type":null}"#,
        r#"{"_id":"e","n":"12px","text":"  \u3000trim\ufeff ","tags":{"length":2,"0":"z"},"o":null,"type":false,"score":0}"#,
        r#"{"_id":"f","constructor":1,"toString":2,"__proto__":3,"hasOwnProperty":4,"length":5,"n":0.1,"x":1,"x":2}"#,
        r#"{"_id":"g","n":123456789012345678901234567890,"text":"\ud800","tags":[null,true,"",0]}"#,
        r#"{"_id":"h","n":5e-324,"text":"","type":"","tags":[["a",1],["b",2]],"score":1.0,"o":{}}"#,
        r#"{"n":[1],"text":5,"tags":[{"name":"t1","w":2},{"name":"t2"}]}"#,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Functions that run natively, and of how many of the documents they map all.
const NATIVE: &[(&str, usize)] = &[
    ("function(doc){ emit(doc._id, 1); }", 8),
    ("function(doc) { emit([doc.author, doc.date], doc.score); }", 8),
    ("doc => emit(doc.n, doc)", 8),
    ("(doc) => { emit(doc.o, [doc.type, doc.tags]); }", 8),
    ("function(doc){ if (doc.type == 'post') { emit(doc.author, null); } else emit(doc.type) }", 8),
    (
        "function(doc){ if (doc.tags && doc.tags.length) { for (var i = 0; i < doc.tags.length; i++) emit(doc.tags[i], i); } }",
        8,
    ),
    ("function(doc){ for (var k in doc) emit(k, doc[k]); }", 8),
    ("function(doc){ for (const k in doc.o) { emit(k, typeof doc.o[k]); } }", 8),
    ("function(doc){ emit(doc.o.a, 1); }", 8),
    ("function(doc){ log('before'); emit(doc.missing.a.b, 1); }", 8),
    ("function(doc){ log(doc); emit(doc.text === undefined, doc.n > 2); }", 7),
    ("function(doc){ emit(doc.type || 'none', doc.n == null ? 0 : 1); return 5; }", 8),
    (
        "function(doc){ emit({a: doc.n, b: undefined, 2: 1, 1: [doc.n, undefined]}, -doc.score); }",
        8,
    ),
    ("function(doc){ var a = []; a.push(doc.n, 1); emit(a, a.length); a.push(2); }", 8),
    (
        "function(doc){ switch (doc.type) { case 'post': emit(1); case null: emit(2); break; default: emit(3); } }",
        8,
    ),
    (
        "function(doc){ if (Array.isArray(doc.tags)) doc.tags.forEach(function(t) { emit(t, doc._id); }); }",
        8,
    ),
    (
        "function(doc){ var n = 0; while (n < 3) { n++; if (n == 2) continue; emit(n); } do { n--; } while (n > 0); emit(n); }",
        8,
    ),
    ("function(doc){ function f(a, b) { return a + '/' + b; } emit(f(doc._id, 1), f()); }", 8),
    ("function(doc){ var f = function(a) { if (a) return a; }; emit(f(doc.type), f(1)); }", 8),
    ("function(doc){ 'use strict'; let a = 1; { let a = 2; emit(a); } const b = a; emit(b); }", 8),
    ("function(doc){ emit(`${doc._id}-${1 + 2}`, 'a' in doc, 'n' in doc); }", 8),
    (
        "function(doc){ emit(parseInt('12px'), [parseFloat('1.5e3x'), Number(''), String(1e21), 1/3]); }",
        8,
    ),
    (
        "function(doc){ emit([1 < 2, 'a' < 'b', 5 % 3, -5 % 3, 1 << 33, -1 >>> 0, ~5, 7 & 3, 7 ^ 2, 6 | 1]); }",
        8,
    ),
    ("function(doc){ emit(Object.keys(doc), JSON.stringify(doc.o)); }", 8),
    (
        "function(doc){ emit([Math.floor(1.5), Math.round(-0.5), Math.max(1, 3), Math.min(), Math.abs(-2)]); }",
        8,
    ),
    (
        "function(doc){ var o = {}; o.b = 1; o['a'] = 2; o.b += 5; o[1] = 3; o.c++; emit(o, o.zzz); }",
        8,
    ),
    (
        "function(doc){ if (typeof doc.text == 'string') emit(doc.text.length, [doc.text.split(' '), doc.text.indexOf('d')]); }",
        8,
    ),
    (
        "function(doc){ if (typeof doc.text == 'string') emit(doc.text.trim(), [doc.text.slice(0, 2), doc.text.substr(1, 3)]); }",
        8,
    ),
    (
        "function(doc){ if (doc.type == 'post' && doc.text) { var words = doc.text.split(/\\W+/); for (var i = 0; i < words.length; i++) { if (words[i]) emit(words[i], 1); } } }",
        8,
    ),
    (
        "function(doc){ if (doc.type === 'post') emit(doc.author.toLowerCase().replace(/[^a-z]+/g, '-'), /a/.test(doc.author)); }",
        8,
    ),
    (
        "function(doc){ if (isArray(doc.tags)) emit(doc.tags.indexOf('x'), doc.tags.slice(1).concat([5], 6)); }",
        8,
    ),
    (
        "function(doc){ if (isArray(doc.tags)) emit(doc.tags.map(t => [t]), doc.tags.filter((t, i) => i > 0)); }",
        8,
    ),
    ("function(doc){ for (var t of [1, 'a', doc.n]) emit(t); }", 8),
    (
        "function(doc){ emit(doc.n == '3', [doc.n === 3, doc.score == true, null == undefined, NaN == NaN]); }",
        7,
    ),
    ("function(doc){ emit(doc.n + 1, doc.n - 1); }", 7),
    ("function(doc){ emit(doc.constructor, doc.toString); }", 1),
    ("function(doc){ emit(doc.n.length, doc.text[0]); }", 8),
];

#[test]
fn functions_that_people_write_run_natively() {
    let documents = documents();
    let mut short = Vec::new();
    for (source, mapped) in NATIVE {
        let found = check(source, &documents);
        if found != Some(*mapped) {
            short.push((source, found));
        }
    }
    assert!(short.is_empty(), "{short:#?}");
}

/// What the engine runs.
const FOREIGN: &[&str] = &[
    "",
    "5",
    "function f(doc){ emit(1); }",
    "function(doc){ emit(1); } function(doc){ emit(2); }",
    "'use strict'; function(doc){ emit(1); }",
    "var a = 1; function(doc){ emit(a); }",
    "function(doc){ emit(this); }",
    "function(doc){ emit(arguments.length); }",
    "function(doc){ a = 1; emit(a); }",
    "function emit(doc){ emit(doc._id); }",
    "function(doc){ emit(new Date(doc.date)); }",
    "function(doc){ emit(Date.parse(doc.date)); }",
    "function(doc){ emit(eval('1')); }",
    "function(doc){ emit(require('views/lib/a').b); }",
    "function(doc){ emit(/(a)b/.exec(doc.text)); }",
    "function(doc){ try { emit(1); } catch (e) {} }",
    "function(doc){ throw 'no'; }",
    "function(doc){ with (doc) emit(n); }",
    "function(doc){ delete doc.n; emit(doc); }",
    "function(doc){ doc.tags.reverse(); }",
    "function(doc){ let a; var a; }",
    "function(doc){ { let a; { var a; } } }",
    "function(doc){ const a = 1; a = 2; }",
    "function(doc){ break; }",
    "function(doc){ emit(010); }",
    "function(doc){ emit('\\07'); }",
    "function(doc){ emit({__proto__: doc}); }",
    "function(doc, doc){ emit(1); }",
    "function(doc){ emit(1n); }",
    "function(doc){ if (1) { function f() {} } }",
    "function(doc){ for (var i = 0; i < 2; i++) { var f = function() { return i; }; } emit(f()); }",
    "function*(doc){ emit(1); }",
    "async function(doc){ emit(1); }",
    "function(doc){ emit(",
];

#[test]
fn everything_else_is_the_engines() {
    for source in FOREIGN {
        assert!(NativeMaps::new(&[(*source).to_owned()]).is_none(), "{source}");
    }
    let both = ["function(doc){ emit(1); }", FOREIGN[5]].map(str::to_owned);
    assert!(NativeMaps::new(&both).is_none(), "maps share their globals");
}

/// Functions that run natively, but of whose documents the engine must map all.
const LEFT: &[&str] = &[
    "function(doc){ for (;;) {} }",
    "function(doc){ var a = 'x'; while (true) a += a; }",
    "function(doc){ function f() { f(); } f(); }",
    "function(doc){ emit(a); let a = 1; }",
    "function(doc){ doc.n = 1; emit(doc.n); }",
    "function(doc){ emit('' + doc); }",
    "function(doc){ emit(doc.tags.nothing()); }",
    "function(doc){ emit(doc.tags.sort()); }",
    "function(doc){ emit([2, 10].sort()); }",
    "function(doc){ var a = []; a.push(a); emit(a); }",
    "function(doc){ var a = []; a[5] = 1; emit(a); }",
    "function(doc){ var f = function() {}; emit(f); }",
    "function(doc){ emit('\u{1f600}'.charAt(0)); }",
    "function(doc){ emit('ΑΣ'.toLowerCase()); }",
    "function(doc){ var a = [1]; for (var i = 0; i < 99; i++) a = [a, a]; emit(a); }",
];

#[test]
fn what_is_too_much_or_too_odd_is_left_to_the_engine() {
    let documents = ["{\"_id\":\"a\",\"n\":1,\"tags\":[]}".to_owned()];
    for source in LEFT {
        if let Some(native) = NativeMaps::new(&[(*source).to_owned()]) {
            let (_, left) = native.map(&documents);
            assert_eq!(left, [0], "{source}");
        }
    }
    let native = NativeMaps::new(&["doc => { while (doc.n); emit(1) }".to_owned()]).unwrap();
    let quick = "{\"_id\":\"b\"}".to_owned();
    assert_eq!(native.map(&[documents[0].clone(), quick.clone()]).1, [0]);
    native.map(&vec![documents[0].clone(); 8]);
    assert_eq!(native.map(&[quick]).1, [0], "it is not tried for ever");
    let deep = format!("{{\"_id\":\"a\",\"n\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let native = NativeMaps::new(&["doc => emit(1)".to_owned()]).unwrap();
    assert_eq!(native.map(&[deep]).1, [0]);
}

/// The names of the members of the values' prototypes.
fn names_from_prototypes(values: &str) -> Vec<String> {
    let source = format!(
        "function(doc){{
            var names = {{}};
            {values}.forEach(function(value) {{
                for (var p = Object.getPrototypeOf(value); p; p = Object.getPrototypeOf(p)) {{
                    var own = Object.getOwnPropertyNames(p);
                    own.forEach(function(name) {{ names[name + ' '] = 1; }});
                }}
            }});
            emit(Object.keys(names).sort(), null);
        }}"
    );
    let results = in_engine(&source, &["{}".to_owned()]).unwrap();
    let Emitted::Rows(rows) = &results.documents[0][0] else { panic!("{source}") };
    let names: Vec<String> = serde_json::from_str(&results.text[rows[0].key.clone()]).unwrap();
    names.iter().map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn names_of_prototypes_are_known() {
    let of_all = names_from_prototypes("[{}]");
    assert_eq!(of_all, OF_ALL);
    let mut of_some = names_from_prototypes("[[], '', 1, true]");
    // Arrays and strings have a length of their own, the others none.
    of_some.retain(|name| name != "length" && !of_all.contains(name));
    assert_eq!(of_some, OF_SOME);
    assert!(OF_ALL.is_sorted() && OF_SOME.is_sorted());
}

#[test]
fn the_case_of_letters_is_the_engines() {
    let all = ('\0'..=char::MAX).filter(|c| super::text::has_known_case(*c) && *c > '\u{7f}');
    let all: Vec<char> = all.collect();
    for some in all.chunks(4000) {
        let text: String = some.iter().collect();
        let document = serde_json::json!({"_id": "a", "t": text}).to_string();
        let source = "function(doc){ emit(doc.t.toLowerCase(), doc.t.toUpperCase()); }";
        assert_eq!(check(source, &[document]), Some(1));
    }
}

/// Documents that the engine maps keep their places among the others.
#[test]
fn documents_keep_their_order() {
    let sandbox = Sandbox::new(Options::default()).unwrap();
    let sources = ["doc => emit(doc.text, doc.n)", "doc => emit(doc.n + 1)"].map(str::to_owned);
    let program = Program::new(Code::Maps { sources: sources.to_vec(), modules: None });
    let documents = documents();
    let results = sandbox.map(&program, documents.clone()).unwrap();
    let expected = sandbox.map_in_engine(&program, documents).unwrap();
    assert_eq!(shown(&results), shown(&expected));
    assert_eq!(sandbox.native(&program), Some(vec![true, true]));
    let source = "doc => emit(new Date(doc.n))".to_owned();
    let program = Program::new(Code::Maps { sources: vec![source], modules: None });
    assert_eq!(sandbox.native(&program), Some(vec![false]));
}

/// Sources of which each token takes the parser or a run deeper.
#[test]
fn deep_sources_fit_on_a_small_stack() {
    let around = |before: &str, inside: &str, after: &str, count: usize| {
        format!("function(doc){{ emit({}{inside}{}); }}", before.repeat(count), after.repeat(count))
    };
    let mut sources: Vec<String> = Vec::new();
    for (before, inside, after) in [
        ("!", "1", ""),
        ("- ", "1", ""),
        ("typeof ", "1", ""),
        ("1+", "1", ""),
        ("1,", "1", ""),
        ("doc?1:", "1", ""),
        ("doc=", "1", ""),
        ("a=>", "1", ""),
        ("[", "1", "]"),
        ("(", "1", ")"),
        ("{a:", "1", "}"),
        ("1**", "1", ""),
        ("new ", "a", ""),
        ("doc", "", ".a"),
        ("await ", "1", ""),
    ] {
        sources.extend([10, 25, 60, 180, 600, 1900].map(|n| around(before, inside, after, n)));
    }
    sources
        .push(format!("function(doc){{ {} emit(1); }}", "if (doc.a) emit(2); else ".repeat(250)));
    sources.push(format!("function(doc){{ emit(doc{}); }}", ".a".repeat(900)));
    sources.push(format!("function(doc){{ {} }}", "for (;;)".repeat(400)));
    let run = move || {
        for source in sources {
            let documents = ["{\"_id\":\"a\"}".to_owned()];
            if let Some(native) = NativeFunction::new(&source) {
                let _ = native.filter_by_rows(&documents);
            }
            if let Some(native) = NativeMaps::new(&[source]) {
                native.map(&documents);
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(run).unwrap();
    thread.join().unwrap();
}

pub(super) fn config() -> ProptestConfig {
    ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn native_functions_answer_as_the_engine_does(
        code in prop::collection::vec(any::<u16>(), 1..200),
        data in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..100), 1..6),
    ) {
        let source = function(&mut Choices::new(&code));
        let made = data.iter().map(|data| document(&mut Choices::new(data)));
        let mut all: Vec<String> = made.collect();
        all.extend(documents());
        check(&source, &all);
    }
}
