//! A design document that is ready to be used: its members, and its functions as a program.

use std::sync::OnceLock;

use md5::{Digest as _, Md5};
use serde_json::{Map, Value};

use crate::document::{DocId, Document, Rev};
use crate::sandbox::{Code, Program};

use super::view_signature;

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
    signature: OnceLock<String>,
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
        let (program, signature) = (OnceLock::new(), OnceLock::new());
        Ok(Self { id, rev, body, module, program, signature })
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

    /// Names what its views compute: an index is kept as long as a design document has its
    /// signature.
    pub fn signature(&self) -> &str {
        self.signature.get_or_init(|| {
            let views = view_signature(&self.body);
            let Some(module) = &self.module else { return views };
            let digest = Md5::new().chain_update(&views).chain_update(module).finalize();
            format!("{:032x}", u128::from_be_bytes(digest.into()))
        })
    }

    /// The WebAssembly module that it names.
    #[must_use]
    pub fn module(&self) -> Option<&[u8]> {
        self.module.as_deref()
    }
}
