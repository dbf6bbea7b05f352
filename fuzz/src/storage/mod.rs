//! Keys and values, without the engines that keep them.

#[path = "../../../src/storage/batch.rs"]
mod batch;
#[path = "../../../src/storage/engine.rs"]
mod engine;
#[path = "../../../src/storage/keys.rs"]
pub mod keys;
#[path = "../../../src/storage/values.rs"]
pub mod values;
#[path = "../../../src/storage/view_keys.rs"]
pub mod view_keys;
#[path = "../../../src/storage/view_values.rs"]
pub mod view_values;

pub use batch::{Batch, Expect, Operation};
pub use engine::{Direction, KeyRange, StorageError, Table};
