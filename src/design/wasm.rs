//! Design documents in WebAssembly: where their module is, and which exports they name.
//!
//! docs/wasm-functions.md describes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::sandbox::{CompileError, WasmModule};

use super::validate::{DesignError, FunctionKind};

/// The member that says where the module is.
pub(super) const MEMBER: &str = "wasm";

/// The members whose members name exports, beside `views`.
const KINDS: [&str; 4] = ["filters", "lists", "shows", "updates"];

/// Whether the functions of a design document are in WebAssembly.
#[must_use]
pub fn is_wasm(ddoc: &Map<String, Value>) -> bool {
    let language = ddoc.get("language").and_then(Value::as_str);
    language.is_some_and(|language| language.eq_ignore_ascii_case("wasm"))
}

/// Where the module of a design document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleSource {
    /// `"wasm": {"attachment": "name"}`
    Attachment(String),
    /// `"wasm": {"base64": "..."}`, decoded.
    Inline(WasmModule),
}

impl ModuleSource {
    /// Reads the member `wasm` of a design document.
    ///
    /// # Errors
    /// Where it does not name a module.
    pub fn of(ddoc: &Map<String, Value>) -> Result<Self, DesignError> {
        let invalid = |reason: &str| DesignError::InvalidDesignDoc { reason: reason.to_owned() };
        let Some(Value::Object(member)) = ddoc.get(MEMBER) else {
            return Err(invalid("`wasm` field must have object type"));
        };
        match (member.get("attachment"), member.get("base64")) {
            (Some(Value::String(name)), None) => Ok(Self::Attachment(name.clone())),
            (Some(_), None) => Err(invalid("`wasm.attachment` field must have string type")),
            (None, Some(Value::String(text))) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Self::Inline(WasmModule::new(&bytes))),
                Err(_) => Err(invalid("`wasm.base64` field must have base64 data")),
            },
            (None, Some(_)) => Err(invalid("`wasm.base64` field must have string type")),
            (None, None) | (Some(_), Some(_)) => {
                Err(invalid("`wasm` field must have one of the members `attachment` and `base64`"))
            }
        }
    }

    /// The attachment that is the module, where it is one.
    #[must_use]
    pub fn attachment(&self) -> Option<&str> {
        match self {
            Self::Attachment(name) => Some(name),
            Self::Inline(_) => None,
        }
    }

    /// The module itself; `attached` is the attachment of that name, where there is one.
    #[must_use]
    pub fn module(&self, attached: Option<&[u8]>) -> Option<WasmModule> {
        match self {
            Self::Attachment(_) => attached.map(WasmModule::new),
            Self::Inline(module) => Some(module.clone()),
        }
    }

    /// What to say where the module is an attachment that is not there.
    #[must_use]
    pub fn missing(&self) -> String {
        let name = self.attachment().unwrap_or_default();
        format!("The design document has no attachment `{name}`, which is to be its module.")
    }
}

/// Checks a design document in WebAssembly beside what [`super::validate`] does. `export` tells
/// whether the module exports a function of that name; an empty name asks about the module alone.
/// It is not asked where the module is none, because it comes later.
///
/// # Errors
/// Where the document names no module, or one without the functions that it names.
pub fn validate_wasm(
    ddoc: &Map<String, Value>,
    export: Option<impl Fn(&str) -> Result<(), CompileError>>,
) -> Result<(), DesignError> {
    for kind in KINDS {
        let members = ddoc.get(kind).and_then(Value::as_object).into_iter().flatten();
        for (name, value) in members {
            if !value.is_string() {
                let reason = format!("`{kind}.{name}` field must have string type");
                return Err(DesignError::InvalidDesignDoc { reason });
            }
        }
    }
    let Some(export) = export else { return Ok(()) };
    let ask = |name: &str, explain: &dyn Fn(CompileError) -> DesignError| {
        export(name).map_err(|error| match error {
            error if !error.is_about_the_source() => DesignError::NotCompiled(error),
            error => explain(error),
        })
    };
    ask("", &DesignError::ModuleCompilation)?;
    let views = ddoc.get("views").and_then(Value::as_object).into_iter().flatten();
    for (name, view) in views.filter(|(name, _)| *name != "lib") {
        for (kind, member) in [(FunctionKind::Map, "map"), (FunctionKind::Reduce, "reduce")] {
            let function = view.get(member).and_then(Value::as_str);
            let built_in = |name: &str| kind == FunctionKind::Reduce && name.starts_with('_');
            let Some(function) = function.filter(|name| !built_in(name)) else { continue };
            ask(function, &|error| DesignError::CompilationError {
                kind,
                view: name.clone(),
                error,
                source_text: function.to_owned(),
            })?;
        }
    }
    let ask_at = |path: String, function: &Value| match function.as_str() {
        Some(name) => {
            ask(name, &|error| DesignError::FunctionCompilation { path: path.clone(), error })
        }
        None => Ok(()),
    };
    for kind in KINDS {
        let members = ddoc.get(kind).and_then(Value::as_object).into_iter().flatten();
        for (name, function) in members {
            ask_at(format!("{kind}.{name}"), function)?;
        }
    }
    ddoc.get("validate_doc_update")
        .map_or(Ok(()), |function| ask_at("validate_doc_update".to_owned(), function))
}
