//! Edits at random: everything that can happen to documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blocking;
use crate::database::{Base, Database, Edit, EditAttachment, EditOutcome, Source};
use crate::document::incoming::{self, Limits};
use crate::document::revtree::{Node, RevTree};
use crate::document::{DocId, Encoding, Rev, RevHash, Revisions};

use super::site::Site;
use super::stage::Actor;

const IDS: [&str; 10] =
    ["a", "b", "c", "d", "e", "with/slash", "with space", "ü:€", "_design/x", "_design/y"];
const NAMES: [&str; 3] = ["a.txt", "folder/b", "ü"];
/// Bytes of an attachment that is stored in several chunks.
const LARGE: usize = 300_000;

/// Somebody who changes documents.
pub struct Writer {
    actor: Arc<Actor>,
    edits: AtomicU64,
}

impl Writer {
    pub fn new(actor: &Arc<Actor>) -> Self {
        Self { actor: actor.clone(), edits: AtomicU64::new(0) }
    }

    /// Changes some documents of a database in one go.
    pub async fn change(&self, site: &Site) {
        let Some(db) = site.find() else { return };
        let count = if self.actor.percent(10) { 20 } else { 1 + self.actor.below(3) };
        let edits: Vec<Edit> = (0..count).map(|_| self.edit(&db)).collect();
        for (edit, outcome) in edits.iter().zip(site.edit(edits.clone()).await) {
            // Edits of one go may conflict with each other.
            let shown = match outcome {
                EditOutcome::Saved(rev) | EditOutcome::Known(rev) => rev.to_string(),
                other => format!("{other:?}"),
            };
            self.actor.note(format_args!("edit {} in {}: {shown}", edit.id, site.name));
        }
    }

    /// Forgets a document in all databases.
    pub async fn purge(&self, sites: &[Site]) -> String {
        let id = self.id();
        for db in sites.iter().filter_map(Site::find) {
            let head = db.head(&id).unwrap();
            let leaves: Vec<Rev> =
                head.iter().flat_map(|head| head.tree.leaves()).map(Node::rev).collect();
            let purged = db.purge(vec![(id.clone(), leaves)]).unwrap();
            blocking::settle(purged).await.unwrap();
        }
        self.actor.note(format_args!("purge {id}"));
        id.to_string()
    }

    fn id(&self) -> DocId {
        let id: &&str = self.actor.pick(&IDS);
        DocId::parse(id).unwrap()
    }

    fn edit(&self, db: &Database) -> Edit {
        let id = self.id();
        let tree = db.head(&id).unwrap().map(|head| head.tree).unwrap_or_default();
        let (base, below) =
            if self.actor.percent(15) { (self.branch(&tree), None) } else { self.follow(&tree) };
        let deleted = base != Base::New && self.actor.percent(20);
        let old = below.and_then(|rev| db.revision(&id, &rev).unwrap());
        let old = old.map_or(Vec::new(), |old| old.attachments);
        let kept = old.into_iter().filter(|_| self.actor.percent(70));
        let mut attachments: Vec<EditAttachment> = kept
            .map(|att| EditAttachment { name: att.name, revpos: None, source: Source::Stub })
            .collect();
        let name = *self.actor.pick(&NAMES);
        if self.actor.percent(30) && attachments.iter().all(|att| att.name != name) {
            let source = self.upload(db);
            attachments.push(EditAttachment { name: name.to_owned(), revpos: None, source });
        }
        let text = self.text(deleted, attachments.is_empty());
        let incoming = incoming::parse(text.as_bytes(), &Limits::default()).unwrap();
        let (body, body_term) = (incoming.body, incoming.body_term);
        Edit { id, base, deleted, body, body_term, attachments }
    }

    /// The next revision on a leaf, mostly the winner.
    fn follow(&self, tree: &RevTree) -> (Base, Option<Rev>) {
        let leaves = tree.leaves();
        let Some(winner) = leaves.first() else { return (Base::New, None) };
        if winner.deleted && self.actor.percent(50) {
            return (Base::New, None);
        }
        let leaf = if self.actor.percent(70) { winner } else { self.actor.pick(&leaves) };
        (Base::On(leaf.rev()), Some(leaf.rev()))
    }

    /// A revision that another database made: on a known one, or with a history of its own.
    fn branch(&self, tree: &RevTree) -> Base {
        let fresh = || RevHash::Md5(self.actor.bytes(16).try_into().unwrap());
        if tree.is_empty() || self.actor.percent(30) {
            let ids: Vec<RevHash> = (0..=self.actor.below(3)).map(|_| fresh()).collect();
            return Base::Replicated(Revisions { start: ids.len() as u64, ids });
        }
        let path = tree.path(&self.actor.pick(tree.nodes()).rev()).unwrap();
        let ids = std::iter::once(fresh()).chain(path.ids).collect();
        Base::Replicated(Revisions { start: path.start + 1, ids })
    }

    /// Sometimes a text that others write too, which gives equal revisions in two databases.
    fn text(&self, deleted: bool, may_be_equal: bool) -> String {
        let number = self.edits.fetch_add(1, Ordering::SeqCst);
        let kind = if number.is_multiple_of(2) { "even" } else { "odd" };
        match (deleted, may_be_equal && self.actor.percent(10)) {
            (true, true) => r#"{"_deleted":true}"#.to_owned(),
            (true, false) => format!(r#"{{"_deleted":true,"n":{number}}}"#),
            (false, true) => r#"{"kind":"odd"}"#.to_owned(),
            (false, false) => format!(r#"{{"n":{number},"kind":"{kind}","views":{{}}}}"#),
        }
    }

    fn upload(&self, db: &Database) -> Source {
        let bytes = match self.actor.below(20) {
            0 => self.actor.bytes(LARGE),
            1 => vec![7; LARGE],
            2..5 => b"what others have too".to_vec(),
            _ => self.actor.bytes(self.actor.below(3000)),
        };
        let mut upload = db.upload();
        upload.write(&bytes).unwrap();
        let (encoding, length) = if self.actor.percent(20) {
            (Encoding::Gzip, 2 * bytes.len() as u64)
        } else {
            (Encoding::Identity, bytes.len() as u64)
        };
        let blob = upload.finish(encoding, length).unwrap();
        Source::Bytes { content_type: "application/octet-stream".to_owned(), blob }
    }
}
