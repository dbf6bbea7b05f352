//! `GET /{db}/{id}?open_revs=`: several revisions of one document, as multipart/mixed or JSON.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use serde_json::Value;

use crate::blocking;
use crate::database::{Database, Head};
use crate::document::encode::write_rev;
use crate::document::revtree::{Node, RevTree};
use crate::document::{DocId, Rev};
use crate::http::multipart::Boundary;
use crate::http::multipart::writer::{self, MixedPart, Subtype};
use crate::http::negotiate::{self, BodyFormat};

use super::document_parts::RevisionOptions;
use super::error::ApiError;
use super::pieces::Pieces;
use super::query::Query;
use super::request::Request;
use super::respond::{self, Answer};
use super::revision_rows::{LoadedRow, Row, Rows};
use super::stream::{self, PAGE_BYTES, Pages};
use super::viewer::Viewer;

/// Which revisions of a document a reader means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All leaves, deleted ones too.
    Leaves,
    Listed(Vec<Rev>),
    /// The leaves that descend from the listed revisions.
    LeavesFrom(Vec<Rev>),
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, ApiError> {
        if query.get("open_revs") == Some("all") {
            return Ok(Self::Leaves);
        }
        let Some(Value::Array(listed)) = query.json::<Value>("open_revs")? else {
            return Err(ApiError::bad_request("Invalid list of revisions"));
        };
        let parse = |rev: &Value| Rev::parse(rev.as_str().unwrap_or_default());
        let revs = listed.iter().map(parse).collect::<Result<Vec<Rev>, _>>()?;
        Ok(Self::listed(revs, query.is_true("latest")))
    }

    /// The listed revisions, or with `latest` what became of them.
    #[must_use]
    pub fn listed(revs: Vec<Rev>, latest: bool) -> Self {
        if latest { Self::LeavesFrom(revs) } else { Self::Listed(revs) }
    }

    /// The revisions that `tree` has and those that it has not, each ascending.
    #[must_use]
    pub fn select(&self, tree: &RevTree) -> Selection {
        let mut selection = Selection::default();
        let listed = match self {
            Self::Leaves => {
                selection.found.extend(tree.leaves().into_iter().map(Node::rev));
                return selection;
            }
            Self::Listed(revs) | Self::LeavesFrom(revs) => revs,
        };
        for rev in listed {
            match tree.get(rev) {
                None => {
                    selection.missing.insert(rev.clone());
                }
                // Where it was found already, so were the leaves that descend from it.
                Some(_) if selection.found.contains(rev) => {}
                Some(_) if matches!(self, Self::LeavesFrom(_)) => {
                    selection.found.extend(tree.leaves_from(rev).into_iter().map(Node::rev));
                }
                Some(node) => {
                    selection.found.insert(node.rev());
                }
            }
        }
        selection
    }
}

/// What of the wanted revisions is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub found: BTreeSet<Rev>,
    pub missing: BTreeSet<Rev>,
}

/// Sends the revisions that `open_revs` lists. An empty list gives an empty answer.
pub async fn get(request: Request, db: Arc<Database>, id: DocId, viewer: Viewer) -> Answer {
    let wanted = Wanted::of(&request.query)?;
    let options = RevisionOptions::of(&request.query)?;
    let accept = request.header(header::ACCEPT.as_str());
    let framing = match negotiate::open_revs_format(accept) {
        BodyFormat::Json => Framing::Json,
        BodyFormat::MultipartMixed | BodyFormat::MultipartRelated => {
            Framing::Mixed(Boundary::new(rand::random()))
        }
    };
    let content_type = match &framing {
        Framing::Json => None,
        Framing::Mixed(boundary) => Some(writer::content_type(Subtype::Mixed, boundary)),
    };
    let open = move || Opened::new(Rows::new(db, viewer), &id, &wanted, options, framing);
    let opened = blocking::run("read revisions", open).await??;
    let body = stream::stream_pages("read revisions", opened).await?;
    Ok(match content_type {
        None => respond::json_stream(body),
        Some(content_type) => {
            let response = Response::new(Body::from_stream(body));
            respond::with(response, header::CONTENT_TYPE, &content_type)
        }
    })
}

enum Framing {
    Json,
    Mixed(Boundary),
}

/// The revisions of one document on their way out.
struct Opened {
    db: Arc<Database>,
    tree: RevTree,
    options: RevisionOptions,
    framing: Framing,
    rows: Rows<Rev>,
    pieces: Pieces,
    place: Place,
}

/// Where in the answer we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    FirstRow,
    Rows,
}

impl Opened {
    fn new(
        mut rows: Rows<Rev>,
        id: &DocId,
        wanted: &Wanted,
        options: RevisionOptions,
        framing: Framing,
    ) -> Result<Self, ApiError> {
        let db = rows.db().clone();
        let head = db.head(id)?;
        if head.is_none() && *wanted == Wanted::Leaves {
            return Err(ApiError::missing());
        }
        let bytes = head.as_ref().map_or(0, document_bytes);
        let tree = head.map(|head| head.tree).unwrap_or_default();
        let selection = wanted.select(&tree);
        for rev in selection.found {
            rows.push(Row { tag: rev.clone(), wanted: Some((id.clone(), rev)), bytes });
        }
        for rev in selection.missing {
            rows.push(Row { tag: rev, wanted: None, bytes: 0 });
        }
        let (pieces, place) = (Pieces::default(), Place::Start);
        Ok(Self { db, tree, options, framing, rows, pieces, place })
    }

    fn write_json_row(&mut self, out: &mut Vec<u8>, row: &LoadedRow<Rev>) -> Result<(), ApiError> {
        if self.place == Place::Rows {
            out.push(b',');
        }
        match &row.document {
            Some(document) => {
                out.extend_from_slice(b"{\"ok\":");
                self.options.write_json(out, &self.db, &self.tree, document)?;
            }
            None => {
                out.extend_from_slice(b"{\"missing\":");
                write_rev(out, &row.tag);
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn push_part(&mut self, boundary: &Boundary, row: &LoadedRow<Rev>) -> Result<(), ApiError> {
        match &row.document {
            Some(document) => {
                let related = self.options.related(&self.db, &self.tree, document)?;
                let part = related.boundary().map_or(MixedPart::Json, MixedPart::Related);
                self.pieces.push_text(writer::mixed_part_head(part));
                related.push_to(&mut self.pieces);
            }
            None => {
                self.pieces.push_text(writer::mixed_part_head(MixedPart::Missing));
                self.pieces.push_text(writer::missing_body(&row.tag.to_string()));
            }
        }
        self.pieces.push_text(writer::next(boundary));
        Ok(())
    }
}

impl Pages for Opened {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if self.place == Place::Start {
            match &self.framing {
                Framing::Json => out.push(b'['),
                Framing::Mixed(boundary) => self.pieces.push_text(writer::opening(boundary)),
            }
            self.place = Place::FirstRow;
        }
        loop {
            self.pieces.write_page(out)?;
            if out.len() >= PAGE_BYTES {
                return Ok(true);
            }
            let Some(row) = self.rows.next()? else { break };
            match &self.framing {
                Framing::Json => self.write_json_row(out, &row)?,
                Framing::Mixed(boundary) => {
                    let boundary = boundary.clone();
                    self.push_part(&boundary, &row)?;
                }
            }
            self.place = Place::Rows;
        }
        match &self.framing {
            Framing::Json => out.extend_from_slice(b"]\n"),
            Framing::Mixed(_) => out.extend_from_slice(&writer::CLOSE),
        }
        Ok(false)
    }
}

/// What one leaf of a document takes in memory, about.
#[must_use]
pub fn document_bytes(head: &Head) -> u64 {
    head.external_bytes / (head.tree.leaves().len() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{RevHash, Revisions};

    fn tree() -> RevTree {
        let mut tree = RevTree::default();
        for (path, deleted) in [("c b a", false), ("d b a", true), ("x", false)] {
            let ids: Vec<RevHash> = path.split(' ').map(RevHash::parse).collect();
            tree.merge(&Revisions { start: ids.len() as u64, ids }, deleted);
        }
        tree
    }

    fn revs(text: &str) -> Vec<Rev> {
        text.split_whitespace().map(|rev| Rev::parse(rev).unwrap()).collect()
    }

    #[test]
    fn revisions_are_selected_in_the_order_of_the_tree() {
        for (wanted, found, missing) in [
            (Wanted::Leaves, "1-x 3-c 3-d", ""),
            (Wanted::listed(revs("3-d 1-a 3-d"), false), "1-a 3-d", ""),
            (Wanted::listed(revs("3-d 9-z 2-q"), false), "3-d", "2-q 9-z"),
            (Wanted::listed(revs("2-b 3-c 5-q"), true), "3-c 3-d", "5-q"),
            (Wanted::listed(revs("1-x"), true), "1-x", ""),
            (Wanted::listed(Vec::new(), true), "", ""),
        ] {
            let selection = wanted.select(&tree());
            assert_eq!(selection.found.into_iter().collect::<Vec<_>>(), revs(found), "{wanted:?}");
            let missing = revs(missing);
            assert_eq!(selection.missing.into_iter().collect::<Vec<_>>(), missing, "{wanted:?}");
        }
        let unknown = Wanted::listed(revs("1-a"), true).select(&RevTree::default());
        assert_eq!(unknown.missing.len(), 1);
    }

    #[test]
    fn open_revs_parameters() {
        let of = |value: &str| {
            Wanted::of(&Query::new(vec![("open_revs".to_owned(), value.to_owned())])).ok()
        };
        assert_eq!(of("all"), Some(Wanted::Leaves));
        assert_eq!(of(r#"["1-a"]"#), Some(Wanted::Listed(revs("1-a"))));
        for bad in ["", "1-a", r#"{"a":1}"#, "[1]", r#"["nonsense"]"#] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
