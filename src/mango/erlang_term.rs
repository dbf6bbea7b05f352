//! JSON values as Erlang prints them with `~w`, which CouchDB's Mango errors show to clients.
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
    let mut out = String::new();
    print_value(&mut out, value);
    if out.len() > TEXT_BYTES_MAX {
        out.truncate(TEXT_BYTES_MAX);
        out.push_str("...");
    }
    out
}

fn print_value(out: &mut String, value: &Value) {
    if out.len() > TEXT_BYTES_MAX {
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => print_number(out, number),
        Value::String(text) => print_binary(out, text),
        Value::Array(elements) => {
            out.push('[');
            print_separated(out, elements, print_value);
            out.push(']');
        }
        Value::Object(entries) => print_object(out, entries),
    }
}

fn print_object(out: &mut String, entries: &Map<String, Value>) {
    out.push_str("{[");
    print_separated(out, entries, |out, (name, value)| {
        out.push('{');
        print_binary(out, name);
        out.push(',');
        print_value(out, value);
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
