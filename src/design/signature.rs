//! Names what the views of a design document compute.
//!
//! Two design documents whose views compute the same have the same signature and share an index,
//! and a change to other members leaves an index valid. So the signature covers the views' names,
//! maps, reduces and options, the modules in `views.lib`, the language and the document's options,
//! and, of WebAssembly, the module; nothing else. It is stored with indexes: what goes into it must
//! not change.

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::sandbox::WasmModule;

/// The members of a view that its rows depend on.
const VIEW_MEMBERS: [&str; 3] = ["map", "reduce", "options"];

/// Whether there is a view to build; a design document without one has a signature all the same.
pub fn has_views(ddoc: &Map<String, Value>) -> bool {
    views(ddoc).is_some_and(|views| views.keys().any(|name| name != "lib"))
}

/// The signature, 32 hexadecimal digits. Malformed members count as they are.
pub(super) fn view_signature(ddoc: &Map<String, Value>, module: Option<&WasmModule>) -> String {
    let mut definitions: Vec<(&String, Value)> = views(ddoc)
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "lib")
        .map(|(name, view)| (name, definition(view)))
        .collect();
    definitions.sort_by_key(|(name, _)| *name);
    let mut signed = vec![
        json!(ddoc.get("language").unwrap_or(&json!("javascript"))),
        json!(definitions),
        sorted(ddoc.get("options").unwrap_or(&json!({}))),
        sorted(views(ddoc).and_then(|views| views.get("lib")).unwrap_or(&json!({}))),
    ];
    signed.extend(module.map(|module| json!(module.digest())));
    let digest = Md5::digest(Value::Array(signed).to_string().as_bytes());
    format!("{:032x}", u128::from_be_bytes(digest.into()))
}

fn views(ddoc: &Map<String, Value>) -> Option<&Map<String, Value>> {
    ddoc.get("views").and_then(Value::as_object)
}

/// Keeps the order of members within a map: in a Mango index it is the order of the fields.
fn definition(view: &Value) -> Value {
    VIEW_MEMBERS.iter().map(|member| view.get(member).cloned().unwrap_or(Value::Null)).collect()
}

/// The same value with all members in order of their names. Recursion goes as deep as the value,
/// which the parser that made it has bounded.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
