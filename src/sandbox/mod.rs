//! Runs the functions that users put into design documents, under limits.
//!
//! Owns the engines of JavaScript and WebAssembly (their crates are named nowhere else) and the
//! operating system threads they run on. Knows JSON values and source texts, but no documents, no
//! databases and no HTTP, and relies on nothing else in the crate.
//!
//! Invariants: engines run user code only on threads of the [`Pool`], never on the caller's; what
//! needs no engine (`native/`) is bounded by counting and runs anywhere. Whatever user code
//! does, the caller has an answer within the limits and the pool keeps its number of threads.

#[cfg(any(test, feature = "boa"))]
mod boa;
#[cfg(any(test, feature = "boa"))]
mod boa_errors;
#[cfg(any(test, feature = "boa"))]
mod boa_host;
mod calls;
mod clock;
mod compile;
mod e4x;
mod engine;
mod erlang;
mod host;
mod instance;
mod instances;
mod javascript;
mod native;
mod pool;
mod program;
#[cfg(any(test, not(feature = "boa")))]
mod quickjs;
mod rewrite;
mod rows;
#[expect(clippy::module_inception, reason = "it holds the type that the module is named for")]
mod sandbox;
mod scan;
mod stuck;
mod surrogates;
mod syntax;
mod verdicts;
mod wasm;

#[cfg(test)]
mod boa_program_tests;
#[cfg(test)]
mod boa_tests;
#[cfg(test)]
mod calls_tests;
#[cfg(test)]
mod design_tests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod realm_tests;
#[cfg(test)]
mod tests;

pub use compile::CompileError;
pub use engine::Limits;
pub use erlang::{erlang_reason, erlang_term};
pub use native::NativeFunction;
pub use pool::{Asked, Pool, PoolError, PoolOptions, Told};
pub use program::{
    CallError, ChunkSink, Code, Emitted, EmittedRow, MapResults, Program, ReduceCall, RowSource,
};
pub use sandbox::{Call, Options, Sandbox};
pub use wasm::{WasmCode, WasmModule};
