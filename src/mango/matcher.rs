//! Asking documents whether a query wants them, and showing what it wants of them.
//!
//! Only the members that the selector looks at are read, straight from the stored body where none
//! of them is the server's own; a document that is shown whole is spliced and not parsed.

use serde_json::{Map, Value};

use crate::document::encode::{Extras, write_document};
use crate::document::{DocId, Document, Rev};

use super::error::MangoError;
use super::fields::{extract, place};
use super::request::FindRequest;
use super::selector::{FieldPath, Projection, Selector};

/// What a query asks of documents.
#[derive(Debug)]
pub struct Matcher {
    selector: Selector,
    looked_at: Projection,
    shown: Option<Shown>,
}

/// The fields that are shown of a document.
#[derive(Debug)]
struct Shown {
    fields: Vec<FieldPath>,
    parts: Projection,
}

impl Matcher {
    pub fn new(request: &FindRequest) -> Self {
        let selector = request.selector.clone();
        let looked_at = Projection::of_selector(&selector);
        let shown = request.fields.clone().map(|fields| {
            let parts = Projection::of_paths(&fields);
            Shown { fields, parts }
        });
        Self { selector, looked_at, shown }
    }

    /// Whether a document is wanted.
    pub fn wants(&self, document: &Document, conflicts: &[Rev]) -> Result<bool, MangoError> {
        // What cannot be read, because it is nested too deep, cannot be seen by a selector.
        match read(&self.looked_at, document, conflicts) {
            Some(members) => Ok(self.selector.matches(&members)?),
            None => Ok(false),
        }
    }

    /// Appends what is shown of a document.
    pub fn write(&self, out: &mut Vec<u8>, document: &Document, conflicts: &[Rev]) {
        match &self.shown {
            None => write_document(out, document, &Extras { conflicts, ..Extras::default() }),
            Some(shown) => {
                let members = read(&shown.parts, document, conflicts).unwrap_or_default();
                write_value(out, &extract(&members, &shown.fields));
            }
        }
    }

    /// Appends what is shown of a document that the key of its row tells all about, if it is
    /// wanted. `columns` are the fields in the key, which is JSON.
    pub fn write_from_key(
        &self,
        out: &mut Vec<u8>,
        (id, key): (&DocId, &str),
        columns: &[FieldPath],
    ) -> Result<bool, MangoError> {
        let mut document = Value::Object(Map::from_iter([("_id".to_owned(), id.as_str().into())]));
        let values: Vec<Value> = serde_json::from_str(key).unwrap_or_default();
        for (column, value) in columns.iter().zip(values) {
            place(&mut document, column, value);
        }
        if !self.selector.matches(&document)? {
            return Ok(false);
        }
        let fields = self.shown.as_ref().map(|shown| shown.fields.as_slice());
        write_value(out, &extract(&document, fields.unwrap_or_default()));
        Ok(true)
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// The members of interest of a document as a client would see it.
fn read(projection: &Projection, document: &Document, conflicts: &[Rev]) -> Option<Value> {
    if projection.is_of_bodies() {
        return projection.read(&document.body);
    }
    let mut text = Vec::new();
    write_document(&mut text, document, &Extras { conflicts, ..Extras::default() });
    projection.read(&text)
}
