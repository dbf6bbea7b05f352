//! A database at an address: the calls of the replication protocol over HTTP.
//!
//! `connection` makes one call, as often as that makes sense; `session` says who asks. The calls
//! with more to them have files of their own: `changes` and `rows`, `fetch` and `revision`,
//! `write`, `upload` (with attachments), `attachment`. Credentials are in no name and no error.

mod attachment;
mod changes;
mod connection;
mod database;
mod fetch;
pub(super) mod revision;
mod rows;
mod session;
#[cfg(test)]
mod tests;
mod upload;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};

use crate::document::Rev;
use crate::http::client::HttpClients;
use crate::http::path::{encode_segment, quote_plus};

use super::{
    Answer, AttachmentBody, AttachmentHolder, AttachmentSource, Changed, ChangesQuery,
    ChangesReader, CreateTarget, Fetched, Missing, Peer, PeerError, PeerInfo, Remote, Revision,
    Selection, Stub, Tuning, WriteFailure,
};
use changes::{HttpChanges, seq_text};
use connection::{Call, Connection};
pub use database::Description;
use fetch::Fetcher;
use write::{Edits, Outgoing};

/// Documents that are asked about with one `_revs_diff`.
const REVS_DIFF_MAX: usize = 1_000;
/// How often a checkpoint is written again that somebody else wrote first.
const LOCAL_WRITES_MAX: usize = 5;

/// A database at an address.
pub struct HttpPeer {
    connection: Arc<Connection>,
    fetcher: Fetcher,
}

impl HttpPeer {
    /// Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`PeerError::Invalid`] for a proxy that cannot be used.
    pub fn new(
        clients: &HttpClients,
        remote: &Remote,
        tuning: &Tuning,
        use_bulk_get: bool,
    ) -> Result<Self, PeerError> {
        let connection = Arc::new(Connection::new(clients, remote, tuning)?);
        let fetcher = Fetcher::new(connection.clone(), use_bulk_get);
        Ok(Self { connection, fetcher })
    }

    async fn info(&self) -> Result<PeerInfo, PeerError> {
        let info: Result<Map<String, Value>, _> = self.connection.json(&Call::get("")).await;
        let info = info.map_err(about_database)?;
        self.connection.learn(&info);
        let instance_start_time = instance_start_time(&info).unwrap_or_else(|| "0".to_owned());
        let update_seq = info.get("update_seq").cloned().unwrap_or_default();
        Ok(PeerInfo { instance_start_time, update_seq })
    }

    async fn create(&self, options: &CreateTarget) -> Result<(), PeerError> {
        let CreateTarget { q, n, partitioned } = options;
        let mut query = Vec::new();
        query.extend(q.map(|q| format!("q={q}")));
        query.extend(n.map(|n| format!("n={n}")));
        query.extend(partitioned.then(|| "partitioned=true".to_owned()));
        let question = if query.is_empty() { "" } else { "?" };
        let call = Call::put(format!("{question}{}", query.join("&")), "");
        match self.connection.json::<Value>(&call).await {
            Ok(_) | Err(PeerError::Status { status: 412, .. }) => Ok(()),
            Err(error) => Err(about_database(error)),
        }
    }

    async fn local(&self, id: &str) -> Result<Option<Map<String, Value>>, PeerError> {
        match self.connection.json(&Call::get(local_path(id))).await {
            Ok(members) => Ok(Some(members)),
            Err(PeerError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write_local(
        &self,
        id: &str,
        mut members: Map<String, Value>,
    ) -> Result<(), PeerError> {
        let mut left = LOCAL_WRITES_MAX;
        loop {
            left -= 1;
            let call = Call::put(local_path(id), Value::Object(members.clone()).to_string());
            match self.connection.json::<Value>(&call).await {
                Ok(_) => return Ok(()),
                Err(PeerError::Status { status: 409, .. }) if left > 0 => {
                    let newest = self.local(id).await?;
                    match newest.and_then(|mut newest| newest.shift_remove("_rev")) {
                        Some(rev) => members.insert("_rev".to_owned(), rev),
                        None => members.shift_remove("_rev"),
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn pending(
        &self,
        since: &Value,
        selection: &Selection,
    ) -> Result<Option<u64>, PeerError> {
        if *selection != Selection::Everything {
            return Ok(None);
        }
        let since = quote_plus(&seq_text(since));
        let call = Call::get(format!("_changes?limit=0&since={since}"));
        let changes: Map<String, Value> = self.connection.json(&call).await?;
        Ok(changes.get("pending").and_then(Value::as_u64))
    }

    async fn filter_code(&self, ddoc: &str, filter: &str) -> Result<String, PeerError> {
        let call = Call::get(format!("_design/{}", encode_segment(ddoc)));
        let document: Map<String, Value> = self.connection.json(&call).await?;
        let code = document.get("filters").and_then(|filters| filters.get(filter)?.as_str());
        code.map(trimmed).ok_or_else(|| PeerError::Status {
            name: self.connection.address.clone(),
            status: 404,
            error: "not_found".to_owned(),
            reason: format!("missing json key: {filter}"),
        })
    }

    async fn revs_diff(&self, changed: &[Changed]) -> Result<Vec<Missing>, PeerError> {
        let mut missing = Vec::new();
        for group in changed.chunks(REVS_DIFF_MAX) {
            let mut asked: HashMap<&str, Vec<String>> = HashMap::new();
            for Changed { id, revs } in group {
                asked.entry(id).or_default().extend(revs.iter().map(Rev::to_string));
            }
            let call = Call::post("_revs_diff", json!(asked).to_string());
            let mut lacking: HashMap<String, Lacking> = self.connection.json(&call).await?;
            // In the order of the changes; a document that changed twice is asked for once.
            let found = group.iter().filter_map(|Changed { id, .. }| {
                let lacking = lacking.remove(id)?;
                Some(lacking.missing(id)).filter(|missing| !missing.revs.is_empty())
            });
            missing.extend(found);
        }
        Ok(missing)
    }

    /// The database after all that was written is durable.
    async fn ensure_full_commit(&self) -> Result<String, PeerError> {
        let call = Call::post("_ensure_full_commit", "");
        match self.connection.json::<Map<String, Value>>(&call).await {
            Ok(answer) => match instance_start_time(&answer) {
                Some(time) => Ok(time),
                None => Ok(self.info().await?.instance_start_time),
            },
            // A server whose writes are durable anyway need not know the call.
            Err(PeerError::Status { status: 404 | 405 | 501, .. }) => {
                Ok(self.info().await?.instance_start_time)
            }
            Err(error) => Err(error),
        }
    }
}

impl AttachmentHolder for HttpPeer {
    fn attachment<'a>(
        &'a self,
        revision: &'a Revision,
        stub: &'a Stub,
        offset: u64,
    ) -> Answer<'a, AttachmentBody> {
        attachment::open(&self.connection, revision, stub, offset).boxed()
    }
}

impl Peer for HttpPeer {
    fn name(&self) -> String {
        self.connection.address.clone()
    }

    fn info(&self) -> Answer<'_, PeerInfo> {
        self.info().boxed()
    }

    fn create<'a>(&'a self, options: &'a CreateTarget) -> Answer<'a, ()> {
        self.create(options).boxed()
    }

    fn local<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Map<String, Value>>> {
        self.local(id).boxed()
    }

    fn write_local<'a>(&'a self, id: &'a str, members: Map<String, Value>) -> Answer<'a, ()> {
        self.write_local(id, members).boxed()
    }

    fn changes(&self, query: ChangesQuery) -> Answer<'_, Box<dyn ChangesReader>> {
        let reader: Box<dyn ChangesReader> =
            Box::new(HttpChanges::new(self.connection.clone(), query));
        std::future::ready(Ok(reader)).boxed()
    }

    fn pending<'a>(
        &'a self,
        since: &'a Value,
        selection: &'a Selection,
    ) -> Answer<'a, Option<u64>> {
        self.pending(since, selection).boxed()
    }

    fn filter_code<'a>(&'a self, ddoc: &'a str, filter: &'a str) -> Answer<'a, String> {
        self.filter_code(ddoc, filter).boxed()
    }

    fn revs_diff<'a>(&'a self, changed: &'a [Changed]) -> Answer<'a, Vec<Missing>> {
        self.revs_diff(changed).boxed()
    }

    fn fetch<'a>(&'a self, missing: &'a [Missing]) -> Answer<'a, Fetched> {
        self.fetcher.fetch(missing).boxed()
    }

    fn write<'a>(&'a self, revisions: &'a [Revision]) -> Answer<'a, Vec<WriteFailure>> {
        Box::pin(async move {
            let outgoing =
                |revision: &'a Revision| Outgoing { id: &revision.id, text: &revision.text };
            let documents: Vec<Outgoing<'_>> = revisions.iter().map(outgoing).collect();
            write::write(&self.connection, &documents, Edits::Replicated).await
        })
    }

    fn write_with_attachments<'a>(
        &'a self,
        revision: &'a Arc<Revision>,
        source: &'a AttachmentSource,
    ) -> Answer<'a, Option<WriteFailure>> {
        upload::write(&self.connection, revision, source).boxed()
    }

    fn ensure_full_commit(&self) -> Answer<'_, String> {
        self.ensure_full_commit().boxed()
    }
}

/// What `_revs_diff` says of a document.
#[derive(Debug, serde::Deserialize)]
struct Lacking {
    missing: Vec<String>,
    #[serde(default)]
    possible_ancestors: Vec<String>,
}

impl Lacking {
    /// Revisions that were not asked for in this form were not asked for.
    fn missing(self, id: &str) -> Missing {
        let revs =
            |texts: Vec<String>| texts.iter().filter_map(|rev| Rev::parse(rev).ok()).collect();
        Missing {
            id: id.to_owned(),
            revs: revs(self.missing),
            possible_ancestors: revs(self.possible_ancestors),
        }
    }
}

/// What a refusal means where the database as a whole was asked for.
fn about_database(error: PeerError) -> PeerError {
    match error {
        PeerError::Status { name, status: 404, .. } => PeerError::NotFound(name),
        PeerError::Status { name, status: 403, .. } => PeerError::Unauthorized(name),
        other => other,
    }
}

/// The path of a document, below the database.
fn document_path(id: &str) -> String {
    match id.split_once('/') {
        Some((special @ ("_design" | "_local"), name)) => {
            format!("{special}/{}", encode_segment(name))
        }
        _ => encode_segment(id).into_owned(),
    }
}

fn local_path(id: &str) -> String {
    format!("_local/{}", encode_segment(id))
}

/// CouchDB gives a text, others a number.
fn instance_start_time(members: &Map<String, Value>) -> Option<String> {
    match members.get("instance_start_time")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A function's source as it counts for a replication's id. CouchDB takes white space away around
/// sources of one line alone.
fn trimmed(code: &str) -> String {
    let inner = code.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    if inner.contains('\n') { code } else { inner }.to_owned()
}
