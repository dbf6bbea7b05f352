//! Which changes a feed shows: by id, or by what a selector or a function says of the documents.

use std::collections::HashSet;

use serde_json::Value;

use crate::document::{DocId, Document, Rev, encode};
use crate::mango::fields;
use crate::mango::selector::{FieldPath, Projection, Selector, SelectorError};

use super::FunctionFilter;

/// What a feed is filtered by.
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
    /// A function of a design document; `_view`.
    Function(FunctionFilter),
}

impl Filter {
    /// Whether a change may pass as far as its id tells.
    pub(super) fn may_pass(&self, id: &DocId) -> bool {
        match self {
            Self::Everything | Self::Selector(_) | Self::Function(_) => true,
            Self::DocIds(ids) => ids.contains(id),
            Self::Design => id.is_design(),
        }
    }

    pub(super) fn selector(&self) -> Option<&SelectorFilter> {
        match self {
            Self::Selector(selector) => Some(selector),
            Self::Everything | Self::DocIds(_) | Self::Design | Self::Function(_) => None,
        }
    }

    /// Whether documents have to be read to be judged.
    pub(super) fn reads_documents(&self) -> bool {
        match self {
            Self::Selector(_) | Self::Function(_) => true,
            Self::Everything | Self::DocIds(_) | Self::Design => false,
        }
    }
}

/// A selector, and the fields of documents to show.
#[derive(Debug, Clone)]
pub struct SelectorFilter {
    selector: Selector,
    /// What the selector looks at.
    looked_at: Projection,
    /// Empty for whole documents.
    fields: Vec<FieldPath>,
    /// What the fields are parts of.
    showing: Projection,
}

impl SelectorFilter {
    /// Reads a selector and the fields to show; no fields means whole documents.
    ///
    /// # Errors
    /// Those of selectors; a field name with an empty piece.
    pub fn parse(selector: &Value, fields: &[&str]) -> Result<Self, SelectorError> {
        let selector = Selector::parse(selector)?;
        let fields: Vec<FieldPath> =
            fields.iter().map(|field| FieldPath::parse(field)).collect::<Result<_, _>>()?;
        let looked_at = Projection::of_selector(&selector);
        let showing = Projection::of_paths(&fields);
        Ok(Self { selector, looked_at, fields, showing })
    }

    pub(super) fn selector(&self) -> &Selector {
        &self.selector
    }

    pub(super) fn matches(
        &self,
        document: &Document,
        conflicts: &[Rev],
    ) -> Result<bool, SelectorError> {
        // What was stored is valid JSON; where the selector looks at something that is nested too
        // deep to be read, the document does not match, as one that cannot be seen.
        let shown = read(&self.looked_at, document, conflicts);
        shown.map_or(Ok(false), |value| self.selector.matches(&value))
    }

    /// The fields to show, as an object; `None` where whole documents are wanted.
    pub(super) fn project(&self, document: &Document, conflicts: &[Rev]) -> Option<Value> {
        if self.fields.is_empty() {
            return None;
        }
        let value = read(&self.showing, document, conflicts)?;
        Some(fields::extract(&value, &self.fields))
    }
}

/// The document as a client would see it, as far as it is of interest.
fn read(projection: &Projection, document: &Document, conflicts: &[Rev]) -> Option<Value> {
    let mut text = Vec::new();
    let extras = encode::Extras { conflicts, ..encode::Extras::default() };
    encode::write_document(&mut text, document, &extras);
    projection.read(&text)
}
