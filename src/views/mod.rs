//! View indexes: building them from documents, keeping them, and asking them.
//!
//! An index belongs to one database and one signature: design documents whose views compute the
//! same share it. Its rows lie in the store in the order of the view, so a query is a scan; beside
//! them lie blocks, each the count and the reduced values of a run of rows, so that a reduce over
//! any range and the rank of any row take logarithmic time.
//!
//! Invariants: rows, blocks, what each document emitted, and the sequence that the index has come
//! to change in one batch, so an index is consistent at every moment and after every crash; an
//! index can be lost and built anew, so its batches are not synced; there is one builder an index
//! at a time.

mod blocks;
mod build;
mod error;
mod group;
mod index;
mod mapper;
mod pages;
mod query;
mod reduce;
mod registry;
mod updater;
pub mod verify;

pub use blocks::{Blocks, RowChange};
pub use error::ViewsError;
pub use group::{Collation, View, ViewGroup};
pub use index::{Index, IndexInfo, Reached};
pub use mapper::{MakeMapper, Mapper};
pub use query::{
    FirstPiece, Grouping, KeySpan, MapHeader, MapReader, MapRow, RangeQuery, ReduceReader,
    ReduceRow, ReducedValue,
};
pub use reduce::{ReduceFunction, ReduceGroup, ReduceInput, ReducedState, Reducer};
pub use registry::Views;
pub use updater::{Building, Updater};
