//! Map functions without an engine.
//!
//! Most maps read members, compare them and emit. Such a function is compiled to a tree that runs
//! over the document's text, in a fraction of the time. What it answers is what the engine would:
//! a source with anything that is not known here is not compiled, and where a value of a document
//! takes a way that is not, the document is left to the engine. Nothing is ever approximate.
//!
//! Pure and synchronous. Runs on any thread: steps, memory and depth are bounded, and no function
//! sees anything of another run.

mod compile;
mod document;
mod evaluate;
mod expressions;
mod inherited;
mod json;
mod machine;
mod maps;
mod members;
mod methods;
mod number;
mod pattern;
mod statements;
mod text;
mod tree;
mod value;

#[cfg(test)]
mod grammar;
#[cfg(test)]
mod tests;

pub(super) use maps::NativeMaps;
