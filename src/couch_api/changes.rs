//! `/{db}/_changes`: every kind of feed over the changes of one database.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::http::{Method, header};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::changes::{
    ChangesError, Cursor, Documents, Feed, Filter, News, Options, Reached, Row, RowDocument, Style,
};
use crate::database::{Database, Direction, PageKey, Seq, SharedPage};
use crate::document::encode::{write_rev, write_string};

use super::changes_filter::{self, Asked, Posted};
use super::changes_options::ChangesOptions;
use super::error::ApiError;
use super::feed::{self, FeedKind, Framing, Progress, Source, write_seq};
use super::request::Request;
use super::respond::{self, Answer};
use super::row_documents::RowDocuments;
use super::stream::PAGE_BYTES;

/// Sequences up to which a plain page is read at once on the async worker: cheaper than another
/// thread.
const QUICK_SEQS: u64 = 128;
/// Sequences by which a feed may be behind and yet share its pages with others: each then ends at
/// the next multiple of [`QUICK_SEQS`], where all who are behind meet.
const SHARED_SEQS: u64 = 8192;
/// With documents a page may end anywhere; attachments can make one row very large.
const PAGE_BYTES_MAX: usize = 4 * PAGE_BYTES;

/// `GET` and `POST /{db}/_changes`.
pub async fn changes(mut request: Request, db: Arc<Database>) -> Answer {
    let posted = posted(&mut request).await?;
    let body = posted.json();
    let last_event_id = request.header("last-event-id");
    let options = ChangesOptions::parse(&request.query, last_event_id)?;
    let filter = match changes_filter::filter(&options, body)? {
        Asked::Filter(filter) => filter,
        Asked::Function(function) => function.load(&mut request, &db, posted.clone()).await?,
    };
    let kind = options.kind()?;
    let since = options.since()?;
    let asked = Options {
        style: options.style,
        filter,
        direction: options.direction,
        limit: options.limit,
        documents: options.row_documents(),
        lookups_max: request.settings.couchdb.changes_doc_ids_optimization_threshold,
        views: Some(request.app.views.clone()),
    };
    let feed = Feed::new(db, since, asked);
    let timing = options.timing(request.settings.chttpd.changes_timeout_ms);
    let etag = (kind == FeedKind::Normal).then(|| etag(&request, feed.cursor(), body));
    if let Some(etag) = &etag
        && request.matches_etag(etag)
    {
        return Ok(respond::not_modified(etag));
    }
    let ChangesOptions { seq_interval, documents, .. } = options;
    let source = Changes { feed, seq_interval, documents };
    let response = feed::respond(source, kind, timing, request.app.stopping.clone()).await?;
    Ok(match etag {
        Some(etag) => respond::with(response, header::ETAG, &etag),
        None => response,
    })
}

async fn posted(request: &mut Request) -> Result<Posted, ApiError> {
    request.allow(&[Method::GET, Method::POST], "GET,POST,HEAD")?;
    if request.method == Method::GET {
        return Ok(Posted::Nothing);
    }
    request.require_json()?;
    let bytes = request.bytes().await?;
    if bytes.is_empty() {
        return Ok(Posted::Empty(Map::new()));
    }
    match serde_json::from_slice(&bytes).map_err(|_| ApiError::invalid_json())? {
        Value::Object(body) => Ok(Posted::Json(body)),
        _ => Err(ApiError::bad_request("Request body must be a JSON object")),
    }
}

/// What the answer depends on: the state of the database, and the question.
fn etag(request: &Request, cursor: &Cursor, body: Option<&Map<String, Value>>) -> String {
    let newest = cursor.db().seq(cursor.upto()).to_string();
    let body = body.map(|body| Value::Object(body.clone()).to_string()).unwrap_or_default();
    let mut parts = vec![newest.as_bytes(), body.as_bytes()];
    parts.extend(
        request.query.pairs().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]),
    );
    respond::content_etag(&parts)
}

struct Changes {
    feed: Feed,
    seq_interval: Option<u64>,
    documents: RowDocuments,
}

impl Changes {
    /// The form in which rows are the same for everybody who asks for nothing special.
    fn shared_form(&self, kind: FeedKind) -> Option<u8> {
        let Options { style, filter, direction, limit, documents, .. } =
            self.feed.cursor().options();
        let plain = matches!(filter, Filter::Everything)
            && *direction == Direction::Forward
            && *documents == Documents::No
            && limit.is_none()
            && self.seq_interval.is_none();
        let form = match (kind, style) {
            (FeedKind::Continuous, Style::MainOnly) => 0,
            (FeedKind::Continuous, Style::AllDocs) => 1,
            (FeedKind::EventSource, Style::MainOnly) => 2,
            (FeedKind::EventSource, Style::AllDocs) => 3,
            (FeedKind::Normal | FeedKind::Longpoll, _) => return None,
        };
        plain.then_some(form)
    }

    /// Appends the next rows up to the first one at or behind a sequence.
    fn page_until(
        &mut self,
        until: u64,
        framing: &mut Framing,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ApiError> {
        let Self { feed, seq_interval, documents } = self;
        let db = feed.cursor().db().clone();
        let full = match feed.cursor().options().documents {
            Documents::No => PAGE_BYTES,
            Documents::Winner | Documents::WinnerWithConflicts => PAGE_BYTES_MAX,
        };
        let mut failed = None;
        let reached = feed.cursor_mut().page(&mut |row| {
            let says_seq = seq_interval.is_none_or(|interval| row.allowed % interval == 0);
            let seq = says_seq.then(|| db.seq(row.seq));
            framing.open_row(out);
            failed = write_row(out, &db, row, seq, *documents).err();
            framing.close_row(out, seq);
            let stop = failed.is_some() || out.len() >= full || row.seq >= until;
            if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(match reached.map_err(changes_error)? {
            Reached::PageEnd => Progress::More,
            // Backward there is nothing to wait for.
            Reached::PassEnd if feed.cursor().options().direction == Direction::Backward => {
                Progress::Limit
            }
            Reached::PassEnd => Progress::PassEnd,
            Reached::Limit => Progress::Limit,
        })
    }
}

impl Source for Changes {
    const OPERATION: &'static str = "read changes";

    fn is_quick(&self) -> bool {
        let cursor = self.feed.cursor();
        let Options { filter, direction, documents, .. } = cursor.options();
        matches!(filter, Filter::Everything)
            && *direction == Direction::Forward
            && *documents == Documents::No
            && cursor.upto().saturating_sub(cursor.last_seq()) <= QUICK_SEQS
    }

    fn shared_page(&mut self, framing: Framing) -> Result<Option<(Bytes, Progress)>, ApiError> {
        let cursor = self.feed.cursor();
        let (after, upto) = (cursor.last_seq(), cursor.upto());
        let Some(form) = self.shared_form(framing.kind) else { return Ok(None) };
        let db = cursor.db().clone();
        let behind = upto.saturating_sub(after);
        if behind > SHARED_SEQS || db.followers() < 2 {
            return Ok(None);
        }
        let until = if behind <= QUICK_SEQS { upto } else { (after / QUICK_SEQS + 1) * QUICK_SEQS };
        let key = PageKey { form, after, upto: until };
        if let Some(SharedPage { bytes, reached }) = db.shared_pages().get(key) {
            self.feed.cursor_mut().skip_to(reached);
            let progress = if reached >= upto { Progress::PassEnd } else { Progress::More };
            return Ok(Some((bytes, progress)));
        }
        let mut out = Vec::new();
        let stop = if until == upto { u64::MAX } else { until };
        let progress = self.page_until(stop, &mut framing.clone(), &mut out)?;
        let bytes = Bytes::from(out);
        let reached = self.feed.cursor().last_seq();
        db.shared_pages().put(key, SharedPage { bytes: bytes.clone(), reached });
        Ok(Some((bytes, progress)))
    }

    fn page(&mut self, framing: &mut Framing, out: &mut Vec<u8>) -> Result<Progress, ApiError> {
        self.page_until(u64::MAX, framing, out)
    }

    fn end(&mut self, framing: Framing, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let cursor = self.feed.cursor();
        let pending = match framing.kind {
            FeedKind::EventSource => None,
            _ => Some(cursor.pending()?),
        };
        framing.end(out, cursor.db().seq(cursor.last_seq()), pending);
        Ok(())
    }

    async fn news(&mut self) -> bool {
        self.feed.news().await == News::Changes
    }
}

fn changes_error(error: ChangesError) -> ApiError {
    match error {
        ChangesError::Database(error) => error.into(),
        ChangesError::Selector(error) => error.into(),
        ChangesError::Function(error) => error.into(),
    }
}

/// Appends a row as a JSON object.
fn write_row(
    out: &mut Vec<u8>,
    db: &Database,
    row: &Row<'_>,
    seq: Option<Seq>,
    documents: RowDocuments,
) -> Result<(), ApiError> {
    out.extend_from_slice(b"{\"seq\":");
    write_seq(out, seq);
    out.extend_from_slice(b",\"id\":");
    write_string(out, row.id.as_str());
    out.extend_from_slice(b",\"changes\":[");
    for (at, (rev, _)) in row.revs.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"rev\":" } else { b",{\"rev\":" });
        write_rev(out, rev);
        out.push(b'}');
    }
    out.push(b']');
    if row.deleted {
        out.extend_from_slice(b",\"deleted\":true");
    }
    match row.document {
        RowDocument::NotAsked => {}
        RowDocument::Gone => out.extend_from_slice(b",\"doc\":null"),
        RowDocument::Whole { document, conflicts } => {
            out.extend_from_slice(b",\"doc\":");
            documents.write(out, db, document, conflicts)?;
        }
        RowDocument::Fields(fields) => {
            out.extend_from_slice(b",\"doc\":");
            out.extend_from_slice(fields.to_string().as_bytes());
        }
    }
    out.push(b'}');
    Ok(())
}
