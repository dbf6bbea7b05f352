//! The functions of design documents over HTTP: shows, lists, updates and rewrites.
//!
//! A function runs in the sandbox while a thread that may block waits for it. What it is called
//! with is made by `request_object.rs` and `documents.rs`, what it answers becomes a response in
//! `answer.rs`.

mod all_docs_rows;
mod answer;
mod chunk_queue;
mod documents;
mod lists;
mod rewrites;
mod rules;
mod shows;
mod updates;

use serde_json::Value;

use crate::design::{Ddoc, FunctionError};
use crate::sandbox::CallError;

use super::error::ApiError;

pub use lists::list;
pub use rewrites::{Rewrite, is_rewrite, rewrite};
pub use shows::show;
pub use updates::update;

/// # Errors
/// 404 where the design document has no such function.
fn require_function(ddoc: &Ddoc, kind: &str, name: &str) -> Result<(), ApiError> {
    let missing = |key: &str| FunctionError::Call(CallError::MissingKey(key.to_owned()));
    match ddoc.body.get(kind) {
        None => Err(missing(kind).into()),
        Some(Value::Object(functions)) if functions.contains_key(name) => Ok(()),
        Some(Value::Object(_)) => Err(missing(name).into()),
        Some(_) => Err(ApiError::not_found("json_mismatch")),
    }
}

/// The id of a document in what stands behind a function's name; it may hold slashes.
fn document_id(path: &[String]) -> Option<String> {
    (!path.is_empty()).then(|| path.join("/"))
}
