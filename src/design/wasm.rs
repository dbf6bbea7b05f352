//! Design documents in WebAssembly: where their module is, and which exports they name.
//!
//! docs/wasm-functions.md describes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::sandbox::{CompileError, WasmModule};

use super::validate::{DesignError, FunctionKind};

/// The longest module that can be used.
pub const MODULE_BYTES_MAX: usize = WasmModule::BYTES_MAX;

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

/// The attachment that a stored design document names as its module, where it does.
#[must_use]
pub fn module_attachment(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        language: String,
        wasm: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        attachment: String,
    }
    let named: Named = serde_json::from_slice(body).ok()?;
    named.language.eq_ignore_ascii_case("wasm").then_some(named.wasm.attachment)
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

/// Checks a design document in WebAssembly, after [`super::validate()`]. `check` tells whether the
/// module is one, and whether it exports a function of that name; it is none where the module is
/// not at hand.
///
/// # Errors
/// Where a function is not the name of an export, or the module is not what it should be.
pub fn validate_wasm(
    ddoc: &Map<String, Value>,
    check: Option<impl Fn(Option<&str>) -> Result<(), CompileError>>,
) -> Result<(), DesignError> {
    for kind in KINDS {
        for (name, value) in members(ddoc, kind) {
            if !value.is_string() {
                let reason = format!("`{kind}.{name}` field must have string type");
                return Err(DesignError::InvalidDesignDoc { reason });
            }
        }
    }
    let Some(check) = check else { return Ok(()) };
    let explained = |error: CompileError, explain: &dyn Fn(CompileError) -> DesignError| {
        if error.is_about_the_source() { explain(error) } else { DesignError::NotCompiled(error) }
    };
    check(None).map_err(|error| explained(error, &DesignError::ModuleCompilation))?;
    for (place, export) in exports(ddoc) {
        if export.is_empty() {
            return Err(DesignError::MissingFunction);
        }
        let failed = |error| explained(error, &|error| place.failed(export, error));
        check(Some(export)).map_err(failed)?;
    }
    Ok(())
}

/// The member of a design document that names an export.
enum Place<'a> {
    View { kind: FunctionKind, view: &'a str },
    Function { kind: &'a str, name: Option<&'a str> },
}

impl Place<'_> {
    fn failed(&self, export: &str, error: CompileError) -> DesignError {
        match *self {
            Self::View { kind, view } => {
                let (view, source_text) = (view.to_owned(), export.to_owned());
                DesignError::CompilationError { kind, view, error, source_text }
            }
            Self::Function { kind, name } => {
                let name = name.map(|name| format!(".{name}")).unwrap_or_default();
                DesignError::FunctionCompilation { path: format!("{kind}{name}"), error }
            }
        }
    }
}

fn members<'a>(
    ddoc: &'a Map<String, Value>,
    kind: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    ddoc.get(kind).and_then(Value::as_object).into_iter().flatten()
}

/// All exports that a design document names.
fn exports(ddoc: &Map<String, Value>) -> Vec<(Place<'_>, &str)> {
    let mut found = Vec::new();
    for (view, members) in members(ddoc, "views").filter(|(name, _)| *name != "lib") {
        let function = |member: &str| members.get(member).and_then(Value::as_str);
        let reduce = function("reduce").filter(|name| !name.starts_with('_'));
        for (kind, export) in [(FunctionKind::Map, function("map")), (FunctionKind::Reduce, reduce)]
        {
            found.extend(export.map(|export| (Place::View { kind, view }, export)));
        }
    }
    for kind in KINDS {
        let functions = members(ddoc, kind).filter_map(|(name, export)| {
            let name = Some(name.as_str());
            Some((Place::Function { kind, name }, export.as_str()?))
        });
        found.extend(functions);
    }
    for kind in ["rewrites", "validate_doc_update"] {
        let export = ddoc.get(kind).and_then(Value::as_str);
        found.extend(export.map(|export| (Place::Function { kind, name: None }, export)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::{DocId, Document, Rev};
    use crate::sandbox::{Code, PoolError, Program, WasmCode};

    use super::super::Ddoc;

    fn object(ddoc: &Value) -> &Map<String, Value> {
        ddoc.as_object().unwrap()
    }

    #[test]
    fn the_module_is_an_attachment_or_in_the_document() {
        let of = |wasm: Value| {
            let source = ModuleSource::of(object(&json!({"language": "wasm", "wasm": wasm})));
            source.map_err(|error| error.to_string())
        };
        let named = of(json!({"attachment": "m.wasm"})).unwrap();
        assert_eq!(named.attachment(), Some("m.wasm"));
        assert_eq!(named.module(None), None);
        assert_eq!(named.module(Some(b"abc")), Some(WasmModule::new(b"abc")));
        let inline = of(json!({"base64": "YWJj"})).unwrap();
        assert_eq!(inline, ModuleSource::Inline(WasmModule::new(b"abc")));
        for (wasm, expect) in [
            (Value::Null, "`wasm` field must have object type"),
            (json!("m.wasm"), "`wasm` field must have object type"),
            (json!({}), "`wasm` field must have one of the members `attachment` and `base64`"),
            (
                json!({"attachment": "m", "base64": ""}),
                "`wasm` field must have one of the members `attachment` and `base64`",
            ),
            (json!({"attachment": 5}), "`wasm.attachment` field must have string type"),
            (json!({"base64": []}), "`wasm.base64` field must have string type"),
            (json!({"base64": "?"}), "`wasm.base64` field must have base64 data"),
        ] {
            assert_eq!(of(wasm.clone()), Err(expect.to_owned()), "{wasm}");
        }
        let named = |body: &str| module_attachment(body.as_bytes());
        let body = r#"{"language":"WASM","wasm":{"attachment":"m"},"views":{}}"#;
        assert_eq!(named(body), Some("m".to_owned()));
        for body in [
            r#"{"language":"javascript","wasm":{"attachment":"m"}}"#,
            r#"{"wasm":{"attachment":"m"}}"#,
            r#"{"language":"wasm","wasm":{"base64":""}}"#,
            r#"{"language":"wasm","wasm":5}"#,
        ] {
            assert_eq!(named(body), None, "{body}");
        }
    }

    /// The module exports `f` and is sound.
    #[track_caller]
    fn check(ddoc: &Value, expect: &str) {
        let missing = |reason: &str| Err(CompileError::Module { reason: reason.to_owned() });
        let exports = |name: Option<&str>| match name {
            None | Some("f") => Ok(()),
            Some("later") => Err(CompileError::TimedOut),
            Some(_) => missing("no such export"),
        };
        let verdict = validate_wasm(object(ddoc), Some(exports));
        let reason = verdict.map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(reason, expect, "{ddoc}");
    }

    #[test]
    fn every_function_is_the_name_of_an_export() {
        check(&json!({}), "");
        let all = json!({
            "views": {"v": {"map": "f", "reduce": "f"}, "w": {"map": "f", "reduce": "_sum"},
                "lib": {"map": "g"}},
            "filters": {"a": "f"}, "lists": {"a": "f"}, "shows": {"a": "f"}, "updates": {"a": "f"},
            "rewrites": "f", "validate_doc_update": "f",
        });
        check(&all, "");
        check(&json!({"rewrites": [{"from": "a", "to": "b"}]}), "");
        let view = "Compilation of the map function in the 'v' view failed: no such export (g)";
        check(&json!({"views": {"v": {"map": "g"}}}), view);
        let reduce =
            "Compilation of the reduce function in the 'v' view failed: no such export (g)";
        check(&json!({"views": {"v": {"map": "f", "reduce": "g"}}}), reduce);
        check(&json!({"views": {"v": {"map": ""}}}), "missing function");
        for kind in KINDS {
            let failed = format!("Compilation of the function `{kind}.a` failed: no such export");
            check(&json!({kind: {"a": "g"}}), &failed);
            let nested = format!("`{kind}.a` field must have string type");
            check(&json!({kind: {"a": {"b": "f"}}}), &nested);
        }
        for kind in ["rewrites", "validate_doc_update"] {
            let failed = format!("Compilation of the function `{kind}` failed: no such export");
            check(&json!({kind: "g"}), &failed);
        }
        check(&json!({"shows": {"s": "later"}}), "OS process timed out.");
    }

    #[test]
    fn the_module_itself_is_looked_at_where_it_is_at_hand() {
        let ddoc = json!({"shows": {"s": "g"}});
        let none = None::<fn(Option<&str>) -> Result<(), CompileError>>;
        assert_eq!(validate_wasm(object(&ddoc), none), Ok(()));
        let check = |error: CompileError| {
            validate_wasm(object(&ddoc), Some(|_: Option<&str>| Err(error.clone())))
        };
        let broken = CompileError::Module { reason: "broken".to_owned() };
        assert_eq!(check(broken.clone()), Err(DesignError::ModuleCompilation(broken)));
        let busy = CompileError::Pool(PoolError::Busy);
        assert_eq!(check(busy.clone()), Err(DesignError::NotCompiled(busy)));
    }

    fn ddoc(body: &Value, attached: Option<&[u8]>) -> Ddoc {
        let document = Document {
            id: DocId::parse("_design/d").unwrap(),
            rev: Rev::parse("1-a").unwrap(),
            deleted: false,
            body: body.to_string().into_bytes().into(),
            attachments: Vec::new(),
        };
        Ddoc::new(&document, attached).unwrap()
    }

    #[test]
    fn a_new_module_means_a_new_index() {
        let views = json!({"v": {"map": "f"}});
        let attached = json!({"language": "wasm", "wasm": {"attachment": "m"}, "views": views});
        let inline = json!({"language": "wasm", "wasm": {"base64": "YWJj"}, "views": views});
        let signature =
            |body: &Value, bytes: Option<&[u8]>| ddoc(body, bytes).signature().to_owned();
        let first = signature(&attached, Some(b"abc"));
        assert_eq!(first, signature(&inline, None), "it does not matter where the module is");
        assert_ne!(first, signature(&attached, Some(b"abd")));
        assert_ne!(first, signature(&attached, None));
    }

    #[test]
    fn programs_are_made_of_the_module() {
        let body = json!({"language": "wasm", "wasm": {"base64": "YWJj"}, "shows": {"s": "f"}});
        let same = |program: &Program, code: Code| {
            assert_eq!(format!("{program:?}"), format!("{:?}", Program::new(code)));
        };
        let module = || WasmModule::new(b"abc");
        let code = |code: WasmCode| Code::Wasm { module: module(), code };
        let found = ddoc(&body, None);
        let members = [("language", json!("wasm")), ("shows", json!({"s": "f"}))];
        let members = members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        same(found.program(), code(WasmCode::Design(members)));
        let maps = vec!["f".to_owned()];
        same(&found.maps(maps.clone()), code(WasmCode::Maps(maps.clone())));
        same(&found.reduce("g"), code(WasmCode::Reduce("g".to_owned())));
        let reason = "The design document has no attachment `m`, which is to be its module.";
        let lost = ddoc(&json!({"language": "wasm", "wasm": {"attachment": "m"}}), None);
        same(&lost.maps(maps), Code::Unusable { reason: reason.to_owned() });
    }
}
