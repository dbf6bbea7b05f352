//! Boa behind the [`Engine`] trait; the crate `boa_engine` is named only here and in its two
//! neighbours, [`super::boa_host`] and [`super::boa_errors`].
//!
//! Boa is written in Rust alone. It is the engine where the feature `boa` is on, and in the tests
//! the other one that the same programs are run through. It keeps less of what the trait demands
//! than QuickJS does, so a server with it is for functions whose authors are trusted:
//!
//! * Time: nothing asks a clock between two instructions. One call of a function may take as many
//!   turns of loops as [`TURNS_PER_SECOND`] grants for the time limit, and the clock is asked
//!   wherever the function calls the host. Recursion without loops, and loops in functions that
//!   loops call, can take longer; the pool then answers in the engine's place, and the thread is
//!   lost until the function ends.
//! * Memory: there is no limit, and nothing can be measured. A realm is dropped when it was given
//!   as many bytes as it may use.
//! * Stack: frames and values of JavaScript are counted, but the parser and some built-in
//!   functions recurse natively. Sources are looked at before they are parsed; a value that is
//!   nested hundreds of thousands deep still ends the process when it is written as JSON.
//!
//! Invariants: a context is never used again after an error that scripts cannot catch came out of
//! it; reactions of promises never run; no module can be loaded.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use boa_engine::ast::scope::Scope;
use boa_engine::context::HostHooks;
use boa_engine::error::{JsError, JsNativeError};
use boa_engine::interner::Interner;
use boa_engine::job::IdleJobExecutor;
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::JsObject;
use boa_engine::parser::Parser;
use boa_engine::realm::Realm as Globals;
use boa_engine::vm::RuntimeLimits;
use boa_engine::{Context, JsResult, JsString, JsValue, Source};

use super::boa_errors::{describe, refused_syntax};
use super::boa_host::{guard_json, host_object};
use super::engine::{Engine, Failure, Limits, Realm};
use super::host::Host;
use super::scan::{TokenKind, tokens};

/// What CouchDB offers to every design function, as far as it matters before one is called.
const GLOBALS: &str = include_str!("globals.js");

/// Turns of loops that one call of a function may take for each second of the time limit: what a
/// loop with a small body takes on a slow machine.
const TURNS_PER_SECOND: u64 = 10_000_000;

/// Native stack, in bytes, for each frame of JavaScript.
const BYTES_PER_FRAME: usize = 256;

/// Bytes that a value on Boa's own stack takes.
const BYTES_PER_VALUE: usize = 16;

/// Brackets within brackets that a source may have.
const NESTING_MAX: usize = 500;

/// Tokens without a `;` or `}` between them that a source may have: operators nest, too.
const RUN_MAX: usize = 20_000;

/// What a realm takes with its prelude.
const REALM_BYTES: usize = 1 << 20;

/// The engine.
pub(super) struct Boa;

impl Engine for Boa {
    fn evaluates_to_function(&self, script: &str, limits: &Limits) -> Result<bool, Failure> {
        check_syntax(script)?;
        let mut context = context(limits)?;
        let evaluated = evaluate(&mut context, GLOBALS)
            .and_then(|_| evaluate(&mut context, script))
            .map_err(|error| describe(error, &mut context))?;
        Ok(evaluated.is_callable())
    }

    fn realm(
        &self,
        prelude: &[&str],
        limits: &Limits,
        host: &Rc<Host>,
    ) -> Result<Box<dyn Realm>, Failure> {
        let mut context = context(limits)?;
        let entries =
            load(&mut context, prelude, host).map_err(|error| describe(error, &mut context))?;
        let given_bytes_max = limits.memory_bytes;
        Ok(Box::new(BoaRealm {
            entries,
            context,
            host: Rc::clone(host),
            given_bytes: 0,
            given_bytes_max,
        }))
    }
}

struct BoaRealm {
    entries: JsObject,
    context: Context,
    host: Rc<Host>,
    given_bytes: usize,
    given_bytes_max: usize,
}

impl Realm for BoaRealm {
    fn call(&mut self, entry: &str, arguments: &[&str]) -> Result<String, Failure> {
        self.given_bytes += arguments.iter().map(|argument| argument.len()).sum::<usize>();
        let context = &mut self.context;
        let answer = self.entries.get(JsString::from(entry), context).and_then(|function| {
            let texts: Vec<JsValue> =
                arguments.iter().map(|&argument| JsString::from(argument).into()).collect();
            let function = function.as_callable().ok_or_else(JsNativeError::typ)?;
            function.call(&JsValue::undefined(), &texts, context)?.to_string(context)
        });
        let answer = answer.map_err(|error| describe(error, context))?;
        // What could not be stopped is refused at its end.
        if self.host.must_stop() {
            Err(Failure::TimedOut)
        } else {
            Ok(answer.to_std_string_lossy())
        }
    }

    fn memory_bytes(&self) -> usize {
        REALM_BYTES + self.given_bytes
    }

    fn is_burdened(&self) -> bool {
        self.given_bytes > self.given_bytes_max
    }
}

/// Decides what Boa leaves to its host.
struct Hooks {
    buffer_bytes_max: u64,
}

impl HostHooks for Hooks {
    fn ensure_can_compile_strings(
        &self,
        _: Globals,
        parameters: &[JsString],
        body: &JsString,
        _: bool,
        _: &mut Context,
    ) -> JsResult<()> {
        for text in parameters.iter().chain([body]) {
            if nests_too_deeply(&text.to_std_string_lossy()) {
                return Err(JsNativeError::syntax().with_message(TOO_DEEP).into());
            }
        }
        Ok(())
    }

    fn max_buffer_size(&self, _: &mut Context) -> u64 {
        self.buffer_bytes_max
    }
}

const TOO_DEEP: &str = "the source is nested too deeply";

fn context(limits: &Limits) -> Result<Context, Failure> {
    let hooks = Hooks { buffer_bytes_max: limits.memory_bytes as u64 };
    let built = Context::builder()
        .host_hooks(Rc::new(hooks))
        .job_executor(Rc::new(IdleJobExecutor))
        .module_loader(Rc::new(IdleModuleLoader))
        .build();
    let Ok(mut context) = built else { return Err(Failure::OutOfMemory) };
    let mut counted = RuntimeLimits::default();
    let milliseconds = u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX);
    let turns = milliseconds.saturating_mul(TURNS_PER_SECOND / 1000);
    counted.set_loop_iteration_limit(turns.max(TURNS_PER_SECOND / 10));
    counted.set_recursion_limit(limits.stack_bytes / BYTES_PER_FRAME);
    counted.set_stack_size_limit(limits.memory_bytes / BYTES_PER_VALUE);
    context.set_runtime_limits(counted);
    Ok(context)
}

/// Runs the scripts of a prelude; the last one's answer holds the entries.
fn load(context: &mut Context, prelude: &[&str], host: &Rc<Host>) -> JsResult<JsObject> {
    guard_json(context)?;
    let host = host_object(context, host);
    let mut found = JsObject::with_null_proto();
    for script in prelude {
        let function = evaluate(context, script)?;
        let function = function.as_callable().ok_or_else(JsNativeError::typ)?;
        let answer =
            function.call(&JsValue::undefined(), &[host.clone().into(), found.into()], context)?;
        found = answer.as_object().ok_or_else(JsNativeError::typ)?;
    }
    Ok(found)
}

fn evaluate(context: &mut Context, script: &str) -> Result<JsValue, JsError> {
    // The preludes look for this name in the frames of an error.
    context.eval(Source::from_bytes(&*with_sound_lengths(script)).with_path(Path::new("<script>")))
}

/// A script without assignments to `.length`: Boa 0.22 remembers where that member of an array
/// is, and from the second time on forgets to shorten the array. `["length"]` it looks up.
pub(super) fn with_sound_lengths(script: &str) -> Cow<'_, str> {
    let tokens = tokens(script);
    let mut sound = String::new();
    let mut copied = 0;
    for member in tokens.windows(3) {
        let [dot, name, operator] = member else { continue };
        if dot.text(script) == "."
            && name.text(script) == "length"
            && ASSIGNMENTS.contains(&operator.text(script))
        {
            sound.push_str(script.get(copied..dot.span.start).unwrap_or_default());
            sound.push_str("[\"length\"]");
            copied = name.span.end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(script);
    }
    sound.push_str(script.get(copied..).unwrap_or_default());
    Cow::Owned(sound)
}

/// Operators that may stand behind `.length` to change it.
const ASSIGNMENTS: [&str; 8] = ["=", "+=", "-=", "*=", "/=", ">>=", "++", "--"];

/// Parses a script, only to tell what is wrong with it.
pub(super) fn check_syntax(script: &str) -> Result<(), Failure> {
    if nests_too_deeply(script) {
        let position = super::engine::Position { line: 1, column: 1 };
        return Err(Failure::Syntax { message: TOO_DEEP.to_owned(), position });
    }
    let mut interner = Interner::default();
    Parser::new(Source::from_bytes(script))
        .parse_script(&Scope::new_global(), &mut interner)
        .map(|_| ())
        .map_err(|error| refused_syntax(script, &error))
}

/// Whether parsing a source might take more stack than there is.
fn nests_too_deeply(script: &str) -> bool {
    let (mut depth, mut run) = (0_usize, 0);
    for token in tokens(script) {
        let text = token.text(script);
        run = if matches!(text, ";" | "}") { 0 } else { run + 1 };
        match token.kind {
            TokenKind::Template if text.ends_with("${") => depth += 1,
            TokenKind::Punctuator if matches!(text, "(" | "[" | "{") => depth += 1,
            TokenKind::Punctuator if matches!(text, ")" | "]" | "}") => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if depth > NESTING_MAX || run > RUN_MAX {
            return true;
        }
    }
    false
}
