//! What is changed around XML literals: members that are attributes or descendants, appending
//! with `+=`, and `for each`.

use std::ops::Range;

use crate::sandbox::scan::{Token, TokenKind};

use super::{Literal, quoted, text_of};

/// Stretches of a source and what takes their place, in order.
pub(super) struct Edits {
    found: Vec<(Range<usize>, String)>,
}

impl Edits {
    /// The edits that the tokens ask for. A literal is one token.
    pub fn of(source: &str, tokens: &[Token], literals: &[Literal]) -> Self {
        let mut edits = Self { found: Vec::new() };
        for literal in literals {
            edits.found.push((literal.span.clone(), literal.text.clone()));
        }
        for index in 0..tokens.len() {
            match text_of(source, tokens, index) {
                "." => edits.member(source, tokens, index),
                "for" => edits.for_each(source, tokens, index),
                _ => {}
            }
        }
        edits.sort();
        // Appending copies what is left of it, with its edits.
        if !literals.is_empty() {
            let appends: Vec<_> = (0..tokens.len())
                .filter(|index| text_of(source, tokens, *index) == "+=")
                .filter_map(|index| edits.append(source, tokens, index))
                .flatten()
                .collect();
            edits.found.extend(appends);
            edits.sort();
        }
        edits
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The stretch of the source at `span` with the edits made.
    pub fn apply(&self, source: &str, span: Range<usize>) -> String {
        let mut out = String::with_capacity(span.len());
        let mut copied = span.start;
        let inside = |at: &Range<usize>| at.start >= span.start && at.end <= span.end;
        for (at, text) in self.found.iter().filter(|(at, _)| inside(at)) {
            out.push_str(source.get(copied..at.start).unwrap_or_default());
            out.push_str(text);
            copied = at.end;
        }
        out.push_str(source.get(copied..span.end).unwrap_or_default());
        out
    }

    fn sort(&mut self) {
        self.found.sort_by_key(|(at, _)| (at.start, at.end));
    }

    fn replace(&mut self, tokens: &[Token], from: usize, to: usize, mut text: String) {
        let Some(replaced) = tokens.get(from..=to) else { return };
        if let [first, rest @ ..] = replaced {
            let end = rest.last().unwrap_or(first).span.end;
            // Lines stay where they are.
            let breaks = rest.iter().filter(|token| token.after_line_break).count();
            text.extend(std::iter::repeat_n('\n', breaks));
            self.found.push((first.span.start..end, text));
        }
    }

    /// `.@name`, `.@*`, `.@[x]`, `.*`, `..name`, `..@name` and `..*`; `index` is the dot's.
    fn member(&mut self, source: &str, tokens: &[Token], index: usize) {
        let text = |offset: usize| text_of(source, tokens, index + offset);
        if index > 0 && text_of(source, tokens, index - 1) == "." {
            return;
        }
        let is_name = |offset: usize| {
            let kind = tokens.get(index + offset).map(|token| token.kind);
            matches!(kind, Some(TokenKind::Identifier | TokenKind::Keyword)) || text(offset) == "*"
        };
        let (end, called) = match [text(1), text(2)] {
            ["@", "["] => return self.computed_attribute(source, tokens, index),
            ["@", name] if is_name(2) => (2, format!("[{}]", quoted(&format!("@{name}")))),
            ["*", _] => (1, "[\"*\"]".to_owned()),
            [".", "@"] if is_name(3) => {
                (3, format!(".descendants({})", quoted(&format!("@{}", text(3)))))
            }
            [".", name] if is_name(2) => (2, format!(".descendants({})", quoted(name))),
            _ => return,
        };
        self.replace(tokens, index, index + end, called);
    }

    fn computed_attribute(&mut self, source: &str, tokens: &[Token], index: usize) {
        let Some(close) = closing(source, tokens, index + 2) else { return };
        self.replace(tokens, index, index + 2, "[\"@\" + (".to_owned());
        self.replace(tokens, close, close, ")]".to_owned());
    }

    /// `for each (x in y)`; `index` is that of `for`.
    fn for_each(&mut self, source: &str, tokens: &[Token], index: usize) {
        let text = |offset: usize| text_of(source, tokens, index + offset);
        if text(1) != "each" || text(2) != "(" {
            return;
        }
        let Some(close) = closing(source, tokens, index + 2) else { return };
        let mut depth = 0_usize;
        for at in index + 2..close {
            match text_of(source, tokens, at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                "in" if depth == 1 => {
                    self.replace(tokens, index + 1, index + 1, String::new());
                    self.replace(tokens, at, at, "of $e4x.each(".to_owned());
                    return self.replace(tokens, close, close, "))".to_owned());
                }
                _ => {}
            }
        }
    }

    /// `a.b += c`, which appends where both are XML; `index` is that of `+=`. Only for operands
    /// that can be read twice and end for sure.
    fn append(
        &self,
        source: &str,
        tokens: &[Token],
        index: usize,
    ) -> Option<[(Range<usize>, String); 2]> {
        let left = tokens.get(first_of_chain(source, tokens, index.checked_sub(1)?)?)?.span.start;
        let sign = tokens.get(index)?.span.clone();
        let last = last_of_chain(source, tokens, index + 1)?;
        let end = tokens.get(last)?.span.end;
        let target = self.apply(source, left..sign.start);
        Some([(sign, format!("= $e4x.add({},", target.trim())), (end..end, ")".to_owned())])
    }
}

/// The bracket that closes the one at `open`.
fn closing(source: &str, tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for index in open..tokens.len() {
        match text_of(source, tokens, index) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// Where the chain of members that ends at `last` begins.
fn first_of_chain(source: &str, tokens: &[Token], last: usize) -> Option<usize> {
    let text = |index: usize| text_of(source, tokens, index);
    let mut at = last;
    loop {
        if text(at) == "]" {
            at = opening(source, tokens, at)?.checked_sub(1)?;
            continue;
        }
        let is_member = at > 0 && matches!(text(at - 1), "." | "@");
        match tokens.get(at)?.kind {
            TokenKind::Identifier | TokenKind::Keyword if is_member => {
                let dots = if text(at - 1) == "@" { 3 } else { 2 };
                at = at.checked_sub(dots)?;
            }
            TokenKind::Identifier => return Some(at),
            TokenKind::Keyword if text(at) == "this" => return Some(at),
            _ => return None,
        }
    }
}

/// The bracket that opens what is closed at `close`, with nothing in between that does something.
fn opening(source: &str, tokens: &[Token], close: usize) -> Option<usize> {
    let mut at = close;
    loop {
        at = at.checked_sub(1)?;
        let token = tokens.get(at)?;
        match token.kind {
            _ if token.text(source) == "[" => return Some(at),
            TokenKind::Identifier | TokenKind::Number | TokenKind::Text => {}
            _ if token.text(source) == "." => {}
            _ => return None,
        }
    }
}

/// Where the operand that begins at `first` ends, if a statement or an argument ends there too.
fn last_of_chain(source: &str, tokens: &[Token], first: usize) -> Option<usize> {
    let text = |index: usize| text_of(source, tokens, index);
    let mut at = match (tokens.get(first)?.kind, text(first)) {
        (_, "(") => closing(source, tokens, first)?,
        (_, "this") | (TokenKind::Identifier | TokenKind::Number | TokenKind::Text, _) => first,
        _ => return None,
    };
    loop {
        at = match (text(at + 1), text(at + 2)) {
            (".", "@") => at + 3,
            (".", _) => at + 2,
            ("(" | "[", _) => closing(source, tokens, at + 1)?,
            _ => break,
        };
    }
    let ends = match tokens.get(at + 1) {
        None => true,
        Some(next) => {
            next.after_line_break || matches!(next.text(source), ";" | "}" | ")" | "]" | ",")
        }
    };
    ends.then_some(at)
}
