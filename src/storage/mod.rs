//! Every stored byte: the engines, the keys, the values.
//!
//! Invariants: `rocksdb` is named nowhere else; keys and values are built only in `keys.rs` and
//! `values.rs`; every write is one [`Batch`] with its preconditions; a snapshot lives as long as
//! one page of reading, never as long as a client's connection.

mod batch;
mod engine;
pub mod keys;
mod memory;
mod rocks;
pub mod values;
pub mod view_keys;
pub mod view_values;

pub use batch::{Batch, Expect, Operation};
pub use engine::{
    Compression, Direction, Durability, Engine, KeyRange, Snapshot, StorageError, Table, TryVisit,
    Visit, try_scan,
};
pub use memory::MemoryEngine;
pub use rocks::{RocksEngine, RocksOptions};
