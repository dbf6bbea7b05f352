//! Summaries of the rows of a view, so that any range is counted and reduced in few steps.
//!
//! A *block* of level 1 is a run of rows, a block of a higher level a run of blocks of the level
//! below. What is stored of a block of level 2 or more is the list of its parts, each with the
//! place of its first row, the count of its rows and the states of the view's reduces over them.
//! One block, the root, holds all.
//!
//! Where blocks begin depends on the rows alone: a row begins a block of every level up to that
//! which the hash of its place gives it (see [`level_of`]), and the first block of a level begins
//! before all rows; it may have none. So blocks do not depend on the order in which rows came, and
//! a changed row changes one block a level.

mod change;
mod change_rows;
mod cover;
mod make;
mod rows;
#[cfg(test)]
mod tests;

use crate::storage::view_keys::ViewAddress;
use crate::storage::view_values::BlockPart;

use super::reduce::{ReduceFunction, ReduceGroup, ReducedState, Reducer};
use super::{Collation, ViewsError};

pub(super) use cover::{PartialBlock, RowBlock, Tree};
pub(super) use rows::{Places, Rows};

/// A block of level 1 has 2^4 rows on average. Tests have smaller blocks, so that few rows make
/// many levels.
const ROW_BITS: u32 = if cfg!(test) { 2 } else { 4 };
/// A block of a higher level has 2^3 parts on average: fewer make more records, more make reduces
/// read more parts (`benches/`: `view_reduce_range`, `view_group_level`, `view_million`).
const BITS: u32 = if cfg!(test) { 1 } else { 3 };
/// No row begins blocks of a higher level than this.
const LEVEL_MAX: u8 = 10;
/// The lowest level that is stored.
const LEAF: u8 = 2;

/// The level of the highest block that a row at `place` begins; 0 where it begins none.
fn level_of(place: &[u8]) -> u8 {
    let zeros = hash(place).trailing_zeros();
    let level = zeros.checked_sub(ROW_BITS).map_or(0, |more| 1 + more / BITS);
    u8::try_from(level).unwrap_or(LEVEL_MAX).min(LEVEL_MAX)
}

/// It says where stored blocks begin, so it never changes.
fn hash(place: &[u8]) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    const MIX: u64 = 0xff51_afd7_ed55_8ccd;
    let mut hash = MIX ^ place.len() as u64;
    let mut step = |word: u64| {
        hash = (hash ^ word).wrapping_mul(SPREAD);
        hash ^= hash >> 29;
    };
    let (words, rest) = place.as_chunks::<8>();
    for word in words {
        step(u64::from_be_bytes(*word));
    }
    step(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    hash = (hash ^ hash >> 33).wrapping_mul(MIX);
    hash ^ hash >> 33
}

/// Places from `start` to before `end`; all from there on where there is no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlaceRange {
    pub(super) start: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
}

/// A row that a batch adds, replaces or takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange<'a> {
    pub place: &'a [u8],
    /// The document that it is of.
    pub id: &'a str,
    /// A row was there before the batch.
    pub existed: bool,
    /// Key and value, JSON, of the row that is there after the batch.
    pub now: Option<(&'a str, &'a str)>,
}

/// The blocks of one view.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    pub address: ViewAddress,
    pub collation: Collation,
    /// Places begin with a partition.
    pub partitioned: bool,
    /// Of all views that share these rows.
    pub reduces: &'a [ReduceFunction],
    pub reducer: Reducer<'a>,
}

/// A part of a block that is kept.
type Part = BlockPart<'static>;

/// A block without rows.
fn empty(place: &[u8]) -> Part {
    Part { place: place.to_vec().into(), count: 0, states: Vec::new() }
}

impl Blocks<'_> {
    /// How places are made, where a reduce wants to see document ids.
    fn places_for_ids(&self) -> Option<Places> {
        let places = Places { collation: self.collation, partitioned: self.partitioned };
        self.reduces.iter().any(ReduceFunction::reads_ids).then_some(places)
    }

    /// The states of each group of rows.
    fn reduce(&self, groups: &[ReduceGroup<'_>]) -> Result<Vec<Vec<ReducedState>>, ViewsError> {
        let mut states = vec![Vec::with_capacity(self.reduces.len()); groups.len()];
        for function in self.reduces {
            let reduced = self.reducer.reduce(function, groups)?;
            for (states, state) in states.iter_mut().zip(reduced) {
                states.push(state);
            }
        }
        Ok(states)
    }

    /// What a block of each list of parts is to the block above it.
    fn summarise(&self, blocks: &[Vec<Part>]) -> Result<Vec<Part>, ViewsError> {
        let mut summaries: Vec<Part> = blocks
            .iter()
            .map(|parts| Part {
                place: parts.first().map(|part| part.place.clone()).unwrap_or_default(),
                count: parts.iter().map(|part| part.count).sum(),
                states: Vec::with_capacity(self.reduces.len()),
            })
            .collect();
        for (at, function) in self.reduces.iter().enumerate() {
            let groups: Vec<Vec<&[u8]>> = blocks
                .iter()
                .map(|parts| parts.iter().filter_map(|part| part.states.get(at)))
                .map(|states| states.map(AsRef::as_ref).collect())
                .filter(|states: &Vec<&[u8]>| !states.is_empty())
                .collect();
            let mut reduced = self.reducer.rereduce(function, &groups)?.into_iter();
            for summary in summaries.iter_mut().filter(|summary| summary.count > 0) {
                summary.states.extend(reduced.next().map(Into::into));
            }
        }
        Ok(summaries)
    }
}
