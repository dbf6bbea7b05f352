//! A design document that is ready to be used: its members, and its functions as a program.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::document::{DocId, Document, Rev};
use crate::sandbox::{Code, Program};

/// A design document as it is stored.
#[derive(Debug)]
pub struct Ddoc {
    pub id: DocId,
    pub rev: Rev,
    /// Its members without those that begin with an underscore.
    pub body: Map<String, Value>,
    /// The WebAssembly module that it names.
    module: Option<Vec<u8>>,
    program: OnceLock<Program>,
}

impl Ddoc {
    /// Reads a stored design document. `module` is the WebAssembly module that it names, where
    /// that is an attachment.
    ///
    /// # Errors
    /// Where the body is no JSON object, which what was stored always is.
    pub fn new(document: &Document, module: Option<Vec<u8>>) -> Result<Self, serde_json::Error> {
        let body = serde_json::from_slice(&document.body)?;
        let (id, rev) = (document.id.clone(), document.rev.clone());
        Ok(Self { id, rev, body, module, program: OnceLock::new() })
    }

    /// Its name without `_design/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.as_str().strip_prefix("_design/").unwrap_or_default()
    }

    /// The language of its functions, `javascript` unless it says otherwise.
    #[must_use]
    pub fn language(&self) -> &str {
        self.body.get("language").and_then(Value::as_str).unwrap_or("javascript")
    }

    /// Whether it has a function that is asked about every write.
    #[must_use]
    pub fn validates(&self) -> bool {
        self.body.contains_key("validate_doc_update")
    }

    /// Its functions outside of views.
    pub fn program(&self) -> &Program {
        self.program.get_or_init(|| match &self.module {
            Some(module) => Program::new(Code::Wasm { module: module.clone(), maps: Vec::new() }),
            None => {
                let mut whole = Map::new();
                whole.insert("_id".to_owned(), self.id.as_str().into());
                whole.insert("_rev".to_owned(), self.rev.to_string().into());
                whole.extend(self.body.clone());
                Program::new(Code::Design { json: Value::Object(whole).to_string() })
            }
        })
    }

    /// The WebAssembly module that it names.
    #[must_use]
    pub fn module(&self) -> Option<&[u8]> {
        self.module.as_deref()
    }
}
