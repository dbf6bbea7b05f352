//! What a selector says of fields, as far as CouchDB's planner sees it.

use crate::mango::selector::{Comparison, Condition, Node};

/// The field that `$text` searches.
const DEFAULT_FIELD: &str = "$default";

/// Whether every document that a selector wants has all of these fields, as far as CouchDB sees:
/// any condition but `$exists: false` needs its field.
pub fn requires_all(selector: &Node, fields: &[&str]) -> bool {
    not_required(selector, fields.to_vec()).is_empty()
}

fn not_required<'f>(node: &Node, mut fields: Vec<&'f str>) -> Vec<&'f str> {
    match node {
        Node::And(parts) => parts.iter().fold(fields, |left, part| not_required(part, left)),
        Node::Or(parts) => {
            let left = parts.iter().flat_map(|part| not_required(part, fields.clone()));
            let mut left: Vec<&str> = left.collect();
            left.sort_unstable();
            left.dedup();
            left
        }
        Node::Field(path, condition) if !matches!(condition, Condition::Exists(false)) => {
            fields.retain(|field| *field != path.text());
            fields
        }
        Node::Field(..) | Node::Everything | Node::Text(_) | Node::Not(_) | Node::Nor(_) => fields,
    }
}

/// Whether every document that a selector wants really has a field.
pub fn is_in_all_wanted(selector: &Node, field: &str) -> bool {
    match selector {
        Node::And(parts) => parts.iter().any(|part| is_in_all_wanted(part, field)),
        Node::Or(parts) => {
            !parts.is_empty() && parts.iter().all(|part| is_in_all_wanted(part, field))
        }
        Node::Field(path, condition) => {
            path.text() == field && !matches!(condition, Condition::Exists(false))
        }
        Node::Everything | Node::Text(_) | Node::Not(_) | Node::Nor(_) => false,
    }
}

/// Whether a selector wants one value of a field only.
pub fn is_constant(selector: &Node, field: &str) -> bool {
    match selector {
        Node::And(parts) => parts.iter().any(|part| is_constant(part, field)),
        Node::Field(path, condition) => {
            path.text() == field && matches!(condition, Condition::Compare(Comparison::Eq, _))
        }
        _ => false,
    }
}

/// The fields that a selector bounds, each once, sorted.
pub fn indexable_fields(selector: &Node) -> Vec<&str> {
    let mut fields = Vec::new();
    collect_indexable(selector, &mut fields);
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn collect_indexable<'s>(node: &'s Node, fields: &mut Vec<&'s str>) {
    match node {
        Node::And(parts) => {
            for part in parts {
                collect_indexable(part, fields);
            }
        }
        Node::Field(path, condition) if is_bound(condition) => fields.push(path.text()),
        _ => {}
    }
}

fn is_bound(condition: &Condition) -> bool {
    match condition {
        Condition::Compare(comparison, _) => *comparison != Comparison::Ne,
        Condition::BeginsWith(_) => true,
        _ => false,
    }
}

/// All fields that a selector names, outside of element matches; sorted, each once.
pub fn named_fields(selector: &Node) -> Vec<&str> {
    let mut fields = Vec::new();
    collect_named(selector, &mut fields);
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn collect_named<'s>(node: &'s Node, fields: &mut Vec<&'s str>) {
    match node {
        Node::And(parts) | Node::Or(parts) | Node::Nor(parts) => {
            for part in parts {
                collect_named(part, fields);
            }
        }
        Node::Not(part) => collect_named(part, fields),
        Node::Field(path, _) => fields.push(path.text()),
        Node::Text(_) => fields.push(DEFAULT_FIELD),
        Node::Everything => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mango::selector::Selector;

    fn parse(selector: &Value) -> Selector {
        Selector::parse(selector).unwrap()
    }

    #[test]
    fn conditions_require_their_fields() {
        for (selector, fields, expect) in [
            (json!({}), vec!["a"], false),
            (json!({}), vec![], true),
            (json!({"a": 1}), vec!["a"], true),
            (json!({"a": 1}), vec!["b"], false),
            (json!({"a": {"$in": [1]}}), vec!["a"], true),
            (json!({"a": {"$regex": "x"}}), vec!["a"], true),
            (json!({"a": {"$exists": true}}), vec!["a"], true),
            (json!({"a": {"$exists": false}}), vec!["a"], false),
            (json!({"a": {"$elemMatch": {"b": 1}}}), vec!["b"], false),
            (json!({"a": 1, "b": 2}), vec!["a", "b"], true),
            (json!({"$and": [{"$and": [{"a": 1}]}, {"$and": [{"b": 1}]}]}), vec!["a", "b"], true),
            (json!({"$or": [{"a": 1}, {"b": 1}]}), vec!["a"], false),
            (json!({"$or": [{"a": 1}, {"a": 2}]}), vec!["a"], true),
            (json!({"$or": [{"a": 1, "b": 1}, {"a": 2}]}), vec!["a", "b"], false),
            (json!({"a": 1, "$or": [{"b": 1}, {"b": 2}], "c": 3}), vec!["a", "b", "c"], true),
            (json!({"a": 1, "$or": []}), vec!["a", "z"], true),
        ] {
            assert_eq!(requires_all(parse(&selector).root(), &fields), expect, "{selector}");
        }
    }

    #[test]
    fn fields_of_all_wanted_documents() {
        for (selector, expect) in [
            (json!({}), false),
            (json!({"a": {"$ne": 1}}), true),
            (json!({"a": {"$exists": false}}), false),
            (json!({"b": 1}), false),
            (json!({"b": 1, "$or": [{"a": 1}, {"a": 2, "c": 3}]}), true),
            (json!({"$or": [{"a": 1}, {"b": 1}]}), false),
            // Unlike CouchDB's planner: an empty combination holds for every document.
            (json!({"$or": []}), false),
            (json!({"b": 1, "$or": []}), false),
            (json!({"$nor": [{"a": 1}]}), true),
        ] {
            assert_eq!(is_in_all_wanted(parse(&selector).root(), "a"), expect, "{selector}");
        }
    }

    #[test]
    fn fields_are_bound_constant_or_named() {
        let selector = parse(&json!({
            "c": {"$gt": 1, "$ne": 5},
            "a": {"b": "x"},
            "$or": [{"d": 1}, {"e": {"$lt": 2}}],
            "f": {"$beginsWith": "x"},
            "g": {"$in": [1]},
        }));
        assert_eq!(indexable_fields(selector.root()), ["a.b", "c", "f"]);
        assert_eq!(named_fields(selector.root()), ["a.b", "c", "d", "e", "f", "g"]);
        for (field, expect) in [("a.b", true), ("c", false), ("d", false), ("g", false)] {
            assert_eq!(is_constant(selector.root(), field), expect, "{field}");
        }
        assert_eq!(named_fields(parse(&json!({"$text": "x"})).root()), ["$default"]);
    }
}
