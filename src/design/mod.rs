//! Design documents: what may stand in them, and which views they define.
//!
//! Works on JSON bodies alone: it knows the sandbox's errors, but no databases, indexes or HTTP.

mod signature;
mod validate;

#[cfg(test)]
mod tests;

pub use signature::{has_views, view_signature};
pub use validate::{DesignError, FunctionKind, Partitioning, validate};
