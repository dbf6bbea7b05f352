//! QuickJS behind the [`Engine`] trait; the crate `rquickjs` is named only here.
//!
//! Invariants: a runtime is never used again once it ran out of time or memory, for QuickJS does
//! not recover from either; reactions of promises never run; no module can be loaded.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use rquickjs::context::EvalOptions;
use rquickjs::function::Args;
use rquickjs::{
    CaughtError, Coerced, Context, Ctx, Error, Exception, Function, Object, Persistent, Runtime,
    String as Text, Type, Value,
};

use super::compile::{CompileError, compile_by};
use super::e4x::modernize;
use super::engine::{Engine, Failure, Limits, Position, Realm};
use super::host::Host;

/// The longest message that is kept of an error, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// The name that a script has in the engine's stack traces, and the one of what `eval` runs.
const SCRIPT_NAMES: [&str; 2] = ["<script>", "<input>"];

/// What CouchDB offers to every design function, as far as it matters before one is called.
const GLOBALS: &str = include_str!("globals.js");

/// The engine.
pub(super) struct QuickJs;

impl Engine for QuickJs {
    fn evaluates_to_function(&self, script: &str, limits: &Limits) -> Result<bool, Failure> {
        if let Some(position) = nul_position(script) {
            return Err(Failure::Syntax { message: "unexpected character".to_owned(), position });
        }
        let begun = Instant::now();
        let time = limits.time;
        let (context, stopped) = context(limits, move || begun.elapsed() >= time)?;
        context.with(|ctx| {
            let evaluated = evaluate(&ctx, GLOBALS).and_then(|_| evaluate(&ctx, script));
            evaluated
                .map(|value| value.is_function())
                .map_err(|error| describe(&ctx, error, &stopped))
        })
    }

    fn realm(
        &self,
        prelude: &[&str],
        limits: &Limits,
        host: &Rc<Host>,
    ) -> Result<Box<dyn Realm>, Failure> {
        let asked = Rc::clone(host);
        let (context, stopped) = context(limits, move || asked.must_stop())?;
        let entries = context.with(|ctx| {
            let entries = host_object(&ctx, host).and_then(|host| {
                let mut found = Object::new(ctx.clone())?.into_value();
                for script in prelude {
                    let Some(function) = evaluate(&ctx, script)?.into_function() else {
                        return Err(Error::Unknown);
                    };
                    found = function.call((host.clone(), found))?;
                }
                let entries = found.into_object().ok_or(Error::Unknown)?;
                Ok(Persistent::save(&ctx, entries))
            });
            entries.map_err(|error| describe(&ctx, error, &stopped))
        })?;
        Ok(Box::new(QuickJsRealm { entries, context, stopped }))
    }
}

struct QuickJsRealm {
    // Dropped before the context, as the engine demands.
    entries: Persistent<Object<'static>>,
    context: Context,
    stopped: Rc<Cell<bool>>,
}

impl Realm for QuickJsRealm {
    fn call(&mut self, entry: &str, arguments: &[&str]) -> Result<String, Failure> {
        self.context.with(|ctx| {
            let answer = self.entries.clone().restore(&ctx).and_then(|entries| {
                let function: Function<'_> = entries.get(entry)?;
                let mut texts = Args::new(ctx.clone(), arguments.len());
                for argument in arguments {
                    texts.push_arg(Text::from_str(ctx.clone(), argument)?)?;
                }
                function.call_arg::<Text<'_>>(texts)?.to_string()
            });
            let answer = answer.map_err(|error| describe(&ctx, error, &self.stopped))?;
            // Some built-in functions swallow what stops the engine.
            if self.stopped.get() { Err(Failure::TimedOut) } else { Ok(answer) }
        })
    }

    fn memory_bytes(&self) -> usize {
        usize::try_from(self.context.runtime().memory_usage().malloc_size).unwrap_or_default()
    }

    fn is_burdened(&self) -> bool {
        self.context.runtime().is_job_pending()
    }
}

/// A fresh runtime under limits, and whether it was ever told to stop.
fn context(
    limits: &Limits,
    must_stop: impl Fn() -> bool + 'static,
) -> Result<(Context, Rc<Cell<bool>>), Failure> {
    let runtime = Runtime::new().map_err(|_| Failure::OutOfMemory)?;
    runtime.set_memory_limit(limits.memory_bytes);
    runtime.set_max_stack_size(limits.stack_bytes);
    let stopped = Rc::new(Cell::new(false));
    let seen = Rc::clone(&stopped);
    runtime.set_interrupt_handler(Some(Box::new(move || {
        let stop = must_stop();
        seen.set(seen.get() || stop);
        stop
    })));
    let context = Context::full(&runtime).map_err(|_| Failure::OutOfMemory)?;
    Ok((context, stopped))
}

/// What the prelude may ask of the server; see `prelude/base.js`.
fn host_object<'js>(ctx: &Ctx<'js>, host: &Rc<Host>) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    let logger = Rc::clone(host);
    object.set("log", Function::new(ctx.clone(), move |line: String| logger.log(&line))?)?;
    let collator = Rc::clone(host);
    let compare = move |a: String, b: String| collator.compare(&a, &b);
    object.set("compare", Function::new(ctx.clone(), compare)?)?;
    let watcher = Rc::clone(host);
    object.set("isOver", Function::new(ctx.clone(), move || watcher.must_stop())?)?;
    let stepper = Rc::clone(host);
    object.set("step", Function::new(ctx.clone(), move || stepper.restart())?)?;
    let reader = Rc::clone(host);
    let next_row = move |ctx: Ctx<'js>| reader.next_row().map_err(|reason| aborted(&ctx, &reason));
    object.set("nextRow", Function::new(ctx.clone(), next_row)?)?;
    let starter = Rc::clone(host);
    let start = move |ctx: Ctx<'js>, response: String| {
        starter.start(response).map_err(|reason| aborted(&ctx, &reason))
    };
    object.set("start", Function::new(ctx.clone(), start)?)?;
    let sender = Rc::clone(host);
    let send = move |ctx: Ctx<'js>, text: String| {
        sender.send(text).map_err(|reason| aborted(&ctx, &reason))
    };
    object.set("send", Function::new(ctx.clone(), send)?)?;
    let compile =
        |ctx: Ctx<'js>, eval: Function<'js>, source: String| compile(&ctx, &eval, &source);
    object.set("compile", Function::new(ctx.clone(), compile)?)?;
    Ok(object)
}

fn aborted(ctx: &Ctx<'_>, reason: &str) -> Error {
    Exception::throw_message(ctx, reason)
}

/// Compiles a function by CouchDB's rules. `eval` is the realm's own, as it was before user code
/// ran: called like this it evaluates a script of its own, whose `let` and `const` are nobody
/// else's.
fn compile<'js>(
    ctx: &Ctx<'js>,
    eval: &Function<'js>,
    source: &str,
) -> rquickjs::Result<Value<'js>> {
    let evaluate = |script: &str| {
        if let Some(position) = nul_position(script) {
            return Err(Failure::Syntax { message: "unexpected character".to_owned(), position });
        }
        let value: Value<'js> =
            eval.call((script,)).map_err(|error| describe(ctx, error, &Cell::new(false)))?;
        Ok(value.is_function().then_some(value))
    };
    let mut compiled = compile_by(source, evaluate);
    if matches!(compiled, Err(CompileError::Syntax { .. }))
        && let Some(modern) = modernize(source)
        && let Ok(found) = compile_by(&modern, evaluate)
    {
        compiled = Ok(found);
    }
    compiled.map_err(|error| match error {
        CompileError::OutOfMemory => Exception::throw_internal(ctx, OUT_OF_MEMORY),
        error => {
            let thrown = Object::new(ctx.clone()).and_then(|object| {
                object.set("compilation", error.to_string())?;
                Ok(object.into_value())
            });
            thrown.map_or_else(|error| error, |value| ctx.throw(value))
        }
    })
}

/// The engine takes sources as C strings.
fn nul_position(script: &str) -> Option<Position> {
    let before = script.get(..script.find('\0')?)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - line_start + 1;
    Some(Position { line: saturate(line), column: saturate(column) })
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn evaluate<'js>(ctx: &Ctx<'js>, script: &str) -> rquickjs::Result<Value<'js>> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(SCRIPT_NAMES[0].to_owned());
    ctx.eval_with_options(script, options)
}

/// What the engine says when an allocation fails.
const OUT_OF_MEMORY: &str = "out of memory";

fn describe(ctx: &Ctx<'_>, error: Error, stopped: &Cell<bool>) -> Failure {
    // Looking at what was thrown runs user code, which may be stopped in its turn.
    let failure = describe_caught(ctx, CaughtError::from_error(ctx, error));
    if stopped.get() { Failure::TimedOut } else { failure }
}

fn describe_caught<'js>(ctx: &Ctx<'js>, caught: CaughtError<'js>) -> Failure {
    match caught {
        CaughtError::Exception(exception) => describe_error(&exception),
        // What the engine throws when there is no memory left for an error.
        CaughtError::Value(value) if value.is_null() || value.type_of() == Type::Uninitialized => {
            Failure::OutOfMemory
        }
        CaughtError::Value(value) => {
            let text = ctx.json_stringify(value).ok().flatten();
            Failure::Thrown(text.and_then(|text| text.to_string().ok()).map(|text| shorten(&text)))
        }
        // A text that there was no memory to copy.
        CaughtError::Error(Error::Unknown) => Failure::OutOfMemory,
        CaughtError::Error(error) => Failure::Error {
            name: "InternalError".to_owned(),
            message: shorten(&error.to_string()),
            line: 0,
        },
    }
}

fn describe_error(exception: &Exception<'_>) -> Failure {
    let name = exception.get::<_, Coerced<String>>("name").map_or_else(|_| "Error".into(), |n| n.0);
    let message = shorten(&exception.message().unwrap_or_default());
    let stack = exception.stack().unwrap_or_default();
    let position = stack.lines().find_map(position_of_frame).unwrap_or_default();
    if name == "InternalError" && message == OUT_OF_MEMORY {
        return Failure::OutOfMemory;
    }
    // Thrown by the parser, not by running code: there is no function around the place, or, in
    // a regular expression literal, no place at all.
    let frame = stack.trim().strip_prefix("at ");
    let outside = frame.is_none_or(|frame| SCRIPT_NAMES.iter().any(|name| frame.starts_with(name)));
    if name == "SyntaxError" && outside {
        return Failure::Syntax { message, position };
    }
    Failure::Error { name: shorten(&name), message, line: position.line }
}

/// Reads `at <script>:2:7` or `at f (<script>:2:7)`.
fn position_of_frame(frame: &str) -> Option<Position> {
    let (_, place) = SCRIPT_NAMES.iter().find_map(|name| frame.split_once(name))?;
    let mut numbers = place.trim_start_matches(':').trim_end_matches(')').split(':');
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some(Position { line, column })
}

fn shorten(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}
