//! Modules that would hold up, fool or bring down a server that trusted them. Each gets an error,
//! and the next module its answer.

use std::time::Duration;

use super::super::{CallError, Code, Limits, Program, ReduceCall, Sandbox};
use super::tests::{ECHO, constant, maps, module, reduce, sandbox};
use super::{WasmCode, WasmModule};

fn from_text(text: &str) -> WasmModule {
    WasmModule::new(&wat::parse_str(text).unwrap())
}

/// Calls the export `map` as a map function.
#[track_caller]
fn check(sandbox: &Sandbox, hostile: &WasmModule, expect: impl Fn(&CallError) -> bool) {
    let failed = sandbox.map(&maps(hostile, &["map"]), vec!["{\"_id\":\"a\"}".to_owned()]);
    let failed = failed.unwrap_err();
    assert!(expect(&failed), "{failed:?}");
    sandbox.set_time_limit(Limits::default().time);
    let sound = maps(&module(&constant("map", "[[1,2]]")), &["map"]);
    let answer = sandbox.map(&sound, vec!["{}".to_owned()]).unwrap();
    assert_eq!(answer.text, "12", "others go on");
}

fn thrown(error: &CallError, words: &str) -> bool {
    matches!(error, CallError::Thrown { reason, .. } if reason.contains(words))
}

fn compilation(error: &CallError, words: &str) -> bool {
    matches!(error, CallError::Compilation(reason) if reason.contains(words))
}

/// A function `map` with this body.
fn map(body: &str) -> WasmModule {
    module(&format!(r#"(func (export "map") (param i32 i32) (result i64) {body})"#))
}

#[test]
fn endless_work_ends_in_time() {
    let sandbox = sandbox();
    let check = |sandbox: &Sandbox, module: &WasmModule, expect: fn(&CallError) -> bool| {
        sandbox.set_time_limit(Duration::from_millis(100));
        check(sandbox, module, expect);
    };
    let timed_out = |error: &CallError| *error == CallError::TimedOut;
    check(&sandbox, &map("(loop $l (br $l)) (i64.const 0)"), timed_out);
    let recursion = r"(func $f (param i32) (result i32)
        (i32.add (call $f (local.get 0)) (call $f (local.get 0))))";
    let deep = r#"(func $g (param i32) (result i32) (if (result i32) (local.get 0)
        (then (i32.add (call $g (i32.sub (local.get 0) (i32.const 1)))
            (call $g (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 1))))
        (func (export "map") (param i32 i32) (result i64)
            (i64.extend_i32_u (call $g (i32.const 60))))"#;
    check(&sandbox, &module(&[recursion, deep].concat()), timed_out);
    // Before any function is called.
    let start = r"(func $start (loop $l (br $l))) (start $start)";
    check(&sandbox, &module(&[start, &constant("map", "[]")].concat()), timed_out);
    let initialize = r#"(func (export "_initialize") (loop $l (br $l)))"#;
    check(&sandbox, &module(&[initialize, &constant("map", "[]")].concat()), timed_out);
    // In `alloc`, and with the server's help.
    let alloc = r#"(module (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (loop $l (br $l)) (i32.const 8))
        (func (export "map") (param i32 i32) (result i64) (i64.const 0)))"#;
    check(&sandbox, &from_text(alloc), timed_out);
    let chatty = "(loop $l (call $log (i32.const 0) (i32.const 60000)) (br $l)) (i64.const 0)";
    check(&sandbox, &map(chatty), timed_out);
}

#[test]
fn memory_ends_at_its_limit() {
    let sandbox = sandbox();
    let out_of_memory = |error: &CallError| *error == CallError::OutOfMemory;
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (unreachable)";
    check(&sandbox, &map(grow), out_of_memory);
    check(&sandbox, &map("(drop (memory.grow (i32.const 65535))) (unreachable)"), out_of_memory);
    let large = r#"(module (memory (export "memory") 2000)
        (func (export "alloc") (param i32) (result i32) (i32.const 8))
        (func (export "map") (param i32 i32) (result i64) (i64.const 0)))"#;
    check(&sandbox, &from_text(large), out_of_memory);
    let table = r#"(table 1 funcref)
        (func (export "map") (param i32 i32) (result i64)
            (drop (table.grow (ref.null func) (i32.const 100000000))) (unreachable))"#;
    check(&sandbox, &module(table), out_of_memory);
    let no_room = r#"(module (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "map") (param i32 i32) (result i64) (i64.const 0)))"#;
    check(&sandbox, &from_text(no_room), out_of_memory);
}

#[test]
fn a_module_may_ask_for_memory_in_vain() {
    let body = "(if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then (unreachable)))
        (i32.store (i32.const 0) (i32.const 0x5d5b))
        (call $answer (i32.const 0) (i32.const 2))";
    let answer = sandbox().map(&maps(&map(body), &["map"]), vec!["{}".to_owned()]).unwrap();
    assert_eq!(answer.text, "");
}

#[test]
fn answers_are_not_trusted() {
    let sandbox = sandbox();
    let outside = |error: &CallError| thrown(error, "outside of the memory");
    check(&sandbox, &map("(i64.const -1)"), outside);
    check(&sandbox, &map("(i64.const 0x0002_ffff_0000_0002)"), |e| {
        thrown(e, "outside") || thrown(e, "not")
    });
    check(&sandbox, &map("(call $answer (i32.const 196607) (i32.const 2))"), outside);
    check(&sandbox, &map("(call $answer (i32.const 0x7fffffff) (i32.const 1))"), outside);
    let huge = "(drop (memory.grow (i32.const 900)))
        (memory.fill (i32.const 0) (i32.const 0x20) (i32.const 50000000))
        (call $answer (i32.const 0) (i32.const 50000000))";
    check(&sandbox, &map(huge), |error| thrown(error, "longer than"));
    let bytes = "(i32.store8 (i32.const 0) (i32.const 0xff))
        (call $answer (i32.const 0) (i32.const 1))";
    check(&sandbox, &map(bytes), |error| thrown(error, "not UTF-8"));
    let deep = "(memory.fill (i32.const 0) (i32.const 0x5b) (i32.const 100000))
        (memory.fill (i32.const 50000) (i32.const 0x5d) (i32.const 50000))
        (call $answer (i32.const 0) (i32.const 100000))";
    check(&sandbox, &map(deep), |error| thrown(error, "recursion limit"));
    check(&sandbox, &map("(i64.const 0)"), |error| thrown(error, "EOF"));
    let alloc = r#"(module (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (i32.const 65535))
        (func (export "map") (param i32 i32) (result i64) (i64.const 0)))"#;
    check(&sandbox, &from_text(alloc), outside);
}

/// As an exception of JavaScript does, a trap fails a document, or the call.
#[test]
fn traps_end_their_call() {
    let sandbox = sandbox();
    for (body, words) in [
        ("(unreachable)", "unreachable"),
        ("(i64.load (i32.const -1))", "out of bounds memory access"),
        ("(i64.div_u (i64.const 1) (i64.const 0))", "divide by zero"),
        ("(call $log (i32.const 196600) (i32.const 9)) (i64.const 0)", "out of bounds"),
        ("(call $log (i32.const -1) (i32.const -1)) (i64.const 0)", "out of bounds"),
    ] {
        let reduced = sandbox.reduce(
            &reduce(&map(body), "map"),
            vec![ReduceCall::Rereduce { values: "[1]".to_owned() }],
        );
        let reason = reduced.unwrap().pop().unwrap().unwrap_err();
        assert!(reason.contains(words), "{body}: {reason}");
    }
    let endless = module(
        r#"(func $f (export "map") (param i32 i32) (result i64)
            (call $f (local.get 0) (local.get 1)))"#,
    );
    let code = WasmCode::Design(
        [("shows".to_owned(), serde_json::json!({"s": "map"}))].into_iter().collect(),
    );
    let program = Program::new(Code::Wasm { module: endless, code });
    let arguments = vec!["null".to_owned(), "{}".to_owned()];
    let failed = sandbox.call(&program, &["shows", "s"], arguments).unwrap_err();
    assert!(thrown(&failed, "call stack exhausted"), "{failed:?}");
}

#[test]
fn modules_that_cannot_be_used_are_refused() {
    let sandbox = sandbox();
    let refuse = |module: WasmModule, words: &str| {
        check(&sandbox, &module, |error| compilation(error, words));
    };
    refuse(WasmModule::new(b""), "not valid");
    refuse(WasmModule::new(b"\0asm\x01\0\0\0\xff\xff"), "not valid");
    refuse(WasmModule::new(b"(module)"), "not valid");
    refuse(WasmModule::new(&vec![0; 5 << 20]), "longer than");
    refuse(WasmModule::new(&wat::parse_str("(component)").unwrap()), "not valid");
    let bad_body = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x05\x01\x03\0\x6a\x0b";
    refuse(WasmModule::new(bad_body), "not valid");
    refuse(from_text("(module)"), "no export `memory`");
    refuse(from_text(r#"(module (memory (export "memory") 1))"#), "no export `alloc`");
    refuse(
        from_text(r#"(module (memory (export "memory") 1) (func (export "alloc")))"#),
        "`alloc` must be a function of type (i32) -> i32",
    );
    refuse(from_text(r#"(module (global (export "memory") i32 (i32.const 1)))"#), "32-bit memory");
    refuse(from_text(r#"(module (memory (export "memory") i64 1))"#), "not valid");
    refuse(from_text(r#"(module (memory 1) (memory (export "memory") 1))"#), "not valid");
    for (import, words) in [
        (r#"(import "env" "abort" (func))"#, "imports `env.abort`"),
        (r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#, "fd_write"),
        (r#"(import "settee" "log" (func (param i64)))"#, "must be a function of type (i32, i32)"),
        (r#"(import "settee" "log" (memory 1))"#, "must be a function"),
        (r#"(import "settee" "memory" (memory 1))"#, "imports `settee.memory`"),
    ] {
        refuse(from_text(&format!("(module {import})")), words);
    }
    refuse(module(ECHO), "no export `map`");
    refuse(
        module(r#"(func (export "map") (param i32 i32))"#),
        "`map` must be a function of type (i32, i32) -> i64",
    );
    refuse(module(r#"(global (export "map") i32 (i32.const 1))"#), "must be a function");
}

/// Compiling cannot be interrupted, so what would take long is not begun.
#[test]
fn modules_that_take_long_to_compile_are_refused() {
    let sandbox = sandbox();
    let refuse = |functions: &str, words: &str| {
        check(&sandbox, &module(functions), |error| compilation(error, words));
    };
    let locals = |count: usize| format!("(local {})", "i32 ".repeat(count));
    let loops = |count: usize| {
        let body =
            (0..300).map(|at| format!("(local.set {at} (i32.add (local.get {at}) (i32.const 1)))"));
        let exits = "(br_if 0 (local.get 0))";
        format!(
            "(func {} {} {} {})",
            locals(300),
            "(loop ".repeat(count),
            body.collect::<String>(),
            format!("{exits})").repeat(count)
        )
    };
    refuse(&loops(1000), "too long to compile");
    let branches = "(if (local.get 0) (then (local.set 1 (i32.const 1))))".repeat(10_000);
    refuse(&format!("(func {} {branches})", locals(100)), "too long to compile");
    let medium = format!(
        "(func {} {})",
        locals(20),
        "(if (local.get 0) (then (local.set 1 (i32.const 1))))".repeat(1000)
    );
    refuse(&medium.repeat(200), "too long to compile");
    refuse(&"(func)".repeat(20_001), "more than 20000 functions");
    let long = format!("(func {})", "(drop (i32.const 1000000))".repeat(60_000));
    refuse(&long, "A function is longer than");
    refuse(&format!("(func (param {}))", "i32 ".repeat(65)), "more than 64 parameters");
    let deep = format!("(func {} {})", "(block ".repeat(20_000), ")".repeat(20_000));
    refuse(&deep, "no export `map`");
}
