//! Both engines must give the same answers. The other tests of the sandbox run their programs
//! through [`both`]; where Boa is known to answer differently stands in [`KNOWN`] alone.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::boa::{Boa, with_sound_lengths};
use super::engine::Engine;
use super::hostile::{End, MAPS};
use super::quickjs::QuickJs;
use super::{CallError, Code, CompileError, Limits, Options, PoolOptions, Program, Sandbox};

/// Programs, or bodies of map functions, that Boa 0.22 answers in another way, and why.
const KNOWN: &[(&str, &str)] = &[
    ("2n ** 100000000n", NO_MEMORY_LIMIT),
    ("emit(typeof new WeakRef({}).deref())", "what is referred to weakly goes when Boa collects"),
    ("emit(arguments.callee.caller)", "no function has a `caller`"),
    (OTHER_DATE, "which dates are read beside those of ISO 8601 is each engine's affair"),
    (TINY, "the exponents of tiny numbers are lost"),
    (STALE_SLOT, "Boa remembers where a prototype holds a member, and panics when it has moved"),
];

const NO_MEMORY_LIMIT: &str = "there is no limit on memory";

const OTHER_DATE: &str = "emit(new Date('0').getTime())";

const TINY: &str = "emit((1.5e-308).toPrecision(7))";

const STALE_SLOT: &str = "function P(){} P.prototype.x = 1; P.prototype.y = 2; var p = new P(); \
    for (var i = 0; i < 5; i++) { emit(p.y); if (i == 2) delete P.prototype.x; }";

/// Programs of [`MAPS`] that take too long with Boa, and why.
const TOO_SLOW: &[(&str, &str)] = &[(
    "var a = []; for (var i = 0; i < 1e5; i++) a = [a]; emit(a)",
    "writing nested values as JSON takes time by the square of the depth",
)];

/// A sandbox with each engine, one thread each.
pub(super) struct Engines {
    quickjs: Sandbox,
    boa: Sandbox,
}

impl Engines {
    pub fn new() -> Self {
        Self { quickjs: sandbox(&QuickJs, PLENTY), boa: sandbox(&Boa, PLENTY) }
    }

    /// What `run` gives with either engine. `program` is what it is known by.
    #[track_caller]
    pub fn same<T: Debug>(&self, program: &str, run: impl Fn(&Sandbox) -> T) -> T {
        let answer = run(&self.quickjs);
        let quickjs = without_words(&answer);
        let boa = without_words(&run(&self.boa));
        match KNOWN.iter().find(|(known, _)| *known == program) {
            None => assert_eq!(boa, quickjs, "{program}"),
            Some((_, why)) => assert_ne!(boa, quickjs, "{program}: no longer so: {why}"),
        }
        answer
    }
}

/// What `run` gives with either engine, freshly started.
#[track_caller]
pub(super) fn both<T: Debug>(program: &str, run: impl Fn(&Sandbox) -> T) -> T {
    Engines::new().same(program, run)
}

/// An answer without what each engine words in its own way: the message of a `TypeError`, for
/// engines throw most of these themselves, and the frames of a stack.
fn without_words(answer: &impl Debug) -> String {
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(new TypeError\(\\+"|TypeError: |stacktrace: )[^"]*"#).unwrap()
    });
    WORDS.replace_all(&format!("{answer:?}"), "$1").into_owned()
}

/// More than the machine needs at its busiest.
const PLENTY: Duration = Duration::from_mins(1);

fn sandbox(engine: &'static dyn Engine, time: Duration) -> Sandbox {
    let pool = PoolOptions { threads: 1, wait: PLENTY, ..PoolOptions::default() };
    let limits = Limits { time, ..Limits::default() };
    let pools = Options { builders: pool, lists: pool, callers: pool, ..Options::default() };
    Sandbox::with_engine(Options { limits, ..pools }, engine).unwrap()
}

fn map_program(body: &str) -> Program {
    let source = format!("function(doc){{ {body} }}");
    Program::new(Code::Maps { sources: vec![source], modules: None })
}

fn map(sandbox: &Sandbox, body: &str) -> Result<String, CallError> {
    let document = r#"{"_id":"a","n":1,"tags":["x","y"]}"#;
    let answer = sandbox.map_in_engine(&map_program(body), vec![document.to_owned()]);
    answer.map(|results| results.text)
}

#[test]
fn strange_programs_have_the_same_answers() {
    let engines = Engines::new();
    for &(body, end) in MAPS {
        let ends = matches!(end, End::Fails | End::Emits(_));
        if ends && !TOO_SLOW.iter().any(|&(slow, _)| slow == body) {
            // An error is an answer, too.
            let _answer = engines.same(body, |sandbox| map(sandbox, body));
        }
    }
}

/// Among others, programs that Boa's caches of member places could get wrong.
#[test]
fn members_are_found_where_they_are() {
    let engines = Engines::new();
    for body in [
        STALE_SLOT,
        OTHER_DATE,
        TINY,
        "for (var i = 0; i < 3; i++) { var a = [1, 2, 3]; a.length = 1; a[1] = 5; emit(a) }",
        "function f(a){ a.length -= 1; a[a.length] = 'q'; return a } \
         for (var i = 0; i < 3; i++) emit(f([1, 2]))",
        "var a = [1]; for (var i = 0; i < 3; i++) { a.length++; a[2] = 9; emit(a); a.length--; }",
        "var o = {x: 1}; function s(v){ o.x = v; return o.x } s(1); s(2); emit(s(3)); \
         Object.freeze(o); emit(s(4)); emit(s(5))",
        "var o = {}; function s(v){ o.x = v; return o.x } emit(s(1)); \
         Object.defineProperty(o, 'x', {get: function(){ return 7 }}); emit(s(4)); emit(s(5))",
        "function C(){} for (var i = 0; i < 5; i++) { var c = new C(); c.z = i; \
         emit(c.hasOwnProperty('z'), C.prototype.z); if (i == 2) C.prototype.z = 7; }",
    ] {
        let _answer = engines.same(body, |sandbox| map(sandbox, body));
    }
}

#[test]
fn only_assignments_to_lengths_are_respelled() {
    for (script, expect) in [
        ("a.length = 0", r#"a["length"] = 0"#),
        ("a.b .length-=1; c.length++", r#"a.b ["length"]-=1; c["length"]++"#),
        ("a.length == 0 || a.lengths = 'b.length = 0'", ""),
        ("length = a.length; /a.length = 0/", ""),
    ] {
        let expect = if expect.is_empty() { script } else { expect };
        assert_eq!(with_sound_lengths(script), expect);
    }
}

/// What Boa's counters stop, and what the prelude's guards see.
#[test]
fn loops_end_when_they_have_turned_too_often() {
    let boa = sandbox(&Boa, Duration::from_millis(10));
    for body in [
        "for (;;) {}",
        "while (true) { try { throw 1 } catch (e) {} }",
        "for (var x of (function*(){ for (;;) yield 1 })()) {}",
        "emit({toJSON: function(){ for (;;); }})",
        "throw {get name(){ for (;;); }}",
        "for (;;) log('spam')",
        "for (;;) 'x'.repeat(101)",
    ] {
        assert_eq!(map(&boa, body), Err(CallError::TimedOut), "{body}");
        boa.set_time_limit(PLENTY);
        assert_eq!(map(&boa, "emit(1)").as_deref(), Ok("[[1,null]]"), "after {body}");
        boa.set_time_limit(Duration::from_millis(10));
    }
    let source = "for (;;); function(){}";
    assert_eq!(boa.check_function(source), Err(CompileError::TimedOut));
}

/// Nothing in a source may overflow the native stack.
#[test]
fn sources_that_nest_too_deeply_are_refused() {
    let boa = sandbox(&Boa, PLENTY);
    for open in ["(", "[", "{", "function(){", "`${", "a=>", "!", "(a,", "a?", "-a+", "if(a)"] {
        let source = open.repeat(100_000);
        assert!(boa.check_function(&source).is_err(), "{open}");
        let evaluated = format!("eval('{open}'.repeat(1e5))");
        assert_eq!(map(&boa, &evaluated).as_deref(), Ok("[0]"), "{open}");
    }
    let reasonable = format!("function(d){{ emit({}1{}) }}", "[".repeat(100), "]".repeat(100));
    assert_eq!(boa.check_function(&reasonable), Ok(()));
}

/// Each entry of the tables must be met by a test, or nobody would see it vanish.
#[test]
fn the_differences_are_of_programs_that_are_run() {
    let hostile: HashSet<&str> = MAPS.iter().map(|(body, _)| *body).collect();
    for (program, _) in KNOWN.iter().chain(TOO_SLOW) {
        assert!(
            hostile.contains(program) || [OTHER_DATE, STALE_SLOT, TINY].contains(program),
            "{program}"
        );
    }
}
