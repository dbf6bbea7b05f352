//! Words for syntax errors as CouchDB's clients know them.
//!
//! CouchDB 3.5 parses sources with esprima before its engine does; both stop at the same token, so
//! esprima's message follows from the token at which QuickJS stopped.

use super::engine::Position;
use super::scan::{Token, TokenKind, tokens};

/// What esprima says where QuickJS says `message` about `position` of `script`.
pub(super) fn message(script: &str, message: &str, position: Position) -> String {
    if let Some((_, known)) = FIXED.iter().find(|(prefix, _)| message.starts_with(prefix)) {
        return (*known).to_owned();
    }
    if !NAMING_A_TOKEN.iter().any(|prefix| message.starts_with(prefix)) {
        return message.to_owned();
    }
    let tokens = tokens(script);
    let at = byte_offset(script, position);
    let index = tokens.partition_point(|token| token.span.end <= at);
    unexpected(tokens.get(index), script)
}

/// Beginnings of QuickJS's messages that need no token, with esprima's words.
const FIXED: [(&str, &str); 17] = [
    ("unexpected end of string", ILLEGAL),
    ("unexpected end of comment", ILLEGAL),
    ("unexpected character", ILLEGAL),
    ("invalid number literal", ILLEGAL),
    ("invalid first character of private name", ILLEGAL),
    ("malformed escape sequence", ILLEGAL),
    ("unexpected end of regexp", "Invalid regular expression: missing /"),
    ("invalid regular expression flags", "Invalid regular expression flags"),
    ("return not in a function", "Illegal return statement"),
    ("break must be inside", "Illegal break statement"),
    ("continue must be inside", "Illegal continue statement"),
    ("expecting catch or finally", "Missing catch or finally after try"),
    ("invalid assignment left-hand side", "Invalid left-hand side in assignment"),
    ("invalid increment/decrement operand", "Invalid left-hand side in postfix operation"),
    ("invalid for in/of left hand-side", "Invalid left-hand side in for-in"),
    ("line terminator not allowed after throw", "Illegal newline after throw"),
    ("invalid keyword: with", "Strict mode code may not include a with statement"),
];

const ILLEGAL: &str = "Unexpected token ILLEGAL";

/// Beginnings of QuickJS's messages that complain about the token at the position.
const NAMING_A_TOKEN: [&str; 12] = [
    "unexpected",
    "Unexpected",
    "expecting",
    "expected",
    "function name expected",
    "variable name expected",
    "label expected",
    "field name expected",
    "invalid property name",
    "missing formal parameter",
    "unsupported keyword",
    "missing binding pattern",
];

fn unexpected(token: Option<&Token>, script: &str) -> String {
    let Some(token) = token else { return "Unexpected end of input".to_owned() };
    let text = token.text(script);
    match token.kind {
        TokenKind::Number => "Unexpected number".to_owned(),
        TokenKind::Text => "Unexpected string".to_owned(),
        TokenKind::Template => "Unexpected quasi".to_owned(),
        TokenKind::Identifier => "Unexpected identifier".to_owned(),
        TokenKind::Keyword if matches!(text, "enum" | "export" | "import" | "super") => {
            "Unexpected reserved word".to_owned()
        }
        TokenKind::RegularExpression => "Unexpected token /".to_owned(),
        TokenKind::Keyword | TokenKind::Punctuator => format!("Unexpected token {text}"),
        TokenKind::Illegal => ILLEGAL.to_owned(),
    }
}

fn byte_offset(script: &str, position: Position) -> usize {
    let mut line_start = 0;
    let mut line = 1;
    for (offset, c) in script.char_indices() {
        let carriage_return = c == '\r' && script.as_bytes().get(offset + 1) != Some(&b'\n');
        if line >= position.line {
            break;
        }
        if matches!(c, '\n' | '\u{2028}' | '\u{2029}') || carriage_return {
            line += 1;
            line_start = offset + c.len_utf8();
        }
    }
    let column = usize::try_from(position.column).unwrap_or(usize::MAX);
    line_start.saturating_add(column.saturating_sub(1))
}
