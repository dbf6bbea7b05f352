//! The two orders as plain comparisons: what selectors use, and what the keys are tested against.

use std::cmp::Ordering;
use std::slice;

use serde_json::map;
use serde_json::{Map, Number, Value};

use super::strings::compare_strings;

/// Compares two values in view order.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    walk(a, b, &VIEW)
}

/// Compares two values in raw order, that of Erlang terms. Numbers are compared exactly here.
pub fn compare_raw(a: &Value, b: &Value) -> Ordering {
    walk(a, b, &RAW)
}

/// What tells one order from the other.
struct Order {
    rank: fn(&Value) -> u8,
    numbers: fn(&Number, &Number) -> Ordering,
    strings: fn(&str, &str) -> Ordering,
}

const VIEW: Order = Order {
    rank: |value| match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    },
    numbers: |a, b| double(a).total_cmp(&double(b)),
    strings: compare_strings,
};

const RAW: Order = Order {
    rank: |value| match value {
        Value::Number(_) => 0,
        Value::Bool(false) => 1,
        Value::Null => 2,
        Value::Bool(true) => 3,
        Value::Object(_) => 4,
        Value::Array(_) => 5,
        Value::String(_) => 6,
    },
    numbers: |a, b| {
        double(a).total_cmp(&double(b)).then_with(|| rounded_off(a).cmp(&rounded_off(b)))
    },
    strings: |a, b| a.as_bytes().cmp(b.as_bytes()),
};

/// A number as a double. There is one zero: adding makes the negative one positive.
pub(super) fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default() + 0.0
}

/// What an integer lost in `double`: at most 1024 either way.
pub(super) fn rounded_off(number: &Number) -> i16 {
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    exact.map_or(0, |exact| lost(exact, double(number)))
}

/// What a 64-bit integer lost by becoming `double`.
pub(super) fn lost(exact: i128, double: f64) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "the double of a 64-bit integer is whole")]
    let lost = exact - double as i128;
    i16::try_from(lost).unwrap_or_default()
}

/// Two arrays or two objects whose beginnings were equal so far.
enum Open<'a> {
    Arrays(slice::Iter<'a, Value>, slice::Iter<'a, Value>),
    Objects(map::Iter<'a>, map::Iter<'a>),
}

/// The next step inside the innermost pair.
enum Step<'a> {
    Values(&'a Value, &'a Value),
    Closed,
    Decided(Ordering),
}

fn walk(a: &Value, b: &Value, order: &Order) -> Ordering {
    let mut open = Vec::new();
    let mut pair = (a, b);
    loop {
        let ordering = match pair {
            (Value::Number(a), Value::Number(b)) => (order.numbers)(a, b),
            (Value::String(a), Value::String(b)) => (order.strings)(a, b),
            (Value::Array(a), Value::Array(b)) => {
                open.push(Open::Arrays(a.iter(), b.iter()));
                Ordering::Equal
            }
            (Value::Object(a), Value::Object(b)) => {
                open.push(objects(a, b));
                Ordering::Equal
            }
            (a, b) => (order.rank)(a).cmp(&(order.rank)(b)),
        };
        if ordering.is_ne() {
            return ordering;
        }
        pair = loop {
            match open.last_mut().map(|top| step(top, order)) {
                None => return Ordering::Equal,
                Some(Step::Decided(ordering)) => return ordering,
                Some(Step::Values(a, b)) => break (a, b),
                Some(Step::Closed) => drop(open.pop()),
            }
        };
    }
}

fn objects<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Open<'a> {
    Open::Objects(a.iter(), b.iter())
}

fn step<'a>(open: &mut Open<'a>, order: &Order) -> Step<'a> {
    match open {
        Open::Arrays(a, b) => match (a.next(), b.next()) {
            (Some(a), Some(b)) => Step::Values(a, b),
            (a, b) => ended(a.is_some(), b.is_some()),
        },
        Open::Objects(a, b) => match (a.next(), b.next()) {
            (Some((a_key, a)), Some((b_key, b))) => match (order.strings)(a_key, b_key) {
                Ordering::Equal => Step::Values(a, b),
                decided => Step::Decided(decided),
            },
            (a, b) => ended(a.is_some(), b.is_some()),
        },
    }
}

fn ended<'a>(a_goes_on: bool, b_goes_on: bool) -> Step<'a> {
    match a_goes_on.cmp(&b_goes_on) {
        Ordering::Equal => Step::Closed,
        decided => Step::Decided(decided),
    }
}
