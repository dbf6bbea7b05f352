//! `POST /{db}/_bulk_get`: many revisions of many documents, streamed in the order of the request.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::database::Database;
use crate::document::revtree::RevTree;
use crate::document::{DocId, Rev};
use crate::http::multipart::Boundary;
use crate::http::multipart::writer::{self, BulkGetPart, Subtype};
use crate::http::negotiate::{self, BodyFormat};
use crate::metrics;

use super::document_parts::RevisionOptions;
use super::error::ApiError;
use super::open_revs::{Wanted, document_bytes};
use super::pieces::Pieces;
use super::query::Query;
use super::request::Request;
use super::respond::{self, Answer};
use super::revision_rows::{LoadedRow, Row, Rows};
use super::stream::{self, PAGE_BYTES, Pages};
use super::viewer::Viewer;

/// Documents whose revision trees are read together.
const BATCH_DOCUMENTS: usize = 100;

/// Parameters that are members of the body's items, or mean nothing here.
const FORBIDDEN_PARAMETERS: [&str; 5] = ["rev", "open_revs", "atts_since", "w", "new_edits"];

/// Answers the whole request; what is wrong with one item is told in its place.
pub async fn bulk_get(mut request: Request, db: Arc<Database>) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    let mut body = request.json_object().await?;
    let Some(Value::Array(items)) = body.remove("docs") else {
        return Err(ApiError::bad_request("Missing JSON list of 'docs'."));
    };
    metrics::BULK_REQUESTS.add(1);
    check_parameters(&request.query)?;
    let options = RevisionOptions::of(&request.query)?;
    let latest = request.query.is_true("latest");
    let subtype = match negotiate::bulk_get_format(request.header(header::ACCEPT.as_str())) {
        BodyFormat::Json => None,
        BodyFormat::MultipartMixed => Some(Subtype::Mixed),
        BodyFormat::MultipartRelated => Some(Subtype::Related),
    };
    let boundary = Boundary::new(rand::random());
    let content_type = subtype.map(|subtype| writer::content_type(subtype, &boundary));
    let framing = match subtype {
        None => Framing::Json,
        Some(_) => Framing::Multipart { boundary, close: !items.is_empty() },
    };
    let viewer = Viewer::of(&request, &db)?;
    let rows = Rows::new(db, viewer.clone());
    let results = Results::new(rows, viewer, items, latest, options, framing);
    let body = stream::stream_pages("bulk get", results).await?;
    Ok(match content_type {
        None => respond::json_stream(body),
        Some(content_type) => {
            let response = Response::new(Body::from_stream(body));
            respond::with(response, header::CONTENT_TYPE, &content_type)
        }
    })
}

fn check_parameters(query: &Query) -> Result<(), ApiError> {
    match query.pairs().find(|(name, _)| FORBIDDEN_PARAMETERS.contains(name)) {
        Some((name, _)) => {
            let reason = format!("\"{name}\" query parameter is not acceptable");
            Err(ApiError::bad_request(reason))
        }
        None => Ok(()),
    }
}

/// Why an item has no document: what CouchDB tells in its place.
#[derive(Debug, Clone, PartialEq)]
struct ItemError {
    rev: Value,
    error: &'static str,
    reason: String,
}

impl ItemError {
    fn new(rev: Value, error: &'static str, reason: impl Into<String>) -> Self {
        Self { rev, error, reason: reason.into() }
    }

    fn missing(rev: &str) -> Self {
        Self::new(rev.into(), "not_found", "missing")
    }

    /// What the user may not see.
    fn hidden(error: &ApiError) -> Self {
        match error {
            ApiError::Forbidden(reason) => Self::new(Value::Null, "forbidden", reason.clone()),
            _ => Self::missing("undefined"),
        }
    }

    /// With the members in CouchDB's order.
    fn to_json(&self, id: &Value) -> Value {
        json!({"rev": self.rev, "reason": self.reason, "id": id, "error": self.error})
    }
}

/// One element of `docs`.
#[derive(Debug, PartialEq)]
struct Item {
    id: DocId,
    wanted: Wanted,
    atts_since: Option<Arc<[Rev]>>,
}

impl Item {
    fn of(item: &Value, latest: bool) -> Result<Self, ItemError> {
        let id = match item.get("id") {
            None => return Err(ItemError::new(Value::Null, "bad_request", "document id missed")),
            Some(Value::String(id)) => DocId::parse(id)
                .map_err(|error| ItemError::new(Value::Null, "illegal_docid", error.to_string()))?,
            Some(_) => {
                let reason = "Document id must be a string";
                return Err(ItemError::new(Value::Null, "illegal_docid", reason));
            }
        };
        let wanted = match item.get("rev") {
            None => Wanted::Leaves,
            Some(rev) => Wanted::listed(vec![parse_rev(rev)?], latest),
        };
        let atts_since = match item.get("atts_since") {
            None => None,
            Some(Value::Array(revs)) if revs.is_empty() => None,
            Some(Value::Array(revs)) => Some(revs.iter().map(parse_rev).collect::<Result<_, _>>()?),
            Some(other) => {
                let reason = "att_since value must be array of revs.";
                return Err(ItemError::new(other.clone(), "bad_request", reason));
            }
        };
        Ok(Self { id, wanted, atts_since })
    }
}

fn parse_rev(rev: &Value) -> Result<Rev, ItemError> {
    Rev::parse(rev.as_str().unwrap_or_default())
        .map_err(|error| ItemError::new(rev.clone(), "bad_request", error.to_string()))
}

/// What the rows of one item share.
#[derive(Debug)]
struct Shared {
    /// As the client wrote it.
    id: Value,
    tree: RevTree,
    options: RevisionOptions,
}

/// One entry of an item's `docs`.
#[derive(Debug)]
struct Entry {
    item: Arc<Shared>,
    first: bool,
    last: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Revision(Rev),
    Error(ItemError),
}

enum Framing {
    Json,
    /// CouchDB does not close a body without parts.
    Multipart {
        boundary: Boundary,
        close: bool,
    },
}

/// The answer on its way out.
struct Results {
    db: Arc<Database>,
    viewer: Viewer,
    items: std::vec::IntoIter<Value>,
    latest: bool,
    options: RevisionOptions,
    framing: Framing,
    rows: Rows<Entry>,
    pieces: Pieces,
    /// Goes before the next item: the opening of the list, then commas.
    separator: &'static str,
}

impl Results {
    fn new(
        rows: Rows<Entry>,
        viewer: Viewer,
        items: Vec<Value>,
        latest: bool,
        options: RevisionOptions,
        framing: Framing,
    ) -> Self {
        Self {
            db: rows.db().clone(),
            rows,
            viewer,
            items: items.into_iter(),
            latest,
            options,
            framing,
            pieces: Pieces::default(),
            separator: "{\"results\":[",
        }
    }

    /// Finds out which revisions the next items mean. Returns whether there were any items.
    fn select(&mut self) -> Result<bool, ApiError> {
        let mut batch = Vec::with_capacity(BATCH_DOCUMENTS);
        for mut value in self.items.by_ref().take(BATCH_DOCUMENTS) {
            let item = Item::of(&value, self.latest).and_then(|item| {
                let visible = self.viewer.check(&item.id);
                visible.map(|()| item).map_err(|error| ItemError::hidden(&error))
            });
            let id = value.get_mut("id").map(Value::take).unwrap_or_default();
            batch.push((id, item));
        }
        let ids = batch.iter().filter_map(|(_, item)| Some(item.as_ref().ok()?.id.clone()));
        let ids: Vec<DocId> = ids.collect();
        let mut heads = self.db.heads(&ids)?.into_iter();
        let any = !batch.is_empty();
        for (id, item) in batch {
            match item {
                Ok(item) => {
                    let head = heads.next().flatten();
                    let bytes = head.as_ref().map_or(0, document_bytes);
                    let tree = head.map(|head| head.tree).unwrap_or_default();
                    self.push(id, tree, item, bytes);
                }
                Err(error) => self.push_error(id, error),
            }
        }
        Ok(any)
    }

    fn push_error(&mut self, id: Value, error: ItemError) {
        let (tree, options) = (RevTree::default(), RevisionOptions::default());
        let item = Arc::new(Shared { id, tree, options });
        let tag = Entry { item, first: true, last: true, content: Content::Error(error) };
        self.rows.push(Row { tag, wanted: None, bytes: 0 });
    }

    fn push(&mut self, id: Value, tree: RevTree, item: Item, bytes: u64) {
        let selection = item.wanted.select(&tree);
        let count = selection.found.len() + selection.missing.len();
        if count == 0 {
            return self.push_error(id, ItemError::missing("undefined"));
        }
        let mut options = self.options.clone();
        if item.atts_since.is_some() {
            (options.attachments, options.atts_since) = (true, item.atts_since);
        }
        let shared = Arc::new(Shared { id, tree, options });
        let found = selection.found.into_iter().map(|rev| (rev, true));
        let missing = selection.missing.into_iter().map(|rev| (rev, false));
        for (at, (rev, known)) in found.chain(missing).enumerate() {
            let wanted = known.then(|| (item.id.clone(), rev.clone()));
            let tag = Entry {
                item: shared.clone(),
                first: at == 0,
                last: at + 1 == count,
                content: Content::Revision(rev),
            };
            self.rows.push(Row { tag, wanted, bytes });
        }
    }

    fn write_json(&mut self, out: &mut Vec<u8>, row: &LoadedRow<Entry>) -> Result<(), ApiError> {
        let item = &row.tag.item;
        if row.tag.first {
            out.extend_from_slice(self.separator.as_bytes());
            self.separator = ",";
            out.extend_from_slice(b"{\"id\":");
            write_value(out, &item.id);
            out.extend_from_slice(b",\"docs\":[");
        } else {
            out.push(b',');
        }
        if let Some(document) = &row.document {
            out.extend_from_slice(b"{\"ok\":");
            item.options.write_json(out, &self.db, &item.tree, document)?;
        } else {
            out.extend_from_slice(b"{\"error\":");
            write_value(out, &row.tag.content.error().to_json(&item.id));
        }
        out.push(b'}');
        if row.tag.last {
            out.extend_from_slice(b"]}");
        }
        Ok(())
    }

    fn push_part(&mut self, boundary: &Boundary, row: &LoadedRow<Entry>) -> Result<(), ApiError> {
        let item = &row.tag.item;
        let Some(document) = &row.document else {
            let error = row.tag.content.error().to_json(&item.id).to_string();
            self.pieces.push_text(writer::bulk_get_part_head(boundary, BulkGetPart::Error));
            self.pieces.push_text(error);
            return Ok(());
        };
        let related = item.options.related(&self.db, &item.tree, document)?;
        let (id, rev) = (document.id.as_str(), document.rev.to_string());
        let part = related.boundary().map_or(BulkGetPart::Json, |inner| BulkGetPart::Related {
            id,
            rev: &rev,
            boundary: inner,
        });
        self.pieces.push_text(writer::bulk_get_part_head(boundary, part));
        related.push_to(&mut self.pieces);
        Ok(())
    }

    fn close(&self, out: &mut Vec<u8>) {
        match &self.framing {
            Framing::Json => {
                if self.separator != "," {
                    out.extend_from_slice(self.separator.as_bytes());
                }
                out.extend_from_slice(b"]}\n");
            }
            Framing::Multipart { boundary, close: true } => {
                out.extend_from_slice(&writer::bulk_get_close(boundary));
            }
            Framing::Multipart { close: false, .. } => {}
        }
    }
}

impl Content {
    /// Why there is no document. A revision is missing where compaction has dropped its body.
    fn error(&self) -> ItemError {
        match self {
            Self::Revision(rev) => ItemError::missing(&rev.to_string()),
            Self::Error(error) => error.clone(),
        }
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(value.to_string().as_bytes());
}

impl Pages for Results {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        loop {
            self.pieces.write_page(out)?;
            if out.len() >= PAGE_BYTES {
                return Ok(true);
            }
            let row = match self.rows.next()? {
                Some(row) => row,
                None if self.select()? => continue,
                None => break,
            };
            match &self.framing {
                Framing::Json => self.write_json(out, &row)?,
                Framing::Multipart { boundary, .. } => {
                    let boundary = boundary.clone();
                    self.push_part(&boundary, &row)?;
                }
            }
        }
        self.close(out);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_or_refused() {
        let rev = |text: &str| Rev::parse(text).unwrap();
        let id = DocId::parse("a").unwrap();
        let plain = Item { id: id.clone(), wanted: Wanted::Leaves, atts_since: None };
        assert_eq!(Item::of(&json!({"id": "a"}), true), Ok(plain));
        let full = Item {
            id,
            wanted: Wanted::LeavesFrom(vec![rev("1-b")]),
            atts_since: Some([rev("1-c")].into()),
        };
        let item = json!({"id": "a", "rev": "1-b", "atts_since": ["1-c"]});
        assert_eq!(Item::of(&item, true), Ok(full));
        for (item, rev, error, reason) in [
            (json!({}), json!(null), "bad_request", "document id missed"),
            (json!(3), json!(null), "bad_request", "document id missed"),
            (json!({"id": 3}), json!(null), "illegal_docid", "Document id must be a string"),
            (json!({"id": ""}), json!(null), "illegal_docid", "Document id must not be empty"),
            (json!({"id": "a", "rev": "x"}), json!("x"), "bad_request", "Invalid rev format"),
            (json!({"id": "a", "rev": 1}), json!(1), "bad_request", "Invalid rev format"),
            (
                json!({"id": "a", "atts_since": "1-a"}),
                json!("1-a"),
                "bad_request",
                "att_since value must be array of revs.",
            ),
        ] {
            let expect = ItemError::new(rev, error, reason);
            assert_eq!(Item::of(&item, false), Err(expect), "{item}");
        }
    }
}
