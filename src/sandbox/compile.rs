//! Compiles the source of a design function, to tell whether it is one.
//!
//! The rules are CouchDB 3.5's (couchdb-api.md J17): the source is a script in sloppy mode whose
//! completion value must be a function; a function without a name may stand as a statement, the
//! declaration of a named one has no value and is refused. Verdicts do not depend on the load of
//! the machine, except for [`CompileError::TimedOut`] and those of the pool, which are therefore
//! not remembered.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::engine::{Failure, Limits, evaluates_to_function};
use super::pool::{Pool, PoolError, PoolOptions};
use super::rewrite::to_script;
use super::syntax;
use super::verdicts::{Key, Verdicts};

/// The longest source that is compiled. The parser cannot be interrupted: this bounds its time.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// The file that CouchDB's own messages name as the place of an error.
const MAIN_JS: &str = "./share/server/main.js";

/// Why a source is no function. The texts are those that CouchDB puts in front of the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The source is empty; CouchDB answers 404 to it.
    #[error("missing function")]
    Missing,
    /// The source cannot be parsed; lines count from 1.
    #[error("(new Error({}, \"{MAIN_JS}\", {line}))", quoted(&format!("Line {line}: {message}")))]
    Syntax { line: u32, message: String },
    /// A statement of the source threw an error.
    #[error("(new {name}({}, \"<unknown>\", {line}))", quoted(message))]
    Error { name: String, message: String, line: u32 },
    /// A statement of the source threw a value that is no error, here in JSON.
    #[error("({json})")]
    Thrown { json: String },
    /// The source is a script, but its value is no function.
    #[error("Expression does not eval to a function.")]
    NotAFunction,
    /// The source is longer than this many bytes.
    #[error("The source is longer than {bytes_max} bytes.")]
    TooLong { bytes_max: usize },
    /// Compiling took more memory than it may.
    #[error("(new InternalError(\"out of memory\", \"<unknown>\", 1))")]
    OutOfMemory,
    /// Compiling took longer than it may.
    #[error("OS process timed out.")]
    TimedOut,
    /// The pool gave no answer.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl CompileError {
    /// Whether the same source would be refused again, whatever else the server is doing.
    pub fn is_about_the_source(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::Pool(_))
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How a sandbox is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub limits: Limits,
    pub pool: PoolOptions,
}

/// Compiles and runs user code; one for the whole server.
pub struct Sandbox {
    pub(super) limits: Limits,
    pool: Pool,
    verdicts: Mutex<Verdicts>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the threads; an error is the operating system's.
    pub fn new(options: Options) -> io::Result<Self> {
        let pool = Pool::new(options.pool)?;
        Ok(Self { limits: options.limits, pool, verdicts: Mutex::default() })
    }

    /// Whether `source` is a function by CouchDB's rules. Blocks for at most the time limit and
    /// the pool's waiting time.
    pub fn check_function(&self, source: &str) -> Result<(), CompileError> {
        if source.is_empty() {
            return Err(CompileError::Missing);
        }
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError::TooLong { bytes_max: SOURCE_BYTES_MAX });
        }
        let key = Key::of(source);
        if let Some(verdict) = self.verdicts(|verdicts| verdicts.get(key)) {
            return verdict;
        }
        let verdict = self.compile(source.to_owned());
        if verdict.as_ref().err().is_none_or(CompileError::is_about_the_source) {
            self.verdicts(|verdicts| verdicts.insert(key, verdict.clone()));
        }
        verdict
    }

    fn compile(&self, source: String) -> Result<(), CompileError> {
        let limits = self.limits;
        // The engine's own limit should strike first: only it gives the thread back.
        let time_max = limits.time + Duration::from_millis(500);
        match self.pool.run(time_max, move || compile(&source, &limits)) {
            Err(PoolError::Overrun) => Err(CompileError::TimedOut),
            answer => answer?,
        }
    }

    fn verdicts<T>(&self, use_them: impl FnOnce(&mut Verdicts) -> T) -> T {
        use_them(&mut self.verdicts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Compiles on this thread.
pub(super) fn compile(source: &str, limits: &Limits) -> Result<(), CompileError> {
    let script = to_script(source);
    let mut evaluated =
        evaluates_to_function(&script, limits).map_err(|failure| (failure, &*script));
    // The rewriting goes by tokens, and only the engine knows the grammar: give it the last word.
    if matches!(evaluated, Err((Failure::Syntax { .. }, _)))
        && script != source
        && let Ok(found) = evaluates_to_function(source, limits)
    {
        evaluated = Ok(found);
    }
    match evaluated {
        Ok(true) => Ok(()),
        Ok(false) => Err(CompileError::NotAFunction),
        Err((failure, script)) => Err(explain(failure, script)),
    }
}

fn explain(failure: Failure, script: &str) -> CompileError {
    match failure {
        Failure::Syntax { message, position } => CompileError::Syntax {
            line: position.line.max(1),
            message: syntax::message(script, &message, position),
        },
        Failure::Error { name, message, line } => {
            CompileError::Error { name, message, line: line.max(1) }
        }
        Failure::Thrown(json) => {
            CompileError::Thrown { json: json.unwrap_or_else(|| "undefined".to_owned()) }
        }
        Failure::TimedOut => CompileError::TimedOut,
        Failure::OutOfMemory => CompileError::OutOfMemory,
    }
}
