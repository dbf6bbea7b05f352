//! Databases: naming, writing, reading, purging, compacting. Synchronous; knows no HTTP.
//!
//! Invariants: a document is written only after the validation functions have been asked
//! (`admission.rs`); every write of a database goes through its one writer (`writer.rs`), which
//! commits a group of them as one durable batch; a revision once stored never changes; a reader
//! never holds a snapshot longer than one page.

mod admission;
mod apply;
pub mod attachments;
mod compact;
mod cursor;
mod description;
mod design_cache;
mod designs;
mod edit;
mod error;
mod events;
mod group;
mod handle;
mod limits;
mod name;
mod partitions;
mod pending;
mod purge;
mod question;
mod rank;
mod read;
mod registry;
mod rules;
mod seq;
mod settle;
mod shared_pages;
mod verify;
mod writer;

#[cfg(test)]
mod admission_tests;
#[cfg(test)]
mod partitions_tests;
#[cfg(test)]
mod tests;

pub use admission::{Admitted, Author};
pub use compact::Compaction;
pub use cursor::{HeadRow, IdRange, LocalRow};
pub use edit::{Base, Edit, EditAttachment, EditOutcome, LocalEdit, LocalOutcome, Source};
pub use error::DatabaseError;
pub use events::{EventRow, GLOBAL_CHANGES};
pub use handle::{Database, Info, Published, PurgeInfo};
pub use limits::Limits;
pub use name::{DatabaseName, NameError};
pub use purge::PurgeOutcome;
pub use registry::{CreateOptions, Registry};
pub use rules::WriteRules;
pub use seq::{Seq, SeqError};
pub use shared_pages::{PageKey, SharedPage, SharedPages};
pub use verify::{Checked, Findings, each, verify};
pub use writer::{Driver, Reply};

#[cfg(test)]
pub use tests::NoFunctions;

pub use crate::storage::values::{Change, EventKind, Head, Local, Partition};
pub use crate::storage::{Direction, StorageError};
