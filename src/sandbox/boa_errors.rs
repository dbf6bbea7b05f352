//! What Boa throws, in the terms of [`Failure`].

use boa_engine::builtins::error::Error as ErrorObject;
use boa_engine::error::{EngineError, JsError, JsNativeError, RuntimeLimitError};
use boa_engine::object::JsObject;
use boa_engine::parser::{Error as ParseError, lexer};
use boa_engine::{Context, JsString, JsValue, js_string};

use super::engine::{Failure, Position};

/// The longest message that is kept of an error, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// What ends a script and cannot be caught by it.
pub(super) fn stop() -> JsError {
    RuntimeLimitError::LoopIteration.into()
}

/// An error as scripts may catch it: recursion that goes too deep is one in other engines.
pub(super) fn catchable(error: JsError) -> JsError {
    if is_overflow(&error) {
        return JsNativeError::range().with_message(STACK_OVERFLOW).into();
    }
    error
}

const STACK_OVERFLOW: &str = "Maximum call stack size exceeded";

fn is_overflow(error: &JsError) -> bool {
    use RuntimeLimitError::{Recursion, StackSize};
    matches!(error.as_engine(), Some(EngineError::RuntimeLimit(Recursion | StackSize)))
}

/// Why a script gave no value.
pub(super) fn describe(error: JsError, context: &mut Context) -> Failure {
    match error.as_engine() {
        Some(EngineError::RuntimeLimit(RuntimeLimitError::LoopIteration)) => Failure::TimedOut,
        Some(EngineError::RuntimeLimit(_)) => failed("RangeError", STACK_OVERFLOW),
        Some(error) => failed("InternalError", &error.to_string()),
        None => match error.into_opaque(context) {
            Ok(thrown) => describe_thrown(&thrown, context),
            Err(error) => failed("InternalError", &error.to_string()),
        },
    }
}

fn describe_thrown(thrown: &JsValue, context: &mut Context) -> Failure {
    let described = match thrown.as_object().filter(JsObject::is::<ErrorObject>) {
        Some(error) => describe_error(&error, context),
        None => to_json(thrown, context).map(Failure::Thrown),
    };
    // Looking at what was thrown runs user code, which may throw in its turn.
    described.unwrap_or_else(|error| match error.as_engine() {
        Some(EngineError::RuntimeLimit(RuntimeLimitError::LoopIteration)) => Failure::TimedOut,
        _ => Failure::Thrown(None),
    })
}

fn describe_error(error: &JsObject, context: &mut Context) -> Result<Failure, JsError> {
    let mut text = |name: JsString| -> Result<String, JsError> {
        let value = error.get(name, context)?;
        Ok(value.to_string(context)?.to_std_string_lossy())
    };
    let (name, message) = (text(js_string!("name"))?, text(js_string!("message"))?);
    let line = line_of(&text(js_string!("stack"))?);
    Ok(Failure::Error { name: shorten(&name), message: shorten(&message), line })
}

/// Reads the line of the innermost frame that has one: `    at f (path:2:7)`.
fn line_of(stack: &str) -> u32 {
    let line = |frame: &str| {
        let mut numbers = frame.trim_end_matches(')').rsplit(':');
        let column = numbers.next()?.parse::<u32>().ok();
        column.and(numbers.next()?.parse().ok())
    };
    stack.lines().find_map(line).unwrap_or_default()
}

fn to_json(value: &JsValue, context: &mut Context) -> Result<Option<String>, JsError> {
    let json = context.intrinsics().objects().json();
    let stringify = json.get(js_string!("stringify"), context)?;
    let Some(stringify) = stringify.as_callable() else { return Ok(None) };
    let text = stringify.call(&JsValue::undefined(), std::slice::from_ref(value), context)?;
    Ok(text.as_string().map(|text| shorten(&text.to_std_string_lossy())))
}

fn failed(name: &str, message: &str) -> Failure {
    Failure::Error { name: name.to_owned(), message: shorten(message), line: 0 }
}

fn shorten(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

/// Why the parser refused a script. Where it complains about a token the message begins as the
/// ones that [`super::syntax`] knows.
pub(super) fn refused_syntax(script: &str, error: &ParseError) -> Failure {
    let (message, position) = match error {
        ParseError::Expected { found, span, .. } | ParseError::Unexpected { found, span, .. }
            if &**found == "return" =>
        {
            ("return not in a function".to_owned(), position(script, span.start()))
        }
        ParseError::Expected { span, .. } | ParseError::Unexpected { span, .. } => {
            ("unexpected token".to_owned(), position(script, span.start()))
        }
        ParseError::General { message, position: at } => {
            (message.to_string(), position(script, *at))
        }
        ParseError::Lex { err: lexer::Error::Syntax(message, at) } => {
            (format!("unexpected character: {message}"), position(script, *at))
        }
        ParseError::AbruptEnd => ("unexpected end".to_owned(), end(script)),
        ParseError::Lex { .. } => ("unexpected character".to_owned(), end(script)),
        ParseError::ScopeAnalysis { .. } => (error.to_string(), Position::default()),
    };
    Failure::Syntax { message: shorten(&message), position }
}

/// Behind everything.
fn end(script: &str) -> Position {
    let line_start = script.rfind('\n').map_or(0, |at| at + 1);
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position {
        line: number(script.matches('\n').count() + 1),
        column: number(script.len() - line_start + 1),
    }
}

/// Boa counts columns in characters.
fn position(script: &str, at: boa_engine::ast::Position) -> Position {
    let line = script.split('\n').nth(at.line_number() as usize - 1).unwrap_or_default();
    let before = line.chars().take(at.column_number() as usize - 1);
    let column = 1 + before.map(char::len_utf8).sum::<usize>();
    Position { line: at.line_number(), column: u32::try_from(column).unwrap_or(u32::MAX) }
}
