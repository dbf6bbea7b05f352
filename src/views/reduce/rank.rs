//! `_first`, `_last`, `_top_N` and `_bottom_N`.
//!
//! The state of `_first` and `_last` is a row: the length (four bytes) and bytes of its key in
//! view order, the same of its id, its value as JSON. That of the others is a JSON array of
//! different values, the first of their order first.

use std::cmp::Ordering;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::collation::write_key;

use super::{ReduceGroup, ReduceInput, ReducedState};

/// Which row `_first` or `_last` keeps of two; the second came later.
pub type Keeps = fn(Ordering) -> bool;

/// `_first`: a later row must be smaller.
pub const FIRST: Keeps = |order| order.is_lt();
/// `_last`: a later row wins unless it is smaller.
pub const LAST: Keeps = |order| order.is_ge();

fn collation_key(json: &str) -> Vec<u8> {
    let mut key = Vec::new();
    write_key(&mut key, &serde_json::from_str(json).unwrap_or(Value::Null));
    key
}

/// The state of `_first` or `_last` over rows.
pub fn reduce_end(group: &ReduceGroup<'_>, keeps: Keeps) -> ReducedState {
    let mut kept: Option<(Vec<u8>, &ReduceInput<'_>)> = None;
    for row in &group.rows {
        let key = collation_key(row.key);
        let wins = match &kept {
            None => true,
            Some((kept_key, kept)) => keeps(key.cmp(kept_key).then_with(|| row.id.cmp(kept.id))),
        };
        if wins {
            kept = Some((key, row));
        }
    }
    let Some((key, row)) = kept else { return Vec::new() };
    let mut out = Vec::with_capacity(8 + key.len() + row.id.len() + row.value.len());
    for part in [key.as_slice(), row.id.as_bytes()] {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(row.value.as_bytes());
    out
}

/// The state of `_first` or `_last` that several stand for.
pub fn rereduce_end(states: &[&[u8]], keeps: Keeps) -> ReducedState {
    let mut kept: Option<(Row<'_>, &[u8])> = None;
    for state in states.iter().filter(|state| !state.is_empty()) {
        let Some(row) = Row::read(state) else { continue };
        let wins = kept
            .as_ref()
            .is_none_or(|(kept, _)| keeps(row.key.cmp(kept.key).then_with(|| row.id.cmp(kept.id))));
        if wins {
            kept = Some((row, state));
        }
    }
    kept.map(|(_, state)| state.to_vec()).unwrap_or_default()
}

/// What clients see of a state of `_first` or `_last`.
pub fn finish_end(state: &[u8]) -> String {
    let value = Row::read(state).map(|row| row.value).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

struct Row<'a> {
    key: &'a [u8],
    id: &'a [u8],
    value: &'a [u8],
}

impl<'a> Row<'a> {
    fn read(state: &'a [u8]) -> Option<Self> {
        let (key, rest) = read_part(state)?;
        let (id, value) = read_part(rest)?;
        Some(Self { key, id, value })
    }
}

fn read_part(state: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = state.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Which end of the order of values is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Top,
    Bottom,
}

/// Different values in order, at most so many.
struct Ranked<'a> {
    end: End,
    count: usize,
    values: Vec<(Vec<u8>, &'a str)>,
}

impl<'a> Ranked<'a> {
    fn new(end: End, count: usize) -> Self {
        Self { end, count, values: Vec::new() }
    }

    fn add(&mut self, value: &'a str) {
        let key = collation_key(value);
        let end = self.end;
        let place = self.values.binary_search_by(|(other, _)| match end {
            End::Top => key.cmp(other),
            End::Bottom => other.cmp(&key),
        });
        if let Err(at) = place
            && at < self.count
        {
            self.values.insert(at, (key, value));
            self.values.truncate(self.count);
        }
    }

    fn encode(self) -> ReducedState {
        let values: Vec<&str> = self.values.into_iter().map(|(_, value)| value).collect();
        format!("[{}]", values.join(",")).into_bytes()
    }
}

/// The state of `_top_N` or `_bottom_N` over rows.
pub fn reduce_ranked(group: &ReduceGroup<'_>, end: End, count: usize) -> ReducedState {
    let mut ranked = Ranked::new(end, count);
    group.rows.iter().for_each(|row| ranked.add(row.value));
    ranked.encode()
}

/// The state of `_top_N` or `_bottom_N` that several stand for.
pub fn rereduce_ranked(states: &[&[u8]], end: End, count: usize) -> ReducedState {
    let lists: Vec<Vec<&RawValue>> =
        states.iter().map(|state| serde_json::from_slice(state).unwrap_or_default()).collect();
    let mut ranked = Ranked::new(end, count);
    lists.iter().flatten().for_each(|value| ranked.add(value.get()));
    ranked.encode()
}
