//! Design documents: what may stand in them, which views they define, and their functions.
//!
//! Works on JSON alone: it knows the sandbox, but no databases, indexes or HTTP.

mod ddoc;
mod functions;
mod signature;
mod validate;

#[cfg(test)]
mod tests;

pub use ddoc::Ddoc;
pub use functions::{FunctionError, Functions, Response, ResponseBody, Rewritten, Updated};
pub use signature::{has_views, view_signature};
pub use validate::{DesignError, FunctionKind, Partitioning, validate};
