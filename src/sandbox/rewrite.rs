//! Makes scripts out of the function sources that CouchDB accepts.
//!
//! CouchDB has always taken `function(doc) {...}` as the text of a function, though a function
//! without a name may not stand as a statement. Such functions are put in parentheses here, so
//! that the script's completion value is the function. Nothing else is changed, and line numbers
//! stay as they are.

use std::borrow::Cow;

use super::scan::{Token, TokenKind, tokens};

/// `source` with each function that has no name and stands as a statement put in parentheses.
pub(super) fn to_script(source: &str) -> Cow<'_, str> {
    let functions = anonymous_statements(source);
    if functions.is_empty() {
        return Cow::Borrowed(source);
    }
    let mut script = String::with_capacity(source.len() + 4 * functions.len());
    let mut copied = 0;
    for function in functions {
        script.push_str(source.get(copied..function.start).unwrap_or_default());
        // Without the semicolon a line before it would be called with the function.
        script.push_str(";(");
        copied = function.start;
        if let Some(end) = function.end {
            script.push_str(source.get(copied..end).unwrap_or_default());
            script.push_str(");");
            copied = end;
        }
    }
    script.push_str(source.get(copied..).unwrap_or_default());
    Cow::Owned(script)
}

/// The bytes of a function without a name; no end where its last brace is missing.
struct Statement {
    start: usize,
    end: Option<usize>,
    body_begun: bool,
}

fn anonymous_statements(source: &str) -> Vec<Statement> {
    let tokens = tokens(source);
    let mut found: Vec<Statement> = Vec::new();
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        let text = token.text(source);
        let inside = found.last().is_some_and(|function| function.end.is_none());
        if depth == 0 && !inside && begins_function(source, &tokens, index) {
            found.push(Statement { start: token.span.start, end: None, body_begun: false });
        }
        depth = (depth + opened(token.kind, text)).saturating_sub(closed(token.kind, text));
        if let Some(function) = found.last_mut().filter(|function| function.end.is_none()) {
            function.body_begun |= depth == 1 && text == "{";
            if depth == 0 && function.body_begun {
                function.end = Some(token.span.end);
            }
        }
    }
    found
}

fn opened(kind: TokenKind, text: &str) -> usize {
    match kind {
        TokenKind::Punctuator => usize::from(matches!(text, "(" | "[" | "{")),
        TokenKind::Template => usize::from(text.ends_with("${")),
        _ => 0,
    }
}

fn closed(kind: TokenKind, text: &str) -> usize {
    match kind {
        TokenKind::Punctuator => usize::from(matches!(text, ")" | "]" | "}")),
        TokenKind::Template => usize::from(text.starts_with('}')),
        _ => 0,
    }
}

/// Whether the token is the `function` of a nameless function where a statement may begin.
fn begins_function(source: &str, tokens: &[Token], index: usize) -> bool {
    let text_at = |index: usize| tokens.get(index).map(|token| token.text(source));
    if text_at(index) != Some("function") || text_at(index + 1) != Some("(") {
        return false;
    }
    let Some(before) = index.checked_sub(1).and_then(|index| tokens.get(index)) else {
        return true;
    };
    let after_line_break = tokens.get(index).is_some_and(|token| token.after_line_break);
    match before.kind {
        TokenKind::Punctuator => match before.text(source) {
            ";" | "}" => true,
            ")" | "]" => after_line_break,
            _ => false,
        },
        // An operand on the line before ends its statement; `typeof` and the like do not.
        TokenKind::Keyword | TokenKind::Illegal => false,
        _ => after_line_break,
    }
}

#[cfg(test)]
mod tests {
    use super::to_script;

    fn check(source: &str, expect: &str) {
        assert_eq!(to_script(source), expect, "{source}");
    }

    #[test]
    fn anonymous_functions_are_put_in_parentheses() {
        check("function(doc){}", ";(function(doc){});");
        check("/* a */ function (d) { {} } // b\n", "/* a */ ;(function (d) { {} }); // b\n");
        check("var a = 1; function(d){};", "var a = 1; ;(function(d){});;");
        check("var a = f\nfunction(d){}", "var a = f\n;(function(d){});");
        check("function a(){}\nfunction(d){}", "function a(){}\n;(function(d){});");
        check("function(a = {}){ `${a}` }", ";(function(a = {}){ `${a}` });");
        check("function(d){ return /}/ }", ";(function(d){ return /}/ });");
        check("function(d){ '}' }", ";(function(d){ '}' });");
    }

    #[test]
    fn unfinished_functions_stay_unfinished() {
        check("function(doc){", ";(function(doc){");
        check("function(", ";(function(");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for source in [
            "",
            "doc => emit(doc)",
            "(function(doc){})",
            "function list(head, req){}; list",
            "var f = function(doc){};",
            "var f =\n  function(doc){};",
            "(function(){ return function(doc){} })()",
            "[1,\nfunction(){}]",
            "typeof\nfunction(){}",
            "a.b(function(){})",
        ] {
            check(source, source);
        }
    }
}
