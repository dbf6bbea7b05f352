//! Mango: CouchDB's declarative queries.
//!
//! A selector says which documents are wanted; it is understood here without any index, so
//! `_find` and the `_selector` filter of `_changes` share it. An index is a view
//! whose rows are made here. Relies on `collation` for the order of values.

pub mod erlang_term;
pub mod mapper;
pub mod selector;
