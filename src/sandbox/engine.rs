//! Evaluates one script in a fresh QuickJS runtime, under limits of time, memory and stack.
//!
//! Invariants: a runtime never outlives the call, so a script that used up its memory, or changed
//! what its globals are, leaves nothing behind; every answer about what went wrong is short,
//! whatever the script threw. Must run on a thread whose stack is larger than
//! [`Limits::stack_bytes`]: the pool's are.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::context::EvalOptions;
use rquickjs::{CaughtError, Coerced, Context, Ctx, Exception, Runtime, Value};

/// What user code may use in one call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Running time, CouchDB's `[couchdb] os_process_timeout`.
    pub time: Duration,
    /// Memory of the engine, the script and its values together.
    pub memory_bytes: usize,
    /// Stack of the engine, for deep calls and deeply nested sources.
    pub stack_bytes: usize,
}

impl Default for Limits {
    /// CouchDB's defaults: 5 s and 64 MiB.
    fn default() -> Self {
        Self { time: Duration::from_secs(5), memory_bytes: 64 << 20, stack_bytes: 512 << 10 }
    }
}

/// Why a script gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The script could not be parsed.
    Syntax {
        message: String,
        position: Position,
    },
    /// The script threw an error.
    Error {
        name: String,
        message: String,
        line: u32,
    },
    /// The script threw something else; its JSON text, or none for a value that has none.
    Thrown(Option<String>),
    TimedOut,
    OutOfMemory,
}

/// A place in a script, both counted from 1, the column in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

/// The longest message that is kept of an error, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// The name the script has in the engine's stack traces.
const SCRIPT_NAME: &str = "<script>";

/// What CouchDB offers to every design function, as far as it matters before one is called.
const GLOBALS: &str = include_str!("globals.js");

/// Whether the script's completion value is a function. The script runs in sloppy mode.
pub(super) fn evaluates_to_function(script: &str, limits: &Limits) -> Result<bool, Failure> {
    if let Some(position) = nul_position(script) {
        return Err(Failure::Syntax { message: "unexpected character".to_owned(), position });
    }
    let runtime = Runtime::new().map_err(|_| Failure::OutOfMemory)?;
    runtime.set_memory_limit(limits.memory_bytes);
    runtime.set_max_stack_size(limits.stack_bytes);
    let timed_out = stop_after(&runtime, limits.time);
    let context = Context::full(&runtime).map_err(|_| Failure::OutOfMemory)?;
    context.with(|ctx| {
        let evaluated = evaluate(&ctx, GLOBALS).and_then(|_| evaluate(&ctx, script));
        evaluated.map(|value| value.is_function()).map_err(|error| {
            let failure = describe(&ctx, CaughtError::from_error(&ctx, error));
            if timed_out.get() { Failure::TimedOut } else { failure }
        })
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

/// Lets the engine stop once `time` has passed; the cell tells whether it did.
fn stop_after(runtime: &Runtime, time: Duration) -> Rc<Cell<bool>> {
    let timed_out = Rc::new(Cell::new(false));
    let begun = Instant::now();
    let seen = Rc::clone(&timed_out);
    runtime.set_interrupt_handler(Some(Box::new(move || {
        seen.set(begun.elapsed() >= time);
        seen.get()
    })));
    timed_out
}

fn evaluate<'js>(ctx: &Ctx<'js>, script: &str) -> rquickjs::Result<Value<'js>> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(SCRIPT_NAME.to_owned());
    ctx.eval_with_options(script, options)
}

fn describe<'js>(ctx: &Ctx<'js>, caught: CaughtError<'js>) -> Failure {
    match caught {
        CaughtError::Exception(exception) => describe_error(&exception),
        // What the engine throws when there is no memory left for an error.
        CaughtError::Value(value) if value.is_null() => Failure::OutOfMemory,
        CaughtError::Value(value) => {
            let text = ctx.json_stringify(value).ok().flatten();
            Failure::Thrown(text.and_then(|text| text.to_string().ok()).map(|text| shorten(&text)))
        }
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
    if name == "InternalError" && message == "out of memory" {
        return Failure::OutOfMemory;
    }
    // Thrown by the parser, not by running code: there is no function around the place, or, in
    // a regular expression literal, no place at all.
    let outside = stack.trim().strip_prefix("at ").is_none_or(|at| at.starts_with(SCRIPT_NAME));
    if name == "SyntaxError" && outside {
        return Failure::Syntax { message, position };
    }
    Failure::Error { name: shorten(&name), message, line: position.line }
}

/// Reads `at <script>:2:7` or `at f (<script>:2:7)`.
fn position_of_frame(frame: &str) -> Option<Position> {
    let (_, place) = frame.split_once(SCRIPT_NAME)?;
    let mut numbers = place.trim_start_matches(':').trim_end_matches(')').split(':');
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some(Position { line, column })
}

fn shorten(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}
