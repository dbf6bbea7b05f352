//! `$regex`: patterns in PCRE's syntax, run by a matcher whose time is linear in the text.
//!
//! CouchDB gives the pattern to PCRE without anchors and without UTF-8, so it works on bytes: `.`
//! is one byte, and classes and case folding know ASCII only. That holds here too. Where the two
//! syntaxes give one text two meanings, the pattern is rewritten. Known difference: what needs
//! backtracking (look-around, back-references, atomic groups, recursion, `(*VERB)`) and the rarer
//! escapes (`\Q`, `\R`, `\h`, octal) are refused like a pattern PCRE cannot compile, and possessive
//! quantifiers match like plain ones. A pattern's length and its compiled size are limited.

use std::fmt::Write;

use regex::bytes::{Regex, RegexBuilder};

/// The largest compiled program, in bytes: bounds the time that one text costs.
const PROGRAM_BYTES_MAX: usize = 256 * 1024;

/// The longest pattern, in bytes.
const SOURCE_BYTES_MAX: usize = 64 * 1024;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Box<str>,
    program: Regex,
}

impl Pattern {
    /// Compiles a pattern; `None` where it is no pattern, is too large or is of an unknown kind.
    pub fn compile(source: &str) -> Option<Self> {
        if source.len() > SOURCE_BYTES_MAX {
            return None;
        }
        let program = RegexBuilder::new(&rewrite(source))
            .unicode(false)
            .size_limit(PROGRAM_BYTES_MAX)
            .build()
            .ok()?;
        Some(Self { source: source.into(), program })
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it matches anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.program.is_match(text.as_bytes())
    }
}

/// Whether the text being rewritten stands in a class, and where.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    ClassStart,
    Class,
}

/// Writes a PCRE pattern so that the regex crate reads it as PCRE would.
fn rewrite(source: &str) -> String {
    let multi_line = sets_multi_line(source);
    let mut out = String::with_capacity(source.len());
    let mut place = Place::Outside;
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let (piece, after) = rest.split_at(character.len_utf8());
        rest = after;
        if character == '\\' {
            rest = rewrite_escape(&mut out, rest, place);
            place = inside(place);
        } else if place == Place::Outside {
            place = rewrite_plain(&mut out, character, piece, rest, multi_line);
        } else {
            (place, rest) = rewrite_in_class(&mut out, character, piece, rest, place);
        }
    }
    out
}

/// After something was written into a class, its start is over.
fn inside(place: Place) -> Place {
    if place == Place::Outside { Place::Outside } else { Place::Class }
}

/// Rewrites what a backslash precedes; returns what follows it.
fn rewrite_escape<'a>(out: &mut String, rest: &'a str, place: Place) -> &'a str {
    let Some(character) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let (piece, after) = rest.split_at(character.len_utf8());
    match character {
        // These are plain characters in PCRE, word boundaries in the regex crate.
        '<' | '>' => out.push(character),
        'Z' if place == Place::Outside => out.push_str(r"(?:\n?\z)"),
        _ if character.is_ascii() => {
            out.push('\\');
            out.push(character);
        }
        _ => push_bytes(out, piece),
    }
    after
}

fn rewrite_plain(
    out: &mut String,
    character: char,
    piece: &str,
    rest: &str,
    multi_line: bool,
) -> Place {
    match character {
        '[' => {
            out.push('[');
            return Place::ClassStart;
        }
        // PCRE's `$` also stands before a newline that ends the text.
        '$' if !multi_line => out.push_str(r"(?:\n?\z)"),
        '{' if !is_repetition(rest) => out.push_str(r"\{"),
        _ if character.is_ascii() => out.push(character),
        _ => push_bytes(out, piece),
    }
    Place::Outside
}

fn rewrite_in_class<'a>(
    out: &mut String,
    character: char,
    piece: &str,
    rest: &'a str,
    place: Place,
) -> (Place, &'a str) {
    match character {
        '^' if place == Place::ClassStart && out.ends_with('[') => {
            out.push('^');
            return (Place::ClassStart, rest);
        }
        ']' if place == Place::ClassStart => out.push_str(r"\]"),
        ']' => {
            out.push(']');
            return (Place::Outside, rest);
        }
        '[' => {
            if let Some(length) = posix_class(rest) {
                let (name, after) = rest.split_at(length);
                out.push('[');
                out.push_str(name);
                return (Place::Class, after);
            }
            out.push_str(r"\[");
        }
        // Class operators of the regex crate when doubled.
        '&' | '~' => {
            out.push('\\');
            out.push(character);
        }
        '-' if place == Place::ClassStart || follows_dash(out) => out.push_str(r"\-"),
        _ if character.is_ascii() => out.push(character),
        _ => push_bytes(out, piece),
    }
    (Place::Class, rest)
}

fn push_bytes(out: &mut String, piece: &str) {
    for byte in piece.bytes() {
        let _ = write!(out, "\\x{byte:02X}");
    }
}

/// Whether the last thing written is a dash that may make a range.
fn follows_dash(out: &str) -> bool {
    out.ends_with('-') && !out.ends_with(r"\-")
}

/// The length of `:name:]`, which a `[` in a class precedes.
fn posix_class(rest: &str) -> Option<usize> {
    let name = rest.strip_prefix(':')?;
    let after = name.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '^');
    after.starts_with(":]").then(|| rest.len() - after.len() + 2)
}

/// Whether `{`, which this follows, begins `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    let after_digits = |text: &str| text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let after_low = &rest[rest.len() - after_digits(rest)..];
    let after_comma = after_low.strip_prefix(',').unwrap_or(after_low);
    let end = &after_comma[after_comma.len() - after_digits(after_comma)..];
    after_low.len() < rest.len() && end.starts_with('}')
}

/// Whether any flag group such as `(?m)` or `(?im:` sets multi-line mode.
fn sets_multi_line(source: &str) -> bool {
    source.match_indices("(?").any(|(at, opening)| {
        source[at + opening.len()..]
            .bytes()
            .take_while(u8::is_ascii_lowercase)
            .any(|flag| flag == b'm')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, matching: &[&str], not: &[&str]) {
        let pattern = Pattern::compile(source).unwrap_or_else(|| panic!("{source} is refused"));
        for text in matching {
            assert!(pattern.is_match(text), "{source} on {text:?}");
        }
        for text in not {
            assert!(!pattern.is_match(text), "{source} on {text:?}");
        }
    }

    #[test]
    fn patterns_mean_what_pcre_reads() {
        check("^[AB]", &["Ada", "Bob"], &["Cy", "xA"]);
        check("(?i)^D", &["dee", "Dee"], &["xd"]);
        check("É", &["Éva", "xÉ"], &["Eva"]);
        check("\\É$", &["É", "xÉ\n"], &["É\n\n", "Éva"]);
        check("^.{3}$", &["Ada"], &["Éva", "Adam"]);
        check("^[É]{2}va$", &["Éva"], &["Eva"]);
        check("^\\w+$", &["abc_1"], &["é", "a b"]);
        check("a$", &["a", "ba\n"], &["a\nb", "a\n\n"]);
        check("a\\Z", &["a", "a\n"], &["ab"]);
        check("(?m)a$", &["a\nb", "a"], &["ab"]);
        check("a{,2}", &["xa{,2}"], &["aa"]);
        check("^{x}$", &["{x}"], &["x"]);
        check("^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]);
        check("\\<b\\>", &["a<b>"], &["a b "]);
        check("^[[:digit:]x]+$", &["12x"], &["a", ":"]);
        check("^[a[b]$", &["a", "[", "b"], &["a]"]);
        check("^[]a]$", &["]", "a"], &["x"]);
        check("^[^]a]$", &["x"], &["]", "a"]);
        check("^[a&&b]$", &["a", "&", "b"], &["x"]);
        check("^[+--]$", &["+", ",", "-"], &["."]);
        check("^[+\\--/]$", &["+", "-", ".", "/"], &[","]);
        check("^[--/]$", &["-", ".", "/"], &[","]);
        check("^[-a]$", &["-", "a"], &["b"]);
        check("^[a-c]$", &["b"], &["-", "d"]);
        check("^[\\w-]$", &["a", "-"], &["."]);
        check("\\/\\-\\:", &["x/-:"], &["x"]);
        check("", &["", "x"], &[]);
    }

    #[test]
    fn other_patterns_are_refused() {
        for source in ["(", "[", "*a", "a\\", "(?=a)", "(a)\\1", "(?<!a)b", "(?>a)", "[z-a]"] {
            assert!(Pattern::compile(source).is_none(), "{source}");
        }
        assert!(Pattern::compile("(a{1000}){1000}").is_none());
        assert!(Pattern::compile(&"(".repeat(60_000)).is_none());
        assert!(Pattern::compile(&"a".repeat(100_000)).is_none());
    }

    #[test]
    fn rewriting_takes_linear_time() {
        assert_eq!(rewrite(&"{".repeat(1 << 20)).len(), 2 << 20);
        assert_eq!(rewrite(&"[:".repeat(1 << 20)).len(), (3 << 20) - 1);
        assert_eq!(rewrite(&"(?a".repeat(1 << 20)).len(), 3 << 20);
    }
}
