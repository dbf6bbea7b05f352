//! What partitions hold, and what a full one takes.

use std::sync::Arc;

use super::tests::NoFunctions;
use super::{
    Admitted, Base, CreateOptions, Database, DatabaseName, Edit, EditOutcome, Partition, Registry,
};
use crate::document::incoming::{self, Limits};
use crate::document::{DocId, Rev, RevHash, Revisions};
use crate::storage::{Batch, Durability, Engine, MemoryEngine, Table, keys};

struct Fixture {
    engine: Arc<MemoryEngine>,
    registry: Registry,
    db: Arc<Database>,
}

fn fixture() -> Fixture {
    let engine = Arc::new(MemoryEngine::new());
    let everyone = b"{}".as_slice().into();
    let registry = Registry::open(engine.clone(), everyone, Arc::new(NoFunctions)).unwrap();
    let name = DatabaseName::parse("db").unwrap();
    registry.create(&name, CreateOptions { partitioned: true, ..Default::default() }).unwrap();
    let db = registry.get(&name).unwrap();
    Fixture { engine, registry, db }
}

fn edit(id: &str, base: Base, body: &str) -> Edit {
    let incoming = incoming::parse(body.as_bytes(), &Limits::default()).unwrap();
    Edit {
        id: DocId::parse(id).unwrap(),
        base,
        deleted: incoming.deleted,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: Vec::new(),
    }
}

fn write(db: &Arc<Database>, edits: Vec<Edit>) -> Vec<EditOutcome> {
    db.edit(Admitted::by_server(edits)).unwrap().wait().unwrap()
}

fn put(db: &Arc<Database>, id: &str, base: Base, body: &str) -> Rev {
    match write(db, vec![edit(id, base, body)]).remove(0) {
        EditOutcome::Saved(rev) => rev,
        other => panic!("not saved: {other:?}"),
    }
}

fn replicated(path: &str) -> Base {
    let ids: Vec<RevHash> = path.split(' ').rev().map(RevHash::parse).collect();
    Base::Replicated(Revisions { start: ids.len() as u64, ids })
}

#[track_caller]
fn holds(db: &Database, name: &str, doc_count: u64, doc_del_count: u64, external_bytes: u64) {
    let expect = Partition { doc_count, doc_del_count, external_bytes };
    assert_eq!(db.partition(name).unwrap(), expect, "{name}");
}

/// The record of a partition, if there is one.
fn recorded(fixture: &Fixture, name: &str) -> Option<Vec<u8>> {
    let key = keys::partition(fixture.db.number(), name);
    fixture.engine.get(Table::Databases, &key).unwrap()
}

#[test]
fn every_way_to_change_a_document_is_counted() {
    let fixture = fixture();
    let db = &fixture.db;
    holds(db, "p", 0, 0, 0);
    let first = put(db, "p:1", Base::New, r#"{"x":1}"#);
    put(db, "p:2", Base::New, r#"{"x":12}"#);
    let only = put(db, "q:1", Base::New, "{}");
    put(db, "_design/p:1", Base::New, "{}");
    holds(db, "p", 2, 0, 15);
    holds(db, "q", 1, 0, 2);
    // One document twice in one group, and a conflict.
    let second = edit("p:1", Base::On(first.clone()), r#"{"x":123}"#);
    let conflict = edit("p:1", replicated("z"), r#"{"y":1}"#);
    write(db, vec![second, conflict]);
    holds(db, "p", 2, 0, 8 + 9 + 7);
    let gone = put(db, "q:1", Base::On(only), r#"{"_deleted":true}"#);
    holds(db, "q", 0, 1, 2);
    db.compact().unwrap();
    holds(db, "p", 2, 0, 24);
    let purge = vec![(DocId::parse("q:1").unwrap(), vec![gone])];
    db.purge(purge).unwrap().wait().unwrap();
    holds(db, "q", 0, 0, 0);
    assert_eq!(recorded(&fixture, "q"), None);
    fixture.registry.delete(db.name()).unwrap().wait().unwrap();
    assert_eq!(recorded(&fixture, "p"), None);
}

#[test]
fn a_partition_without_a_record_is_counted_when_it_is_written_to() {
    let fixture = fixture();
    let db = &fixture.db;
    put(db, "p:1", Base::New, r#"{"x":1}"#);
    let record = recorded(&fixture, "p");
    let mut batch = Batch::default();
    batch.delete(Table::Databases, keys::partition(db.number(), "p"));
    fixture.engine.commit(batch, Durability::Synced).unwrap();
    holds(db, "p", 1, 0, 7);
    let purge = vec![(DocId::parse("p:1").unwrap(), vec![Rev::parse("9-z").unwrap()])];
    db.purge(purge).unwrap().wait().unwrap();
    assert_eq!(recorded(&fixture, "p"), record);
}

#[test]
fn a_full_partition_takes_nothing_that_makes_it_larger() {
    let Fixture { registry, db, .. } = fixture();
    registry.limits().set_max_partition_size(20);
    let first = put(&db, "p:1", Base::New, r#"{"x":"1234567890"}"#);
    // The write that crosses the limit is taken.
    let second = put(&db, "p:2", Base::New, r#"{"x":1}"#);
    let overflow = [EditOutcome::PartitionOverflow];
    assert_eq!(write(&db, vec![edit("p:3", Base::New, "{}")]), overflow);
    let larger = edit("p:2", Base::On(second.clone()), r#"{"x":12}"#);
    assert_eq!(write(&db, vec![larger]), overflow);
    holds(&db, "p", 2, 0, 25);
    // A conflict is one all the same.
    assert_eq!(write(&db, vec![edit("p:2", Base::New, "{}")]), [EditOutcome::Conflict]);
    put(&db, "q:1", Base::New, "{}");
    put(&db, "_design/p:1", Base::New, "{}");
    put(&db, "p:4", replicated("a"), "{}");
    let same = put(&db, "p:2", Base::On(second), r#"{"x":2}"#);
    put(&db, "p:1", Base::On(first), r#"{"_deleted":true}"#);
    holds(&db, "p", 2, 1, 2 + 7 + 2);
    put(&db, "p:3", Base::New, "{}");
    registry.limits().set_max_partition_size(1);
    let larger = edit("p:2", Base::On(same), r#"{"x":12}"#);
    assert_eq!(write(&db, vec![larger.clone()]), overflow);
    registry.limits().set_max_partition_size(0);
    assert!(matches!(write(&db, vec![larger])[0], EditOutcome::Saved(_)));
}
