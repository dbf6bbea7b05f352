//! Writes JSON values as CouchDB shows them to people: as Erlang terms.
//!
//! Where CouchDB tells an error whose reason is no text, it prints the term, so `{"a": "b"}` is
//! told as `{[{<<"a">>,<<"b">>}]}`. Long terms, which CouchDB breaks into lines, stay on one.

use std::fmt::Write as _;

use serde_json::Value;

/// `value` as Erlang prints it.
#[must_use]
pub fn erlang_term(value: &Value) -> String {
    let mut text = String::new();
    write_term(value, &mut text);
    text
}

/// `value` as CouchDB puts it into the `reason` of an error: a text stays what it is, a list of
/// texts is joined, everything else is printed.
#[must_use]
pub fn erlang_reason(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items).unwrap_or_else(|| erlang_term(value)),
        other => erlang_term(other),
    }
}

/// What Erlang takes for one text: texts and bytes, in lists.
fn joined(items: &[Value]) -> Option<String> {
    let mut bytes = Vec::new();
    collect_bytes(items, &mut bytes)?;
    String::from_utf8(bytes).ok()
}

fn collect_bytes(items: &[Value], bytes: &mut Vec<u8>) -> Option<()> {
    for item in items {
        match item {
            Value::String(text) => bytes.extend_from_slice(text.as_bytes()),
            Value::Number(number) => bytes.push(u8::try_from(number.as_u64()?).ok()?),
            Value::Array(inner) => collect_bytes(inner, bytes)?,
            _ => return None,
        }
    }
    Some(())
}

fn write_term(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number_term(&number.to_string())),
        Value::String(string) => write_binary(string.as_bytes(), text),
        Value::Array(items) => write_list(items, text),
        Value::Object(members) => {
            text.push_str("{[");
            for (index, (name, member)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ",{" } else { "{" });
                write_binary(name.as_bytes(), text);
                text.push(',');
                write_term(member, text);
                text.push('}');
            }
            text.push_str("]}");
        }
    }
}

/// Erlang's floats always have a point.
fn number_term(number: &str) -> String {
    match number.split_once(['e', 'E']) {
        Some((digits, exponent)) if !digits.contains('.') => {
            format!("{digits}.0e{}", exponent.trim_start_matches('+'))
        }
        Some((digits, exponent)) => format!("{digits}e{}", exponent.trim_start_matches('+')),
        None => number.to_owned(),
    }
}

/// A list of character codes is shown as the text that they are.
fn write_list(items: &[Value], text: &mut String) {
    let codes: Option<Vec<u8>> = items
        .iter()
        .map(|item| u8::try_from(item.as_u64()?).ok().filter(|code| is_printable(*code)))
        .collect();
    if let Some(codes) = codes.filter(|codes| !codes.is_empty()) {
        text.push('"');
        for code in codes {
            write_escaped(char::from(code), text);
        }
        text.push('"');
        return;
    }
    text.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_term(item, text);
    }
    text.push(']');
}

fn write_binary(bytes: &[u8], text: &mut String) {
    let printable = bytes.iter().all(|byte| is_printable(*byte));
    match str::from_utf8(bytes) {
        Ok("") => text.push_str("<<>>"),
        // Erlang sees bytes, each of which is a character to it; put together again they are
        // what they were.
        Ok(string) if printable => {
            text.push_str("<<\"");
            for c in string.chars() {
                write_escaped(c, text);
            }
            text.push_str("\">>");
        }
        _ => {
            text.push_str("<<");
            for (index, byte) in bytes.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(text, "{comma}{byte}");
            }
            text.push_str(">>");
        }
    }
}

/// Whether the byte is a character of Latin-1 that can be shown.
fn is_printable(byte: u8) -> bool {
    matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255)
}

fn write_escaped(c: char, text: &mut String) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\u{8}' => text.push_str("\\b"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\u{b}' => text.push_str("\\v"),
        '\u{c}' => text.push_str("\\f"),
        '\r' => text.push_str("\\r"),
        '\u{1b}' => text.push_str("\\e"),
        other => text.push(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_those_of_erlang() {
        for (value, expect) in [
            (json!({}), "{[]}"),
            (json!([]), "[]"),
            (json!(null), "null"),
            (json!(true), "true"),
            (json!(-5), "-5"),
            (json!(1.5), "1.5"),
            (json!(1e30), "1.0e30"),
            (json!(1.25e-30), "1.25e-30"),
            (json!(""), "<<>>"),
            (json!("a\"b\n\\"), "<<\"a\\\"b\\n\\\\\">>"),
            (json!("é"), "<<\"é\">>"),
            (json!("€"), "<<226,130,172>>"),
            (json!([65, 66]), "\"AB\""),
            (json!([65, 1]), "[65,1]"),
            (json!(["a", 1]), "[<<\"a\">>,1]"),
            (
                json!({"foo": 1, "b": {"c": []}}),
                "{[{<<\"foo\">>,1},{<<\"b\">>,{[{<<\"c\">>,[]}]}}]}",
            ),
        ] {
            assert_eq!(erlang_term(&value), expect, "{value}");
        }
    }

    #[test]
    fn reasons_are_texts_where_they_can_be() {
        for (value, expect) in [
            (json!("plain"), "plain"),
            (json!(["a", ["b", 67]]), "abC"),
            (json!(["a", {}]), "[<<\"a\">>,{[]}]"),
            (json!({}), "{[]}"),
            (json!(5), "5"),
        ] {
            assert_eq!(erlang_reason(&value), expect, "{value}");
        }
    }
}
