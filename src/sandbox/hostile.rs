//! Programs that would hold up or bring down a server that trusted them.
//!
//! Each runs on a sandbox with one thread and must end in the way that is written beside it.
//! Afterwards another program works, and so does the same one.

use std::time::Duration;

use super::{
    CallError, ChunkSink, Code, Emitted, Limits, MapResults, Options, PoolOptions, Program,
    ReduceCall, RowSource, Sandbox,
};

/// How a hostile function ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// It runs until its time is over.
    TimedOut,
    OutOfMemory,
    /// It throws, so that it emits nothing.
    Fails,
    /// It comes to an end, with these rows.
    Emits(&'static str),
    /// It comes to an end of some kind that depends on the machine.
    Whatever,
}

impl End {
    fn is(self, answer: &Result<Option<String>, CallError>) -> bool {
        match self {
            Self::TimedOut => answer == &Err(CallError::TimedOut),
            Self::OutOfMemory => answer == &Err(CallError::OutOfMemory),
            Self::Fails => answer == &Ok(None),
            Self::Emits(rows) => answer == &Ok(Some(rows.to_owned())),
            Self::Whatever => true,
        }
    }
}

use End::{Emits, Fails, OutOfMemory, TimedOut, Whatever};

/// More than the machine needs at its busiest.
const PLENTY: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(150);

/// How long what the engine does in one piece may take, which is a tenth of a second where nobody
/// else runs. A search of a huge text that is not taken apart takes minutes.
const PIECE: Duration = Duration::from_secs(5);

fn sandbox() -> Sandbox {
    sandbox_granting(Options::default().grace)
}

fn sandbox_granting(grace: Duration) -> Sandbox {
    let limits = Limits { time: PLENTY, memory_bytes: 16 << 20, ..Limits::default() };
    let pool = PoolOptions { threads: 1, overruns_max: 4, wait: PLENTY, ..Default::default() };
    let pools = Options { builders: pool, lists: pool, callers: pool, ..Options::default() };
    Sandbox::new(Options { limits, grace, ..pools }).unwrap()
}

fn maps(sources: &[&str]) -> Program {
    let sources = sources.iter().map(|&source| source.to_owned()).collect();
    let modules = Some(r#"{"lib":{"a":"exports.a = 1"}}"#.to_owned());
    Program::new(Code::Maps { sources, modules })
}

/// A document that the sources below are harmless for.
const HARMLESS: &str = r#"{"_id":"harmless","harmless":true}"#;
const DOCUMENT: &str = r#"{"_id":"a","n":1,"tags":["x","y"]}"#;

fn rows(results: &MapResults) -> Option<String> {
    let text = |range: &std::ops::Range<usize>| results.text[range.clone()].to_owned();
    match &results.documents[0][0] {
        Emitted::Failed => None,
        Emitted::Rows(rows) => {
            let rows = rows.iter().map(|row| format!("{}: {}", text(&row.key), text(&row.value)));
            Some(rows.collect::<Vec<_>>().join("; "))
        }
    }
}

/// The functions' bodies, and how they end.
pub(super) const MAPS: &[(&str, End)] = &[
    // Loops.
    ("for (;;) {}", TimedOut),
    ("do ; while (true)", TimedOut),
    ("for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} } }", TimedOut),
    ("a: for (;;) { try { for (;;) {} } finally { continue a } }", TimedOut),
    ("while (true) { try { throw 1 } catch (e) {} }", TimedOut),
    ("(function f(){ try { f() } finally { f() } })()", TimedOut),
    ("(function f(){ try { f() } catch (e) { f() } })()", TimedOut),
    ("emit({toJSON: function(){ for (;;); }})", TimedOut),
    ("emit({get a(){ for (;;); }})", TimedOut),
    ("emit(new Proxy({}, {ownKeys: function(){ for (;;); }}))", TimedOut),
    ("'' + {toString: function(){ for (;;); }}", TimedOut),
    ("+{valueOf: function(){ for (;;); }}", TimedOut),
    ("[3, 2, 1].sort(function(){ for (;;); })", TimedOut),
    ("'a'.replace(/a/, function(){ for (;;); })", TimedOut),
    ("JSON.parse('[1]', function(){ for (;;); })", TimedOut),
    ("new Proxy({}, {get: function(){ for (;;); }}).a", TimedOut),
    ("Object.prototype.toJSON = function(){ for (;;); }; emit({})", TimedOut),
    ("throw {get name(){ for (;;); }}", TimedOut),
    ("throw new Proxy({}, {get: function(){ for (;;); }})", TimedOut),
    ("throw {message: '', name: {toString: function(){ for (;;); }}}", TimedOut),
    (
        "var e = new Error('x'); Object.defineProperty(e, 'message', {get: function(){ for (;;); }}); throw e",
        TimedOut,
    ),
    ("require({toString: function(){ for (;;); }})", TimedOut),
    ("log({toJSON: function(){ for (;;); }})", TimedOut),
    ("for (;;) log('spam')", TimedOut),
    ("for (var x of (function*(){ for (;;) yield 1 })()) {}", TimedOut),
    ("new Set((function*(){ for (;;) yield 1 })())", TimedOut),
    ("Iterator.from({next: Object}).drop(Infinity).next()", TimedOut),
    ("eval('for (;;);')", TimedOut),
    ("new Function('for (;;);')()", TimedOut),
    ("(function(){}).constructor('for (;;);')()", TimedOut),
    ("for (;;) eval('1')", TimedOut),
    ("[].find.call({length: 2 ** 53 - 1}, function(){})", TimedOut),
    ("new Array(2 ** 32 - 1).forEach(function(){})", TimedOut),
    (
        "[].every.call(new Proxy({}, {get: function(){ return 2 ** 53 - 1 }}), function(){ return 1 })",
        TimedOut,
    ),
    // Loops around what takes long by itself.
    ("var s = 'x'.repeat(2e6); for (;;) s.toUpperCase()", TimedOut),
    ("for (;;) { try { 'x'.repeat(1e9) } catch (e) {} }", TimedOut),
    ("for (;;) { try { 'x'.repeat(1e6).indexOf('y') } catch (e) {} }", TimedOut),
    ("var a = new Array(1e5).fill('a'); for (;;) a.slice().sort()", TimedOut),
    ("var a = new Array(3e5).fill('a'); for (;;) JSON.stringify(a)", TimedOut),
    ("var s = (1n << 100000n) + 1n; for (;;) s.toString()", TimedOut),
    ("var a = new Uint8Array(5e6); for (;;) a.sort()", TimedOut),
    ("for (;;) 'x'.repeat(1e5).split('')", TimedOut),
    // Regular expressions.
    ("/(a*)*b/.test('a'.repeat(100))", TimedOut),
    ("/(a+)+$/.test('a'.repeat(60) + 'b')", TimedOut),
    ("/^(?:a|aa)+$/.test('a'.repeat(100) + 'b')", TimedOut),
    // What the engine does in one step that it cannot interrupt, unless it is guarded.
    ("new Array(2 ** 32 - 1).sort()", Fails),
    ("new Array(2 ** 32 - 1).reverse()", Fails),
    ("new Array(2 ** 32 - 1).join('')", Fails),
    ("new Array(2 ** 32 - 1).concat([1])", Fails),
    ("[].concat(new Array(2 ** 32 - 1))", Fails),
    ("[].shift.call({length: 2 ** 53 - 1})", Fails),
    ("[].splice.call({length: 2 ** 53 - 1}, 0, 1)", Fails),
    ("'a'.repeat(2e6).indexOf('a'.repeat(1e6) + 'b')", TimedOut),
    ("'a'.repeat(2e6).includes('a'.repeat(1e6) + 'b')", TimedOut),
    ("'a'.repeat(2e6).lastIndexOf('b' + 'a'.repeat(1e6))", Emits("")),
    ("'a'.repeat(2e6).split('a'.repeat(1e6) + 'b')", Fails),
    ("'a'.repeat(2e6).replace('a'.repeat(1e6) + 'b', '')", Fails),
    // Recursion.
    ("(function f(){ f() })()", Fails),
    ("var f = function(){ return [1].map(f) }; f()", Fails),
    ("var f = function(){ return [2, 1].sort(f) }; f()", Fails),
    ("var a = {get a(){ return a.a }}; a.a", Fails),
    ("JSON.stringify({toJSON: function(){ return JSON.stringify(this) }})", Fails),
    ("var o = {[Symbol.toPrimitive]: function(){ return o + '' }}; o + ''", Fails),
    (
        "var p = {}; Object.setPrototypeOf(p, new Proxy({}, {get: function(t, k, r){ return r[k] }})); p.x",
        Fails,
    ),
    ("new (class A { constructor(){ new A } })", Fails),
    ("eval('('.repeat(1e5))", Fails),
    ("JSON.parse('['.repeat(1e6))", Fails),
    ("var a = []; for (var i = 0; i < 1e5; i++) a = [a]; emit(a)", Fails),
    ("var a = []; for (var i = 0; i < 1e5; i++) a = [a]; a = null; emit(1)", Emits("1: null")),
    ("emit('a'.replace(/a/, function f(m){ return m.replace(/a/, f) }))", Fails),
    // Memory.
    ("'x'.repeat(1e9)", OutOfMemory),
    ("'x'.padStart(2 ** 30 - 1)", OutOfMemory),
    ("var s = 'x'; for (;;) s += s", Whatever),
    ("new Array(1e4).fill('x'.repeat(1e4)).join()", OutOfMemory),
    ("var a = []; for (;;) a.push({})", OutOfMemory),
    ("var a = []; for (;;) a.push('x'.repeat(1e5) + a.length)", OutOfMemory),
    ("var a = [1]; for (;;) a = a.concat(a)", OutOfMemory),
    ("new Array(1e7).fill(0)", OutOfMemory),
    ("Array.from({length: 1e8})", OutOfMemory),
    ("new Uint8Array(1e9)", OutOfMemory),
    ("new ArrayBuffer(2 ** 40)", Fails),
    ("new ArrayBuffer(8, {maxByteLength: 2 ** 30}).resize(2 ** 30)", OutOfMemory),
    ("new SharedArrayBuffer(2 ** 30)", OutOfMemory),
    ("var m = new Map(); for (var i = 0; ; i++) m.set(i, i)", OutOfMemory),
    ("var s = new Set(); for (var i = 0; ; i++) s.add('k' + i)", OutOfMemory),
    ("var o = {}; for (var i = 0; ; i++) o['k' + i] = i", OutOfMemory),
    ("for (;;) emit(1, 2)", OutOfMemory),
    ("for (;;) emit('x'.repeat(1000))", OutOfMemory),
    ("emit(new Array(2 ** 32 - 1))", OutOfMemory),
    (
        "var s = 'x'.repeat(1e6), a = []; for (var i = 0; i < 100; i++) a.push(s); emit(a)",
        OutOfMemory,
    ),
    ("for (var i = 0; ; i++) globalThis['g' + i] = i", OutOfMemory),
    ("for (;;) Promise.resolve(1).then(Object)", Whatever),
    ("Math.max(...(function*(){ for (;;) yield 1 })())", OutOfMemory),
    ("'aaa'.repeat(1e5).replace(/a/g, \"$`\")", OutOfMemory),
    ("throw new Error('x'.repeat(1e6))", Fails),
    ("throw 'x'.repeat(1e6)", Fails),
    ("log('x'.repeat(5e6)); emit(1)", Emits("1: null")),
    ("2n ** 100000000n", Fails),
    // What is not there, and what is never run.
    ("import('std')", Emits("")),
    ("import('file:///etc/passwd').then(function(m){ emit(m) })", Emits("")),
    (
        "Promise.resolve().then(function f(){ emit(1); return Promise.resolve().then(f) })",
        Emits(""),
    ),
    ("(async function f(){ for (;;) await emit(1) })()", Emits("1: null")),
    ("queueMicrotask(function(){})", Fails),
    ("setTimeout(function(){}, 0)", Fails),
    ("new FinalizationRegistry(function(){ for (;;); }).register({}, 1)", Emits("")),
    ("emit(typeof new WeakRef({}).deref())", Emits("\"undefined\": null")),
    ("Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0, 1e9)", Fails),
    ("debugger; emit(1)", Emits("1: null")),
    ("emit(arguments.callee.caller)", Emits("null: null")),
    (
        "emit(typeof process, typeof std + typeof os + typeof print + typeof console + typeof fetch)",
        Emits("\"undefined\": \"undefinedundefinedundefinedundefinedundefined\""),
    ),
    ("emit(JSON.rawJSON('1e999999'))", Fails),
    // Strange values.
    ("throw null", OutOfMemory),
    ("throw undefined", Fails),
    ("throw Symbol('a')", Fails),
    ("throw 1n", Fails),
    ("var p = Proxy.revocable({}, {}); p.revoke(); throw p.proxy", Fails),
    ("var p = Proxy.revocable([], {}); p.revoke(); throw p.proxy", Fails),
    ("var a = {}; a.a = a; throw a", Fails),
    ("var a = []; a[0] = a; throw a", Fails),
    ("throw {toString: null, valueOf: null}", Fails),
    ("throw Object.create(null)", Fails),
    ("throw {toJSON: function(){ throw {toJSON: function(){ throw 1 }} }}", Fails),
    ("throw [{toString: function(){ throw 1 }}]", Fails),
    ("throw ['error', 'a', 'b']", Fails),
    ("throw new Proxy(new Error('a'), {})", Fails),
    ("var p = Proxy.revocable({}, {}); p.revoke(); emit(p.proxy)", Fails),
    ("var a = []; a[0] = a; emit(a)", Fails),
    ("emit(1n)", Fails),
    ("emit({get a(){ throw 1 }})", Fails),
    ("emit(Symbol('a'), function(){})", Emits("null: null")),
    (
        "emit('\\ud800', {'\\udfff': '\\\\ud800'})",
        Emits("\"\u{fffd}\": {\"\u{fffd}\":\"\\\\ud800\"}"),
    ),
    ("emit({toJSON: function(){ emit(5); return 2 }}); emit(3)", Emits("2: null; 3: null")),
    ("emit(new Proxy([1, 2], {}), new Proxy({a: 1}, {}))", Emits(r#"[1,2]: {"a":1}"#)),
    ("emit(Object.create({a: 1}), new Map([[1, 2]]))", Emits("{}: {}")),
    ("emit(new Date(NaN), new Error('x'))", Emits("null: {}")),
    ("log(Symbol('a')); log(undefined); log(null); log([1]); emit(1)", Emits("1: null")),
    // What user code does to the globals that it shares with the prelude.
    ("JSON.stringify = JSON.parse = null; JSON = null; emit(1)", Emits("1: null")),
    ("Array.prototype.push = Array.prototype.join = null; emit(1)", Emits("1: null")),
    (
        "Object.defineProperty(Array.prototype, 0, {set: function(){}, get: function(){ return 5 }}); emit(1, 2)",
        Emits("1: 2"),
    ),
    (
        "Array.prototype[Symbol.iterator] = null; Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null; emit(1)",
        Emits("1: null"),
    ),
    (
        "Array.prototype.toJSON = function(){ return 'no' }; emit([1], {a: [1]})",
        Emits(r#""no": {"a":"no"}"#),
    ),
    (
        "Array[Symbol.species] = null; Object.defineProperty(Array, Symbol.species, {value: function(){ return {} }}); emit([1].map(Object))",
        Emits("{\"0\":1}: null"),
    ),
    (
        "Array.prototype.constructor = {[Symbol.species]: function(){ for (;;); }}; [1].map(Object)",
        TimedOut,
    ),
    ("Object.setPrototypeOf(Object.prototype, null); emit(1)", Emits("1: null")),
    (
        "Object.defineProperty(Object.prototype, '_id', {get: function(){ throw 1 }}); throw 1",
        Fails,
    ),
    (
        "Object.defineProperty(Object.prototype, 'error', {get: function(){ throw 1 }, set: function(){ throw 2 }}); throw ['fatal']",
        Whatever,
    ),
    (
        "Object.defineProperty(InternalError, Symbol.hasInstance, {value: function(){ throw 1 }}); throw 1",
        Fails,
    ),
    (
        "String.prototype.toWellFormed = String.prototype.slice = null; log('a'); emit(1)",
        Emits("1: null"),
    ),
    (
        "String.prototype.toString = Object.prototype.toString = Error.prototype.toString = null; throw new Error('x')",
        Fails,
    ),
    (
        "Object.freeze = Object.values = Object.setPrototypeOf = Array.isArray = null; emit(1)",
        Emits("1: null"),
    ),
    (
        "Object.freeze(globalThis); Object.freeze(Array.prototype); Object.freeze(Object.prototype); emit(1)",
        Emits("1: null"),
    ),
    ("Object.preventExtensions(globalThis); undeclared = 1; emit(1)", Whatever),
    (
        "for (var k of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[k] } catch (e) {} }",
        Emits(""),
    ),
    (
        "Reflect.ownKeys(Array.prototype).forEach(function(k){ try { Array.prototype[k] = function(){ for (;;); } } catch (e) {} }); emit(1)",
        Emits("1: null"),
    ),
    ("emit = log = require = undefined", Emits("")),
    (
        "Error.prepareStackTrace = function(){ for (;;); }; try { null.x } catch (e) { e.stack }",
        TimedOut,
    ),
    (
        "Error.prepareStackTrace = function(e, s){ return s }; try { null.x } catch (e) { emit(e.stack.map(function(s){ try { return s.getFunction()() } catch (e) { return 0 } }).length > 0) }",
        Whatever,
    ),
    ("Error.stackTraceLimit = Infinity; (function f(){ f() })()", Fails),
    ("with (globalThis) { var emit = 1 }", Emits("")),
    ("(function(){ 'use strict'; doc.n = 2 })()", Fails),
    ("doc.n = 2; doc.tags.push(1); emit(doc)", Fails),
    ("doc.n = 2; delete doc.tags; doc.__proto__ = null; emit(doc.n, doc.tags)", Whatever),
];

#[test]
fn maps_end_within_their_limits() {
    // A thread that is given up refuses its program for a while, which would show here.
    let sandbox = sandbox_granting(PIECE);
    let good = maps(&["function(doc){ emit(doc._id, [1, 2].map(function(n){ return n + 1 })) }"]);
    let map = |program: &Program, document: &str| {
        let answer = sandbox.map_in_engine(program, vec![document.to_owned()]);
        answer.map(|results| rows(&results))
    };
    let mut wrong = Vec::new();
    for &(body, end) in MAPS {
        let source = format!("function(doc){{ if (doc.harmless) return emit(7); {body} }}");
        let program = maps(&[&source]);
        sandbox.set_time_limit(if end == TimedOut { SHORT } else { PLENTY });
        let answer = map(&program, DOCUMENT);
        sandbox.set_time_limit(PLENTY);
        if !end.is(&answer) {
            wrong.push(format!("{body}: {answer:?} in the place of {end:?}"));
        }
        let answer = map(&good, DOCUMENT);
        if answer != Ok(Some("\"a\": [2,3]".to_owned())) {
            wrong.push(format!("another after {body}: {answer:?}"));
        }
        // What a program does to its own globals is its own affair, but it must have an answer.
        if let Err(error) = map(&program, HARMLESS) {
            wrong.push(format!("the same after {body}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_one_map_does_to_the_document_the_next_does_not_see() {
    let program = maps(&[
        "function(doc){ doc.n = 2; doc.tags[0] = 'z'; doc.tags.length = 0; emit(doc.n) }",
        "function(doc){ emit(doc.n, doc.tags) }",
    ]);
    let results = sandbox().map_in_engine(&program, vec![DOCUMENT.to_owned()]).unwrap();
    assert_eq!(results.text, r#"[[1,null],[1,["x","y"]]]"#);
}

#[test]
fn a_document_that_cannot_be_read_emits_nothing() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let sandbox = sandbox();
    let program = maps(&["function(doc){ emit(1) }"]);
    let results = sandbox.map(&program, vec![deep, DOCUMENT.to_owned()]).unwrap();
    assert_eq!(results.documents[0], [Emitted::Failed]);
    assert!(matches!(&results.documents[1][0], Emitted::Rows(rows) if rows.len() == 1));
}

#[test]
fn reduces_end_within_their_limits() {
    let sandbox = sandbox();
    let call = || vec![ReduceCall::Rereduce { values: "[1,2]".to_owned() }];
    let good = Program::new(Code::Reduce { source: "(k, v) => sum(v)".to_owned() });
    for (body, end) in [
        ("for (;;);", TimedOut),
        ("return {toJSON: function(){ for (;;); }}", TimedOut),
        ("throw {get message(){ for (;;); }}", TimedOut),
        ("return (function f(){ return f() })()", Fails),
        ("var a = []; a[0] = a; return a", Fails),
        ("return 1n", Fails),
        ("throw null", OutOfMemory),
        ("var p = Proxy.revocable({}, {}); p.revoke(); throw p.proxy", Fails),
        ("return emit", Emits("null")),
        ("return NaN", Emits("null")),
        ("v.push(1); k = v; return v", Emits("[1,2,1]")),
        ("return '\\ud800'", Emits("\"\u{fffd}\"")),
        ("return 'x'.repeat(1e8)", OutOfMemory),
        ("var a = []; for (;;) a.push({})", OutOfMemory),
        (
            "JSON = sum = log = null; Array.prototype.toJSON = function(){ return 1 }; return 2",
            Emits("2"),
        ),
    ] {
        let program = Program::new(Code::Reduce { source: format!("function(k, v){{ {body} }}") });
        sandbox.set_time_limit(if end == TimedOut { SHORT } else { PLENTY });
        let answer = sandbox.reduce(&program, call()).map(|mut answers| answers.remove(0).ok());
        sandbox.set_time_limit(PLENTY);
        assert!(end.is(&answer), "{body}: {answer:?} in the place of {end:?}");
        assert_eq!(sandbox.reduce(&good, call()), Ok(vec![Ok("3".to_owned())]), "after {body}");
    }
}

/// A list that never ends, and a reader of it.
struct Endless;

impl RowSource for Endless {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        Ok(Some(r#"{"id":"a","key":1,"value":2}"#.to_owned()))
    }
}

/// A reader that goes after some chunks.
struct Leaving {
    chunks: u32,
}

impl ChunkSink for Leaving {
    fn start(&mut self, _: String) -> Result<(), String> {
        Ok(())
    }

    fn chunk(&mut self, _: String) -> Result<(), String> {
        self.chunks = self.chunks.checked_sub(1).ok_or("the reader has gone")?;
        Ok(())
    }
}

#[test]
fn lists_end_with_their_readers() {
    let sandbox = sandbox();
    let list = |body: &str| {
        let source = serde_json::Value::from(format!("function(head, req){{ {body} }}"));
        let json = format!(r#"{{"_id":"_design/a","lists":{{"l":{source}}}}}"#);
        let program = Program::new(Code::Design { json });
        let texts = ["{}".to_owned(), "{}".to_owned()];
        let (rows, sink) = (Box::new(Endless), Box::new(Leaving { chunks: 3 }));
        sandbox.list(&program, &["lists", "l"], texts, rows, sink)
    };
    let gone = Err(CallError::Aborted("the reader has gone".to_owned()));
    assert_eq!(list("while (getRow()) send('a')"), gone);
    assert_eq!(list("for (;;) { try { send('a'); getRow() } catch (e) {} }"), gone);
    assert_eq!(list("for (;;) { try { send('a'); getRow() } finally { continue } }"), gone);
    sandbox.set_time_limit(SHORT);
    assert_eq!(list("send('a'); for (;;);"), Err(CallError::TimedOut));
    sandbox.set_time_limit(PLENTY);
    assert_eq!(list("return 'a'"), Ok(()));
}

/// Some steps take long and cannot be interrupted: they cost a thread for a while, but no more
/// than one, and the program is refused until then.
#[test]
fn a_program_that_is_stuck_costs_one_thread() {
    let sandbox = sandbox();
    let stuck = maps(&["function(doc){ if (doc.harmless) return; \
        var s = (1n << 1000000n) + 1n; s + '' }"]);
    sandbox.set_time_limit(Duration::from_millis(1));
    for _ in 0..10 {
        assert_eq!(sandbox.map(&stuck, vec![DOCUMENT.to_owned()]), Err(CallError::TimedOut));
    }
    sandbox.set_time_limit(PLENTY);
    let good = maps(&["function(doc){ emit(1) }"]);
    assert!(sandbox.map(&good, vec![DOCUMENT.to_owned()]).is_ok());
    while sandbox.map(&stuck, vec![HARMLESS.to_owned()]).is_err() {
        std::thread::yield_now();
    }
}

/// What a program piles up in its globals is gone when there is no room for it any more.
#[test]
fn globals_that_grow_cost_no_call() {
    let sandbox = sandbox();
    let program = maps(&["pile = []; function(doc){ pile.push('x'.repeat(1e6)); emit(1) }"]);
    for _ in 0..40 {
        assert!(sandbox.map(&program, vec![DOCUMENT.to_owned()]).is_ok());
    }
}

#[test]
fn the_answers_of_one_batch_are_bounded() {
    let sandbox = sandbox();
    let program = maps(&["function(doc){ emit('x'.repeat(1e6)) }"]);
    let answer = sandbox.map(&program, vec![DOCUMENT.to_owned(); 100]);
    assert_eq!(answer, Err(CallError::OutOfMemory));
    assert!(sandbox.map(&program, vec![DOCUMENT.to_owned(); 10]).is_ok());
}
