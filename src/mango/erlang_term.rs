//! JSON values as Erlang prints them with `~w` and `~p`, which CouchDB's Mango errors show to
//! clients.
//!
//! Output is cut at `TEXT_BYTES_MAX`: an argument of any size may be wrong, and a string costs
//! four times its length here. Depth is that of the value, which the JSON parser limits.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use crate::document::json::print_float;

/// How long a printed term may get, in bytes, before it is cut off.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Prints a JSON value as the Erlang term CouchDB keeps it in: `{[{<<97>>,1}]}` for `{"a":1}`.
pub fn print(value: &Value) -> String {
    print_with(value, print_binary)
}

/// The same with texts in quotes where they are printable: `{[{<<"a">>,1}]}`. Erlang would break
/// lines of more than 80 characters.
pub fn print_readable(value: &Value) -> String {
    print_with(value, |out, text| {
        let is_printable = |byte: u8| matches!(byte, 8..=13 | 27 | 32..=126);
        if text.is_empty() || !text.bytes().all(is_printable) {
            return print_binary(out, text);
        }
        let _ = write!(out, "<<{}>>", Value::from(text));
    })
}

/// Prints a text.
type PrintText = fn(&mut String, &str);

fn print_with(value: &Value, print_text: PrintText) -> String {
    let mut out = String::new();
    print_value(&mut out, value, print_text);
    if out.len() > TEXT_BYTES_MAX {
        out.truncate(TEXT_BYTES_MAX);
        out.push_str("...");
    }
    out
}

fn print_value(out: &mut String, value: &Value, print_text: PrintText) {
    if out.len() > TEXT_BYTES_MAX {
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => print_number(out, number),
        Value::String(text) => print_text(out, text),
        Value::Array(elements) => {
            out.push('[');
            print_separated(out, elements, |out, value| print_value(out, value, print_text));
            out.push(']');
        }
        Value::Object(entries) => print_object(out, entries, print_text),
    }
}

fn print_object(out: &mut String, entries: &Map<String, Value>, print_text: PrintText) {
    out.push_str("{[");
    print_separated(out, entries, |out, (name, value)| {
        out.push('{');
        print_text(out, name);
        out.push(',');
        print_value(out, value, print_text);
        out.push('}');
    });
    out.push_str("]}");
}

/// Prints items with commas between them; stops where the text has become too long.
fn print_separated<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    print: impl Fn(&mut String, T),
) {
    for (at, item) in items.into_iter().enumerate() {
        if out.len() > TEXT_BYTES_MAX {
            return;
        }
        if at > 0 {
            out.push(',');
        }
        print(out, item);
    }
}

fn print_binary(out: &mut String, text: &str) {
    out.push_str("<<");
    print_separated(out, text.bytes(), |out, byte| {
        let _ = write!(out, "{byte}");
    });
    out.push_str(">>");
}

fn print_number(out: &mut String, number: &Number) {
    match number.as_f64() {
        Some(double) if number.is_f64() => out.push_str(&print_float(double)),
        _ => {
            let _ = write!(out, "{number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_print_as_erlang_terms() {
        let table = [
            (json!([]), "[]"),
            (json!({}), "{[]}"),
            (json!("("), "<<40>>"),
            (json!(""), "<<>>"),
            (json!("é"), "<<195,169>>"),
            (json!([1, -2, null, true, false]), "[1,-2,null,true,false]"),
            (json!({"a": {"b": [1]}, "c": 2}), "{[{<<97>>,{[{<<98>>,[1]}]}},{<<99>>,2}]}"),
        ];
        for (value, text) in table {
            assert_eq!(print(&value), text);
        }
    }

    #[test]
    fn readable_terms_quote_texts() {
        let table = [
            (json!("x"), r#"<<"x">>"#),
            (json!(""), "<<>>"),
            (json!("é"), "<<195,169>>"),
            (json!("a\"b"), r#"<<"a\"b">>"#),
            (json!([{"a": "up"}]), r#"[{[{<<"a">>,<<"up">>}]}]"#),
        ];
        for (value, text) in table {
            assert_eq!(print_readable(&value), text);
        }
    }

    #[test]
    fn doubles_print_as_erlang_prints_them() {
        assert_eq!(print(&json!([100.0, 1000.0])), "[100.0,1.0e3]");
    }

    #[test]
    fn long_terms_are_cut() {
        let long = print(&json!(["x".repeat(1 << 20), "y"]));
        assert!(long.len() < TEXT_BYTES_MAX + 16 && long.ends_with("..."));
    }

    #[test]
    fn deep_terms_fit_the_stack() {
        let mut deep = json!(1);
        for _ in 0..1000 {
            deep = Value::Array(vec![deep]);
        }
        assert_eq!(print(&deep).len(), 2001);
    }
}
