//! Replications that documents ask for: every database named `_replicator`, or with that name at
//! its end, is followed; each of its documents is a job until it is completed, failed or gone.
//!
//! Nothing is kept beside the documents and the checkpoints: after a restart all is read again,
//! and what was completed says so in its document.

use std::collections::{BTreeMap, HashSet};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::auth::UserCtx;
use crate::blocking;
use crate::changes::{self, Feed, News, Reached, RowDocument, Since};
use crate::database::{
    Admitted, Base, Database, DatabaseError, DatabaseName, Direction, Edit, EditOutcome,
};
use crate::document::DocId;
use crate::document::incoming::{self, Limits};
use crate::http::date::iso_date;

use super::job::{Job, JobView, Origin, Outcome};
use super::replications::Replications;
use super::scheduler::Scheduler;
use super::{Endpoint, Snapshot, Specification, Tuning};

/// The first wait before a replication that could not be begun is tried again; it doubles.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_DOUBLINGS: u32 = 10;
/// Documents that one page brings.
const PAGE: usize = 200;

/// Whether documents of a database of this name are replications.
#[must_use]
pub fn is_replicator_database(name: &str) -> bool {
    name == "_replicator" || name.ends_with("/_replicator")
}

/// A document whose replication has not ended.
#[derive(Debug, Clone)]
pub struct DocumentView {
    pub specification: Arc<Specification>,
    pub state: DocumentState,
    /// Seconds since 1970.
    pub started_s: u64,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub enum DocumentState {
    /// Seen, not yet a job.
    Initializing,
    /// It cannot be a job yet.
    Error { reason: String, count: u32 },
    /// Its job is in the scheduler.
    Scheduled(Box<JobView>),
}

/// When it came to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// With all others, when the server started.
    WithServer,
    Later,
}

struct Known {
    specification: Arc<Specification>,
    started_s: u64,
    /// The id of its job, once it has one.
    job: Option<String>,
    error: Option<(String, u32)>,
    /// Cancelled when the document goes or changes.
    gone: CancellationToken,
}

/// A document: its database and its id.
type Key = (String, String);

/// All documents whose replications have not ended.
pub struct Documents {
    replications: Replications,
    scheduler: Arc<Scheduler>,
    known: Mutex<BTreeMap<Key, Known>>,
}

impl Documents {
    #[must_use]
    pub fn new(replications: Replications, scheduler: Arc<Scheduler>) -> Self {
        Self { replications, scheduler, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a document.
    #[must_use]
    pub fn view(&self, database: &str, doc_id: &str) -> Option<DocumentView> {
        let known = self.lock();
        let known = known.get(&(database.to_owned(), doc_id.to_owned()))?;
        let job = known.job.as_deref().and_then(|id| self.scheduler.job(id));
        let state = match (job, &known.error) {
            (Some(job), _) => DocumentState::Scheduled(Box::new(job)),
            (None, Some((reason, count))) => {
                DocumentState::Error { reason: reason.clone(), count: *count }
            }
            (None, None) => DocumentState::Initializing,
        };
        let (specification, started_s) = (known.specification.clone(), known.started_s);
        Some(DocumentView { specification, state, started_s })
    }

    /// Follows all replicator databases, those that come later too.
    pub async fn follow_all(self: Arc<Self>, stop: CancellationToken) {
        let mut created = self.replications.server.registry.subscribe_created();
        let followed: Arc<Mutex<HashSet<DatabaseName>>> = Arc::default();
        self.follow_known(&followed, &stop, Begun::WithServer).await;
        loop {
            let name = tokio::select! {
                name = created.recv() => name,
                () = stop.cancelled() => return,
            };
            match name {
                Ok(name) if is_replicator_database(name.as_str()) => {
                    self.follow_one(name, &followed, &stop, Begun::Later);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    self.follow_known(&followed, &stop, Begun::Later).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn follow_known(
        self: &Arc<Self>,
        followed: &Arc<Mutex<HashSet<DatabaseName>>>,
        stop: &CancellationToken,
        begun: Begun,
    ) {
        let registry = self.replications.server.registry.clone();
        let names = blocking::run("find replicator databases", move || {
            let mut found = Vec::new();
            let mut visit = |name: &str| {
                if is_replicator_database(name) {
                    found.extend(DatabaseName::parse(name));
                }
                ControlFlow::Continue(())
            };
            let all = (Bound::Unbounded, Bound::Unbounded);
            registry.names(all, Direction::Forward, &mut visit).map(|()| found)
        });
        match names.await {
            Ok(Ok(names)) => {
                for name in names {
                    self.follow_one(name, followed, stop, begun);
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "replicator databases cannot be found"),
            Err(_) => {}
        }
    }

    fn follow_one(
        self: &Arc<Self>,
        name: DatabaseName,
        followed: &Arc<Mutex<HashSet<DatabaseName>>>,
        stop: &CancellationToken,
        mut begun: Begun,
    ) {
        let all = followed.clone();
        let is_new = |name: &DatabaseName| {
            all.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone())
        };
        if !is_new(&name) {
            return;
        }
        let (documents, followed, stop) = (self.clone(), followed.clone(), stop.clone());
        tokio::spawn(async move {
            // A database that was deleted may be there again by now, told of before we could
            // listen: so it is looked for once more before it is forgotten.
            while let Ok(db) = documents.replications.server.registry.get(&name) {
                tokio::select! {
                    () = documents.follow(&db, begun) => {
                        documents.forget_database(name.as_str());
                    }
                    () = stop.cancelled() => return,
                }
                begun = Begun::Later;
            }
            followed.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
    }

    /// Follows one database until it is deleted.
    async fn follow(self: &Arc<Self>, db: &Arc<Database>, mut begun: Begun) {
        let options =
            changes::Options { documents: changes::Documents::Winner, ..Default::default() };
        let mut feed = Feed::new(db.clone(), Since::Beginning, options);
        loop {
            let read = blocking::run("read replication documents", move || {
                let page = read_page(&mut feed);
                (feed, page)
            });
            let Ok((read, page)) = read.await else { return };
            feed = read;
            let reached = match page {
                Ok((rows, reached)) => {
                    for (id, body) in rows {
                        self.update(db.name(), id, body.as_ref(), begun);
                    }
                    reached
                }
                Err(error) => {
                    tracing::error!(database = %db.name(), %error, "replications cannot be read");
                    Reached::PassEnd
                }
            };
            if reached == Reached::PassEnd {
                begun = Begun::Later;
            }
            if reached == Reached::PassEnd && feed.news().await == News::DatabaseDeleted {
                return;
            }
        }
    }

    /// A document was written; `None` where it is gone.
    fn update(
        self: &Arc<Self>,
        db: &DatabaseName,
        id: String,
        body: Option<&Map<String, Value>>,
        begun: Begun,
    ) {
        let key = (db.to_string(), id);
        let state = body.and_then(|body| body.get("_replication_state")?.as_str());
        let ended = matches!(state, Some("completed" | "failed"));
        let Some(body) = body.filter(|_| !ended) else {
            self.forget(&key);
            return;
        };
        let settings = &self.replications.server.config.snapshot().replicator;
        let specification = match Specification::parse(body, &Tuning::of(settings)) {
            Ok(specification) => Arc::new(specification),
            Err(error) => return self.fail(key, error.to_string()),
        };
        let sides = [&specification.source, &specification.target];
        if sides.into_iter().any(|side| matches!(side, Endpoint::Local(_))) {
            return self.fail(key, "local_endpoints_not_supported".to_owned());
        }
        let is_known = |known: &Known| known.specification == specification;
        if self.lock().get(&key).is_some_and(is_known) {
            return;
        }
        self.forget(&key);
        let gone = CancellationToken::new();
        let known = Known {
            specification: specification.clone(),
            started_s: (self.replications.server.now_s)(),
            job: None,
            error: None,
            gone: gone.clone(),
        };
        self.lock().insert(key.clone(), known);
        let (documents, user) = (self.clone(), user_of(body));
        let wait = match begun {
            Begun::WithServer => settings.startup_jitter.mul_f64(rand::random()),
            Begun::Later => Duration::ZERO,
        };
        let replicated = async move {
            tokio::time::sleep(wait).await;
            documents.replicate(key, specification, user).await;
        };
        tokio::spawn(async move {
            tokio::select! {
                () = replicated => {}
                () = gone.cancelled() => {}
            }
        });
    }

    /// The document of `key` is not to be replicated any more.
    fn forget(&self, key: &Key) {
        let Some(known) = self.lock().remove(key) else { return };
        known.gone.cancel();
        if let Some(id) = known.job {
            self.scheduler.remove(&id);
        }
    }

    fn forget_database(&self, name: &str) {
        let keys: Vec<Key> =
            self.lock().keys().filter(|(database, _)| database == name).cloned().collect();
        for key in keys {
            self.forget(&key);
        }
    }

    /// Says in the document that it cannot be replicated.
    fn fail(self: &Arc<Self>, key: Key, reason: String) {
        self.forget(&key);
        tracing::error!(database = key.0, document = key.1, reason, "a replication failed");
        let documents = self.clone();
        tokio::spawn(async move { documents.write_failure(&key, reason).await });
    }

    async fn write_failure(&self, key: &Key, reason: String) {
        let change = [
            ("_replication_state", Some("failed".into())),
            ("_replication_stats", None),
            ("_replication_state_reason", Some(reason.into())),
        ];
        self.write_state(key, &change).await;
    }

    /// Makes a document's replication a job and waits for its end.
    async fn replicate(
        self: &Arc<Self>,
        key: Key,
        specification: Arc<Specification>,
        user: UserCtx,
    ) {
        let mut errors = 0;
        let job = loop {
            match self.schedule(&key, &specification, &user).await {
                Ok(job) => break job,
                Err(Unscheduled::ForGood(reason)) => {
                    self.lock().remove(&key);
                    return self.write_failure(&key, reason).await;
                }
                Err(Unscheduled::ForNow(reason)) => {
                    errors += 1;
                    if let Some(known) = self.lock().get_mut(&key) {
                        known.error = Some((reason, errors));
                    }
                    tokio::time::sleep(RETRY * 2_u32.pow((errors - 1).min(RETRY_DOUBLINGS))).await;
                }
            }
        };
        if let Outcome::Completed(completed) = job.outcome().await {
            let stats = statistics(&completed.known);
            let change = [
                ("_replication_state", Some("completed".into())),
                ("_replication_state_reason", None),
                ("_replication_stats", Some(stats)),
            ];
            self.write_state(&key, &change).await;
            self.lock().remove(&key);
        }
    }

    async fn schedule(
        &self,
        key: &Key,
        specification: &Arc<Specification>,
        user: &UserCtx,
    ) -> Result<Arc<Job>, Unscheduled> {
        let id = self.replications.id_of(specification, user).await;
        let id = id.map_err(|error| Unscheduled::ForNow(error.to_string()))?;
        let (database, doc_id) = key.clone();
        let origin = Origin::Document { database, doc_id };
        let now_s = (self.replications.server.now_s)();
        let text = id.to_string();
        // The table of documents is held meanwhile, so that one that goes takes its job along.
        let mut all = self.lock();
        let Some(known) = all.get_mut(key) else {
            return Err(Unscheduled::ForNow("the document is gone".to_owned()));
        };
        let job = Job::new(id, specification.clone(), user.clone(), origin, now_s);
        match self.scheduler.add(job) {
            Ok(job) => {
                (known.job, known.error) = (Some(text), None);
                Ok(job)
            }
            Err(other) => Err(already_there(key, &text, &other)),
        }
    }

    /// Changes members of a document, if it is still there.
    async fn write_state(&self, key: &Key, change: &[(&'static str, Option<Value>)]) {
        let registry = &self.replications.server.registry;
        let Ok(name) = DatabaseName::parse(&key.0) else { return };
        let (Ok(db), Ok(id)) = (registry.get(&name), DocId::parse(&key.1)) else { return };
        loop {
            let (db, id, change) = (db.clone(), id.clone(), change.to_vec());
            let now = iso_date((self.replications.server.now_s)());
            let begun = {
                let db = db.clone();
                let begin = move || begin_write(&db, &id, &change, now);
                blocking::run("write replication state", begin).await
            };
            let written = match begun {
                Ok(Ok(Some(edit))) => match db.edit(Admitted::by_server(vec![edit])) {
                    Ok(reply) => blocking::settle(reply).await,
                    Err(error) => Err(error),
                },
                Ok(Ok(None)) | Err(_) => return,
                Ok(Err(error)) => Err(error),
            };
            match written.as_deref() {
                // Somebody else was quicker: look again.
                Ok([EditOutcome::Conflict]) => {}
                Ok(_) => return,
                Err(error) => {
                    let (database, document) = key;
                    tracing::error!(database, document, %error, "a state was not written");
                    return;
                }
            }
        }
    }
}

/// Why a document is no job.
enum Unscheduled {
    ForNow(String),
    ForGood(String),
}

fn already_there((database, doc_id): &Key, id: &str, other: &Job) -> Unscheduled {
    match &other.origin {
        Origin::Document { database: other_database, doc_id: other_doc } => {
            Unscheduled::ForGood(format!(
                "Replication `{id}` specified by document `{doc_id}` in db `{database}` already \
                 started by document `{other_doc}` in db `{other_database}`"
            ))
        }
        Origin::Request => Unscheduled::ForNow(format!(
            "Replication `{id}` specified by document `{doc_id}` in db `{database}` already \
             running as a `_replicate` replication"
        )),
    }
}

/// On whose behalf a document is replicated: `user_ctx`, where it is given.
fn user_of(body: &Map<String, Value>) -> UserCtx {
    let user = body.get("user_ctx");
    let name = user.and_then(|user| user.get("name")?.as_str()).map(str::to_owned);
    let roles = user.and_then(|user| user.get("roles")?.as_array());
    let roles = roles.into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned));
    UserCtx { name, roles: roles.collect() }
}

/// What a completed document says of its replication.
fn statistics(known: &Snapshot) -> Value {
    let mut members = known.to_json();
    for name in ["source_seq", "through_seq"] {
        members.remove(name);
    }
    Value::Object(members)
}

/// A document and what it says; nothing where it is gone.
type DocumentRow = (String, Option<Map<String, Value>>);

fn read_page(feed: &mut Feed) -> Result<(Vec<DocumentRow>, Reached), changes::ChangesError> {
    let mut rows = Vec::new();
    let reached = feed.cursor_mut().page(&mut |row| {
        if !row.id.is_design() {
            let body = match row.document {
                RowDocument::Whole { document, .. } if !row.deleted => {
                    serde_json::from_slice(&document.body).ok()
                }
                _ => None,
            };
            rows.push((row.id.to_string(), body));
        }
        if rows.len() >= PAGE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((rows, reached))
}

/// The edit that changes members of a document; nothing where it is gone or says so already.
fn begin_write(
    db: &Database,
    id: &DocId,
    change: &[(&'static str, Option<Value>)],
    now: String,
) -> Result<Option<Edit>, DatabaseError> {
    let Some(document) = db.winner(id)?.filter(|document| !document.deleted) else {
        return Ok(None);
    };
    let Ok(before) = serde_json::from_slice::<Map<String, Value>>(&document.body) else {
        return Ok(None);
    };
    let mut body = before.clone();
    for (name, value) in change {
        match value {
            None => drop(body.shift_remove(*name)),
            Some(value) => drop(body.insert((*name).to_owned(), value.clone())),
        }
    }
    if body.get("_replication_state") != before.get("_replication_state") {
        body.insert("_replication_state_time".to_owned(), now.into());
    }
    if body == before {
        return Ok(None);
    }
    let text = json!(body).to_string();
    let Ok(parsed) = incoming::parse(text.as_bytes(), &Limits::default()) else {
        return Ok(None);
    };
    Ok(Some(Edit {
        id: id.clone(),
        base: Base::On(document.rev),
        deleted: false,
        body: parsed.body,
        body_term: parsed.body_term,
        attachments: document.attachments.into_iter().map(stay).collect(),
    }))
}

/// An attachment that the document keeps.
fn stay(attachment: crate::document::Attachment) -> crate::database::EditAttachment {
    let (name, revpos) = (attachment.name, Some(attachment.revpos));
    crate::database::EditAttachment { name, revpos, source: crate::database::Source::Stub }
}
