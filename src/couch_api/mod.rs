//! CouchDB's HTTP API, one file a resource. A handler extracts, authorises, makes one call and
//! shapes the answer.
//!
//! Invariants: raw strings end in `request.rs` and `query.rs`; errors get their status only in
//! `error.rs`; no storage type is named here.

mod error;
mod query;
mod request;
mod respond;
mod router;
mod service;
mod stream;

pub use service::{Service, serve_request};
