//! A database of a simulation, and what is in it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use md5::{Digest as _, Md5};

use crate::auth::UserCtx;
use crate::blocking;
use crate::config::Config;
use crate::database::{
    Admitted, CreateOptions, Database, DatabaseName, Direction, Edit, EditOutcome, Registry,
};
use crate::design::{Functions, Validator};
use crate::document::{Attachment, Digest, Document, Rev};
use crate::replicator::{LocalPeer, LocalServer};
use crate::sandbox::{Options, Sandbox};
use crate::storage::MemoryEngine;
use crate::views::Views;

/// When everything happens: databases that are created anew are as old as those before them.
pub fn now_s() -> u64 {
    1_800_000_000
}

/// A server of databases.
pub fn server(engine: Arc<MemoryEngine>, validator: Arc<dyn Validator>) -> LocalServer {
    static FUNCTIONS: OnceLock<Arc<Functions>> = OnceLock::new();
    let functions = FUNCTIONS
        .get_or_init(|| Arc::new(Functions::new(Sandbox::new(Options::default()).unwrap())))
        .clone();
    let registry = Arc::new(Registry::open(engine, b"{}".as_slice().into(), validator).unwrap());
    let views = Arc::new(Views::new(functions.clone()));
    let config = Arc::new(Config::in_memory(vec![]).unwrap());
    LocalServer { registry, functions, views, config, now_s }
}

/// Where a database is, whether it is there or not.
#[derive(Clone)]
pub struct Site {
    pub server: LocalServer,
    pub name: DatabaseName,
}

/// A leaf with all that belongs to it.
#[derive(Debug, PartialEq)]
pub struct Leaf {
    pub rev: Rev,
    pub deleted: bool,
    body: String,
    attachments: Vec<Attachment>,
}

impl Site {
    pub fn new(server: &LocalServer, name: &str) -> Self {
        Self { server: server.clone(), name: DatabaseName::parse(name).unwrap() }
    }

    pub fn peer(&self) -> LocalPeer {
        LocalPeer::new(self.server.clone(), self.name.clone(), UserCtx::server())
    }

    pub fn create(&self) {
        let options = CreateOptions { created_s: now_s(), ..CreateOptions::default() };
        // A replication that creates its target may have been faster.
        let _ = self.server.registry.create(&self.name, options);
    }

    pub async fn delete(&self) {
        if let Ok(reply) = self.server.registry.delete(&self.name) {
            let _ = blocking::settle(reply).await;
        }
    }

    pub fn find(&self) -> Option<Arc<Database>> {
        self.server.registry.get(&self.name).ok()
    }

    pub fn db(&self) -> Arc<Database> {
        self.find().unwrap()
    }

    pub async fn edit(&self, edits: Vec<Edit>) -> Vec<EditOutcome> {
        let written = self.db().edit(Admitted::by_server(edits)).unwrap();
        blocking::settle(written).await.unwrap()
    }

    /// Every document's leaves, the winner first; their bytes are what their digests say.
    pub fn contents(&self) -> BTreeMap<String, Vec<Leaf>> {
        let db = self.db();
        let mut changes = Vec::new();
        let mut visit = |_, change| {
            changes.push(change);
            ControlFlow::Continue(())
        };
        db.scan_changes(1, u64::MAX, Direction::Forward, &mut visit).unwrap();
        let documents = changes.into_iter().map(|change| {
            let leaves = change.leaves.iter().map(|(rev, deleted)| {
                let found = db.revision(&change.id, rev).unwrap().expect("a leaf has a body");
                let Document { body, attachments, .. } = found;
                assert_eq!(found.deleted, *deleted, "{} {rev}", change.id);
                for attachment in &attachments {
                    assert_eq!(digest(&db, attachment), attachment.digest, "{attachment:?}");
                }
                let body = String::from_utf8(body.to_vec()).unwrap();
                Leaf { rev: rev.clone(), deleted: *deleted, body, attachments }
            });
            (change.id.to_string(), leaves.collect())
        });
        documents.collect()
    }
}

/// The MD5 of an attachment's stored bytes.
fn digest(db: &Database, attachment: &Attachment) -> Digest {
    let reader = db.blob(attachment).unwrap();
    let (mut md5, mut at) = (Md5::new(), 0);
    loop {
        let bytes = reader.read_at(at).unwrap();
        if bytes.is_empty() {
            assert_eq!(at, attachment.encoded_length);
            return Digest(md5.finalize().into());
        }
        at += bytes.len() as u64;
        md5.update(&bytes);
    }
}
