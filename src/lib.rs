//! settee: a replicating document database server that speaks Apache CouchDB's HTTP API.
//!
//! ARCHITECTURE.md has the map; `tests/tidy.rs` holds the order of the layers.

pub mod app;
pub mod auth;
pub mod blocking;
pub mod changes;
pub mod cli;
pub mod collation;
pub mod config;
pub mod couch_api;
pub mod database;
pub mod design;
pub mod document;
pub mod http;
pub mod mango;
pub mod metrics;
pub mod replicator;
pub mod sandbox;
pub mod server;
pub mod storage;
pub mod users;
pub mod views;
