//! What modules answer must be JSON that the rest of the server can read.
//!
//! One pass without a tree: a number that no float holds, a broken surrogate and a nesting deeper
//! than the parser's own limit are refused here, and not when an index is read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value that was looked at from end to end.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

/// Checks that a text is one JSON value.
pub(super) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<Checked>(text).map(|_| ()).map_err(|error| error.to_string())
}

/// Reads an array of arrays of two values.
pub(super) fn pairs(text: &str) -> Result<Vec<(&RawValue, &RawValue)>, String> {
    check(text)?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Adds a JSON value without the white space between its parts.
pub(super) fn push_compact(to: &mut String, json: &str) {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    if !json.bytes().any(is_space) {
        to.push_str(json);
        return;
    }
    let (mut in_string, mut escaped) = (false, false);
    to.extend(json.chars().filter(|&character| {
        if escaped {
            escaped = false;
        } else if in_string && character == '\\' {
            escaped = true;
        } else if character == '"' {
            in_string = !in_string;
        }
        in_string || !u8::try_from(character).is_ok_and(is_space)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_again_is_json() {
        for good in ["1", " {\"a\":[1,2.5,null,true,\"\\u00e4\"]} ", "\"\"", "18446744073709551616"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
            assert!(serde_json::from_str::<serde_json::Value>(good).is_ok());
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for bad in ["", "{", "1 2", "1e999", "\"\\ud800\"", "nan", "{1:2}", "[1,]", "'a'", &deep] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_have_two_members() {
        let found = pairs("[[1, {\"a\":2}], [\"b\",null]]").unwrap();
        let texts: Vec<_> = found.iter().map(|(key, value)| (key.get(), value.get())).collect();
        assert_eq!(texts, [("1", "{\"a\":2}"), ("\"b\"", "null")]);
        for bad in ["[1]", "[[1]]", "[[1,2,3]]", "{}", "null", "[[1,2],]", "[[1,1e999]]"] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn space_between_parts_goes() {
        let mut text = String::new();
        push_compact(&mut text, "{ \"a b\" :\n[1,\t\"\\\" \\\\\", \"\\\\\" ]}");
        assert_eq!(text, "{\"a b\":[1,\"\\\" \\\\\",\"\\\\\"]}");
    }
}
