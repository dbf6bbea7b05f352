//! The lists of `$in` and `$all`, looked up without comparing every element with every argument.

use std::collections::HashSet;
use std::sync::OnceLock;

use serde_json::Value;

use super::matching::Order;

/// From how many arguments on a hash lookup is cheaper than comparisons.
const COMPARED_MAX: usize = 8;

/// The arguments of `$in` and `$nin`, equal in view order, or in raw order for `_id`.
#[derive(Debug, Clone)]
pub struct OneOf {
    values: Vec<Value>,
    /// The keys of the arguments, made when they are first needed. Where a condition stands in its
    /// selector decides the order it compares in, so it never needs both kinds.
    keys: OnceLock<HashSet<Vec<u8>>>,
}

impl OneOf {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self { values, keys: OnceLock::new() }
    }

    /// The arguments as they were given.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn contains(&self, value: &Value, order: Order) -> bool {
        if self.values.len() <= COMPARED_MAX {
            return self.values.iter().any(|argument| order.compare(value, argument).is_eq());
        }
        let keys = self.keys.get_or_init(|| self.values.iter().map(|v| order.key(v)).collect());
        keys.contains(&order.key(value))
    }
}

/// The arguments of `$all`. Members are compared exactly: `1` is not `1.0` here, and strings are
/// compared by their bytes.
#[derive(Debug, Clone)]
pub struct AllOf {
    values: Vec<Value>,
    texts: Vec<String>,
}

impl AllOf {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let texts = values.iter().map(Value::to_string).collect();
        Self { values, texts }
    }

    /// The arguments as they were given.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Whether an array holds every argument. No arguments are held by none; a single argument
    /// that is an array may also be the whole.
    pub(super) fn are_in(&self, elements: &[Value], whole: &Value) -> bool {
        match &*self.values {
            [] => false,
            [only @ Value::Array(_)] if Order::Raw.compare(only, whole).is_eq() => true,
            _ => {
                let held: HashSet<String> = elements.iter().map(Value::to_string).collect();
                self.texts.iter().all(|text| held.contains(text))
            }
        }
    }
}
