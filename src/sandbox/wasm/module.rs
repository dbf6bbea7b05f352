//! A module as design documents bring it, and what of it a program uses.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::weigh::MODULE_BYTES_MAX;

/// A WebAssembly module in its binary form, known by its digest.
#[derive(Clone)]
pub struct WasmModule {
    bytes: Arc<[u8]>,
    digest: [u8; 32],
}

/// What a program in WebAssembly is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmCode {
    /// The exports that are the map functions of a design document.
    Maps(Vec<String>),
    /// The export that is a reduce function.
    Reduce(String),
    /// The members of the design document; they name the exports of all other functions.
    Design(Map<String, Value>),
}

impl WasmModule {
    /// The longest module that can be used.
    pub const BYTES_MAX: usize = MODULE_BYTES_MAX;

    /// Takes what is said to be a module; it is looked at when it is used.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), digest: Sha256::digest(bytes).into() }
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The module in its binary form.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for WasmModule {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for WasmModule {}

impl fmt::Debug for WasmModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmModule").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
