//! Parts of documents: what the `fields` of a query show.

use serde_json::{Map, Value};

use super::selector::{FieldPath, Found};

/// The fields of a document that it has, at their paths, as an object.
pub fn extract(document: &Value, fields: &[FieldPath]) -> Value {
    let mut extracted = Value::Object(Map::new());
    for field in fields {
        if let Found::Value(found) = field.find(document) {
            place(&mut extracted, field, found.clone());
        }
    }
    extracted
}

/// Puts a value into an object at a path of objects.
pub fn place(into: &mut Value, path: &FieldPath, value: Value) {
    let mut at = into;
    for piece in path.pieces() {
        if let Value::Array(elements) = at {
            // The elements of an array that is shown are shown already.
            match piece.parse().ok().and_then(|index: usize| elements.get_mut(index)) {
                Some(element) => at = element,
                None => return,
            }
            continue;
        }
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(entries) = at else { return };
        at = entries.entry(&**piece).or_insert(Value::Null);
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_shown_at_their_paths() {
        let document =
            json!({"_id": "x", "a": {"b": 1, "c": {"d": 2}}, "l": [5, {"e": 6}], "n": 1});
        for (fields, expect) in [
            (vec!["_id", "a.b", "nope"], json!({"_id": "x", "a": {"b": 1}})),
            (vec!["a.c.d", "a.b"], json!({"a": {"c": {"d": 2}, "b": 1}})),
            (vec!["a", "a.b"], json!({"a": {"b": 1, "c": {"d": 2}}})),
            (vec!["l.1.e"], json!({"l": {"1": {"e": 6}}})),
            (vec!["l", "l.1.e"], json!({"l": [5, {"e": 6}]})),
            (vec!["n.x"], json!({})),
        ] {
            let paths: Vec<_> = fields.iter().map(|name| FieldPath::parse(name).unwrap()).collect();
            assert_eq!(extract(&document, &paths), expect, "{fields:?}");
        }
    }
}
