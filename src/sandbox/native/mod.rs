//! Functions without an engine: maps, filters and `validate_doc_update`.
//!
//! Most of them read members, compare them, and emit, return or throw. Such a function is compiled
//! to a tree that runs over the document's text, in a fraction of the time. What it answers is what
//! the engine would: where a source has something that is not known here, or a value of a document
//! takes a way that is not, the document is left to the engine. Nothing is ever approximate.
//!
//! Pure and synchronous. Runs on any thread: steps, memory and depth are bounded, and no function
//! sees anything of another run.

mod compile;
mod document;
mod evaluate;
mod expressions;
mod functions;
mod inherited;
mod json;
mod machine;
mod maps;
mod members;
mod methods;
mod number;
mod pattern;
mod regular;
mod statements;
mod text;
mod tree;
mod value;

#[cfg(test)]
mod functions_tests;
#[cfg(test)]
mod grammar;
#[cfg(test)]
mod tests;

pub use functions::NativeFunction;
pub(super) use maps::NativeMaps;
