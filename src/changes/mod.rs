//! What has changed in a database, in the order of its sequences: reading, filtering, waiting.
//!
//! A [`Cursor`] reads rows page by page, synchronously, each page from a short snapshot of its
//! own; a [`Feed`] is a cursor that can wait for more. How rows are written is their caller's.
//!
//! Invariants: a pass ends at the sequence that was the newest when it began, so it ends whatever
//! is written meanwhile; a document updated during a pass is shown in the next one.

mod cursor;
mod error;
mod feed;
mod filter;
mod function_filter;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Documents, Options, Reached, Row, RowDocument, Style};
pub use error::ChangesError;
pub use feed::{Feed, News, Since};
pub use filter::{Filter, SelectorFilter};
pub use function_filter::{FilterFunction, FunctionFilter};
