//! Which changes a feed shows: by id, or by what a selector says of the documents.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::document::{DocId, Document, Rev, encode};
use crate::mango::selector::{FieldPath, Found, Selector, SelectorError};

/// The filters that need no function of a design document.
#[derive(Debug, Clone, Default)]
pub enum Filter {
    #[default]
    Everything,
    /// `_doc_ids`.
    DocIds(HashSet<DocId>),
    /// `_design`.
    Design,
    /// `_selector`.
    Selector(SelectorFilter),
}

impl Filter {
    /// Whether a change may pass as far as its id tells.
    pub(super) fn may_pass(&self, id: &DocId) -> bool {
        match self {
            Self::Everything | Self::Selector(_) => true,
            Self::DocIds(ids) => ids.contains(id),
            Self::Design => id.is_design(),
        }
    }

    pub(super) fn selector(&self) -> Option<&SelectorFilter> {
        match self {
            Self::Selector(selector) => Some(selector),
            Self::Everything | Self::DocIds(_) | Self::Design => None,
        }
    }
}

/// A selector, and the fields of documents to show.
#[derive(Debug, Clone)]
pub struct SelectorFilter {
    selector: Selector,
    /// Empty for whole documents.
    fields: Vec<FieldPath>,
}

impl SelectorFilter {
    /// Reads a selector and the fields to show; no fields means whole documents.
    ///
    /// # Errors
    /// Those of selectors; a field name with an empty piece.
    pub fn parse(selector: &Value, fields: &[&str]) -> Result<Self, SelectorError> {
        let selector = Selector::parse(selector)?;
        let fields =
            fields.iter().map(|field| FieldPath::parse(field)).collect::<Result<_, _>>()?;
        Ok(Self { selector, fields })
    }

    pub(super) fn matches(
        &self,
        document: &Document,
        conflicts: &[Rev],
    ) -> Result<bool, SelectorError> {
        // What was stored is valid JSON; a body that is nested too deep for the reader does not
        // match, as a document that cannot be seen.
        shown(document, conflicts).map_or(Ok(false), |value| self.selector.matches(&value))
    }

    /// The fields to show, as an object; `None` where whole documents are wanted.
    pub(super) fn project(&self, document: &Document, conflicts: &[Rev]) -> Option<Value> {
        if self.fields.is_empty() {
            return None;
        }
        let value = shown(document, conflicts)?;
        let mut projected = Value::Object(Map::new());
        for field in &self.fields {
            if let Found::Value(found) = field.find(&value) {
                place(&mut projected, field, found);
            }
        }
        Some(projected)
    }
}

/// The document as a client would see it.
fn shown(document: &Document, conflicts: &[Rev]) -> Option<Value> {
    let mut text = Vec::new();
    let extras = encode::Extras { conflicts, ..encode::Extras::default() };
    encode::write_document(&mut text, document, &extras);
    serde_json::from_slice(&text).ok()
}

/// Puts a value into an object at a path of objects.
fn place(into: &mut Value, path: &FieldPath, found: &Value) {
    let mut at = into;
    for piece in path.pieces() {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(entries) = at else { return };
        at = entries.entry(&**piece).or_insert(Value::Null);
    }
    *at = found.clone();
}
