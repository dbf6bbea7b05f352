//! A store that is whole has no findings; one that lacks any record, or has one that cannot be
//! read, has.

use std::sync::Arc;

use super::super::tests::NoFunctions;
use super::super::{
    Admitted, Base, CreateOptions, Database, DatabaseName, Edit, EditAttachment, LocalEdit,
    Registry, Source,
};
use super::*;
use crate::document::incoming::{self, Limits};
use crate::document::{DocId, Encoding, Rev, RevHash, Revisions};
use crate::storage::{Batch, Durability, MemoryEngine};

fn write(db: &Arc<Database>, id: &str, path: &str, body: &str, attachment: &[u8]) {
    let incoming = incoming::parse(body.as_bytes(), &Limits::default()).unwrap();
    let ids: Vec<RevHash> = path.split(' ').rev().map(RevHash::parse).collect();
    let mut edit = Edit {
        id: DocId::parse(id).unwrap(),
        base: Base::Replicated(Revisions { start: ids.len() as u64, ids }),
        deleted: incoming.deleted,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: Vec::new(),
    };
    if !attachment.is_empty() {
        let mut upload = db.upload();
        upload.write(attachment).unwrap();
        let blob = upload.finish(Encoding::Identity, attachment.len() as u64).unwrap();
        let source = Source::Bytes { content_type: "text/plain".into(), blob };
        edit.attachments.push(EditAttachment { name: "a".into(), revpos: None, source });
    }
    db.edit(Admitted::by_server(vec![edit])).unwrap().wait().unwrap();
}

/// Conflicts, tombstones, stemmed and purged revisions, shared and large attachments.
fn store() -> Arc<MemoryEngine> {
    let engine = Arc::new(MemoryEngine::new());
    let everyone = b"{}".as_slice().into();
    let registry = Registry::open(engine.clone(), everyone, Arc::new(NoFunctions)).unwrap();
    for name in ["one", "two"] {
        let name = DatabaseName::parse(name).unwrap();
        registry.create(&name, CreateOptions::default()).unwrap();
        let db = registry.get(&name).unwrap();
        let large = vec![7; 300_000];
        write(&db, "conflict", "a b", r#"{"x":1}"#, b"shared");
        write(&db, "conflict", "a c d", r#"{"x":2}"#, b"shared");
        write(&db, "conflict", "e", r#"{"_deleted":true}"#, b"");
        write(&db, "large", "a", "{}", &large);
        write(&db, "tombstone", "a b", r#"{"_deleted":true}"#, b"");
        write(&db, "purged", "a", "{}", b"gone");
        let purge = (DocId::parse("purged").unwrap(), vec![Rev::parse("1-a").unwrap()]);
        db.purge(vec![purge]).unwrap().wait().unwrap();
        let local = LocalEdit {
            id: DocId::parse("_local/l").unwrap(),
            given: 0,
            body: Some(b"{}".as_slice().into()),
        };
        db.edit_locals(vec![local]).unwrap().wait().unwrap();
    }
    let name = DatabaseName::parse("three").unwrap();
    registry.create(&name, CreateOptions { partitioned: true, ..Default::default() }).unwrap();
    let db = registry.get(&name).unwrap();
    for (id, path) in [("p:1", "a"), ("p:2", "a b"), ("q:1", "a"), ("_design/d", "a")] {
        write(&db, id, path, r#"{"x":1}"#, b"");
    }
    registry.close().unwrap();
    engine
}

fn findings(engine: &MemoryEngine) -> Findings {
    verify(engine, &mut |_, _| Ok(())).unwrap()
}

fn records(engine: &MemoryEngine) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    let all = KeyRange { start: Vec::new(), end: vec![0xff; 64] };
    for table in Table::ALL {
        let mut visit = |key: &[u8], value: &[u8]| {
            records.push((table, key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        engine.snapshot().scan(table, &all, Direction::Forward, &mut visit).unwrap();
    }
    records
}

fn put(engine: &MemoryEngine, table: Table, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(table, key.to_vec(), value.to_vec());
    engine.commit(batch, Durability::Synced).unwrap();
}

/// A database can do without these: they have defaults.
fn is_optional(table: Table, key: &[u8]) -> bool {
    table == Table::Databases && key.get(8) != Some(&1) || table == Table::Catalogue && key == [6]
}

#[test]
fn a_store_that_is_whole() {
    let found = findings(&store());
    assert_eq!(found.problems, Vec::<String>::new());
    let counts = (found.databases, found.documents, found.bodies, found.attachments);
    assert_eq!(counts, (3, 10, 14, 4));
}

#[test]
fn every_record_is_missed() {
    let engine = store();
    for (table, key, value) in records(&engine) {
        let mut batch = Batch::default();
        batch.delete(table, key.clone());
        engine.commit(batch, Durability::Synced).unwrap();
        let noticed = findings(&engine).problem_count > 0;
        assert!(noticed || is_optional(table, &key), "{table:?} {key:?}");
        put(&engine, table, &key, &value);
    }
    assert_eq!(findings(&engine).problem_count, 0);
}

#[test]
fn every_record_is_read() {
    let engine = store();
    for (table, key, value) in records(&engine) {
        let is_empty = value.is_empty();
        let mut broken = value.clone();
        if let Some(first) = broken.first_mut() {
            *first ^= 0xff;
        }
        put(&engine, table, &key, &broken);
        let noticed = findings(&engine).problem_count > 0;
        assert!(
            noticed || is_empty || table == Table::Catalogue && key == [6],
            "{table:?} {key:?}"
        );
        put(&engine, table, &key, &value);
    }
}

#[test]
fn what_belongs_to_nobody() {
    let engine = store();
    let check = |table: Table, key: Vec<u8>, value: &[u8]| {
        put(&engine, table, &key, value);
        assert_ne!(findings(&engine).problem_count, 0, "{table:?} {key:?}");
        let mut batch = Batch::default();
        batch.delete(table, key);
        engine.commit(batch, Durability::Synced).unwrap();
    };
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Catalogue) {
        for number in [0, 4, u64::MAX] {
            check(table, [&u64::to_be_bytes(number)[..], b"x"].concat(), b"\x01");
        }
    }
    check(Table::Databases, keys::partition(DbNumber(3), "r"), &[1, 1, 0, 9]);
    check(Table::Databases, keys::partition(DbNumber(3), "p"), &[1, 9, 0, 9]);
    let copies = records(&engine).into_iter().filter(|(table, ..)| {
        matches!(table, Table::Heads | Table::Bodies | Table::Changes | Table::Chunks)
    });
    for (table, mut key, value) in copies {
        key.push(b'2');
        check(table, key, &value);
    }
    assert_eq!(findings(&engine).problem_count, 0);
}
