//! Reduce functions of design documents.
//!
//! A state is a tag byte and then JSON, or why there is none: an answer that is too long spoils
//! everything that it is combined into, as in CouchDB.

use crate::metrics;
use crate::sandbox::{Program, ReduceCall};
use crate::views::{ReducedValue, ViewsError};

use super::limit::{Size, Verdict};
use super::term::write_text;
use super::{ReduceGroup, ReducedState, Reducer};

const VALUE: u8 = 0;
const TOO_LONG: u8 = 1;

/// The threshold that CouchDB's query server has.
const THRESHOLD: u64 = 4096;
/// What stands around the arguments in a line of CouchDB's query server protocol.
const REDUCE_LINE: usize = 18;
const REREDUCE_LINE: usize = 20;

/// The states of groups of rows.
pub fn reduce(
    reducer: &Reducer<'_>,
    program: &Program,
    groups: &[ReduceGroup<'_>],
) -> Result<Vec<ReducedState>, ViewsError> {
    let calls = groups.iter().map(reduce_call).collect();
    let work = || reducer.sandbox.reduce(program, calls);
    let answers = metrics::timed(&metrics::REDUCE_CALLS, &metrics::REDUCE_TIME_US, work)?;
    let pairs = groups.iter().zip(answers);
    Ok(pairs.map(|(group, answer)| state(reducer, answer, || length_of_rows(group))).collect())
}

fn reduce_call(group: &ReduceGroup<'_>) -> ReduceCall {
    let length = group.rows.iter().map(|row| row.key.len() + row.id.len() + 8).sum::<usize>();
    let mut keys = String::with_capacity(length + 2);
    let length = group.rows.iter().map(|row| row.value.len() + 1).sum::<usize>();
    let mut values = String::with_capacity(length + 2);
    for (at, row) in group.rows.iter().enumerate() {
        let separator = if at > 0 { ',' } else { '[' };
        keys.push(separator);
        keys.push('[');
        keys.push_str(row.key);
        keys.push(',');
        write_text(&mut keys, row.id);
        keys.push(']');
        values.push(separator);
        values.push_str(row.value);
    }
    for list in [&mut keys, &mut values] {
        list.push_str(if group.rows.is_empty() { "[]" } else { "]" });
    }
    ReduceCall::Reduce { keys, values }
}

fn length_of_rows(group: &ReduceGroup<'_>) -> usize {
    // [[key,"id"],value], with a comma behind.
    let rows = group.rows.iter();
    let lengths =
        rows.map(|row| characters(row.key) + characters(row.id) + characters(row.value) + 9);
    REDUCE_LINE + lengths.sum::<usize>().saturating_sub(1)
}

/// The states that groups of states stand for.
pub fn rereduce(
    reducer: &Reducer<'_>,
    program: &Program,
    groups: &[Vec<&[u8]>],
) -> Result<Vec<ReducedState>, ViewsError> {
    let spoilt = |states: &[&[u8]]| {
        states.iter().find(|state| state.first() == Some(&TOO_LONG)).map(|state| state.to_vec())
    };
    let values = |states: &[&[u8]]| {
        let texts: Vec<&str> = states.iter().map(|state| text(state)).collect();
        format!("[{}]", texts.join(","))
    };
    let sound = groups.iter().filter(|states| spoilt(states).is_none());
    let calls: Vec<ReduceCall> =
        sound.map(|states| ReduceCall::Rereduce { values: values(states) }).collect();
    let answers =
        if calls.is_empty() { Vec::new() } else { reducer.sandbox.reduce(program, calls)? };
    let mut answers = answers.into_iter();
    let mut combined = Vec::with_capacity(groups.len());
    for states in groups {
        combined.push(match spoilt(states) {
            Some(state) => state,
            None => {
                let answer = answers.next().unwrap_or_else(|| Err("no answer".to_owned()));
                state(reducer, answer, || {
                    let lengths = states.iter().map(|state| characters(text(state)) + 1);
                    REREDUCE_LINE + lengths.sum::<usize>().saturating_sub(1)
                })
            }
        });
    }
    Ok(combined)
}

/// The length of a text as JavaScript counts it.
fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// What clients see of a state.
pub fn finish(state: &[u8]) -> ReducedValue {
    let text = text(state).to_owned();
    if state.first() == Some(&TOO_LONG) {
        let error = "reduce_overflow_error".to_owned();
        return ReducedValue::Error { error, reason: text };
    }
    ReducedValue::Value(text)
}

fn text(state: &[u8]) -> &str {
    std::str::from_utf8(state.get(1..).unwrap_or_default()).unwrap_or_default()
}

fn state(
    reducer: &Reducer<'_>,
    answer: Result<String, String>,
    input: impl Fn() -> usize,
) -> ReducedState {
    let value = answer.unwrap_or_else(|error| {
        tracing::info!("reduce function raised exception: {error}");
        "null".to_owned()
    });
    // The protocol has the answer in brackets.
    let size = Size { output: characters(&value) + 2, input: &input };
    let (tag, text) = match reducer.judge(&size, THRESHOLD) {
        Verdict::Fits => (VALUE, value),
        Verdict::TooLong(reason) => (TOO_LONG, reason),
    };
    let mut state = Vec::with_capacity(text.len() + 1);
    state.push(tag);
    state.extend_from_slice(text.as_bytes());
    state
}
