//! Reduce functions: the built-in ones, and those of design documents.
//!
//! What a function makes of rows is a *state*: bytes that only that function understands, that
//! several of are combined into one, and that in the end become what a client sees. Order matters
//! to some functions (sums of floats, functions of users), so the caller chooses it.

mod distinct;
mod limit;
mod print;
mod program;
mod rank;
mod stats;
mod sum;
mod term;
#[cfg(test)]
mod tests;

use crate::config::QueryServerSettings;
use crate::sandbox::{Program, Sandbox};

use super::{ReducedValue, ViewsError};
use rank::{End, FIRST, LAST};

/// A reduce function.
#[derive(Debug, Clone)]
pub enum ReduceFunction {
    Count,
    Sum,
    Stats,
    ApproxCountDistinct,
    First,
    Last,
    /// The so many largest values.
    Top(usize),
    /// The so many smallest values.
    Bottom(usize),
    /// A function of a design document.
    Program(Program),
}

impl ReduceFunction {
    /// The built-in function that a source names, which begins with an underscore; as in CouchDB
    /// the beginning of the name decides.
    #[must_use]
    pub fn built_in(source: &str) -> Option<Self> {
        const BY_BEGINNING: [(&str, ReduceFunction); 6] = [
            ("_sum", ReduceFunction::Sum),
            ("_count", ReduceFunction::Count),
            ("_stats", ReduceFunction::Stats),
            ("_approx_count_distinct", ReduceFunction::ApproxCountDistinct),
            ("_first", ReduceFunction::First),
            ("_last", ReduceFunction::Last),
        ];
        let rank = |number: &str| match number.parse() {
            Ok(rank @ 1..=100) => Some(rank),
            _ => None,
        };
        if let Some(number) = source.strip_prefix("_top_") {
            return rank(number).map(Self::Top);
        }
        if let Some(number) = source.strip_prefix("_bottom_") {
            return rank(number).map(Self::Bottom);
        }
        let mut found = BY_BEGINNING.into_iter().filter(|(name, _)| source.starts_with(name));
        found.next().map(|(_, function)| function)
    }

    /// Whether no function of a design document is called.
    pub(super) fn is_built_in(&self) -> bool {
        !matches!(self, Self::Program(_))
    }

    /// Whether it looks at the keys of rows.
    pub(super) fn reads_keys(&self) -> bool {
        !matches!(self, Self::Count | Self::Sum | Self::Stats)
    }

    /// Whether it looks at the ids of rows.
    #[must_use]
    pub(super) fn reads_ids(&self) -> bool {
        matches!(self, Self::First | Self::Last | Self::Program(_))
    }

    /// Whether there are states that [`Self::is_exact`].
    #[must_use]
    pub(super) fn may_be_exact(&self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Stats | Self::ApproxCountDistinct)
    }

    /// Whether states may be combined in any order, and over and over, with the same outcome as if
    /// all rows had been reduced together.
    #[must_use]
    pub(super) fn is_exact(&self, states: &[&[u8]]) -> bool {
        match self {
            Self::Count | Self::ApproxCountDistinct => true,
            Self::Sum => states.iter().all(|state| sum::is_integer(state)),
            Self::Stats => states.iter().all(|state| stats::is_integer(state)),
            Self::First | Self::Last | Self::Top(_) | Self::Bottom(_) | Self::Program(_) => false,
        }
    }
}

/// A row that is reduced. Key and value are JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReduceInput<'a> {
    pub key: &'a str,
    pub id: &'a str,
    pub value: &'a str,
}

/// Rows that are reduced together.
#[derive(Debug, Clone, Default)]
pub struct ReduceGroup<'a> {
    pub rows: Vec<ReduceInput<'a>>,
    /// The rows are not the first ones of their view; only error texts depend on it.
    pub preceded: bool,
}

/// What a reduce function has made of rows.
pub type ReducedState = Vec<u8>;

type Reduced = Result<ReducedState, ViewsError>;

/// Calls reduce functions.
#[derive(Debug, Clone, Copy)]
pub struct Reducer<'a> {
    pub sandbox: &'a Sandbox,
    pub settings: QueryServerSettings,
}

impl Reducer<'_> {
    /// The state of each group.
    ///
    /// # Errors
    /// [`ViewsError::InvalidValue`] where a built-in function meets a value that it cannot take,
    /// [`ViewsError::Call`] where a function of a design document breaks a limit.
    pub fn reduce(
        &self,
        function: &ReduceFunction,
        groups: &[ReduceGroup<'_>],
    ) -> Result<Vec<ReducedState>, ViewsError> {
        let each =
            |reduce: &dyn Fn(&ReduceGroup<'_>) -> Reduced| groups.iter().map(reduce).collect();
        match function {
            ReduceFunction::Count => each(&|group| Ok(group.rows.len().to_string().into_bytes())),
            ReduceFunction::Sum => each(&|group| sum::reduce(group, self)),
            ReduceFunction::Stats => each(&stats::reduce),
            ReduceFunction::ApproxCountDistinct => each(&|group| Ok(distinct::reduce(group))),
            ReduceFunction::First => each(&|group| Ok(rank::reduce_end(group, FIRST))),
            ReduceFunction::Last => each(&|group| Ok(rank::reduce_end(group, LAST))),
            ReduceFunction::Top(n) => each(&|group| Ok(rank::reduce_ranked(group, End::Top, *n))),
            ReduceFunction::Bottom(n) => {
                each(&|group| Ok(rank::reduce_ranked(group, End::Bottom, *n)))
            }
            ReduceFunction::Program(program) => program::reduce(self, program, groups),
        }
    }

    /// Combines states to one, several times.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn rereduce(
        &self,
        function: &ReduceFunction,
        groups: &[Vec<&[u8]>],
    ) -> Result<Vec<ReducedState>, ViewsError> {
        let each = |rereduce: &dyn Fn(&[&[u8]]) -> Reduced| {
            groups.iter().map(|states| rereduce(states)).collect()
        };
        match function {
            ReduceFunction::Count | ReduceFunction::Sum => {
                each(&|states| sum::rereduce(states, self))
            }
            ReduceFunction::Stats => each(&stats::rereduce),
            ReduceFunction::ApproxCountDistinct => each(&|states| Ok(distinct::rereduce(states))),
            ReduceFunction::First => each(&|states| Ok(rank::rereduce_end(states, FIRST))),
            ReduceFunction::Last => each(&|states| Ok(rank::rereduce_end(states, LAST))),
            ReduceFunction::Top(n) => {
                each(&|states| Ok(rank::rereduce_ranked(states, End::Top, *n)))
            }
            ReduceFunction::Bottom(n) => {
                each(&|states| Ok(rank::rereduce_ranked(states, End::Bottom, *n)))
            }
            ReduceFunction::Program(program) => program::rereduce(self, program, groups),
        }
    }

    /// What clients see of states; like CouchDB's, it has been through a rereduce.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn finish(
        &self,
        function: &ReduceFunction,
        states: Vec<ReducedState>,
    ) -> Result<Vec<ReducedValue>, ViewsError> {
        // Of the built-in functions only `_sum` can tell: it limits what it is given again.
        let states = match function {
            ReduceFunction::Sum | ReduceFunction::Program(_) => {
                let groups: Vec<Vec<&[u8]>> =
                    states.iter().map(|state| vec![state.as_slice()]).collect();
                self.rereduce(function, &groups)?
            }
            _ => states,
        };
        let plain = |state: &ReducedState| String::from_utf8_lossy(state).into_owned();
        let shown = states.iter().map(|state| match function {
            ReduceFunction::Count
            | ReduceFunction::Sum
            | ReduceFunction::Top(_)
            | ReduceFunction::Bottom(_) => ReducedValue::Value(plain(state)),
            ReduceFunction::Stats => ReducedValue::Value(stats::finish(state)),
            ReduceFunction::ApproxCountDistinct => ReducedValue::Value(distinct::finish(state)),
            ReduceFunction::First | ReduceFunction::Last => {
                ReducedValue::Value(rank::finish_end(state))
            }
            ReduceFunction::Program(_) => program::finish(state),
        });
        Ok(shown.collect())
    }
}
