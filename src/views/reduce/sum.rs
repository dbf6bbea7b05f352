//! `_sum` and `_count`.
//!
//! The state of `_sum` is the sum as JSON. A value that cannot be added makes the sum an object
//! that tells so, as in CouchDB, and that swallows what it is added to; a few mixtures are more
//! than CouchDB bears, and fail.

use crate::document::json::{self, Limits};
use crate::views::ViewsError;

use super::limit::{Size, Verdict};
use super::term::{Number, Term, write_text};
use super::{ReduceGroup, ReducedState, Reducer};

const ERROR: &str = "builtin_reduce_error";

const CANNOT_ADD: &str = "The _sum function requires that map values be numbers, \
    arrays of numbers, or objects. Objects cannot be mixed with other data structures. Objects \
    can be arbitrarily nested, provided that the values for all fields are themselves numbers, \
    arrays of numbers, or objects.";

/// Why two terms have no sum.
enum Failure {
    /// One of them cannot be added.
    Value(Term),
    /// One of them is the object that tells of such a failure.
    Earlier(Term),
    /// CouchDB does not expect it.
    Crash(&'static str),
}

type Sum = Result<Term, Failure>;

const MIXED: Failure = Failure::Crash("The _sum function cannot add objects to other values.");
const TOO_LARGE: Failure = Failure::Crash("The sum is too large for a number.");

/// The state of `_sum` over rows.
pub fn reduce(group: &ReduceGroup<'_>, reducer: &Reducer<'_>) -> Result<ReducedState, ViewsError> {
    let sum = match integers(group.rows.iter().map(|row| row.value)) {
        Some(sum) => return Ok(sum.to_string().into_bytes()),
        None => add_all(group.rows.iter().map(|row| row.value))?,
    };
    let size = || {
        let rows = group.rows.iter();
        rows.map(|row| 5 + size_of(row.key) + 5 + row.id.len() + size_of(row.value)).sum()
    };
    Ok(limited(&sum, reducer, size))
}

/// The state of `_sum` over what other states stand for.
pub fn rereduce(states: &[&[u8]], reducer: &Reducer<'_>) -> Result<ReducedState, ViewsError> {
    let texts = || states.iter().map(|state| std::str::from_utf8(state).unwrap_or_default());
    let sum = match integers(texts()) {
        Some(sum) => return Ok(sum.to_string().into_bytes()),
        None => add_all(texts())?,
    };
    Ok(limited(&sum, reducer, || texts().map(|text| 7 + size_of(text)).sum()))
}

/// The sum of texts that are all integers.
fn integers<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<i128> {
    texts.try_fold(0_i128, |sum, text| match text.parse::<i64>() {
        Ok(small) => sum.checked_add(small.into()),
        Err(_) => sum.checked_add(text.parse().ok()?),
    })
}

/// Whether a state is an integer: such states may be added in any order.
pub fn is_integer(state: &[u8]) -> bool {
    let digits = state.strip_prefix(b"-").unwrap_or(state);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn add_all<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Term, ViewsError> {
    let mut sum = Term::Number(Number::ZERO);
    for text in texts {
        let value = Term::parse(text).ok_or_else(|| {
            ViewsError::InvalidValue("The _sum function was given too deep a value.".to_owned())
        })?;
        sum = match add(value, sum) {
            Ok(sum) => sum,
            Err(Failure::Crash(reason)) => return Err(ViewsError::InvalidValue(reason.to_owned())),
            Err(Failure::Earlier(error)) => return Ok(error),
            Err(Failure::Value(value)) => {
                let member = |name: &str, value| (name.to_owned(), value);
                return Ok(Term::Object(vec![
                    member("error", Term::Text(ERROR.to_owned())),
                    member("reason", Term::Text(CANNOT_ADD.to_owned())),
                    member("caused_by", value),
                ]));
            }
        };
    }
    Ok(sum)
}

fn add(value: Term, sum: Term) -> Sum {
    match (value, sum) {
        (Term::Number(value), Term::Number(sum)) => {
            sum.plus(value).map(Term::Number).ok_or(TOO_LARGE)
        }
        (Term::List(value), Term::List(sum)) => add_lists(sum, value),
        (value @ Term::Number(_), Term::List(sum)) => add_lists(sum, vec![value]),
        (Term::List(value), sum @ Term::Number(_)) => add_lists(vec![sum], value),
        (Term::Object(value), sum) => {
            match value.iter().find(|(name, _)| name == "error") {
                Some((_, Term::Text(error))) if error == ERROR => {
                    return Err(Failure::Earlier(Term::Object(value)));
                }
                Some(_) => return Err(Failure::Crash("The _sum function met a member `error`.")),
                None => {}
            }
            match sum {
                Term::Number(Number::Integer(0)) => Ok(Term::Object(value)),
                Term::Object(sum) => add_objects(value, sum),
                _ => Err(MIXED),
            }
        }
        (value, _) => Err(Failure::Value(value)),
    }
}

fn add_lists(sum: Vec<Term>, values: Vec<Term>) -> Sum {
    let mut added = Vec::with_capacity(sum.len().max(values.len()));
    let mut sum = sum.into_iter();
    let mut values = values.into_iter();
    loop {
        match (sum.next(), values.next()) {
            (Some(Term::Number(sum)), Some(Term::Number(value))) => {
                added.push(Term::Number(sum.plus(value).ok_or(TOO_LARGE)?));
            }
            (Some(head), Some(_)) => {
                let rest = std::iter::once(head).chain(sum).collect();
                return Err(Failure::Value(Term::List(rest)));
            }
            (Some(rest), None) => {
                added.push(rest);
                added.extend(sum);
                return Ok(Term::List(added));
            }
            (None, Some(rest)) => {
                added.push(rest);
                added.extend(values);
                return Ok(Term::List(added));
            }
            (None, None) => return Ok(Term::List(added)),
        }
    }
}

type Members = Vec<(String, Term)>;

fn add_objects(mut values: Members, mut sum: Members) -> Sum {
    values.sort_by(|(a, _), (b, _)| a.cmp(b));
    sum.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut added = Vec::with_capacity(sum.len().max(values.len()));
    let mut sum = sum.into_iter().peekable();
    for (name, value) in values {
        while let Some(smaller) = sum.next_if(|(other, _)| *other < name) {
            added.push(smaller);
        }
        match sum.next_if(|(other, _)| *other == name) {
            Some((_, other)) => added.push((name, add(value, other)?)),
            None => added.push((name, value)),
        }
    }
    added.extend(sum);
    Ok(Term::Object(added))
}

/// Bytes of a value as an Erlang term.
fn size_of(text: &str) -> usize {
    json::term(text.as_bytes(), &Limits::default()).map_or(text.len(), |term| term.len())
}

fn limited(sum: &Term, reducer: &Reducer<'_>, input: impl Fn() -> usize) -> ReducedState {
    /// The threshold that CouchDB has for `_sum`.
    const THRESHOLD: u64 = 4906;
    let text = sum.to_json();
    let size = Size { output: size_of(&text), input: &input };
    // A term is at most nine times as long as its JSON: a digit may become a double.
    if (text.len() as u64).saturating_mul(9) <= reducer.threshold(THRESHOLD) {
        return text.into_bytes();
    }
    match reducer.judge(&size, THRESHOLD) {
        Verdict::Fits => text.into_bytes(),
        Verdict::TooLong(reason) => {
            let mut out = format!("{{\"error\":\"{ERROR}\",\"reason\":");
            write_text(&mut out, &reason);
            out.push('}');
            out.into_bytes()
        }
    }
}
