//! Compiles the source of a design function, to tell whether it is one.
//!
//! The rules are CouchDB 3.5's (couchdb-api.md J17): the source is a script in sloppy mode whose
//! completion value must be a function; a function without a name may stand as a statement, the
//! declaration of a named one has no value and is refused. Verdicts do not depend on the load of
//! the machine, except for [`CompileError::TimedOut`] and those of the pool, which are therefore
//! not remembered.

use super::engine::{Engine, Failure, Limits};
use super::pool::PoolError;
use super::rewrite::to_script;
use super::syntax;

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
    /// What is wrong with a WebAssembly module.
    #[error("{reason}")]
    Module { reason: String },
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

/// Whether a source is a function; compiles on this thread.
pub(super) fn check(
    engine: &dyn Engine,
    source: &str,
    limits: &Limits,
) -> Result<(), CompileError> {
    compile_by(source, |script| {
        let is_function = engine.evaluates_to_function(script, limits)?;
        Ok(is_function.then_some(()))
    })
}

/// Compiles a source with `evaluate`, which gives the value of a script if it is a function.
pub(super) fn compile_by<T>(
    source: &str,
    mut evaluate: impl FnMut(&str) -> Result<Option<T>, Failure>,
) -> Result<T, CompileError> {
    check_length(source)?;
    let script = to_script(source);
    let mut evaluated = evaluate(&script).map_err(|failure| (failure, &*script));
    // The rewriting goes by tokens, and only the engine knows the grammar: give it the last word.
    if matches!(evaluated, Err((Failure::Syntax { .. }, _)))
        && script != source
        && let Ok(found) = evaluate(source)
    {
        evaluated = Ok(found);
    }
    match evaluated {
        Ok(Some(function)) => Ok(function),
        Ok(None) => Err(CompileError::NotAFunction),
        Err((failure, script)) => Err(explain(failure, script)),
    }
}

/// Refuses what is not worth compiling.
pub(super) fn check_length(source: &str) -> Result<(), CompileError> {
    match source.len() {
        0 => Err(CompileError::Missing),
        bytes if bytes > SOURCE_BYTES_MAX => {
            Err(CompileError::TooLong { bytes_max: SOURCE_BYTES_MAX })
        }
        _ => Ok(()),
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
