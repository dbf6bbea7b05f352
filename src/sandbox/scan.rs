//! Splits JavaScript source text into tokens.
//!
//! It serves three readers: [`super::rewrite`] looks for anonymous functions that stand as
//! statements, [`super::syntax`] names the token at which the engine stopped, and [`super::e4x`]
//! looks for syntax that engines have given up. It never fails: what is no token of the language
//! becomes [`TokenKind::Illegal`].
//!
//! Invariants: tokens come in source order and do not overlap; the time taken grows with the length
//! of the text alone; nothing recurses, so depth of nesting costs heap and no stack.

use std::ops::Range;

/// What a token is, as far as its readers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Identifier,
    /// A reserved word, which may not stand where a name is wanted.
    Keyword,
    Number,
    Text,
    /// A stretch of a template literal: up to its end or up to `${`.
    Template,
    RegularExpression,
    Punctuator,
    /// A stray character, or a literal or comment that never ends.
    Illegal,
}

/// One token: its kind, the bytes it covers, and whether a line break stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub span: Range<usize>,
    pub after_line_break: bool,
}

impl Token {
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        source.get(self.span.clone()).unwrap_or_default()
    }
}

/// Reserved words; `let`, `static`, `async`, `of` and the like are names in sloppy code.
const KEYWORDS: [&str; 38] = [
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "import",
    "in",
    "instanceof",
    "new",
    "null",
    "return",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "await",
];

/// Keywords that are complete operands: a `/` after them divides.
const OPERAND_KEYWORDS: [&str; 5] = ["this", "super", "null", "true", "false"];

/// Punctuators of more than one character, longest first.
const LONG_PUNCTUATORS: [&str; 33] = [
    ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", ">>>", "&&=", "||=", "??=", "=>", "==", "!=",
    "<=", ">=", "&&", "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
    "<<", ">>", "**",
];

/// All tokens of `source`.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut scanner = Scanner::starting_at(source, 0);
    while scanner.step() {}
    scanner.into_tokens()
}

pub(super) fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// What an open bracket began, which decides what a `/` after its end means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// The condition of `if`, `while`, `for` or `with`: a statement follows.
    Condition,
    /// Braces of a block or a function body: a statement follows.
    Block,
    /// `${` of a template literal: the literal goes on after its `}`.
    Template,
    /// Everything else is an operand.
    Operand,
}

/// Scans a source step by step, for those who know of more than JavaScript has.
pub(super) struct Scanner<'a> {
    source: &'a str,
    at: usize,
    line_break: bool,
    /// The byte after the latest bracket that a statement may follow.
    statement_at: usize,
    open: Vec<Bracket>,
    out: Vec<Token>,
}

impl<'a> Scanner<'a> {
    /// A scanner for code that begins at a byte of a source.
    pub fn starting_at(source: &'a str, at: usize) -> Self {
        Scanner { source, at, line_break: false, statement_at: 0, open: vec![], out: vec![] }
    }

    /// The byte where the scanner stands.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has been found.
    pub fn into_tokens(self) -> Vec<Token> {
        self.out
    }

    /// Whether a brace comes next that closes nothing which the scanner has seen open.
    pub fn is_before_closing_brace(&self) -> bool {
        self.open.is_empty() && self.rest().starts_with('}')
    }

    /// Takes everything up to `end` as one literal.
    pub fn take_operand(&mut self, end: usize) {
        self.push(TokenKind::Text, end.saturating_sub(self.at));
    }

    /// Takes one token or one stretch of blanks; false at the end.
    pub fn step(&mut self) -> bool {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return false };
        if c.is_whitespace() || c == '\u{feff}' {
            self.line_break |= is_line_break(c);
            self.at += c.len_utf8();
        } else if rest.starts_with("//") {
            self.at += rest.find(is_line_break).unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            self.block_comment();
        } else {
            self.token(c);
        }
        true
    }

    /// What is still to be scanned.
    pub fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn block_comment(&mut self) {
        let rest = self.rest();
        match rest.get(2..).and_then(|body| body.find("*/")) {
            Some(length) => {
                let comment = rest.get(..length + 4).unwrap_or_default();
                self.line_break |= comment.contains(is_line_break);
                self.at += length + 4;
            }
            None => self.push(TokenKind::Illegal, rest.len()),
        }
    }

    fn token(&mut self, c: char) {
        let rest = self.rest();
        let digit_follows = rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit());
        if c.is_ascii_digit() || (c == '.' && digit_follows) {
            self.push(TokenKind::Number, number_length(rest));
        } else if is_name_start(c) {
            self.word();
        } else if c == '\'' || c == '"' {
            self.text(c);
        } else if c == '`' {
            self.template(1);
        } else if c == '/' && self.expression_may_start() {
            let (kind, length) = regular_expression(rest);
            self.push(kind, length);
        } else {
            self.punctuator(c);
        }
    }

    fn word(&mut self) {
        let rest = self.rest();
        let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        let is_member = self.out.last().is_some_and(|t| matches!(t.text(self.source), "." | "?."));
        let is_keyword = !is_member && KEYWORDS.contains(&word);
        self.push(if is_keyword { TokenKind::Keyword } else { TokenKind::Identifier }, length);
    }

    fn text(&mut self, quote: char) {
        let rest = self.rest();
        let mut escaped = false;
        for (offset, c) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                return self.push(TokenKind::Text, offset + 1);
            } else if c == '\n' || c == '\r' {
                return self.push(TokenKind::Illegal, offset);
            }
        }
        self.push(TokenKind::Illegal, rest.len());
    }

    /// A template's stretch that begins at the scanner; its text begins `skip` bytes further on.
    fn template(&mut self, skip: usize) {
        let rest = self.rest();
        let mut escaped = false;
        let mut previous = ' ';
        for (offset, c) in rest.char_indices().skip(skip) {
            if escaped {
                escaped = false;
                previous = ' ';
                continue;
            }
            if c == '`' {
                return self.push(TokenKind::Template, offset + 1);
            }
            if c == '{' && previous == '$' {
                self.push(TokenKind::Template, offset + 1);
                return self.open.push(Bracket::Template);
            }
            escaped = c == '\\';
            previous = c;
        }
        self.push(TokenKind::Illegal, rest.len());
    }

    fn punctuator(&mut self, c: char) {
        match c {
            '(' => self.open.push(self.parenthesis()),
            '[' => self.open.push(Bracket::Operand),
            '{' => self.open.push(self.brace()),
            '}' if self.open.last() == Some(&Bracket::Template) => {
                self.open.pop();
                return self.template(1);
            }
            ')' | ']' | '}' => return self.close(),
            _ => {}
        }
        let rest = self.rest();
        let long = LONG_PUNCTUATORS.iter().find(|long| rest.starts_with(**long));
        if let Some(long) = long {
            return self.push(TokenKind::Punctuator, long.len());
        }
        let legal = "{}()[];,<>+-*/%&|^!~?:=.".contains(c);
        let kind = if legal { TokenKind::Punctuator } else { TokenKind::Illegal };
        self.push(kind, c.len_utf8());
    }

    fn parenthesis(&self) -> Bracket {
        match self.out.last().map(|token| token.text(self.source)) {
            Some("if" | "while" | "for" | "with") => Bracket::Condition,
            _ => Bracket::Operand,
        }
    }

    /// An object literal stands where an operand is due, a block everywhere else.
    fn brace(&self) -> Bracket {
        let Some(last) = self.out.last() else { return Bracket::Block };
        let block = match last.kind {
            TokenKind::Punctuator => {
                matches!(last.text(self.source), ";" | "{" | "}" | ")" | "=>")
            }
            TokenKind::Keyword => {
                matches!(last.text(self.source), "else" | "do" | "try" | "finally")
            }
            TokenKind::Template => !self.expression_may_start(),
            _ => true,
        };
        if block { Bracket::Block } else { Bracket::Operand }
    }

    fn close(&mut self) {
        let closed = self.open.pop().unwrap_or(Bracket::Operand);
        self.push(TokenKind::Punctuator, 1);
        if closed != Bracket::Operand {
            self.statement_at = self.at;
        }
    }

    /// Whether a `/` at the scanner begins a regular expression rather than divides. A guess
    /// where only a parser could know: after the `}` of a function expression.
    pub fn expression_may_start(&self) -> bool {
        let Some(last) = self.out.last() else { return true };
        let text = last.text(self.source);
        match last.kind {
            TokenKind::Keyword => !OPERAND_KEYWORDS.contains(&text),
            TokenKind::Template => text.ends_with("${"),
            TokenKind::Punctuator => match text {
                ")" | "]" | "}" => self.statement_at == last.span.end,
                "++" | "--" => false,
                _ => true,
            },
            TokenKind::Illegal => true,
            _ => false,
        }
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        let span = self.at..self.at + length;
        self.at = span.end;
        let after_line_break = std::mem::take(&mut self.line_break);
        self.out.push(Token { kind, span, after_line_break });
    }
}

fn is_name_start(c: char) -> bool {
    c == '$' || c == '_' || c.is_alphabetic()
}

fn is_name_part(c: char) -> bool {
    is_name_start(c) || c.is_numeric() || c == '\u{200c}' || c == '\u{200d}'
}

/// Takes what follows a digit without checking it: the engine does that.
fn number_length(rest: &str) -> usize {
    let hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
    let mut previous = ' ';
    for (offset, c) in rest.char_indices() {
        let signed = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !hexadecimal;
        if !(signed || c == '.' || is_name_part(c)) {
            return offset;
        }
        previous = c;
    }
    rest.len()
}

/// Measures a regular expression literal with its flags; one that never ends takes its line.
fn regular_expression(rest: &str) -> (TokenKind, usize) {
    let (mut escaped, mut in_class) = (false, false);
    for (offset, c) in rest.char_indices().skip(1) {
        if is_line_break(c) {
            return (TokenKind::Illegal, offset);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => {
                let flags = rest.get(offset + 1..).unwrap_or_default();
                let length = flags.find(|c| !is_name_part(c)).unwrap_or(flags.len());
                return (TokenKind::RegularExpression, offset + 1 + length);
            }
            _ => {}
        }
    }
    (TokenKind::Illegal, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(source: &str, expect: &[(TokenKind, &str)]) {
        let found = tokens(source);
        let found: Vec<_> = found.iter().map(|t| (t.kind, t.text(source))).collect();
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn kinds_of_tokens() {
        use TokenKind::{
            Identifier as I, Illegal as X, Keyword as K, Number as N, Punctuator as P,
            RegularExpression as R, Template as M, Text as T,
        };
        check("", &[]);
        check(" /* a */ b // c", &[(I, "b")]);
        check("var a=1.5e+3", &[(K, "var"), (I, "a"), (P, "="), (N, "1.5e+3")]);
        check("0xE+1", &[(N, "0xE"), (P, "+"), (N, "1")]);
        check("'a\\'b' \"c\"", &[(T, "'a\\'b'"), (T, "\"c\"")]);
        check("doc.class", &[(I, "doc"), (P, "."), (I, "class")]);
        check("a / b / c", &[(I, "a"), (P, "/"), (I, "b"), (P, "/"), (I, "c")]);
        check("a = /[/'\\/]/g;", &[(I, "a"), (P, "="), (R, "/[/'\\/]/g"), (P, ";")]);
        check("(a) / 2", &[(P, "("), (I, "a"), (P, ")"), (P, "/"), (N, "2")]);
        check("if (a) /x/", &[(K, "if"), (P, "("), (I, "a"), (P, ")"), (R, "/x/")]);
        check("{} /x/", &[(P, "{"), (P, "}"), (R, "/x/")]);
        check("a={} / 2", &[(I, "a"), (P, "="), (P, "{"), (P, "}"), (P, "/"), (N, "2")]);
        check("`a${b}c`", &[(M, "`a${"), (I, "b"), (M, "}c`")]);
        check(
            "`${{a:`}`}}`",
            &[(M, "`${"), (P, "{"), (I, "a"), (P, ":"), (M, "`}`"), (P, "}"), (M, "}`")],
        );
        check("a=>b", &[(I, "a"), (P, "=>"), (I, "b")]);
        check("'abc\n", &[(X, "'abc")]);
        check("/* abc", &[(X, "/* abc")]);
        check("@", &[(X, "@")]);
    }

    #[test]
    fn line_breaks_are_noticed() {
        let source = "a b\nc /*\n*/ d";
        let found: Vec<bool> = tokens(source).iter().map(|t| t.after_line_break).collect();
        assert_eq!(found, [false, false, true, true]);
    }

    proptest! {
        #[test]
        fn tokens_are_in_order_and_on_character_boundaries(
            source in "[a/`'\"${}()\\[\\]\\\\ \n*é😀0.e+]{0,60}",
        ) {
            let mut end = 0;
            for token in tokens(&source) {
                prop_assert!(token.span.start >= end && token.span.end > token.span.start);
                prop_assert!(source.get(token.span.clone()).is_some());
                end = token.span.end;
            }
            prop_assert!(end <= source.len());
        }
    }
}
