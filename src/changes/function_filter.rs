//! Functions of design documents as filters.

use std::sync::Arc;

use crate::design::{Ddoc, FunctionError, Functions};
use crate::document::encode::{Extras, write_document};
use crate::document::{Document, Rev, Revisions};

/// A function as it was when the feed began: it stays in use when its design document changes or
/// goes.
#[derive(Debug, Clone)]
pub struct FunctionFilter {
    pub functions: Arc<Functions>,
    pub ddoc: Arc<Ddoc>,
    pub function: FilterFunction,
}

/// Which function of the design document is asked.
#[derive(Debug, Clone)]
pub enum FilterFunction {
    /// `filters.{name}`, with the request of the feed as JSON, and as far as it counts.
    Filter { name: String, request: Arc<str>, asked: Arc<str> },
    /// `views.{name}.map`: documents with a row pass.
    View { name: String },
}

impl FunctionFilter {
    /// Which documents pass. Blocks.
    pub(super) fn passing(&self, documents: Vec<String>) -> Result<Vec<bool>, FunctionError> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let Self { functions, ddoc, function } = self;
        match function {
            FilterFunction::Filter { name, request, asked } => {
                functions.filter(ddoc, name, documents, [request, asked])
            }
            FilterFunction::View { name } => functions.filter_by_view(ddoc, name, documents),
        }
    }
}

/// A document as functions see it. Of its revisions, CouchDB tells this one only.
pub(super) fn document_json(document: &Document, conflicts: &[Rev]) -> String {
    let revisions = Revisions::of(document.rev.clone());
    let extras = Extras { revisions: Some(&revisions), conflicts, ..Extras::default() };
    let mut out = Vec::with_capacity(document.body.len() + 256);
    write_document(&mut out, document, &extras);
    String::from_utf8_lossy(&out).into_owned()
}
