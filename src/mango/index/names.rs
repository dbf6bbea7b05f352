//! The name of an index that was created without one: CouchDB's SHA-1 of its definition.

use std::fmt::Write;

use serde_json::Value;
use sha1::{Digest as _, Sha1};

use crate::document::json::term::{
    VERSION, put_atom, put_binary, put_integer, put_list_head, put_nil, put_tuple_head,
};
use crate::document::json::{Limits, term};

/// What a creation says beside the definition; what is missing counts too.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub name: Option<&'a str>,
    pub ddoc: Option<&'a str>,
    pub partitioned: Option<bool>,
    pub index_type: &'a str,
    pub w: u64,
}

/// The name, in hexadecimal: the same definition has the same name on every server.
pub fn default_name(definition: &Value, given: Given<'_>) -> String {
    // What was read as JSON can be written as a term.
    let definition = term(definition.to_string().as_bytes(), &Limits::default());
    let definition = definition.unwrap_or_default();
    let definition = definition.get(1..).unwrap_or_default();
    let mut out = vec![VERSION];
    put_tuple_head(&mut out, 2);
    out.extend_from_slice(definition);
    put_list_head(&mut out, 6);
    let member = |out: &mut Vec<u8>, name| {
        put_tuple_head(out, 2);
        put_atom(out, name);
    };
    let text = |out: &mut Vec<u8>, text: Option<&str>| match text {
        Some(text) => put_binary(out, text.as_bytes()),
        None => put_atom(out, "auto_name"),
    };
    member(&mut out, "ddoc");
    text(&mut out, given.ddoc);
    member(&mut out, "def");
    out.extend_from_slice(definition);
    member(&mut out, "name");
    text(&mut out, given.name);
    member(&mut out, "partitioned");
    put_atom(
        &mut out,
        match given.partitioned {
            Some(true) => "true",
            Some(false) => "false",
            None => "db_default",
        },
    );
    member(&mut out, "type");
    put_binary(&mut out, given.index_type.as_bytes());
    member(&mut out, "w");
    put_integer(&mut out, given.w.into());
    put_nil(&mut out);
    let mut name = String::with_capacity(40);
    for byte in Sha1::digest(&out) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Recorded from CouchDB 3.5.
    #[test]
    fn names_are_couchdbs() {
        let given = Given { name: None, ddoc: None, partitioned: None, index_type: "json", w: 2 };
        for (definition, name) in [
            (json!({"fields": ["age"]}), "ae8325de4e40689e6a6f4843a539d4b91f68c4f1"),
            (json!({"fields": []}), "16d64bc5aa5ac9a0662f02b45a7d70d4a6923ccc"),
        ] {
            assert_eq!(default_name(&definition, given), name);
        }
    }
}
