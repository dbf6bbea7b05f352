//! What a JavaScript engine must be able to do.
//!
//! Everything that crosses is text, so that engines can stand in for one another: the layers above
//! name no engine. Invariants of every implementation: a runaway script stops within its limits;
//! what a script does to its globals stays in its realm; every answer about what went wrong is
//! short, whatever the script threw. Must run on a thread whose stack is larger than
//! [`Limits::stack_bytes`]: the pool's are.

use std::rc::Rc;
use std::time::Duration;

use super::host::Host;

/// What user code may use in one call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Running time, CouchDB's `[couchdb] os_process_timeout`.
    pub time: Duration,
    /// Memory of the engine, the script and its values together.
    pub memory_bytes: usize,
    /// Stack of the engine, for deep calls and deeply nested sources.
    pub stack_bytes: usize,
}

impl Default for Limits {
    /// CouchDB's defaults: 5 s and 64 MiB.
    fn default() -> Self {
        Self { time: Duration::from_secs(5), memory_bytes: 64 << 20, stack_bytes: 512 << 10 }
    }
}

/// Why a script gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The script could not be parsed.
    Syntax {
        message: String,
        position: Position,
    },
    /// The script threw an error.
    Error {
        name: String,
        message: String,
        line: u32,
    },
    /// The script threw something else; its JSON text, or none for a value that has none.
    Thrown(Option<String>),
    TimedOut,
    OutOfMemory,
}

/// A place in a script, both counted from 1, the column in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

/// A JavaScript engine.
pub(super) trait Engine: Sync {
    /// Whether the script's completion value is a function. The script runs in sloppy mode, in a
    /// realm that is thrown away.
    fn evaluates_to_function(&self, script: &str, limits: &Limits) -> Result<bool, Failure>;

    /// A fresh runtime with a global object of its own, prepared by a prelude.
    ///
    /// The prelude is a row of scripts, each of which evaluates to a function. Each is called with
    /// the host (an object whose members are described in `prelude/base.js`) and what the one
    /// before it returned; what the last one returns holds the realm's entries. User code never
    /// sees these objects.
    fn realm(
        &self,
        prelude: &[&str],
        limits: &Limits,
        host: &Rc<Host>,
    ) -> Result<Box<dyn Realm>, Failure>;
}

/// A runtime and its global object. After a failure it must not be called again.
pub(super) trait Realm {
    /// Calls an entry with texts; it returns a text.
    fn call(&mut self, entry: &str, arguments: &[&str]) -> Result<String, Failure>;

    /// What the realm holds now.
    fn memory_bytes(&self) -> usize;

    /// Whether something is left over that would burden further calls, such as promises, whose
    /// reactions never run.
    fn is_burdened(&self) -> bool;
}

/// The engine in use.
pub(super) fn engine() -> &'static dyn Engine {
    #[cfg(feature = "boa")]
    let engine = &super::boa::Boa;
    #[cfg(not(feature = "boa"))]
    let engine = &super::quickjs::QuickJs;
    engine
}
