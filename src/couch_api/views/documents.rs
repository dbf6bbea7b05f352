//! The documents of rows (`include_docs=true`): a row's own document, or the one that its value
//! names with `_id` and `_rev`.
//!
//! As in CouchDB, only a row's own document shows conflicts and attachments as the query asks;
//! a value that names a document without being able to gives `null`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::couch_api::error::ApiError;
use crate::couch_api::row_documents::{RowDocuments, conflicts_of};
use crate::couch_api::view_query::ViewQuery;
use crate::database::{Database, DatabaseError};
use crate::document::{DocId, Document, Rev};

/// Which document a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    which: Which,
    /// The value names it.
    is_linked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Nothing,
    /// What is current, unless it is deleted.
    Winner(DocId),
    /// This revision, a tombstone too.
    Revision(DocId, Rev),
}

/// The members of a value that name a document.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "_id", default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(rename = "_rev", default, deserialize_with = "present")]
    rev: Option<Value>,
}

/// `null` is something else than nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Wanted {
    /// The document of a row with this id and this value, JSON.
    pub fn of(id: &str, value: &str) -> Self {
        let is_named = || value.contains("\"_id\"") || value.contains("\"_rev\"");
        let link = match value.as_bytes().first() {
            Some(b'{') if is_named() => serde_json::from_str(value).ok(),
            _ => None,
        };
        let Link { id: named, rev } = link.unwrap_or(Link { id: None, rev: None });
        let is_linked = named.is_some();
        let id = match &named {
            None => DocId::parse(id).ok(),
            Some(named) => named.as_str().and_then(|named| DocId::parse(named).ok()),
        };
        let rev = rev.map(|rev| rev.as_str().and_then(|rev| Rev::parse(rev).ok()));
        let which = match (id, rev) {
            (Some(id), None) => Which::Winner(id),
            (Some(id), Some(Some(rev))) => Which::Revision(id, rev),
            (None, _) | (_, Some(None)) => Which::Nothing,
        };
        Self { which, is_linked }
    }
}

/// Reads and writes the documents of rows.
#[derive(Debug)]
pub struct RowDocumentReader {
    db: Arc<Database>,
    form: RowDocuments,
    conflicts: bool,
}

impl RowDocumentReader {
    #[must_use]
    pub fn new(db: Arc<Database>, query: &ViewQuery) -> Self {
        let form = RowDocuments::of(query.attachments, query.att_encoding_info);
        Self { db, form, conflicts: query.conflicts == Some(true) }
    }

    /// The documents of several rows, in their order.
    pub fn read(&self, rows: &[Wanted]) -> Result<Vec<Option<Document>>, DatabaseError> {
        let (mut ids, mut revisions) = (Vec::new(), Vec::new());
        for row in rows {
            match &row.which {
                Which::Nothing => {}
                Which::Winner(id) => ids.push(id.clone()),
                Which::Revision(id, rev) => revisions.push((id.clone(), rev.clone())),
            }
        }
        let mut winners = self.db.winners(&ids)?.into_iter();
        let mut revisions = self.db.revisions(&revisions)?.into_iter();
        let documents = rows.iter().map(|row| match &row.which {
            Which::Nothing => None,
            Which::Winner(_) => winners.next().flatten().filter(|document| !document.deleted),
            Which::Revision(..) => revisions.next().flatten(),
        });
        Ok(documents.collect())
    }

    /// Appends a row's document as JSON.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        row: &Wanted,
        document: Option<&Document>,
    ) -> Result<(), ApiError> {
        let Some(document) = document else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        if row.is_linked {
            return RowDocuments::default().write(out, &self.db, document, &[]);
        }
        let conflicts = if self.conflicts {
            self.db.head(&document.id)?.map_or_else(Vec::new, |head| conflicts_of(&head))
        } else {
            Vec::new()
        };
        self.form.write(out, &self.db, document, &conflicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_rows_show() {
        let id = |id: &str| DocId::parse(id).unwrap();
        let rev = || Rev::parse("1-a").unwrap();
        let (linked, own) = (true, false);
        for (value, which, is_linked) in [
            ("null", Which::Winner(id("a")), own),
            ("{\"x\":1}", Which::Winner(id("a")), own),
            ("\"_id\"", Which::Winner(id("a")), own),
            ("[{\"_id\":\"b\"}]", Which::Winner(id("a")), own),
            ("{\"_id\":\"b\"}", Which::Winner(id("b")), linked),
            ("{\"_id\":\"a\"}", Which::Winner(id("a")), linked),
            ("{\"_id\":\"b\",\"_rev\":\"1-a\"}", Which::Revision(id("b"), rev()), linked),
            ("{\"_rev\":\"1-a\",\"x\":[2]}", Which::Revision(id("a"), rev()), own),
            ("{\"_id\":null}", Which::Nothing, linked),
            ("{\"_id\":5}", Which::Nothing, linked),
            ("{\"_id\":\"_b\"}", Which::Nothing, linked),
            ("{\"_rev\":null}", Which::Nothing, own),
            ("{\"_id\":\"b\",\"_rev\":\"x\"}", Which::Nothing, linked),
        ] {
            assert_eq!(Wanted::of("a", value), Wanted { which, is_linked }, "{value}");
        }
    }
}
