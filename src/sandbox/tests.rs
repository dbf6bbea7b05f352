//! Sources and verdicts, for the most part as CouchDB 3.5 gave them.

use std::time::{Duration, Instant};

use super::boa_tests::both;
use super::{CompileError, Limits, Options, PoolOptions, Sandbox};

fn sandbox() -> Sandbox {
    with_time_limit(PLENTY)
}

/// More than the machine needs at its busiest.
const PLENTY: Duration = Duration::from_mins(1);

/// One thread, and one more should it be lost.
fn with_time_limit(time: Duration) -> Sandbox {
    let limits = Limits { time, ..Limits::default() };
    let pool = PoolOptions { threads: 1, overruns_max: 1, wait: PLENTY, ..PoolOptions::default() };
    Sandbox::new(Options {
        limits,
        builders: pool,
        lists: pool,
        callers: pool,
        ..Options::default()
    })
    .unwrap()
}

#[test]
fn functions_are_accepted() {
    for source in [
        "function(doc){ emit(doc._id, 1) };",
        "(function(doc){ emit(doc._id, 'parens'); })",
        "doc => emit(doc._id, 'arrow')",
        "(doc) => { emit(doc._id, 'arrow2'); }",
        "function(doc){ emit(doc._id, 'tail'); }   // comment\n",
        "/* head */ function(doc){ emit(doc._id, 'head'); }",
        "var a = 1; function(doc){ emit(a, null); }",
        "// says\n\n  function ( doc ) { if (/[/}]/.test(doc.a)) emit(`${ {a: doc.b} }}`) }\n\n",
        "(function(){ var cache = {}; return function(doc){ emit(cache, 1) } })()",
        "function list(head, req){ start({}) }; list",
        "function(doc){ with (doc) { emit(010, implicit = 1); } }",
        "function(k, v){ return sum(v); }",
        "function(doc){ emit(new Function('return 1')(), eval('1')); }",
    ] {
        assert_eq!(both(source, |sandbox| sandbox.check_function(source)), Ok(()), "{source}");
    }
}

fn check(source: &str, expect: &str) {
    let verdict =
        both(source, |sandbox| sandbox.check_function(source).map_err(|error| error.to_string()));
    assert_eq!(verdict, Err(expect.to_owned()), "{source}");
}

#[test]
fn values_that_are_no_functions_are_refused() {
    assert_eq!(sandbox().check_function(""), Err(CompileError::Missing));
    for source in [
        "5",
        "'text'",
        "({})",
        "function named(doc){ emit(doc._id, 'named'); }",
        "var f = function(doc){ emit(doc._id, 'var'); };",
        " ",
    ] {
        check(source, "Expression does not eval to a function.");
    }
}

#[test]
fn syntax_errors_have_the_words_of_couchdb() {
    for (source, line, words) in [
        ("function(doc){", 1, "Unexpected end of input"),
        ("function(k, v){", 1, "Unexpected end of input"),
        ("nonsense(", 1, "Unexpected end of input"),
        ("function(doc){\n  emit(doc._id, ;\n}", 2, "Unexpected token ;"),
        ("function(doc){ emit(1, }", 1, "Unexpected token }"),
        ("function(doc){\n\nvar a b }", 3, "Unexpected identifier"),
        ("function(doc){ a 5 }", 1, "Unexpected number"),
        ("function(doc){ a 'é' }", 1, "Unexpected string"),
        ("function(doc){ 'é' a }", 1, "Unexpected identifier"),
        ("function(doc){ var a = 'b }", 1, "Unexpected token ILLEGAL"),
        ("function(doc){ a @ }", 1, "Unexpected token ILLEGAL"),
        ("function(doc){ a\0 }", 1, "Unexpected token ILLEGAL"),
        ("function(doc){ for each (x in doc) {} }", 1, "Unexpected identifier"),
        ("function(doc){ var class = 1 }", 1, "Unexpected token class"),
        ("async function(doc){}", 1, "Unexpected token ("),
        ("return 5", 1, "Illegal return statement"),
        ("function(doc){} }", 1, "Unexpected token }"),
        ("function(doc){ return <a/>; }", 1, "Unexpected token <"),
    ] {
        let expect =
            format!("(new Error(\"Line {line}: {words}\", \"./share/server/main.js\", {line}))");
        check(source, &expect);
    }
}

#[test]
fn what_statements_throw_is_told() {
    for (source, expect) in [
        (" _sum", r#"(new ReferenceError("_sum is not defined", "<unknown>", 1))"#),
        ("\nnull.a; x", "(new TypeError(\"cannot read property 'a' of null\", \"<unknown>\", 2))"),
        ("throw 5", "(5)"),
        ("throw {a: ['b']}", r#"({"a":["b"]})"#),
        ("throw undefined", "(undefined)"),
    ] {
        check(source, expect);
    }
}

/// Each of these would hold up or bring down a server that trusted it.
#[test]
fn hostile_sources_get_an_error_within_the_limits() {
    let sandbox = sandbox();
    let deep = |open: &str| open.repeat(100_000);
    for source in [
        "while (true) {} function(doc){}".to_owned(),
        "for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} } }".to_owned(),
        "/(a*)*b/.test('a'.repeat(100)); function(d){}".to_owned(),
        "var a = []; for (;;) a.push('x'.repeat(1e5) + a.length)".to_owned(),
        "throw {toJSON: function(){ for (;;) {} }}".to_owned(),
        "var e = new Error(); e.__defineGetter__('message', function(){ for(;;) {} }); throw e"
            .to_owned(),
        "(function f(){ f() })()".to_owned(),
        "throw new Error('x'.repeat(1e6))".to_owned(),
        deep("("),
        deep("["),
        deep("{"),
        deep("function(){"),
        deep("`${"),
        deep("a=>"),
        deep("!"),
        deep("(a,"),
        format!("/{}/", deep("(")),
        "x".repeat(2 << 20),
    ] {
        let begun = Instant::now();
        sandbox.set_time_limit(Duration::from_millis(500));
        let verdict = sandbox.check_function(&source);
        sandbox.set_time_limit(PLENTY);
        let shown: String = source.chars().take(60).collect();
        assert!(verdict.is_err(), "{shown}");
        let length = verdict.unwrap_err().to_string().len();
        assert!(length < 4000, "{shown}: {length}");
        assert!(begun.elapsed() < PLENTY, "{shown}: {:?}", begun.elapsed());
        assert_eq!(sandbox.check_function("function(doc){}"), Ok(()), "after {shown}");
    }
}

/// The engine has no point of interruption inside one search.
#[test]
fn what_the_engine_cannot_interrupt_is_given_up() {
    let sandbox = with_time_limit(Duration::from_millis(50));
    let search = "var n = 1 << 18; 'a'.repeat(20 * n).indexOf('a'.repeat(n) + 'b'); function(d){}";
    assert_eq!(sandbox.check_function(search), Err(CompileError::TimedOut));
    sandbox.set_time_limit(PLENTY);
    assert_eq!(sandbox.check_function("function(doc){}"), Ok(()));
}

#[test]
fn verdicts_that_depend_on_the_load_are_not_kept() {
    let sandbox = with_time_limit(Duration::ZERO);
    let slow = "for (var i = 0; i < 200000; i++) {} function(doc){}";
    assert_eq!(sandbox.check_function(slow), Err(CompileError::TimedOut));
    sandbox.set_time_limit(PLENTY);
    assert_eq!(sandbox.check_function(slow), Ok(()));
    sandbox.set_time_limit(Duration::ZERO);
    assert_eq!(sandbox.check_function(slow), Ok(()), "remembered");
}

#[test]
fn sources_do_not_see_each_other() {
    let sandbox = sandbox();
    assert_eq!(sandbox.check_function("leak = function(d){}; Array.leak = leak"), Ok(()));
    for source in ["leak", "Array.leak"] {
        assert!(sandbox.check_function(source).is_err(), "{source}");
    }
}
