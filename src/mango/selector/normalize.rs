//! Pushes negation down to the conditions, by De Morgan's laws.
//!
//! That is more than tidiness: `{"$not": {"a": 1}}` becomes `{"a": {"$ne": 1}}`, which a document
//! without `a` does not fulfil. An empty list stays true either way.

use super::error::SelectorError;
use super::{Condition, Node};

/// Brings a parsed selector into normal form.
pub(super) fn normalize(node: Node) -> Result<Node, SelectorError> {
    let node = settle(node)?;
    match &node {
        Node::Field(path, _) if path.pieces().is_empty() => Err(SelectorError::MissingFieldName),
        _ => Ok(node),
    }
}

fn settle(node: Node) -> Result<Node, SelectorError> {
    match node {
        Node::And(parts) => Ok(Node::And(each(parts, settle)?)),
        Node::Or(parts) => Ok(Node::Or(each(parts, settle)?)),
        Node::Nor(parts) => Ok(Node::And(each(parts, negate)?)),
        Node::Not(part) => negate(*part),
        settled => Ok(settled),
    }
}

fn negate(node: Node) -> Result<Node, SelectorError> {
    match node {
        Node::And(parts) => Ok(Node::Or(each(parts, negate)?)),
        Node::Or(parts) => Ok(Node::And(each(parts, negate)?)),
        Node::Nor(parts) => Ok(Node::Or(each(parts, settle)?)),
        Node::Not(part) => settle(*part),
        Node::Field(path, condition) => Ok(Node::Field(path, opposite(condition))),
        text @ (Node::Text(_) | Node::Everything) => {
            Err(SelectorError::bad_argument("$not", &text.to_json()))
        }
    }
}

fn each(
    parts: Vec<Node>,
    change: fn(Node) -> Result<Node, SelectorError>,
) -> Result<Vec<Node>, SelectorError> {
    parts.into_iter().map(change).collect()
}

fn opposite(condition: Condition) -> Condition {
    match condition {
        Condition::Compare(comparison, value) => Condition::Compare(comparison.opposite(), value),
        Condition::In(values) => Condition::NotIn(values),
        Condition::NotIn(values) => Condition::In(values),
        Condition::Exists(exists) => Condition::Exists(!exists),
        other => Condition::Not(Box::new(other)),
    }
}
