//! Keys straight from JSON text, as [`super::write_key`] and [`super::write_raw_key`] would write
//! them for the parsed value.
//!
//! Relies on the text being JSON: of anything else it makes some key, in time and space that grow
//! with the text alone.

use std::borrow::Cow;

use super::compare::lost;
use super::key::{END, Encoding, RAW, VIEW};

/// Appends the key, in view order, of a value that is given as JSON.
pub fn write_key_of_text(out: &mut Vec<u8>, json: &str) {
    write(out, json, &VIEW);
}

/// Appends the key, in raw order, of a value that is given as JSON.
pub fn write_raw_key_of_text(out: &mut Vec<u8>, json: &str) {
    write(out, json, &RAW);
}

/// Brackets need no list of what is open: each writes one byte.
fn write(out: &mut Vec<u8>, json: &str, encoding: &Encoding) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let (text, end) = string(json, at);
                out.push(encoding.string);
                (encoding.write_string)(out, &text);
                at = end;
            }
            b'[' => out.push(encoding.array),
            b'{' => out.push(encoding.object),
            b']' | b'}' => out.push(END),
            b'n' => at = word(out, encoding.null, at, "null"),
            b'f' => at = word(out, encoding.no, at, "false"),
            b't' => at = word(out, encoding.yes, at, "true"),
            b'-' | b'0'..=b'9' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let inside = |byte: &u8| {
                    byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')
                };
                let end = at + rest.iter().position(|byte| !inside(byte)).unwrap_or(rest.len());
                let text = json.get(at - 1..end).unwrap_or_default();
                let double = text.parse().unwrap_or(0.0) + 0.0;
                out.push(encoding.number);
                (encoding.write_number)(out, double, rounded_off(text, double));
                at = end;
            }
            _ => {}
        }
    }
}

fn word(out: &mut Vec<u8>, key: u8, at: usize, word: &str) -> usize {
    out.push(key);
    at + word.len() - 1
}

/// What an integer lost by becoming a double; nothing where it does not fit into 64 bits.
fn rounded_off(text: &str, double: f64) -> i16 {
    let exact =
        text.parse::<i64>().map(i128::from).or_else(|_| text.parse::<u64>().map(i128::from));
    exact.map_or(0, |exact| lost(exact, double))
}

/// The string whose content begins at `start`, and where the text goes on after it.
fn string(json: &str, start: usize) -> (Cow<'_, str>, usize) {
    let bytes = json.as_bytes();
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'"') => return (json.get(start..at).unwrap_or_default().into(), at + 1),
            Some(b'\\') => return unescape(json, start, at),
            Some(_) => at += 1,
            None => return (json.get(start..).unwrap_or_default().into(), bytes.len()),
        }
    }
}

/// A string with escapes, the first of which is at `at`. Half a surrogate pair, which is no
/// character, becomes the replacement character.
fn unescape(json: &str, start: usize, mut at: usize) -> (Cow<'_, str>, usize) {
    let bytes = json.as_bytes();
    let mut text = json.get(start..at).unwrap_or_default().to_owned();
    loop {
        let plain = at;
        while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
            at += 1;
        }
        text.push_str(json.get(plain..at).unwrap_or_default());
        let Some(b'\\') = bytes.get(at) else { return (text.into(), at + 1) };
        let escape = bytes.get(at + 1).copied().unwrap_or_default();
        at += 2;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, used) = unicode(json, at);
                at += used;
                character
            }
            other => char::from(other),
        });
    }
}

/// The character of the four digits at `at`, or of two such escapes, and how many bytes they take.
fn unicode(json: &str, at: usize) -> (char, usize) {
    let unit =
        |at: usize| json.get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let Some(first) = unit(at) else { return (char::REPLACEMENT_CHARACTER, 0) };
    let second =
        json.get(at + 4..at + 6).filter(|escape| *escape == "\\u").and_then(|_| unit(at + 6));
    let pair = [first, second.unwrap_or_default()];
    match char::decode_utf16(pair).next() {
        Some(Ok(character)) if character.len_utf16() == 2 => (character, 10),
        Some(Ok(character)) => (character, 4),
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}
