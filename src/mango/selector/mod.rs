//! Selectors: which documents a query wants.
//!
//! `Selector::parse` reads the JSON form, `matches` answers for one document. Between them stands a
//! tree in CouchDB's normal form, which a planner may walk: every condition carries its whole
//! path, an object of several conditions is `And`, and negation has been pushed down to the
//! conditions, so `Not` and `Nor` are left only inside `$elemMatch`, `$allMatch` and
//! `$keyMapMatch`, whose insides CouchDB does not normalise.
//!
//! A missing field fails every condition but `$exists: false`; since negation stands below the
//! field, that holds for `$ne`, `$nin`, `$not` and `$nor` too. Values compare in view order, those
//! of a field named exactly `_id` in raw order (by bytes). An empty `$and`, `$or` or `$nor` holds.
//! Inside an element match a failing operator means no match, and so does `$nor`, as in CouchDB.
//! `$text` is believed, as if a text index had found the document; who has none must refuse it
//! (`has_text`).
//!
//! Nesting, the length of all paths and the number of regular expressions are limited. The known
//! differences of `$regex` stand in `pattern`. Integers beyond 64 bits are doubles to us, which
//! shows in `$mod` and `$all` only.

mod error;
mod matching;
mod normalize;
mod parse;
mod path;
mod pattern;
mod projection;
mod value_set;

#[cfg(test)]
pub(super) mod tests;

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use error::SelectorError;
pub use path::{FieldPath, Found};
pub use pattern::Pattern;
pub use projection::Projection;
pub use value_set::{AllOf, OneOf};

/// A selector in normal form.
#[derive(Debug, Clone)]
pub struct Selector {
    root: Node,
}

/// A selector or a part of one: asked of a document, or of an element in an element match.
#[derive(Debug, Clone)]
pub enum Node {
    /// `{}` as the whole selector: every document.
    Everything,
    And(Vec<Node>),
    Or(Vec<Node>),
    /// Only inside element matches.
    Not(Box<Node>),
    /// Only inside element matches.
    Nor(Vec<Node>),
    /// The value at a path fulfils a condition.
    Field(Arc<FieldPath>, Condition),
    /// `$text`, with what is searched for.
    Text(Value),
}

/// What is asked of the value of a field that exists.
#[derive(Debug, Clone)]
pub enum Condition {
    Compare(Comparison, Value),
    /// `$in`: the value, or any element of an array, is one of these.
    In(OneOf),
    NotIn(OneOf),
    Exists(bool),
    /// `$type`, by its name; an unknown name fits no value.
    Type(String),
    Mod {
        divisor: i128,
        remainder: i128,
    },
    Regex(Pattern),
    BeginsWith(String),
    Size(u64),
    All(AllOf),
    ElemMatch(Box<Node>),
    AllMatch(Box<Node>),
    KeyMapMatch(Box<Node>),
    /// A condition that has no opposite of its own.
    Not(Box<Condition>),
}

/// The comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Lt,
    Lte,
    Eq,
    Ne,
    Gte,
    Gt,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// As CouchDB: no object, unknown or unsupported operators, bad arguments, missing names; and
    /// where it is too complex.
    pub fn parse(selector: &Value) -> Result<Self, SelectorError> {
        let root = normalize::normalize(parse::parse(selector)?)?;
        Ok(Self { root })
    }

    /// Whether a document, given as its JSON object, is wanted.
    ///
    /// # Errors
    /// `DivisionByZero` for `$mod: [0, r]` on an integer.
    pub fn matches(&self, document: &Value) -> Result<bool, SelectorError> {
        matching::matches(&self.root, document)
    }

    /// Whether there are documents that make it fail.
    pub fn may_fail(&self) -> bool {
        may_fail(&self.root)
    }

    /// The tree in normal form.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Whether the whole selector is one empty combination (`{"$or": []}`): then `_find` answers
    /// no documents and neither bookmark nor warning, though each document matches.
    pub fn is_empty_combination(&self) -> bool {
        matches!(&self.root, Node::And(parts) | Node::Or(parts) if parts.is_empty())
    }

    /// Whether `$text` stands anywhere but inside an element match.
    pub fn has_text(&self) -> bool {
        has_text(&self.root)
    }

    /// The normal form as JSON: what `_explain` shows and a partial index stores.
    pub fn to_json(&self) -> Value {
        self.root.to_json()
    }
}

fn has_text(node: &Node) -> bool {
    match node {
        Node::Text(_) => true,
        Node::And(parts) | Node::Or(parts) | Node::Nor(parts) => parts.iter().any(has_text),
        Node::Not(part) => has_text(part),
        Node::Everything | Node::Field(..) => false,
    }
}

fn may_fail(node: &Node) -> bool {
    match node {
        Node::Everything | Node::Text(_) => false,
        Node::And(parts) | Node::Or(parts) => parts.iter().any(may_fail),
        Node::Not(part) => may_fail(part),
        Node::Nor(_) => true,
        Node::Field(_, condition) => condition.may_fail(),
    }
}

impl Node {
    /// This part of the selector as JSON.
    pub fn to_json(&self) -> Value {
        let list = |parts: &[Node]| parts.iter().map(Node::to_json).collect::<Vec<_>>().into();
        match self {
            Self::Everything => Value::Object(Map::new()),
            Self::And(parts) => entry("$and", list(parts)),
            Self::Or(parts) => entry("$or", list(parts)),
            Self::Nor(parts) => entry("$nor", list(parts)),
            Self::Not(part) => entry("$not", part.to_json()),
            Self::Field(path, condition) => entry(path.text(), condition.to_json()),
            Self::Text(sought) => entry("$default", entry("$text", sought.clone())),
        }
    }
}

impl Condition {
    fn may_fail(&self) -> bool {
        match self {
            Self::Mod { divisor, .. } => *divisor == 0,
            Self::Not(condition) => condition.may_fail(),
            // Inside of element matches a failure is no match.
            _ => false,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Compare(comparison, value) => entry(comparison.name(), value.clone()),
            Self::In(values) => entry("$in", values.values().into()),
            Self::NotIn(values) => entry("$nin", values.values().into()),
            Self::Exists(exists) => entry("$exists", (*exists).into()),
            Self::Type(name) => entry("$type", name.as_str().into()),
            Self::Mod { divisor, remainder } => {
                entry("$mod", vec![integer(*divisor), integer(*remainder)].into())
            }
            Self::Regex(pattern) => entry("$regex", pattern.source().into()),
            Self::BeginsWith(prefix) => entry("$beginsWith", prefix.as_str().into()),
            Self::Size(size) => entry("$size", (*size).into()),
            Self::All(values) => entry("$all", values.values().into()),
            Self::ElemMatch(part) => entry("$elemMatch", part.to_json()),
            Self::AllMatch(part) => entry("$allMatch", part.to_json()),
            Self::KeyMapMatch(part) => entry("$keyMapMatch", part.to_json()),
            Self::Not(condition) => entry("$not", condition.to_json()),
        }
    }
}

impl Comparison {
    /// The operator's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lt => "$lt",
            Self::Lte => "$lte",
            Self::Eq => "$eq",
            Self::Ne => "$ne",
            Self::Gte => "$gte",
            Self::Gt => "$gt",
        }
    }

    /// Whether a value that stands so to the argument is wanted.
    pub fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Gte => ordering.is_ge(),
            Self::Gt => ordering.is_gt(),
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Lt => Self::Gte,
            Self::Lte => Self::Gt,
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gte => Self::Lt,
            Self::Gt => Self::Lte,
        }
    }
}

fn entry(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// An integer that came from JSON, so it has 64 bits, signed or not.
fn integer(number: i128) -> Value {
    u64::try_from(number)
        .map_or_else(|_| Value::from(i64::try_from(number).unwrap_or_default()), Value::from)
}
