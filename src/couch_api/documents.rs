//! Reading one document: `GET /{db}/{id}` with all that can be asked beside it.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::Response;

use crate::blocking;
use crate::database::{Database, Head};
use crate::document::encode::{EncodingInfo, Extras, RevStatus, write_document};
use crate::document::{DocId, Document, Rev, Revisions};
use crate::http::negotiate::{self, BodyFormat};

use super::document_parts;
use super::error::ApiError;
use super::open_revs;
use super::query::Query;
use super::request::Request;
use super::respond::{self, Answer};
use super::viewer::Viewer;

/// With none of these a read is the winner and nothing else.
const PARAMETERS: [&str; 12] = [
    "rev",
    "revs",
    "revs_info",
    "conflicts",
    "deleted_conflicts",
    "local_seq",
    "meta",
    "latest",
    "open_revs",
    "attachments",
    "atts_since",
    "deleted",
];

/// `/db/_design%2Fx`: the same path with a slash is the document's own.
///
/// # Errors
/// 404 where the path spells the name in yet another way.
pub fn redirect_to_design(request: &Request) -> Answer {
    const ENCODED: &str = "_design%2f";
    let path = request.raw_path.as_str();
    let at = path.to_ascii_lowercase().find(ENCODED).ok_or_else(ApiError::missing)?;
    let (before, rest) = path.split_at(at);
    let rest = rest.get(ENCODED.len()..).unwrap_or_default();
    let location = format!("{}{before}_design/{rest}", request.base_url());
    let mut response = Response::default();
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    Ok(respond::with(response, header::LOCATION, &location))
}

/// `GET /{db}/{id}`.
pub async fn get(request: Request, db: Arc<Database>, id: DocId) -> Answer {
    let viewer = Viewer::of(&request, &db)?;
    viewer.check(&id)?;
    if request.query.get("open_revs").is_some_and(|revs| revs != "[]") {
        return Box::pin(open_revs::get(request, db, id, viewer)).await;
    }
    if !request.query.pairs().any(|(name, _)| PARAMETERS.contains(&name)) {
        return plain(&request, &db, &id, &viewer);
    }
    let wanted = Wanted::of(&request.query)?;
    let reading = db.clone();
    let found = blocking::run("read document", move || Found::read(&reading, &id, &wanted));
    let mut found = found.await??;
    found.document = viewer.show(found.document)?;
    let etag = respond::quoted(&found.document.rev.to_string());
    let etag = found.has_etag().then_some(etag);
    if let Some(etag) = etag.as_deref().filter(|etag| request.matches_etag(etag)) {
        return Ok(respond::not_modified(etag));
    }
    let query = &request.query;
    let with_data = query.is_true("attachments") || query.get("atts_since").is_some();
    let response = if with_data && !found.document.attachments.is_empty() {
        match negotiate::document_format(request.header(header::ACCEPT.as_str())) {
            BodyFormat::MultipartMixed | BodyFormat::MultipartRelated => {
                document_parts::related(&request, db, found).await?
            }
            BodyFormat::Json => document_parts::inline(&request, db, found).await?,
        }
    } else {
        let mut out = Vec::new();
        let info = encoding_info(&request.query);
        let extras = Extras { encoding_info: info, ..found.extras() };
        write_document(&mut out, &found.document, &extras);
        out.push(b'\n');
        respond::json_bytes(StatusCode::OK, out)
    };
    Ok(match etag {
        Some(etag) => respond::with(response, header::ETAG, &etag),
        None => response,
    })
}

/// Whether stubs say how their bytes are stored.
#[must_use]
pub fn encoding_info(query: &Query) -> EncodingInfo {
    if query.is_true("att_encoding_info") { EncodingInfo::Show } else { EncodingInfo::Hide }
}

/// The winner and nothing else: two reads and a splice, on the async worker itself.
fn plain(request: &Request, db: &Database, id: &DocId, viewer: &Viewer) -> Answer {
    let document = db.winner(id)?.ok_or_else(ApiError::missing)?;
    if document.deleted {
        return Err(ApiError::not_found("deleted"));
    }
    let document = viewer.show(document)?;
    let etag = respond::quoted(&document.rev.to_string());
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let mut out = Vec::with_capacity(document.body.len() + 128);
    let info = encoding_info(&request.query);
    write_document(&mut out, &document, &Extras { encoding_info: info, ..Extras::default() });
    out.push(b'\n');
    let response = respond::json_bytes(StatusCode::OK, out);
    Ok(respond::with(response, header::ETAG, &etag))
}

/// What a request asks of a document.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a query parameter of its own")]
pub struct Wanted {
    pub rev: Option<Rev>,
    pub latest: bool,
    pub deleted: bool,
    pub revs: bool,
    pub revs_info: bool,
    pub local_seq: bool,
    pub conflicts: bool,
    pub deleted_conflicts: bool,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, ApiError> {
        let meta = query.is_true("meta");
        Ok(Self {
            rev: query.get("rev").map(Rev::parse).transpose()?,
            latest: query.is_true("latest"),
            deleted: query.is_true("deleted"),
            revs: query.is_true("revs"),
            revs_info: meta || query.is_true("revs_info"),
            local_seq: query.is_true("local_seq"),
            conflicts: meta || query.is_true("conflicts"),
            deleted_conflicts: meta || query.is_true("deleted_conflicts"),
        })
    }
}

/// A document and what was asked beside it.
#[derive(Debug)]
pub struct Found {
    pub document: Document,
    pub revisions: Option<Revisions>,
    pub revs_info: Option<Vec<(Rev, RevStatus)>>,
    pub local_seq: Option<u64>,
    pub conflicts: Vec<Rev>,
    pub deleted_conflicts: Vec<Rev>,
}

impl Found {
    /// Reads the revision that `wanted` names, or the winner.
    ///
    /// # Errors
    /// 404 `missing`, `deleted`.
    pub fn read(db: &Database, id: &DocId, wanted: &Wanted) -> Result<Self, ApiError> {
        // Bodies that compaction drops between the two reads are not leaves: look again.
        for _ in 0..3 {
            let head = db.head(id)?.ok_or_else(ApiError::missing)?;
            let node = match &wanted.rev {
                // CouchDB answers the winner where `latest` is given, unless it is a leaf.
                Some(rev) if wanted.latest && !head.tree.is_leaf(rev) => head.tree.winner(),
                Some(rev) => head.tree.get(rev),
                None => head.tree.winner(),
            };
            let node = node.filter(|node| node.stored).ok_or_else(ApiError::missing)?;
            if node.deleted && wanted.rev.is_none() && !wanted.deleted {
                return Err(ApiError::not_found("deleted"));
            }
            if let Some(document) = db.revision(id, &node.rev())? {
                return Ok(Self::beside(document, &head, wanted));
            }
        }
        Err(ApiError::missing())
    }

    fn beside(document: Document, head: &Head, wanted: &Wanted) -> Self {
        let path = head.tree.path(&document.rev);
        let others = |deleted: bool| -> Vec<Rev> {
            let leaves = head.tree.leaves();
            let others = leaves.iter().filter(|leaf| leaf.deleted == deleted);
            others.map(|leaf| leaf.rev()).filter(|rev| *rev != document.rev).collect()
        };
        Self {
            revs_info: wanted.revs_info.then(|| revs_info(head, path.as_ref())),
            revisions: path.filter(|_| wanted.revs),
            local_seq: wanted.local_seq.then_some(head.seq),
            conflicts: if wanted.conflicts { others(false) } else { Vec::new() },
            deleted_conflicts: if wanted.deleted_conflicts { others(true) } else { Vec::new() },
            document,
        }
    }

    /// An answer has a tag where all of it follows from the revision.
    fn has_etag(&self) -> bool {
        self.revs_info.is_none()
            && self.local_seq.is_none()
            && self.conflicts.is_empty()
            && self.deleted_conflicts.is_empty()
    }

    /// For the document's encoder; attachments as stubs.
    #[must_use]
    pub fn extras(&self) -> Extras<'_> {
        Extras {
            revisions: self.revisions.as_ref(),
            revs_info: self.revs_info.as_deref(),
            local_seq: self.local_seq,
            conflicts: &self.conflicts,
            deleted_conflicts: &self.deleted_conflicts,
            ..Extras::default()
        }
    }
}

fn revs_info(head: &Head, path: Option<&Revisions>) -> Vec<(Rev, RevStatus)> {
    let Some(path) = path else { return Vec::new() };
    let revs = (0u64..).zip(&path.ids).filter_map(|(up, hash)| {
        Some(Rev { generation: path.start.checked_sub(up)?, hash: hash.clone() })
    });
    revs.map(|rev| {
        let status = match head.tree.get(&rev) {
            Some(node) if node.stored && node.deleted => RevStatus::Deleted,
            Some(node) if node.stored => RevStatus::Available,
            _ => RevStatus::Missing,
        };
        (rev, status)
    })
    .collect()
}
