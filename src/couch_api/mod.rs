//! CouchDB's HTTP API, one file a resource. A handler extracts, authorises, makes one call and
//! shapes the answer.
//!
//! Invariants: raw strings end in `request.rs` and `query.rs`; errors get their status only in
//! `error.rs`; no storage type is named here.

mod all_dbs;
mod all_docs;
mod attachment_read;
mod attachment_write;
mod body_memory;
mod body_time;
mod bulk_body;
mod bulk_docs;
mod bulk_get;
mod changes;
mod changes_filter;
mod changes_function;
mod changes_options;
mod cluster_setup;
mod compress;
mod cors;
mod databases;
mod db_updates;
mod design_docs;
mod document_parts;
mod documents;
mod documents_write;
mod error;
mod feed;
mod form;
mod functions;
mod id_rows;
mod listings;
mod local_docs;
mod login;
mod maintenance;
mod mango;
mod multipart_put;
mod node;
mod open_revs;
mod partitions;
mod pieces;
mod prometheus;
mod purge;
mod query;
mod replicate;
mod replicator_docs;
mod request;
mod request_log;
mod request_object;
mod reshard;
mod respond;
mod revision_rows;
mod revisions;
mod router;
mod row_documents;
mod scheduler;
mod server_info;
mod service;
mod settings;
mod stats;
mod stream;
mod system;
mod vhosts;
mod view_query;
mod viewer;
mod views;
mod wishes;
mod writing;

pub use feed::Waits;
pub use prometheus::metrics_text;
pub use request::BodyTooSlow;
pub use request_log::Answered;
pub use service::{Encrypted, Opened, Service, open_request};
