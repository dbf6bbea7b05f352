//! Design functions in WebAssembly; the crates `wasmtime` and `wasmparser` are named only here.
//!
//! A module exports functions that take JSON and answer with JSON (docs/wasm-functions.md). It is
//! compiled once for all threads, and instantiated anew for every call or batch: nothing that a
//! module keeps in its memory outlives what it was called for, so databases that use the same
//! module learn nothing about each other.
//!
//! Invariants: a module is weighed before it is compiled, so that compiling takes bounded time and
//! memory; whatever a module does, it ends within the limits of its call and leaves other calls
//! alone; a module can ask the server for nothing but to log a line.

mod cache;

mod compiled;
mod functions;
mod guest;
mod json;
mod list;
mod module;
mod ticker;
mod weigh;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

pub use module::{WasmCode, WasmModule};

pub(super) use compiled::check;
pub(super) use functions::WasmInstance;
