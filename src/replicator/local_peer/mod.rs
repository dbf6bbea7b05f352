//! A side of a replication that is a database of this server: the calls of the protocol go to
//! the database itself.
//!
//! Invariant: everything is done as the user who asked for the replication, with no more rights.

mod changes;
mod read;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::auth::{SecurityObject, UserCtx};
use crate::blocking::{self, Interrupted};
use crate::changes::ChangesError;
use crate::config::Config;
use crate::database::{CreateOptions, Database, DatabaseError, DatabaseName, LocalEdit, Registry};
use crate::design::Functions;
use crate::document::DocId;
use crate::http::path::encode_segment;
use crate::views::Views;

use super::attachments::AttachmentSource;
use super::peer::{
    Answer, AttachmentBody, AttachmentHolder, Changed, ChangesQuery, ChangesReader, Fetched,
    Missing, Peer, PeerInfo, Revision, Stub, WriteFailure,
};
use super::{CreateTarget, PeerError, Selection};

/// What the databases of this server are reached with.
#[derive(Clone)]
pub struct LocalServer {
    pub registry: Arc<Registry>,
    pub functions: Arc<Functions>,
    pub views: Arc<Views>,
    pub config: Arc<Config>,
    /// The time of day in seconds since 1970.
    pub now_s: fn() -> u64,
}

/// A database of this server, as a side of a replication.
#[derive(Clone)]
pub struct LocalPeer {
    server: LocalServer,
    name: DatabaseName,
    user: UserCtx,
    /// The number of the database that `info` told of; 0 before. Checkpoints belong to it alone,
    /// not to another of its name that is created meanwhile.
    told_of: Arc<AtomicU64>,
}

impl LocalPeer {
    #[must_use]
    pub fn new(server: LocalServer, name: DatabaseName, user: UserCtx) -> Self {
        Self { server, name, user, told_of: Arc::default() }
    }

    /// Where the database is: CouchDB names its own ones so in messages.
    fn address(&self) -> String {
        let chttpd = &self.server.config.snapshot().chttpd;
        let address = SocketAddr::new(chttpd.bind_address, chttpd.port);
        format!("http://{address}/{}/", encode_segment(self.name.as_str()))
    }

    /// The database, if the user may see it.
    fn open(&self) -> Result<Arc<Database>, PeerError> {
        let db = self.server.registry.get(&self.name).map_err(|error| self.failed(error))?;
        let refused = |_| PeerError::Unauthorized(self.address());
        security(&db).require_member(&self.user).map_err(refused)?;
        Ok(db)
    }

    /// The database, if the user may read all of its documents: nobody who may not see other
    /// users, or the credentials of other replications, gets them by replicating.
    fn open_to_read(&self) -> Result<Arc<Database>, PeerError> {
        if self.name.is_system() && !self.user.is_server_admin() {
            return Err(PeerError::Unauthorized(self.address()));
        }
        self.open()
    }

    fn failed(&self, error: DatabaseError) -> PeerError {
        match error {
            DatabaseError::NotFound => PeerError::NotFound(self.address()),
            DatabaseError::Overloaded => PeerError::Unreachable(error.to_string()),
            other => PeerError::Local(other.to_string()),
        }
    }

    /// The same for work that shows what documents say.
    fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&LocalPeer, &Arc<Database>) -> Result<T, PeerError> + Send + 'static,
    ) -> Answer<'_, T> {
        match self.open_to_read() {
            Ok(_) => self.run(operation, work),
            Err(refused) => Box::pin(std::future::ready(Err(refused))),
        }
    }

    /// Runs work on the database on a thread that may block.
    fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&LocalPeer, &Arc<Database>) -> Result<T, PeerError> + Send + 'static,
    ) -> Answer<'_, T> {
        let peer = self.clone();
        Box::pin(async move {
            let db = peer.open()?;
            blocking::run(operation, move || work(&peer, &db)).await?
        })
    }
}

/// Names this very database: one that is created anew may be so within the same second.
fn instance(db: &Database) -> String {
    db.seq(0).to_string()
}

fn security(db: &Database) -> SecurityObject {
    SecurityObject::stored(&db.security())
}

/// The id of a checkpoint's document.
fn checkpoint_id(id: &str) -> Result<DocId, PeerError> {
    DocId::parse(&format!("_local/{id}")).map_err(|error| PeerError::Local(error.to_string()))
}

impl From<Interrupted> for PeerError {
    fn from(error: Interrupted) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<ChangesError> for PeerError {
    fn from(error: ChangesError) -> Self {
        Self::Local(error.to_string())
    }
}

impl AttachmentHolder for LocalPeer {
    fn attachment<'a>(
        &'a self,
        revision: &'a Revision,
        stub: &'a Stub,
        offset: u64,
    ) -> Answer<'a, AttachmentBody> {
        let (id, rev) = (revision.id.clone(), revision.rev.clone());
        let name = stub.name.clone();
        self.read("open attachment", move |peer, db| {
            read::attachment(peer, db, &id, &rev, &name, offset)
        })
    }
}

impl Peer for LocalPeer {
    fn name(&self) -> String {
        self.address()
    }

    fn info(&self) -> Answer<'_, PeerInfo> {
        Box::pin(async move {
            let db = self.open()?;
            self.told_of.store(db.number().0, Ordering::SeqCst);
            Ok(PeerInfo {
                instance_start_time: instance(&db),
                update_seq: db.seq(db.state().update_seq).to_string().into(),
            })
        })
    }

    fn create<'a>(&'a self, options: &'a CreateTarget) -> Answer<'a, ()> {
        Box::pin(async move {
            if !self.user.is_server_admin() {
                return Err(PeerError::Unauthorized(self.address()));
            }
            let peer = self.clone();
            let options = CreateOptions {
                created_s: (self.server.now_s)(),
                partitioned: options.partitioned,
                q: options.q.unwrap_or(CreateOptions::default().q),
            };
            let create = move || peer.server.registry.create(&peer.name, options);
            match blocking::run("create database", create).await? {
                Ok(()) | Err(DatabaseError::Exists) => Ok(()),
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    fn local<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Map<String, Value>>> {
        Box::pin(async move {
            let local = self.open()?.local(&checkpoint_id(id)?).map_err(|e| self.failed(e))?;
            let Some(local) = local else { return Ok(None) };
            let members = serde_json::from_slice(&local.body);
            members.map(Some).map_err(|error| PeerError::Local(error.to_string()))
        })
    }

    fn write_local<'a>(&'a self, id: &'a str, members: Map<String, Value>) -> Answer<'a, ()> {
        Box::pin(async move {
            let (db, id) = (self.open()?, checkpoint_id(id)?);
            let told_of = self.told_of.load(Ordering::SeqCst);
            if told_of != 0 && told_of != db.number().0 {
                let reason = format!("database {} was created anew", self.name);
                return Err(PeerError::Local(reason));
            }
            let body = Some(Value::Object(members).to_string().into());
            // The newest write of a `_local` document wins, whatever revision it names.
            let edit = LocalEdit { id, given: 0, body };
            let written = db.edit_locals(vec![edit]).map_err(|error| self.failed(error))?;
            blocking::settle(written).await.map_err(|error| self.failed(error))?;
            Ok(())
        })
    }

    fn changes(&self, query: ChangesQuery) -> Answer<'_, Box<dyn ChangesReader>> {
        self.read("begin to read changes", move |peer, db| changes::read(peer, db, &query))
    }

    fn pending<'a>(&'a self, since: &'a Value, _: &'a Selection) -> Answer<'a, Option<u64>> {
        let since = since.clone();
        self.read("count changes", move |peer, db| {
            let since = changes::since(db, &since);
            db.pending(since).map(Some).map_err(|error| peer.failed(error))
        })
    }

    fn filter_code<'a>(&'a self, ddoc: &'a str, filter: &'a str) -> Answer<'a, String> {
        let (ddoc, filter) = (ddoc.to_owned(), filter.to_owned());
        self.read("read filter", move |peer, db| changes::filter_code(peer, db, &ddoc, &filter))
    }

    fn revs_diff<'a>(&'a self, changed: &'a [Changed]) -> Answer<'a, Vec<Missing>> {
        let changed = changed.to_vec();
        self.run("find missing revisions", move |peer, db| read::missing(peer, db, changed))
    }

    fn fetch<'a>(&'a self, missing: &'a [Missing]) -> Answer<'a, Fetched> {
        let missing = missing.to_vec();
        self.read("read revisions", move |peer, db| read::fetch(peer, db, &missing))
    }

    fn write<'a>(&'a self, revisions: &'a [Revision]) -> Answer<'a, Vec<WriteFailure>> {
        Box::pin(write::write(self, revisions))
    }

    fn write_with_attachments<'a>(
        &'a self,
        revision: &'a Arc<Revision>,
        source: &'a AttachmentSource,
    ) -> Answer<'a, Option<WriteFailure>> {
        Box::pin(write::write_with_attachments(self, revision, source))
    }

    fn ensure_full_commit(&self) -> Answer<'_, String> {
        // Every write is durable before it is acknowledged.
        Box::pin(async move { self.open().map(|db| instance(&db)) })
    }
}
