//! Terms as Erlang prints them, for the error texts that CouchDB shows: `~w`, flat and strings as
//! bytes, and `~p`, with strings to read and lines broken at 80 columns.

use std::fmt::Write;

use crate::document::json::print_float;

use super::term::{Number, Term};

/// Columns of a line of `~p`.
const LINE: usize = 80;
/// Characters that a broken string has on a line, if there is no room for more.
const STRING_PART_MIN: usize = 8;
/// How long a printed term may get, in bytes, before it is cut off.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// `~w`.
pub fn print(term: &Term) -> String {
    let mut out = String::new();
    Printed::of(term, &bytes).write_flat(&mut out);
    cut(out)
}

/// `~p` of a term that is printed from a column on.
pub fn print_pretty(term: &Term, column: usize) -> String {
    let mut out = String::new();
    Printed::of(term, &readable).write(&mut out, column, 0);
    cut(out)
}

/// `~p` of an object's members, as the list that they are in Erlang.
pub fn print_members(members: &[(String, Term)], column: usize) -> String {
    let mut out = String::new();
    Printed::members(members, &readable).write(&mut out, column, 0);
    cut(out)
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("...");
    }
    text
}

/// A printed term whose lines may be broken.
enum Printed {
    Plain(String),
    /// The readable content of a binary, escaped.
    Text(String),
    /// Brackets, what is between them, and the length of all on one line.
    Nested([char; 2], Vec<Self>, usize),
}

fn bytes(text: &str) -> Printed {
    let mut out = "<<".to_owned();
    for (at, byte) in text.bytes().take(TEXT_BYTES_MAX).enumerate() {
        let _ = write!(out, "{}{byte}", if at > 0 { "," } else { "" });
    }
    Printed::Plain(out + ">>")
}

/// Erlang takes a binary for text where every byte is a Latin-1 character that shows.
fn readable(text: &str) -> Printed {
    let shows = |byte: u8| matches!(byte, b' '..=b'~' | 0xa0.. | 8..=13 | 27);
    if text.is_empty() || !text.bytes().all(shows) {
        return bytes(text);
    }
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{b}' => escaped.push_str("\\v"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\u{1b}' => escaped.push_str("\\e"),
            other => escaped.push(other),
        }
    }
    Printed::Text(escaped)
}

impl Printed {
    fn of(term: &Term, text: &dyn Fn(&str) -> Self) -> Self {
        let plain = |text: &str| Self::Plain(text.to_owned());
        match term {
            Term::Null => plain("null"),
            Term::Bool(true) => plain("true"),
            Term::Bool(false) => plain("false"),
            Term::Number(Number::Integer(integer)) => Self::Plain(integer.to_string()),
            Term::Number(Number::Float(float)) => Self::Plain(print_float(*float)),
            Term::Text(content) => text(content),
            Term::List(elements) => {
                let elements = elements.iter().map(|element| Self::of(element, text)).collect();
                Self::nested(['[', ']'], elements)
            }
            Term::Object(members) => Self::nested(['{', '}'], vec![Self::members(members, text)]),
        }
    }

    fn members(members: &[(String, Term)], text: &dyn Fn(&str) -> Self) -> Self {
        let pair = |(name, value): &(String, Term)| {
            Self::nested(['{', '}'], vec![text(name), Self::of(value, text)])
        };
        Self::nested(['[', ']'], members.iter().map(pair).collect())
    }

    fn nested(brackets: [char; 2], parts: Vec<Self>) -> Self {
        let length = parts.iter().map(|part| part.length() + 1).sum::<usize>().max(1) + 1;
        Self::Nested(brackets, parts, length)
    }

    fn length(&self) -> usize {
        match self {
            Self::Plain(text) => text.chars().count(),
            Self::Text(text) => text.chars().count() + 6,
            Self::Nested(_, _, length) => *length,
        }
    }

    fn write_flat(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => {
                let _ = write!(out, "<<\"{text}\">>");
            }
            Self::Nested([open, close], parts, _) => {
                out.push(*open);
                for (at, part) in parts.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    part.write_flat(out);
                }
                out.push(*close);
            }
        }
    }

    /// Writes the term from `column` on; `closing` brackets follow it on its last line.
    fn write(&self, out: &mut String, column: usize, closing: usize) {
        if column + closing + self.length() < LINE {
            self.write_flat(out);
            return;
        }
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => write_text(out, text, column, closing),
            Self::Nested([open, close], parts, _) => {
                out.push(*open);
                write_parts(out, parts, column + 1, closing);
                out.push(*close);
            }
        }
    }
}

/// A string in as many parts as it needs, one below the other.
fn write_text(out: &mut String, text: &str, column: usize, closing: usize) {
    let room = LINE.saturating_sub(column + 2 + closing).max(STRING_PART_MIN);
    out.push_str("<<\"");
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % room == 0 {
            let _ = write!(out, "\"\n{:1$}\"", "", column + 2);
        }
        out.push(character);
    }
    out.push_str("\">>");
}

/// Elements of a list or tuple: simple ones share a line while there is room.
fn write_parts(out: &mut String, parts: &[Printed], indent: usize, closing: usize) {
    let mut column = indent;
    for (at, part) in parts.iter().enumerate() {
        let closing = if at + 1 == parts.len() { closing + 1 } else { 0 };
        let length = part.length();
        if at > 0 {
            out.push(',');
            let simple = !matches!(part, Printed::Nested(..));
            if simple && column + length + 1 + closing < LINE {
                part.write_flat(out);
                column += length + 1;
                continue;
            }
            let _ = write!(out, "\n{:1$}", "", indent);
            column = indent;
        }
        part.write(out, column, closing);
        column += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(json: &str) -> Term {
        Term::parse(json).unwrap()
    }

    #[test]
    fn terms_print_flat_with_bytes() {
        let object = term(r#"{"a":[1,-2.5,null,true],"é":""}"#);
        assert_eq!(print(&object), "{[{<<97>>,[1,-2.5,null,true]},{<<195,169>>,<<>>}]}");
        assert_eq!(print(&term(r#""x""#)), "<<120>>");
    }

    #[test]
    fn terms_print_prettily_from_a_column() {
        let table = [
            (r#""text""#, 83, "<<\"text\">>".to_owned()),
            ("null", 83, "null".to_owned()),
            (r#"[1,"x"]"#, 83, format!("[1,\n{:84}<<\"x\">>]", "")),
            (r#"{"sum":1}"#, 48, "{[{<<\"sum\">>,1}]}".to_owned()),
            ("\"a\\\"b\\n\"", 0, "<<\"a\\\"b\\n\">>".to_owned()),
            ("\"\"", 0, "<<>>".to_owned()),
            ("\"\\u0000\"", 0, "<<0>>".to_owned()),
            (r#""hello world""#, 83, format!("<<\"hello wo\"\n{:85}\"rld\">>", "")),
        ];
        for (json, column, text) in table {
            assert_eq!(print_pretty(&term(json), column), text);
        }
    }

    #[test]
    fn long_terms_are_cut() {
        let long = print(&term(&format!("[\"{}\"]", "é".repeat(1 << 20))));
        assert!(long.len() < TEXT_BYTES_MAX + 4 && long.ends_with("..."));
        let long = print_pretty(&term(&format!("\"{}\"", "é".repeat(1 << 20))), 0);
        assert!(long.len() < TEXT_BYTES_MAX + 4 && long.ends_with("..."));
    }
}
