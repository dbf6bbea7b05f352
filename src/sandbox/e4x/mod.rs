//! Rewrites JavaScript of the time when it had XML literals (E4X) and `for each`.
//!
//! Very many couchapps ship a file with XML literals, written for SpiderMonkey 1.8; no engine
//! parses it any more. A source that does not parse is rewritten here and tried again: literals
//! become calls of `$e4x`, whose members are in `prelude/e4x.js`, `x.@name` becomes `x["@name"]`,
//! `x..name` becomes `x.descendants("name")`, and `for each (x in y)` becomes a loop over values.
//!
//! Invariants: lines stay where they are; what is not understood stays as it is, for the engine to
//! refuse; nesting is bounded, and the time taken grows with the length of the text alone.

mod edits;
mod literal;

use std::ops::Range;

use super::scan::{Scanner, Token};
use edits::Edits;

/// How deeply literals and the code in them may be nested.
const DEPTH_MAX: usize = 100;

/// `source` in today's syntax; none where it has nothing of the old one, or is not understood.
pub(super) fn modernize(source: &str) -> Option<String> {
    let code = rewrite(source, 0, 0)?;
    (code.end == source.len() && code.is_changed).then_some(code.text)
}

/// A stretch of code, rewritten.
struct Code {
    text: String,
    /// Where it ends in the source.
    end: usize,
    is_changed: bool,
}

/// Rewrites code from `begin`: to the end of the source, or where it stands in a literal, to the
/// brace that closes it.
fn rewrite(source: &str, begin: usize, depth: usize) -> Option<Code> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut scanner = Scanner::starting_at(source, begin);
    let mut literals = Vec::new();
    while depth == 0 || !scanner.is_before_closing_brace() {
        if scanner.expression_may_start() && literal::begins(scanner.rest()) {
            let literal = literal::read(source, scanner.at(), depth)?;
            scanner.take_operand(literal.span.end);
            literals.push(literal);
        } else if !scanner.step() {
            if depth > 0 {
                return None;
            }
            break;
        }
    }
    let span = begin..scanner.at();
    let tokens = scanner.into_tokens();
    let edits = Edits::of(source, &tokens, &literals);
    let is_changed = !edits.is_empty();
    Some(Code { text: edits.apply(source, span.clone()), end: span.end, is_changed })
}

/// A literal, and the call that takes its place.
struct Literal {
    span: Range<usize>,
    text: String,
}

fn text_of<'a>(source: &'a str, tokens: &[Token], index: usize) -> &'a str {
    tokens.get(index).map_or("", |token| token.text(source))
}

/// A string as JavaScript writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
