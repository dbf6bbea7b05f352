//! Field paths: `a.b`, `a\.b` for a name with a dot, `list.0` for an element.

use serde_json::Value;

use super::error::SelectorError;

/// Where in a document a condition looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: Box<str>,
    pieces: Box<[Box<str>]>,
}

/// What a path leads to in a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    Value(&'a Value),
    /// An object on the way lacks the name.
    Missing,
    /// The way leads through a scalar, or to no element of an array. Then nothing matches, not
    /// even `$exists: false`.
    NoWay,
}

impl FieldPath {
    /// Reads a path. The empty text is the value itself, as conditions in `$elemMatch` use it.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let pieces = if text.is_empty() { Vec::new() } else { split(text)? };
        Ok(Self { text: text.into(), pieces: pieces.into() })
    }

    /// The path as it was written, levels joined by dots.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its names, without escapes; none for the value itself.
    pub fn pieces(&self) -> &[Box<str>] {
        &self.pieces
    }

    /// Follows the path.
    pub fn find<'a>(&self, value: &'a Value) -> Found<'a> {
        let mut at = value;
        for piece in &self.pieces {
            at = match at {
                Value::Object(entries) => match entries.get(&**piece) {
                    Some(value) => value,
                    None => return Found::Missing,
                },
                Value::Array(elements) => match element(elements, piece) {
                    Some(value) => value,
                    None => return Found::NoWay,
                },
                _ => return Found::NoWay,
            };
        }
        Found::Value(at)
    }
}

fn element<'a>(elements: &'a [Value], piece: &str) -> Option<&'a Value> {
    let index: i64 = piece.parse().ok()?;
    elements.get(usize::try_from(index).ok()?)
}

/// Splits at dots that no backslash precedes, then drops all backslashes.
fn split(text: &str) -> Result<Vec<Box<str>>, SelectorError> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices('.') {
        if !text[..at].ends_with('\\') {
            pieces.push(unescape(&text[start..at])?);
            start = at + 1;
        }
    }
    pieces.push(unescape(&text[start..])?);
    Ok(pieces)
}

fn unescape(piece: &str) -> Result<Box<str>, SelectorError> {
    if piece.is_empty() {
        return Err(SelectorError::MissingFieldName);
    }
    Ok(piece.replace('\\', "").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_split_as_couchdb_does() {
        let table: [(&str, Option<&[&str]>); 10] = [
            ("", Some(&[])),
            ("ab", Some(&["ab"])),
            ("a.b.c", Some(&["a", "b", "c"])),
            ("a\\.b", Some(&["a.b"])),
            ("a.b\\.c", Some(&["a", "b.c"])),
            ("a\\\\.b", Some(&["a.b"])),
            ("\\$a", Some(&["$a"])),
            ("a..b", None),
            (".a", None),
            ("a.", None),
        ];
        for (text, pieces) in table {
            let path = FieldPath::parse(text).ok();
            let found = path.as_ref().map(|path| path.pieces().iter().map(|p| &**p).collect());
            assert_eq!(found, pieces.map(<[&str]>::to_vec), "{text}");
        }
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let doc = json!({"a": {"b": [10, {"c": 1}]}, "n": 5, "1": "one"});
        let table = [
            ("a.b.0", Found::Value(&doc["a"]["b"][0])),
            ("a.b.+01.c", Found::Value(&doc["a"]["b"][1]["c"])),
            ("1", Found::Value(&doc["1"])),
            ("a.x", Found::Missing),
            ("a.x.y", Found::Missing),
            ("a.b.2", Found::NoWay),
            ("a.b.-1", Found::NoWay),
            ("a.b.[0]", Found::NoWay),
            ("n.x", Found::NoWay),
        ];
        for (text, found) in table {
            assert_eq!(FieldPath::parse(text).unwrap().find(&doc), found, "{text}");
        }
    }
}
