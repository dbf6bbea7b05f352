//! Whether a value fulfils a selector.

use std::cmp::Ordering;

use serde_json::Value;

use crate::collation;

use super::error::SelectorError;
use super::path::Found;
use super::{Condition, Node};

/// How values compare: in view order, or in raw order from a field `_id` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    View,
    Raw,
}

impl Order {
    pub(super) fn compare(self, a: &Value, b: &Value) -> Ordering {
        match self {
            Self::View => collation::compare(a, b),
            Self::Raw => collation::compare_raw(a, b),
        }
    }

    /// Bytes that are the same for values that compare as equal.
    pub(super) fn key(self, value: &Value) -> Vec<u8> {
        let mut key = Vec::new();
        match self {
            Self::View => collation::write_key(&mut key, value),
            Self::Raw => collation::write_raw_key(&mut key, value),
        }
        key
    }
}

pub(super) fn matches(node: &Node, document: &Value) -> Result<bool, SelectorError> {
    node_holds(node, document, Order::View)
}

fn node_holds(node: &Node, value: &Value, order: Order) -> Result<bool, SelectorError> {
    match node {
        Node::Everything | Node::Text(_) => Ok(true),
        Node::And(parts) => Ok(!any(parts, |part| Ok(!node_holds(part, value, order)?))?),
        Node::Or(parts) => {
            Ok(parts.is_empty() || any(parts, |part| node_holds(part, value, order))?)
        }
        Node::Not(part) => Ok(!node_holds(part, value, order)?),
        // CouchDB's matcher does not know it, and normalisation leaves it in elements only.
        Node::Nor(_) => Err(SelectorError::invalid_operator("$nor")),
        Node::Field(path, condition) => match path.find(value) {
            Found::Value(found) => {
                let order = if path.text() == "_id" { Order::Raw } else { order };
                condition_holds(condition, found, order)
            }
            Found::Missing => Ok(matches!(condition, Condition::Exists(false))),
            Found::NoWay => Ok(false),
        },
    }
}

/// Whether the test holds for one of the items. It is not asked after the first that holds.
fn any<T>(
    items: impl IntoIterator<Item = T>,
    test: impl Fn(T) -> Result<bool, SelectorError>,
) -> Result<bool, SelectorError> {
    for item in items {
        if test(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn condition_holds(
    condition: &Condition,
    value: &Value,
    order: Order,
) -> Result<bool, SelectorError> {
    Ok(match (condition, value) {
        (Condition::Compare(comparison, argument), _) => {
            comparison.accepts(order.compare(value, argument))
        }
        (Condition::In(values), Value::Array(elements)) => {
            elements.iter().any(|element| values.contains(element, order))
        }
        (Condition::In(values), _) => values.contains(value, order),
        (Condition::NotIn(values), Value::Array(elements)) => {
            !elements.iter().any(|element| values.contains(element, order))
        }
        (Condition::NotIn(values), _) => !values.contains(value, order),
        (Condition::Exists(exists), _) => *exists,
        (Condition::Type(name), _) => name == type_name(value),
        (Condition::Mod { divisor, remainder }, Value::Number(number)) => {
            let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            match integer {
                Some(_) if *divisor == 0 => return Err(SelectorError::DivisionByZero),
                Some(integer) => integer % divisor == *remainder,
                None => false,
            }
        }
        (Condition::Regex(pattern), Value::String(text)) => pattern.is_match(text),
        (Condition::BeginsWith(prefix), Value::String(text)) => text.starts_with(prefix),
        (Condition::Size(size), Value::Array(elements)) => elements.len() as u64 == *size,
        (Condition::All(values), Value::Array(elements)) => values.are_in(elements, value),
        (Condition::ElemMatch(node), Value::Array(elements)) => {
            in_element(any(elements, |element| node_holds(node, element, order)))
        }
        (Condition::AllMatch(node), Value::Array(elements)) => {
            let fails = any(elements, |element| Ok(!node_holds(node, element, order)?));
            !elements.is_empty() && in_element(fails.map(|fails| !fails))
        }
        (Condition::KeyMapMatch(node), Value::Object(entries)) => {
            in_element(any(entries.keys(), |name| {
                node_holds(node, &Value::String(name.clone()), order)
            }))
        }
        (Condition::Not(condition), _) => !condition_holds(condition, value, order)?,
        _ => false,
    })
}

/// CouchDB takes any failure while it tries elements for no match.
fn in_element(outcome: Result<bool, SelectorError>) -> bool {
    outcome.unwrap_or(false)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
