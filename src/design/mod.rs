//! Design documents: what may stand in them, which views they define, and their functions.
//!
//! Works on JSON alone: it knows the sandbox, but no databases, indexes or HTTP.

mod ddoc;
mod functions;
mod response;
mod shared_verdicts;
mod signature;
mod validate;
mod validator;
mod wasm;

#[cfg(test)]
mod functions_tests;
#[cfg(test)]
mod tests;

pub use ddoc::Ddoc;
pub use functions::{FunctionCall, FunctionError, Functions, Rewritten, Updated};
pub use response::{Response, ResponseBody};
pub use signature::has_views;
pub use validate::{DesignError, FunctionKind, Partitioning, validate};
pub use validator::{Question, Validator};
pub use wasm::{MODULE_BYTES_MAX, ModuleSource, is_wasm, module_attachment, validate_wasm};
