//! Request targets as CouchDB reads them, and the escapes it writes into `Location` headers.
//!
//! A path is split on `/` first and each segment is decoded afterwards, so `a%2Fb` is one segment.
//! `%` must be followed by two hexadecimal digits, in the path and in the query alike.

use std::borrow::Cow;

use thiserror::Error;

/// Why a path or a query cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// A `%` without two hexadecimal digits: CouchDB's `invalid_url_encoding`.
    #[error("invalid_url_encoding")]
    BadEscape,
    #[error("the decoded text is not UTF-8")]
    NotUtf8,
}

/// What a `+` in a path stands for: `[chttpd] decode_plus_to_space`, on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plus {
    Space,
    Literal,
}

/// The decoded segments of a raw path (without its query). Empty segments count for nothing, so
/// `/db//doc/` has the segments `db` and `doc`.
///
/// # Errors
/// A bad escape, or a segment that is not UTF-8.
pub fn split_path(raw_path: &str, plus: Plus) -> Result<Vec<String>, PathError> {
    raw_path.split('/').filter(|raw| !raw.is_empty()).map(|raw| decode(raw, plus)).collect()
}

/// Decodes one raw segment, or any other percent-encoded text.
///
/// # Errors
/// A bad escape, or a result that is not UTF-8.
pub fn decode(raw: &str, plus: Plus) -> Result<String, PathError> {
    if !raw.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(raw.to_owned());
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = hex_value(bytes.next()).ok_or(PathError::BadEscape)?;
                let low = hex_value(bytes.next()).ok_or(PathError::BadEscape)?;
                high << 4 | low
            }
            b'+' if plus == Plus::Space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)
}

fn hex_value(digit: Option<u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Escapes a database name, document id or attachment name as one segment of a URL. The same
/// characters stay as in CouchDB's `Location` headers: letters, digits and `-_.:`.
#[must_use]
pub fn encode_segment(text: &str) -> Cow<'_, str> {
    if text.bytes().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if stays(byte) {
            encoded.push(char::from(byte));
        } else {
            push_escape(&mut encoded, byte);
        }
    }
    Cow::Owned(encoded)
}

fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

/// Escapes a segment, or a name or value of a query, as forms do: `+` for a space.
#[must_use]
pub fn quote_plus(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b' ' => quoted.push('+'),
            b'-' | b'_' | b'.' | b'~' => quoted.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => quoted.push(char::from(byte)),
            byte => push_escape(&mut quoted, byte),
        }
    }
    quoted
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        out.extend(char::from_digit(u32::from(digit), 16).map(|c| c.to_ascii_uppercase()));
    }
}

/// The names and values of a raw query string (without its `?`), in order, decoded; `+` is a space.
/// As in CouchDB `;` separates like `&`, and a name without `=` has an empty value.
///
/// # Errors
/// A bad escape, or a name or value that is not UTF-8.
pub fn parse_query(raw_query: &str) -> Result<Vec<(String, String)>, PathError> {
    let raw_query = raw_query.strip_suffix(['&', ';']).unwrap_or(raw_query);
    if raw_query.is_empty() {
        return Ok(Vec::new());
    }
    raw_query.split(['&', ';']).map(query_pair).collect()
}

fn query_pair(raw: &str) -> Result<(String, String), PathError> {
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
}

#[cfg(test)]
mod tests {
    use super::PathError::{BadEscape, NotUtf8};
    use super::*;
    use proptest::prelude::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn paths() {
        let table: [(&str, Result<&[&str], PathError>); 17] = [
            ("/", Ok(&[])),
            ("", Ok(&[])),
            ("/db", Ok(&["db"])),
            ("/db/", Ok(&["db"])),
            ("//db//doc/", Ok(&["db", "doc"])),
            ("/a%2Fb/c", Ok(&["a/b", "c"])),
            ("/db/_design%2fx/_view", Ok(&["db", "_design/x", "_view"])),
            ("/db/a+b%2B", Ok(&["db", "a b+"])),
            ("/db/%C3%A4ä", Ok(&["db", "ää"])),
            ("/db/%00", Ok(&["db", "\0"])),
            ("/db/%", Err(BadEscape)),
            ("/db/%4", Err(BadEscape)),
            ("/db/%4/1", Err(BadEscape)),
            ("/db/%zz", Err(BadEscape)),
            ("/db/%+1", Err(BadEscape)),
            ("/db/%ff", Err(NotUtf8)),
            ("/db/%C3/%A4", Err(NotUtf8)),
        ];
        for (raw, expect) in table {
            let expect = expect.map(|texts| texts.iter().map(|&t| t.to_owned()).collect());
            assert_eq!(split_path(raw, Plus::Space), expect, "{raw}");
        }
        assert_eq!(decode("a+b", Plus::Literal), Ok("a+b".to_owned()));
    }

    #[test]
    fn segments_of_location_headers() {
        let table = [
            ("a-false", "a-false"),
            ("a:2:x", "a:2:x"),
            ("one.bin", "one.bin"),
            ("_design/a/b", "_design%2Fa%2Fb"),
            ("_local/x", "_local%2Fx"),
            ("a b+c~", "a%20b%2Bc%7E"),
            ("ä\n", "%C3%A4%0A"),
            ("", ""),
        ];
        for (text, expect) in table {
            assert_eq!(encode_segment(text), expect);
        }
    }

    #[test]
    fn queries() {
        let table: [(&str, Result<Pairs, PathError>); 13] = [
            ("", Ok(&[])),
            ("a=1", Ok(&[("a", "1")])),
            ("a=1&b=2&a=3", Ok(&[("a", "1"), ("b", "2"), ("a", "3")])),
            ("a=1;b=2", Ok(&[("a", "1"), ("b", "2")])),
            ("a=1&", Ok(&[("a", "1")])),
            ("a", Ok(&[("a", "")])),
            ("=b", Ok(&[("", "b")])),
            ("a&&b", Ok(&[("a", ""), ("", ""), ("b", "")])),
            ("key=%22a+b%26c%22", Ok(&[("key", "\"a b&c\"")])),
            ("k=a=b", Ok(&[("k", "a=b")])),
            ("a%3Db=c", Ok(&[("a=b", "c")])),
            ("a=%", Err(BadEscape)),
            ("a=%ff", Err(NotUtf8)),
        ];
        for (raw, expect) in table {
            let expect = expect
                .map(|pairs| pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect());
            assert_eq!(parse_query(raw), expect, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in ".*") {
            let encoded = encode_segment(&text);
            prop_assert!(!encoded.contains('/'));
            prop_assert_eq!(decode(&encoded, Plus::Space), Ok(text.clone()));
            prop_assert_eq!(decode(&encoded, Plus::Literal), Ok(text.clone()));
            prop_assert_eq!(decode(&quote_plus(&text), Plus::Space), Ok(text.clone()));
            let query = format!("{encoded}={encoded}");
            prop_assert_eq!(parse_query(&query), Ok(vec![(text.clone(), text)]));
        }

        #[test]
        fn any_text_is_answered(raw in ".*") {
            let _ = split_path(&raw, Plus::Space);
            let _ = parse_query(&raw);
        }
    }
}
