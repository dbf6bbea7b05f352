//! settee: a replicating document database server that speaks Apache CouchDB's HTTP API.
//!
//! ARCHITECTURE.md has the map; `tests/tidy.rs` holds the order of the layers.

pub mod auth;
pub mod collation;
pub mod config;
pub mod database;
pub mod document;
pub mod http;
pub mod storage;
