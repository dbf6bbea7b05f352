//! The functions of design documents, each with its own arguments and answer.
//!
//! What a function answers is checked here; what CouchDB makes of it is the caller's affair.

use serde_json::{Map, Value};

use crate::sandbox::{CallError, ChunkSink, PoolError, RowSource, Sandbox};

use super::{Ddoc, Response};

/// Why a function of a design document gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered something that is no answer of its kind; shown as CouchDB shows it.
    #[error("Invalid data from external server: {0}")]
    InvalidAnswer(String),
}

/// What an update function answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The document to save, a JSON object.
    pub document: Option<Map<String, Value>>,
    pub response: Response,
}

/// What a rewrite function answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Rewritten {
    /// Another request.
    Request(Map<String, Value>),
    /// An answer.
    Response(Response),
    /// Nothing that CouchDB would take.
    Invalid,
}

/// Calls functions in the sandbox; every call blocks.
#[derive(Debug)]
pub struct Functions {
    sandbox: Sandbox,
}

impl Functions {
    #[must_use]
    pub fn new(sandbox: Sandbox) -> Self {
        Self { sandbox }
    }

    /// Where the functions run.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// `shows.{name}`; `document` is `null` or a document, JSON.
    pub fn show(
        &self,
        ddoc: &Ddoc,
        name: &str,
        document: String,
        request: String,
    ) -> Result<Response, FunctionError> {
        let _ = (ddoc, name, document, request);
        Err(CallError::Pool(PoolError::Crashed).into())
    }

    /// `updates.{name}`.
    pub fn update(
        &self,
        ddoc: &Ddoc,
        name: &str,
        document: String,
        request: String,
    ) -> Result<Updated, FunctionError> {
        let _ = (ddoc, name, document, request);
        Err(CallError::Pool(PoolError::Crashed).into())
    }

    /// `lists.{name}`; `head` is what stands before a view's rows.
    pub fn list(
        &self,
        ddoc: &Ddoc,
        name: &str,
        [head, request]: [String; 2],
        rows: Box<dyn RowSource>,
        sink: Box<dyn ChunkSink>,
    ) -> Result<(), FunctionError> {
        let path = ["lists", name];
        Ok(self.sandbox.list(ddoc.program(), &path, [head, request], rows, sink)?)
    }

    /// `rewrites`, where it is a function.
    pub fn rewrite(&self, ddoc: &Ddoc, request: String) -> Result<Rewritten, FunctionError> {
        let _ = (ddoc, request);
        Err(CallError::Pool(PoolError::Crashed).into())
    }

    /// Which documents pass `filters.{name}`.
    pub fn filter(
        &self,
        ddoc: &Ddoc,
        name: &str,
        documents: Vec<String>,
        request: String,
    ) -> Result<Vec<bool>, FunctionError> {
        Ok(self.sandbox.filter(ddoc.program(), &["filters", name], documents, request)?)
    }

    /// Which documents have a row in the view `name`.
    pub fn filter_by_view(
        &self,
        ddoc: &Ddoc,
        name: &str,
        documents: Vec<String>,
    ) -> Result<Vec<bool>, FunctionError> {
        let path = ["views", name, "map"];
        Ok(self.sandbox.filter(ddoc.program(), &path, documents, "{}".to_owned())?)
    }

    /// Whether `validate_doc_update` lets a document in: `[new, old, user, security]`, each JSON.
    pub fn validate(&self, ddoc: &Ddoc, arguments: [String; 4]) -> Result<(), FunctionError> {
        let _ = (ddoc, arguments);
        Err(CallError::Pool(PoolError::Crashed).into())
    }
}
