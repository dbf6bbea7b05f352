//! Changes of a database of this server, as a replication reads them.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::blocking;
use crate::changes::{
    Feed, Filter, FilterFunction, FunctionFilter, News, Options, Reached, SelectorFilter, Since,
    Style,
};
use crate::database::{Database, Seq};
use crate::design::Ddoc;
use crate::document::DocId;

use super::super::peer::{Answer, Changed, ChangesBatch, ChangesQuery, ChangesReader};
use super::super::{PeerError, Selection};
use super::LocalPeer;

/// Where a reader goes on; what this server never gave means the beginning.
pub fn since(db: &Database, seq: &Value) -> u64 {
    match seq {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::String(text) => Seq::parse(text).map_or(0, |seq| db.number_of(seq)),
        _ => 0,
    }
}

/// Begins to read.
///
/// # Errors
/// Where the filter makes no sense, or is not there.
pub fn read(
    peer: &LocalPeer,
    db: &Arc<Database>,
    query: &ChangesQuery,
) -> Result<Box<dyn ChangesReader>, PeerError> {
    let filter = filter(peer, db, &query.selection)?;
    let style = if query.winning_revs_only { Style::MainOnly } else { Style::AllDocs };
    let settings = peer.server.config.snapshot();
    let lookups_max = settings.couchdb.changes_doc_ids_optimization_threshold;
    let views = Some(peer.server.views.clone());
    let options = Options { style, filter, lookups_max, views, ..Options::default() };
    let since = match since(db, &query.since) {
        0 => Since::Beginning,
        number => Since::Seq(db.seq(number)),
    };
    let feed = Feed::new(db.clone(), since, options);
    let (continuous, batch) = (query.continuous, query.batch.max(1));
    Ok(Box::new(LocalReader { feed: Some(feed), continuous, batch, ended: false }))
}

struct LocalReader {
    /// `None` only while a page is read, and for good after a panic in there.
    feed: Option<Feed>,
    continuous: bool,
    batch: usize,
    /// Everything has been shown that was there when this pass began.
    ended: bool,
}

impl ChangesReader for LocalReader {
    fn next(&mut self) -> Answer<'_, Option<ChangesBatch>> {
        Box::pin(async move {
            if self.ended && !self.continuous {
                return Ok(None);
            }
            let mut feed = self.feed.take().ok_or_else(interrupted)?;
            if self.ended {
                if feed.news().await == News::DatabaseDeleted {
                    return Err(PeerError::NotFound(feed.cursor().db().name().to_string()));
                }
                self.ended = false;
            }
            let batch = self.batch;
            let page = move || {
                let read = read_page(&mut feed, batch);
                (feed, read)
            };
            let (feed, read) = blocking::run("read changes", page).await?;
            self.feed = Some(feed);
            let (batch, reached) = read?;
            self.ended = reached == Reached::PassEnd;
            Ok(Some(batch))
        })
    }
}

fn interrupted() -> PeerError {
    PeerError::Unreachable("reading changes was interrupted".to_owned())
}

fn read_page(feed: &mut Feed, most: usize) -> Result<(ChangesBatch, Reached), PeerError> {
    let mut changed = Vec::new();
    let reached = feed.cursor_mut().page(&mut |row| {
        let revs = row.revs.iter().map(|(rev, _)| rev.clone()).collect();
        changed.push(Changed { id: row.id.as_str().to_owned(), revs });
        if changed.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let cursor = feed.cursor();
    let last_seq = cursor.db().seq(cursor.last_seq()).to_string().into();
    let pending = cursor.pending().map_err(|error| PeerError::Local(error.to_string()))?;
    Ok((ChangesBatch { changed, last_seq, pending: Some(pending) }, reached))
}

fn filter(
    peer: &LocalPeer,
    db: &Arc<Database>,
    selection: &Selection,
) -> Result<Filter, PeerError> {
    let local = |error: String| PeerError::Local(error);
    match selection {
        Selection::Everything => Ok(Filter::Everything),
        Selection::DocIds(ids) => {
            // What can be no id names no document.
            let ids: HashSet<DocId> = ids.iter().filter_map(|id| DocId::parse(id).ok()).collect();
            Ok(Filter::DocIds(ids))
        }
        Selection::Selector(selector) => {
            let filter = SelectorFilter::parse(selector, &[]);
            Ok(Filter::Selector(filter.map_err(|error| local(error.to_string()))?))
        }
        Selection::Filter { name, .. } if name == "_design" => Ok(Filter::Design),
        Selection::Filter { name, query_params } => {
            let (name, kind) = if name == "_view" {
                (query_params.get("view").and_then(Value::as_str).unwrap_or_default(), "views")
            } else {
                (name.as_str(), "filters")
            };
            let (ddoc_name, function) = name.split_once('/').ok_or_else(|| {
                local(format!("Invalid filter. Must match `ddocname/name`: {name}"))
            })?;
            let ddoc = design(peer, db, ddoc_name)?;
            if ddoc.body.get(kind).and_then(|functions| functions.get(function)).is_none() {
                return Err(local(format!("missing json key: {function}")));
            }
            let function = function.to_owned();
            let function = match kind {
                "views" => FilterFunction::View { name: function },
                _ => {
                    let request = request_object(peer, db, query_params).to_string();
                    let request: Arc<str> = request.into();
                    FilterFunction::Filter { name: function, asked: request.clone(), request }
                }
            };
            let functions = peer.server.functions.clone();
            Ok(Filter::Function(FunctionFilter { functions, ddoc, function }))
        }
    }
}

fn design(peer: &LocalPeer, db: &Database, name: &str) -> Result<Arc<Ddoc>, PeerError> {
    let missing = || PeerError::NotFound(format!("_design/{name}"));
    let id = DocId::parse(&format!("_design/{name}")).map_err(|_| missing())?;
    db.design(&id).map_err(|error| peer.failed(error))?.ok_or_else(missing)
}

/// The request that a filter function sees: that of a feed without anything special.
fn request_object(peer: &LocalPeer, db: &Database, query: &Map<String, Value>) -> Value {
    let name = db.name().as_str();
    json!({
        "method": "GET",
        "path": [name, "_changes"],
        "raw_path": format!("/{name}/_changes"),
        "requested_path": [name, "_changes"],
        "query": query,
        "headers": {},
        "body": "undefined",
        "peer": "127.0.0.1",
        "form": {},
        "cookie": {},
        "id": null,
        "info": {"db_name": name, "update_seq": db.seq(db.state().update_seq).to_string()},
        "userCtx": {"db": name, "name": peer.user.name, "roles": peer.user.roles},
        "secObj": serde_json::from_slice::<Value>(&db.security()).unwrap_or(json!({})),
    })
}

/// The source of a filter function.
///
/// # Errors
/// Where there is no such design document or no such function in it.
pub fn filter_code(
    peer: &LocalPeer,
    db: &Arc<Database>,
    ddoc: &str,
    filter: &str,
) -> Result<String, PeerError> {
    let found = design(peer, db, ddoc)?;
    let code = found.body.get("filters").and_then(|filters| filters.get(filter)?.as_str());
    code.map(|code| code.trim().to_owned())
        .ok_or_else(|| PeerError::Local(format!("missing json key: {filter}")))
}
