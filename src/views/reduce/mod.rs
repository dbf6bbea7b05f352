//! Reduce functions: the built-in ones, and those of design documents.
//!
//! What a function makes of rows is a *state*: bytes that only that function understands, that
//! several of are combined into one, and that in the end become what a client sees. Order matters
//! to some functions (sums of floats, functions of users), so the caller chooses it.

use crate::config::QueryServerSettings;
use crate::sandbox::{Program, Sandbox};

use super::{ReducedValue, ViewsError};

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
        let _ = source;
        None
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
        let _ = (function, groups);
        Ok(Vec::new())
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
        let _ = (function, groups);
        Ok(Vec::new())
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
        let _ = (function, states);
        Ok(Vec::new())
    }
}
