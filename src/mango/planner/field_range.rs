//! The range of a field's values that a selector leaves, as CouchDB narrows it: by comparisons
//! that all have to hold. What `_explain` shows and CouchDB's choice of an index rest on it; what
//! is really read is `spans`' affair.

use std::cmp::Ordering;

use serde_json::Value;

use crate::collation;
use crate::mango::selector::{Comparison, Condition, Node};

use super::needs::indexable_fields;

/// What stands behind the prefix of `$beginsWith` in the end of its range, as CouchDB shows it.
const BEHIND_PREFIX: char = '\u{fffd}';

/// The values of a field that a selector leaves.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldRange {
    /// The comparisons exclude each other.
    Empty,
    Between(Bounds),
}

/// Both ends of a range; none is the end of all values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    pub low: Option<Value>,
    pub high: Option<Value>,
    low_is_inside: bool,
    high_is_inside: bool,
    /// As ids compare in selectors; else values compare in view order.
    by_bytes: bool,
}

/// A field with its range.
pub type NamedRange<'s> = (&'s str, FieldRange);

/// The ranges of all fields that a selector bounds, in the order of their names. Where one is
/// empty it is the only one.
pub fn field_ranges(selector: &Node) -> Vec<NamedRange<'_>> {
    let mut ranges = Vec::new();
    for field in indexable_fields(selector) {
        let bounds = Bounds { by_bytes: field == "_id", ..Bounds::default() };
        match narrow(selector, field, bounds) {
            None => return vec![(field, FieldRange::Empty)],
            Some(bounds) => ranges.push((field, FieldRange::Between(bounds))),
        }
    }
    ranges
}

/// `_id` with no bound but `null`: what finds every document.
pub fn all_ids() -> NamedRange<'static> {
    let bounds = Bounds { low: Some(Value::Null), ..Bounds::default() };
    ("_id", FieldRange::Between(bounds))
}

/// None where nothing is left.
fn narrow(node: &Node, field: &str, bounds: Bounds) -> Option<Bounds> {
    match node {
        Node::And(parts) => parts.iter().try_fold(bounds, |left, part| narrow(part, field, left)),
        Node::Field(path, condition) if path.text() == field => bounds.and(condition),
        _ => Some(bounds),
    }
}

impl Bounds {
    fn and(self, condition: &Condition) -> Option<Self> {
        match condition {
            Condition::Compare(comparison, value) => self.compare(*comparison, value),
            Condition::BeginsWith(prefix) => {
                let end = Value::from(format!("{prefix}{BEHIND_PREFIX}"));
                let from = self.compare(Comparison::Gte, &Value::from(prefix.as_str()))?;
                from.compare(Comparison::Lte, &end)
            }
            _ => Some(self),
        }
    }

    fn compare(self, comparison: Comparison, value: &Value) -> Option<Self> {
        match comparison {
            Comparison::Lt => self.up_to(value, false),
            Comparison::Lte => self.up_to(value, true),
            Comparison::Eq => self.up_to(value, true)?.from(value, true),
            Comparison::Gte => self.from(value, true),
            Comparison::Gt => self.from(value, false),
            Comparison::Ne => Some(self),
        }
    }

    fn order(&self, a: &Value, b: &Value) -> Ordering {
        if self.by_bytes { collation::compare_raw(a, b) } else { collation::compare(a, b) }
    }

    fn up_to(mut self, value: &Value, inside: bool) -> Option<Self> {
        let order = self.high.as_ref().map_or(Ordering::Less, |high| self.order(value, high));
        match order {
            Ordering::Less => {
                self.high = Some(value.clone());
                self.high_is_inside = inside;
            }
            Ordering::Equal => self.high_is_inside &= inside,
            Ordering::Greater => {}
        }
        self.if_any()
    }

    fn from(mut self, value: &Value, inside: bool) -> Option<Self> {
        let order = self.low.as_ref().map_or(Ordering::Greater, |low| self.order(value, low));
        match order {
            Ordering::Greater => {
                self.low = Some(value.clone());
                self.low_is_inside = inside;
            }
            Ordering::Equal => self.low_is_inside &= inside,
            Ordering::Less => {}
        }
        self.if_any()
    }

    fn if_any(self) -> Option<Self> {
        let (Some(low), Some(high)) = (&self.low, &self.high) else { return Some(self) };
        match self.order(low, high) {
            Ordering::Less => Some(self),
            Ordering::Equal => (self.low_is_inside && self.high_is_inside).then_some(self),
            Ordering::Greater => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mango::selector::Selector;

    #[test]
    fn comparisons_narrow_ranges() {
        for (selector, expect) in [
            (json!({"a": 1}), json!([["a", 1, 1]])),
            (json!({"a": {"$gt": 1}}), json!([["a", 1, "max"]])),
            (json!({"a": {"$lt": 1}}), json!([["a", "min", 1]])),
            (json!({"a": {"$gt": 1, "$lte": 5, "$gte": 2}}), json!([["a", 2, 5]])),
            (json!({"a": {"$gte": 1, "$lte": 1}}), json!([["a", 1, 1]])),
            (json!({"a": {"$gt": 1, "$lte": 1}}), json!([["a", "empty"]])),
            (json!({"a": {"$gt": 1, "$gte": 1, "$lte": 1}}), json!([["a", "empty"]])),
            (json!({"b": 1, "a": {"$gt": 2, "$lt": 1}}), json!([["a", "empty"]])),
            (json!({"b": 1, "a": {"$gt": 2}}), json!([["a", 2, "max"], ["b", 1, 1]])),
            (json!({"a": {"$beginsWith": "x"}}), json!([["a", "x", "x\u{fffd}"]])),
            (json!({"$or": [{"a": 1}, {"a": 2}]}), json!([])),
            // Between these lie ids, though in view order the first stands behind the second.
            (json!({"_id": {"$gte": "B", "$lte": "a"}}), json!([["_id", "B", "a"]])),
            (json!({"_id": {"$gte": "b", "$lte": "a"}}), json!([["_id", "empty"]])),
            (json!({"x": {"$gte": "B", "$lte": "a"}}), json!([["x", "empty"]])),
            (json!({"a": {"$in": [1]}, "b": {"$ne": 1}}), json!([])),
        ] {
            let parsed = Selector::parse(&selector).unwrap();
            let shown: Vec<Value> = field_ranges(parsed.root())
                .into_iter()
                .map(|(field, range)| match range {
                    FieldRange::Empty => json!([field, "empty"]),
                    FieldRange::Between(bounds) => {
                        let low = bounds.low.unwrap_or("min".into());
                        json!([field, low, bounds.high.unwrap_or("max".into())])
                    }
                })
                .collect();
            assert_eq!(Value::from(shown), expect, "{selector}");
        }
    }
}
