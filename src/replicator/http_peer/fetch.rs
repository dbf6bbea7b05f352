//! Reads revisions from a remote database: many with one `_bulk_get`, as many at once as make an
//! answer of a sensible size, or, where a server has no such thing, a document at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::document::Rev;
use crate::http::path::quote_plus;
use crate::replicator::{Fetched, Missing, PeerError, Revision};

use super::connection::{Call, Connection, Failed};
use super::document_path;
use super::revision;

/// The answer that is aimed at, and the longest for more than one revision.
const ANSWER_BYTES: usize = 2 << 20;
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The longest document that comes through. CouchDB's own limit is far below.
const DOCUMENT_BYTES_MAX: usize = 1 << 30;
/// Revisions of one request: at the start, when nothing is known of their sizes, and at most.
const REVISIONS: usize = 32;
const REVISIONS_MAX: usize = 500;
/// Revisions of one document that fit into an address.
const OPEN_REVS_MAX: usize = 100;
/// Documents that are read at a time where each takes a request.
const DOCUMENTS_AT_ONCE: usize = 8;
/// After so many failures of `_bulk_get` it is not asked for any more.
const FAILURES_MAX: u32 = 3;

/// Reads revisions, and remembers how it is done best with this server.
pub(super) struct Fetcher {
    connection: Arc<Connection>,
    has_bulk_get: AtomicBool,
    failures: AtomicU32,
    /// Revisions of the next request.
    revisions: AtomicUsize,
}

/// A revision that is to be read.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    id: &'a str,
    rev: &'a Rev,
}

impl<'a> Wanted<'a> {
    fn of(document: &'a Missing) -> impl Iterator<Item = Self> {
        document.revs.iter().map(|rev| Self { id: &document.id, rev })
    }
}

/// What one request brought.
#[derive(Default)]
struct Found<'a> {
    texts: Vec<Bytes>,
    /// Revisions that are not there.
    gone: u64,
    /// What the server stumbled over.
    again: Vec<Wanted<'a>>,
}

impl Fetcher {
    pub(super) fn new(connection: Arc<Connection>, use_bulk_get: bool) -> Self {
        Self {
            connection,
            has_bulk_get: AtomicBool::new(use_bulk_get),
            failures: AtomicU32::new(0),
            revisions: AtomicUsize::new(REVISIONS),
        }
    }

    /// Reads the revisions of as many documents as make an answer of a sensible size.
    pub(super) async fn fetch(&self, missing: &[Missing]) -> Result<Fetched, PeerError> {
        loop {
            let group = self.group(missing);
            let wanted: Vec<Wanted<'_>> = group.iter().flat_map(Wanted::of).collect();
            let mut found = Found::default();
            let by_bulk_get = self.has_bulk_get.load(Ordering::Relaxed);
            let again = match by_bulk_get {
                true if self.bulk_get(group.len(), &wanted, &mut found).await? => {
                    std::mem::take(&mut found.again)
                }
                true => continue,
                false => wanted.clone(),
            };
            self.open_revs(&again, &mut found).await?;
            self.learn(wanted.len(), found.texts.iter().map(Bytes::len).sum());
            return self.fetched(found, group, by_bulk_get);
        }
    }

    /// The documents of the next request.
    fn group<'a>(&self, missing: &'a [Missing]) -> &'a [Missing] {
        let most = self.revisions.load(Ordering::Relaxed);
        let mut revisions = 0;
        let fits = |document: &&Missing| {
            revisions += document.revs.len();
            revisions <= most
        };
        let count = missing.iter().take_while(fits).count();
        &missing[..count.max(1).min(missing.len())]
    }

    /// The revisions of `found`, each once: `latest` may give one for several.
    fn fetched(
        &self,
        found: Found<'_>,
        missing: &[Missing],
        by_bulk_get: bool,
    ) -> Result<Fetched, PeerError> {
        let by_id: HashMap<&str, &Missing> =
            missing.iter().map(|document| (document.id.as_str(), document)).collect();
        let mut known: HashSet<(String, Rev)> = HashSet::new();
        let mut revisions = Vec::with_capacity(found.texts.len());
        for text in found.texts {
            let mut read: Revision =
                revision::read(text).map_err(|bad| self.connection.garbage(&bad.to_string()))?;
            let Some(asked) = by_id.get(read.id.as_str()) else {
                return Err(self.connection.garbage("a document was not asked for"));
            };
            read.possible_ancestors.clone_from(&asked.possible_ancestors);
            if known.insert((read.id.clone(), read.rev.clone())) {
                revisions.push(read);
            }
        }
        Ok(Fetched { done: missing.len(), by_bulk_get, revisions, not_found: found.gone })
    }

    /// Reads the revisions of `group`, which has some documents, with one request. `false` where
    /// that has to be done otherwise.
    async fn bulk_get<'a>(
        &self,
        documents: usize,
        group: &[Wanted<'a>],
        found: &mut Found<'a>,
    ) -> Result<bool, PeerError> {
        let docs: Vec<Value> = group
            .iter()
            .map(|wanted| json!({ "id": wanted.id, "rev": wanted.rev.to_string() }))
            .collect();
        let path = "_bulk_get?latest=true&revs=true&attachments=false&att_encoding_info=true";
        let call = Call::post(path, json!({ "docs": docs }).to_string());
        let most = if documents > 1 { ANSWER_BYTES_MAX } else { DOCUMENT_BYTES_MAX };
        let answer = self.connection.retried(|| async {
            let body = self.connection.bytes(&call, most).await?;
            Ok(BulkFound::read(&self.connection, &body)?)
        });
        match answer.await {
            Ok(bulk) => {
                self.failures.store(0, Ordering::Relaxed);
                bulk.add_to(found, group);
                Ok(true)
            }
            Err(PeerError::TooLarge(_)) if documents > 1 => {
                self.revisions.store(group.len() / 2, Ordering::Relaxed);
                Ok(false)
            }
            Err(PeerError::Status { status: 400 | 404 | 405 | 415 | 501, .. }) => {
                self.has_bulk_get.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(PeerError::Status { status: 500.., .. } | PeerError::Garbage(_)) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
                    self.has_bulk_get.store(false, Ordering::Relaxed);
                }
                found.again.extend_from_slice(group);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the size of what came into account for the next request.
    fn learn(&self, revisions: usize, bytes: usize) {
        let one = (bytes / revisions.max(1)).max(1);
        let next = (ANSWER_BYTES / one).clamp(1, REVISIONS_MAX);
        // The next documents may be larger than these.
        self.revisions.store(next.min(revisions.max(REVISIONS) * 4), Ordering::Relaxed);
    }

    /// Reads revisions a document at a time, several documents side by side.
    async fn open_revs<'a>(
        &self,
        wanted: &[Wanted<'a>],
        found: &mut Found<'a>,
    ) -> Result<(), PeerError> {
        let documents = wanted.chunk_by(|one, next| one.id == next.id);
        let requests = documents.flat_map(|document| document.chunks(OPEN_REVS_MAX));
        let answers: Vec<_> = requests.map(|revs| self.open(revs)).collect();
        let mut answers = stream::iter(answers).buffered(DOCUMENTS_AT_ONCE);
        while let Some(answer) = answers.try_next().await? {
            found.texts.extend(answer.texts);
            found.gone += answer.gone;
        }
        Ok(())
    }

    /// Reads revisions of one document.
    async fn open<'a>(&self, wanted: &[Wanted<'a>]) -> Result<Found<'a>, PeerError> {
        let Some(Wanted { id, .. }) = wanted.first() else { return Ok(Found::default()) };
        let revs: Vec<String> = wanted.iter().map(|wanted| wanted.rev.to_string()).collect();
        let revs = quote_plus(&json!(revs).to_string());
        let call = Call::get(format!(
            "{}?revs=true&latest=true&att_encoding_info=true&open_revs={revs}",
            document_path(id)
        ));
        let answer = self.connection.retried(|| async {
            let body = self.connection.bytes(&call, DOCUMENT_BYTES_MAX).await?;
            Ok::<_, Failed>(open_found(&self.connection, &body)?)
        });
        match answer.await {
            Ok(found) => Ok(found),
            // This document alone cannot be read.
            Err(PeerError::Status { status: 403 | 404, .. } | PeerError::Invalid(_)) => {
                Ok(Found { gone: wanted.len() as u64, ..Found::default() })
            }
            Err(error) => Err(error),
        }
    }
}

/// What is said about a revision: its document, or why there is none.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default, borrow)]
    ok: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(default)]
    rev: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

fn open_found<'a>(connection: &Connection, body: &Bytes) -> Result<Found<'a>, PeerError> {
    let items: Vec<Item<'_>> = connection.parse(body)?;
    let texts: Vec<Bytes> = items.iter().filter_map(|item| item.text(body)).collect();
    let gone = (items.len() - texts.len()) as u64;
    Ok(Found { texts, gone, again: Vec::new() })
}

impl Item<'_> {
    /// The document's text, as a part of `body`.
    fn text(&self, body: &Bytes) -> Option<Bytes> {
        self.ok.map(|text| body.slice_ref(text.get().as_bytes()))
    }
}

/// What an answer of `_bulk_get` brought.
struct BulkFound {
    texts: Vec<Bytes>,
    gone: u64,
    /// By id and revision.
    failed: HashSet<(String, String)>,
}

#[derive(Deserialize)]
struct BulkAnswer<'a> {
    #[serde(borrow)]
    results: Vec<BulkResult<'a>>,
}

#[derive(Deserialize)]
struct BulkResult<'a> {
    id: String,
    #[serde(borrow)]
    docs: Vec<Item<'a>>,
}

impl BulkFound {
    fn read(connection: &Connection, body: &Bytes) -> Result<Self, PeerError> {
        let answer: BulkAnswer<'_> = connection.parse(body)?;
        let mut found = Self { texts: Vec::new(), gone: 0, failed: HashSet::new() };
        for BulkResult { id, docs } in answer.results {
            for item in docs {
                match (item.text(body), item.error) {
                    (Some(text), _) => found.texts.push(text),
                    (None, Some(ItemError { rev: Some(Value::String(rev)), error }))
                        if error.as_ref().is_none_or(|error| error != "not_found") =>
                    {
                        found.failed.insert((id.clone(), rev));
                    }
                    (None, _) => found.gone += 1,
                }
            }
        }
        Ok(found)
    }

    fn add_to<'a>(self, found: &mut Found<'a>, group: &[Wanted<'a>]) {
        found.texts.extend(self.texts);
        found.gone += self.gone;
        let is_failed = |wanted: &&Wanted<'a>| {
            self.failed.contains(&(wanted.id.to_owned(), wanted.rev.to_string()))
        };
        found.again.extend(group.iter().filter(is_failed).copied());
    }
}
