//! JSON values as Erlang prints them with `~w`, which CouchDB's Mango errors show to clients.
//!
//! Output is cut at `TEXT_BYTES_MAX`: an argument of any size may be wrong, and a string costs
//! four times its length here. Depth is that of the value, which the JSON parser limits.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

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
        Some(double) if number.is_f64() => out.push_str(&print_double(double)),
        _ => {
            let _ = write!(out, "{number}");
        }
    }
}

/// The shortest digits that read back as the same double; in decimal notation where that is not
/// longer than the scientific one and the number is below 2^53.
fn print_double(double: f64) -> String {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let shortest = format!("{:e}", double.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let (first, rest) = digits.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    let scientific = format!("{first}.{rest}e{exponent}");
    let decimal = format!("{:?}", double.abs());
    let fits = double.abs() < WHOLE_MAX && !decimal.contains('e');
    let sign = if double.is_sign_negative() { "-" } else { "" };
    let short = fits && decimal.len() <= scientific.len();
    format!("{sign}{}", if short { decimal } else { scientific })
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
        let table = [
            (0.0, "0.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (1000.0, "1.0e3"),
            (123_456.0, "123456.0"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-5"),
            (0.000_012_345, "1.2345e-5"),
            (1e20, "1.0e20"),
            (9_007_199_254_740_991.0, "9007199254740991.0"),
            (9_007_199_254_740_992.0, "9.007199254740992e15"),
            (1.7e308, "1.7e308"),
        ];
        for (double, text) in table {
            assert_eq!(print(&json!(double)), text);
        }
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
