//! Mango: CouchDB's declarative queries.
//!
//! A selector says which documents are wanted; it is understood without any index, so
//! `_find` and the `_selector` filter of `_changes` share it. An index is a view
//! whose rows are made here. A query (`request`) gets an index (`planner`) and is answered page by
//! page (`cursor`). Relies on `collation` for the order of values and on `views` for rows.

pub mod bookmark;
pub mod cursor;
pub mod erlang_term;
pub mod error;
pub mod fields;
pub mod index;
pub mod mapper;
mod matcher;
mod members;
pub mod planner;
pub mod request;
mod rows;
pub mod selector;
mod sort;
pub mod superset;
#[cfg(test)]
mod tests;
pub mod validation;
pub mod warnings;
