//! What the sandbox runs: programs, what they are called with, and what they answer.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::native::NativeMaps;
use super::pool::PoolError;
use super::wasm::{WasmCode, WasmModule};

/// Sources that are compiled together and share one set of globals. Threads keep them compiled, by
/// their content.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) key: [u8; 32],
    pub(super) code: Arc<Code>,
    /// Its maps as they run natively, once they were asked for; none where they do not.
    pub(super) native: Arc<OnceLock<Option<NativeMaps>>>,
}

/// What a program is made of.
#[derive(Debug, PartialEq, Eq)]
pub enum Code {
    /// The map functions of one design document, and the members of `views` that they may
    /// `require`, as a JSON object (`{"lib": {...}}`).
    Maps { sources: Vec<String>, modules: Option<String> },
    /// One reduce function.
    Reduce { source: String },
    /// A whole design document, JSON: its other functions, and the modules that they `require`.
    Design { json: String },
    /// A WebAssembly module and what it is called for (docs/wasm-functions.md).
    Wasm { module: WasmModule, code: WasmCode },
    /// Nothing that can be called; why, for people.
    Unusable { reason: String },
}

impl Program {
    /// A program, known by its content.
    #[must_use]
    pub fn new(code: Code) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        match &code {
            Code::Maps { sources, modules } => {
                part(b"maps");
                part(modules.as_deref().unwrap_or_default().as_bytes());
                for source in sources {
                    part(source.as_bytes());
                }
            }
            Code::Reduce { source } => {
                part(b"reduce");
                part(source.as_bytes());
            }
            Code::Design { json } => {
                part(b"design");
                part(json.as_bytes());
            }
            Code::Wasm { module, code } => {
                part(b"wasm");
                part(module.digest());
                match code {
                    WasmCode::Maps(exports) => {
                        part(b"maps");
                        for export in exports {
                            part(export.as_bytes());
                        }
                    }
                    WasmCode::Reduce(export) => {
                        part(b"reduce");
                        part(export.as_bytes());
                    }
                    WasmCode::Design(members) => {
                        part(b"design");
                        for (name, value) in members {
                            part(name.as_bytes());
                            part(value.to_string().as_bytes());
                        }
                    }
                }
            }
            Code::Unusable { reason } => {
                part(b"unusable");
                part(reason.as_bytes());
            }
        }
        Self { key: hash.finalize().into(), code: Arc::new(code), native: Arc::default() }
    }

    /// The hash of its content, by which it is known.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

/// What the map functions of a program made of a batch of documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapResults {
    /// Holds all keys and values.
    pub text: String,
    /// By document, then by map function.
    pub documents: Vec<Vec<Emitted>>,
}

/// What one map function made of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emitted {
    Rows(Vec<EmittedRow>),
    /// It threw; CouchDB skips the document for this function.
    Failed,
}

impl Emitted {
    /// Moves all places on.
    pub(super) fn shift(&mut self, bytes: usize) {
        let Self::Rows(rows) = self else { return };
        for range in rows.iter_mut().flat_map(|row| [&mut row.key, &mut row.value]) {
            *range = range.start + bytes..range.end + bytes;
        }
    }
}

/// A row, as places in [`MapResults::text`]; both are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedRow {
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// One call of a reduce function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReduceCall {
    /// `[[key, id], ...]` and `[value, ...]`, JSON.
    Reduce { keys: String, values: String },
    /// `[value, ...]`, JSON.
    Rereduce { values: String },
}

/// Rows that a list function reads.
pub trait RowSource: Send {
    /// The next row as JSON; none at the end.
    ///
    /// # Errors
    /// What to tell in the place of further rows.
    fn next_row(&mut self) -> Result<Option<String>, String>;
}

/// Where a list function's answer goes, piece by piece.
pub trait ChunkSink: Send {
    /// The response object that was begun with, JSON; comes before all chunks.
    ///
    /// # Errors
    /// Where nobody wants it any more: the call ends.
    fn start(&mut self, response: String) -> Result<(), String>;
    /// Some more text.
    ///
    /// # Errors
    /// As for [`Self::start`].
    fn chunk(&mut self, text: String) -> Result<(), String>;
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such function; the path's first member that is missing.
    #[error("missing json key: {0}")]
    MissingKey(String),
    /// The function, or a module it requires, is none: CouchDB's `compilation_error`.
    #[error("{0}")]
    Compilation(String),
    /// It threw `{forbidden: ...}`; what that was, JSON.
    #[error("forbidden")]
    Forbidden(String),
    /// It threw `{unauthorized: ...}`; what that was, JSON.
    #[error("unauthorized")]
    Unauthorized(String),
    /// CouchDB's words for anything else that it threw. `reason` is plain text.
    #[error("{error}: {reason}")]
    Thrown { error: String, reason: String },
    #[error("OS process timed out.")]
    TimedOut,
    #[error("out of memory")]
    OutOfMemory,
    /// The reader of a list's answer has gone, or its rows failed.
    #[error("{0}")]
    Aborted(String),
    #[error(transparent)]
    Pool(#[from] PoolError),
}
