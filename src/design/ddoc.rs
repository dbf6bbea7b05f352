//! A design document that is ready to be used: its members, and its functions as programs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value, json};

use crate::document::{Attachment, DocId, Document, Rev};
use crate::sandbox::{Code, NativeFunction, Program, Sandbox, WasmCode, WasmModule};

use super::signature::view_signature;
use super::wasm::{self, ModuleSource};

/// A design document as it is stored.
#[derive(Debug)]
pub struct Ddoc {
    pub id: DocId,
    pub rev: Rev,
    /// Its members without those that begin with an underscore.
    pub body: Map<String, Value>,
    /// Its attachments as stubs, by their names.
    attachments: Map<String, Value>,
    /// The WebAssembly module that it names, or why there is none; nothing in other languages.
    module: Option<Result<WasmModule, String>>,
    program: OnceLock<Program>,
    /// Which of its functions run natively, by path.
    native: Mutex<HashMap<String, Option<Arc<NativeFunction>>>>,
    signature: OnceLock<String>,
}

impl Ddoc {
    /// Reads a stored design document. `attached` is the WebAssembly module that it names, where
    /// that is an attachment.
    ///
    /// # Errors
    /// Where the body is no JSON object, which what was stored always is.
    pub fn new(document: &Document, attached: Option<&[u8]>) -> Result<Self, serde_json::Error> {
        let body: Map<String, Value> = serde_json::from_slice(&document.body)?;
        let (id, rev) = (document.id.clone(), document.rev.clone());
        let module = wasm::is_wasm(&body).then(|| {
            let source = ModuleSource::of(&body).map_err(|error| error.to_string())?;
            source.module(attached).ok_or_else(|| source.missing())
        });
        let attachments = document.attachments.iter().map(stub).collect();
        let (program, signature) = (OnceLock::new(), OnceLock::new());
        let native = Mutex::default();
        Ok(Self { id, rev, body, attachments, module, program, native, signature })
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

    /// Its attachments as stubs, by their names.
    #[must_use]
    pub fn attachments(&self) -> &Map<String, Value> {
        &self.attachments
    }

    /// Its functions outside of views.
    pub fn program(&self) -> &Program {
        self.program.get_or_init(|| {
            let in_wasm = self.in_wasm(|| {
                let mut members = self.body.clone();
                members.shift_remove(wasm::MEMBER);
                WasmCode::Design(members)
            });
            in_wasm.unwrap_or_else(|| {
                let mut whole = Map::new();
                whole.insert("_id".to_owned(), self.id.as_str().into());
                whole.insert("_rev".to_owned(), self.rev.to_string().into());
                whole.extend(self.body.clone());
                if !self.attachments.is_empty() {
                    whole.insert("_attachments".to_owned(), self.attachments.clone().into());
                }
                Program::new(Code::Design { json: Value::Object(whole).to_string() })
            })
        })
    }

    /// The function at a path as it runs without an engine; none where it does not, or where that
    /// is not known yet. Blocks when it is asked for first.
    pub(super) fn native(&self, path: &[&str], sandbox: &Sandbox) -> Option<Arc<NativeFunction>> {
        let (first, members) = path.split_first()?;
        let key = path.join("\0");
        let natives = || self.native.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = natives().get(&key) {
            return known.clone();
        }
        let mut source = self.body.get(*first).filter(|_| self.module.is_none())?;
        for member in members {
            source = source.get(member)?;
        }
        let made = sandbox.native_function(source.as_str()?).ok()?.map(Arc::new);
        natives().insert(key, made.clone());
        made
    }

    /// Names what its views compute: an index is kept as long as a design document has its
    /// signature.
    pub fn signature(&self) -> &str {
        self.signature.get_or_init(|| {
            view_signature(&self.body, self.module.as_ref().and_then(|module| module.as_ref().ok()))
        })
    }

    /// The map functions `sources` of its views: JavaScript, or the names of exports.
    #[must_use]
    pub fn maps(&self, sources: Vec<String>) -> Program {
        let in_wasm = self.in_wasm(|| WasmCode::Maps(sources.clone()));
        in_wasm.unwrap_or_else(|| {
            Program::new(Code::Maps { sources, modules: self.modules_of_views() })
        })
    }

    /// The reduce function `source` of a view: JavaScript, or the name of an export.
    #[must_use]
    pub fn reduce(&self, source: &str) -> Program {
        let in_wasm = self.in_wasm(|| WasmCode::Reduce(source.to_owned()));
        in_wasm.unwrap_or_else(|| Program::new(Code::Reduce { source: source.to_owned() }))
    }

    fn in_wasm(&self, code: impl FnOnce() -> WasmCode) -> Option<Program> {
        let program = match self.module.as_ref()? {
            Ok(module) => Code::Wasm { module: module.clone(), code: code() },
            Err(reason) => Code::Unusable { reason: reason.clone() },
        };
        Some(Program::new(program))
    }

    /// The part of the design document that map functions may `require`.
    fn modules_of_views(&self) -> Option<String> {
        let lib = self.body.get("views")?.get("lib")?;
        let modules = Map::from_iter([("lib".to_owned(), lib.clone())]);
        Some(Value::Object(modules).to_string())
    }

    /// The bytes of the module that it names, which it keeps beside its members.
    #[must_use]
    pub fn module_bytes(&self) -> usize {
        self.module.iter().flatten().map(|module| module.bytes().len()).sum()
    }
}

fn stub(attachment: &Attachment) -> (String, Value) {
    let stub = json!({
        "content_type": attachment.content_type,
        "revpos": attachment.revpos,
        "digest": attachment.digest.to_string(),
        "length": attachment.length,
        "stub": true,
    });
    (attachment.name.clone(), stub)
}
