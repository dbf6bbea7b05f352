//! Calling the functions of programs.

use super::{CallError, ChunkSink, MapResults, PoolError, Program, ReduceCall, RowSource, Sandbox};

impl Sandbox {
    /// Runs a program's map functions over documents, each a JSON object. Blocks while it runs,
    /// and as long as builds of other indexes keep the threads busy.
    ///
    /// # Errors
    /// Where a function cannot be compiled or breaks a limit; what it throws is no error, except
    /// `["fatal", ...]`.
    pub fn map(&self, program: &Program, documents: Vec<String>) -> Result<MapResults, CallError> {
        let _ = (self, program, documents);
        Err(CallError::Pool(PoolError::Crashed))
    }

    /// Calls a reduce function several times; each answer is JSON, or why there is none.
    ///
    /// # Errors
    /// Where the function cannot be compiled or breaks a limit.
    pub fn reduce(
        &self,
        program: &Program,
        calls: Vec<ReduceCall>,
    ) -> Result<Vec<Result<String, String>>, CallError> {
        let _ = (self, program, calls);
        Err(CallError::Pool(PoolError::Crashed))
    }

    /// Calls the function at `path` of a design document (`["shows", "name"]`, or
    /// `["validate_doc_update"]`) with JSON arguments; its answer in the form of CouchDB's query
    /// server protocol, JSON.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn call(
        &self,
        program: &Program,
        path: &[&str],
        arguments: Vec<String>,
    ) -> Result<String, CallError> {
        let _ = (self, program, path, arguments);
        Err(CallError::Pool(PoolError::Crashed))
    }

    /// Which of `documents` pass a filter function (`["filters", "name"]`), or have a row in a
    /// view whose map function is used as one (`["views", "name", "map"]`).
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn filter(
        &self,
        program: &Program,
        path: &[&str],
        documents: Vec<String>,
        request: String,
    ) -> Result<Vec<bool>, CallError> {
        let _ = (self, program, path, documents, request);
        Err(CallError::Pool(PoolError::Crashed))
    }

    /// Runs the list function at `path`: it reads `rows` and writes to `sink`.
    ///
    /// # Errors
    /// Where it ends early. What was written until then stays written.
    pub fn list(
        &self,
        program: &Program,
        path: &[&str],
        arguments: [String; 2],
        rows: Box<dyn RowSource>,
        sink: Box<dyn ChunkSink>,
    ) -> Result<(), CallError> {
        let _ = (self, program, path, arguments, rows, sink);
        Err(CallError::Pool(PoolError::Crashed))
    }
}
