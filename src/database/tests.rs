//! Databases on the in-memory engine: editing, replicating, attachments, purging, compacting.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::design::{Ddoc, FunctionError, Question, Validator};
use crate::document::{DocId, Encoding, Rev, RevHash, Revisions};
use crate::storage::{Engine, KeyRange, MemoryEngine, Table};

/// For databases without validation functions: it lets nothing in.
#[derive(Debug)]
pub struct NoFunctions;

impl Validator for NoFunctions {
    fn validate_all(
        &self,
        _: &Ddoc,
        questions: &[Question],
        _: &str,
        _: &str,
    ) -> Vec<Result<(), FunctionError>> {
        vec![Err(FunctionError::InvalidAnswer("no functions here".to_owned())); questions.len()]
    }
}

struct Fixture {
    engine: Arc<MemoryEngine>,
    registry: Registry,
    db: Arc<Database>,
}

fn name(text: &str) -> DatabaseName {
    DatabaseName::parse(text).unwrap()
}

fn id(text: &str) -> DocId {
    DocId::parse(text).unwrap()
}

fn rev(text: &str) -> Rev {
    Rev::parse(text).unwrap()
}

fn fixture() -> Fixture {
    let engine = Arc::new(MemoryEngine::new());
    let registry =
        Registry::open(engine.clone(), b"{}".as_slice().into(), Arc::new(NoFunctions)).unwrap();
    registry.create(&name("db"), CreateOptions::default()).unwrap();
    let db = registry.get(&name("db")).unwrap();
    Fixture { engine, registry, db }
}

fn edit(doc: &str, base: Base, body: &str) -> Edit {
    let limits = crate::document::incoming::Limits::default();
    let incoming = crate::document::incoming::parse(body.as_bytes(), &limits).unwrap();
    Edit {
        id: id(doc),
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

fn saved(outcome: &EditOutcome) -> Rev {
    match outcome {
        EditOutcome::Saved(rev) => rev.clone(),
        other => panic!("not saved: {other:?}"),
    }
}

fn put(db: &Arc<Database>, doc: &str, base: Base, body: &str) -> Rev {
    saved(&write(db, vec![edit(doc, base, body)])[0])
}

fn replicated(path: &str) -> Base {
    let ids: Vec<RevHash> = path.split(' ').rev().map(RevHash::parse).collect();
    Base::Replicated(Revisions { start: ids.len() as u64, ids })
}

fn changes(db: &Database) -> Vec<(u64, String, bool)> {
    let mut rows = Vec::new();
    db.scan_changes(1, u64::MAX, Direction::Forward, &mut |seq, change| {
        rows.push((seq, change.id.to_string(), change.deleted));
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn count(engine: &MemoryEngine, table: Table) -> usize {
    let mut count = 0;
    let all = KeyRange { start: Vec::new(), end: vec![0xff; 64] };
    engine
        .snapshot()
        .scan(table, &all, Direction::Forward, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    count
}

fn upload(db: &Database, bytes: &[u8]) -> Source {
    let mut upload = db.upload();
    upload.write(bytes).unwrap();
    let blob = upload.finish(Encoding::Identity, bytes.len() as u64).unwrap();
    Source::Bytes { content_type: "application/octet-stream".into(), blob }
}

fn with_attachment(mut edit: Edit, name: &str, source: Source) -> Edit {
    edit.attachments.push(EditAttachment { name: name.into(), revpos: None, source });
    edit
}

#[test]
fn the_life_of_a_document_has_couchdbs_revisions() {
    let Fixture { db, .. } = fixture();
    let first = put(&db, "a", Base::New, "{}");
    assert_eq!(first, rev("1-967a00dff5e02add41819138abb3284d"));
    assert_eq!(write(&db, vec![edit("a", Base::New, "{}")]), [EditOutcome::Conflict]);
    let gone = put(&db, "a", Base::On(first.clone()), r#"{"_deleted":true}"#);
    assert_eq!(gone, rev("2-eec205a9d413992850a6e32678485900"));
    assert!(db.winner(&id("a")).unwrap().unwrap().deleted);
    let again = put(&db, "a", Base::New, r#"{"b":2}"#);
    assert_eq!(again, rev("3-242b99c7064e501a975db510331887bd"));
    let stale = write(&db, vec![edit("a", Base::On(first), "{}")]);
    assert_eq!(stale, [EditOutcome::Conflict]);
    let state = db.state();
    assert_eq!((state.update_seq, state.doc_count, state.doc_del_count), (3, 1, 0));
    assert_eq!(changes(&db), [(3, "a".into(), false)]);
}

#[test]
fn documents_of_a_request_get_sequences_in_the_order_of_their_ids() {
    let Fixture { db, .. } = fixture();
    let edits = ["c", "a", "b"].map(|doc| edit(doc, Base::New, "{}")).to_vec();
    write(&db, edits);
    let expected = [(1, "a".into(), false), (2, "b".into(), false), (3, "c".into(), false)];
    assert_eq!(changes(&db), expected);
}

#[test]
fn replicated_revisions_keep_their_ids_and_make_conflicts() {
    let Fixture { db, .. } = fixture();
    let edits = vec![
        edit("t", replicated("a b"), r#"{"n":1}"#),
        edit("t", replicated("a c"), r#"{"n":2}"#),
        edit("t", replicated("a"), "{}"),
    ];
    let outcomes = write(&db, edits);
    assert_eq!(saved(&outcomes[0]), rev("2-b"));
    assert_eq!(saved(&outcomes[1]), rev("2-c"));
    assert_eq!(outcomes[2], EditOutcome::Known(rev("1-a")));
    assert_eq!(db.winner(&id("t")).unwrap().unwrap().rev, rev("2-c"));
    assert_eq!(changes(&db), [(1, "t".into(), false)]);
    let known = write(&db, vec![edit("t", replicated("a b"), r#"{"n":1}"#)]);
    assert_eq!(known, [EditOutcome::Known(rev("2-b"))]);
    assert_eq!(db.state().update_seq, 1);
}

#[test]
fn a_failed_commit_is_answered_and_leaves_nothing() {
    let Fixture { engine, db, .. } = fixture();
    engine.fail_commits(1);
    let failed = db.edit(Admitted::by_server(vec![edit("a", Base::New, "{}")])).unwrap().wait();
    assert!(matches!(failed, Err(DatabaseError::Storage(_))));
    assert_eq!((db.state().update_seq, changes(&db).len()), (0, 0));
    put(&db, "a", Base::New, "{}");
    assert_eq!(db.state().update_seq, 1);
}

#[test]
fn writes_of_many_threads_are_all_there_in_gapless_sequences() {
    let Fixture { db, .. } = fixture();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let db = db.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    put(&db, &format!("{thread}-{number}"), Base::New, "{}");
                }
            });
        }
    });
    assert_eq!(db.state().doc_count, 400);
    let seqs: Vec<u64> = changes(&db).into_iter().map(|(seq, ..)| seq).collect();
    assert_eq!(seqs, (1..=400).collect::<Vec<u64>>());
}

/// A driver that had emptied the queue once refused what others queued before it was dropped.
#[test]
fn a_driver_that_is_done_refuses_nobody() {
    let Fixture { db, .. } = fixture();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = db.clone();
            scope.spawn(move || {
                for number in 0..1000 {
                    let doc = format!("{thread}-{number}");
                    let reply =
                        db.edit(Admitted::by_server(vec![edit(&doc, Base::New, "{}")])).unwrap();
                    assert!(matches!(reply.wait().unwrap()[0], EditOutcome::Saved(_)));
                }
            });
        }
    });
    assert_eq!(db.state().update_seq, 4000);
}

#[test]
fn a_driver_that_never_runs_leaves_the_next_to_drive() {
    let Fixture { db, .. } = fixture();
    let Reply { driver, answer } =
        db.edit(Admitted::by_server(vec![edit("a", Base::New, "{}")])).unwrap();
    drop(driver);
    assert!(matches!(answer.blocking_recv(), Ok(Err(DatabaseError::Overloaded))));
    put(&db, "b", Base::New, "{}");
}

#[test]
fn attachments_are_shared_kept_by_stubs_and_removed_with_their_last_revision() {
    let Fixture { engine, db, .. } = fixture();
    let bytes = vec![7u8; attachments::CHUNK_BYTES * 2 + 5];
    let source = upload(&db, &bytes);
    assert_eq!(count(&engine, Table::Chunks), 3);
    let one = with_attachment(edit("a", Base::New, "{}"), "x", source);
    let two = with_attachment(edit("b", Base::New, "{}"), "y", upload(&db, &bytes));
    let outcomes = write(&db, vec![one, two]);
    assert_eq!(count(&engine, Table::Chunks), 3, "the second copy is dropped");

    let stub = with_attachment(edit("a", Base::On(saved(&outcomes[0])), "{}"), "x", Source::Stub);
    let kept = saved(&write(&db, vec![stub])[0]);
    let document = db.revision(&id("a"), &kept).unwrap().unwrap();
    assert_eq!(document.attachments[0].revpos, 1);
    let reader = db.blob(&document.attachments[0]).unwrap();
    let (mut read, mut at) = (Vec::new(), 0);
    loop {
        let chunk = reader.read_at(at).unwrap();
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        read.extend_from_slice(&chunk);
    }
    assert_eq!(read, bytes);

    let wrong = with_attachment(edit("a", Base::On(kept.clone()), "{}"), "z", Source::Stub);
    assert_eq!(write(&db, vec![wrong]), [EditOutcome::MissingStub { name: "z".into() }]);
    put(&db, "a", Base::On(kept), r#"{"_deleted":true}"#);
    put(&db, "b", Base::On(saved(&outcomes[1])), r#"{"_deleted":true}"#);
    assert_eq!(count(&engine, Table::Chunks), 3, "old revisions hold them");
    assert!(db.compact().unwrap());
    assert_eq!((count(&engine, Table::Chunks), count(&engine, Table::Blobs)), (0, 0));
    assert_eq!(count(&engine, Table::Bodies), 2);
}

#[test]
fn an_upload_that_no_document_adopts_is_removed() {
    let Fixture { engine, db, .. } = fixture();
    let source = upload(&db, &vec![1; attachments::CHUNK_BYTES + 1]);
    assert_eq!(count(&engine, Table::Chunks), 2);
    let uploads = |engine: &MemoryEngine| {
        let mut found = 0;
        let range = crate::storage::keys::uploads();
        let snapshot = engine.snapshot();
        snapshot
            .scan(Table::Catalogue, &range, Direction::Forward, &mut |_, _| {
                found += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    };
    assert_eq!(uploads(&engine), 1);
    let conflict = with_attachment(edit("a", Base::On(rev("1-a")), "{}"), "x", source.clone());
    assert_eq!(write(&db, vec![conflict]), [EditOutcome::Conflict]);
    drop(source);
    assert_eq!((count(&engine, Table::Chunks), uploads(&engine)), (0, 0));

    let left = upload(&db, &vec![1; attachments::CHUNK_BYTES + 1]);
    let after_a_crash =
        Registry::open(engine.clone(), b"{}".as_slice().into(), Arc::new(NoFunctions)).unwrap();
    assert_eq!((count(&engine, Table::Chunks), uploads(&engine)), (0, 0));
    drop((left, after_a_crash));
}

#[test]
fn purging_removes_leaves_and_remembers() {
    let Fixture { engine, db, .. } = fixture();
    write(&db, vec![edit("t", replicated("a b"), "{}"), edit("t", replicated("a c"), "{}")]);
    let purge = |revs: &[&str]| {
        let revs = revs.iter().map(|text| rev(text)).collect();
        db.purge(vec![(id("t"), revs)]).unwrap().wait().unwrap().remove(0).purged
    };
    assert_eq!(purge(&["1-a", "9-x"]), []);
    assert_eq!(purge(&["2-c"]), [rev("2-c")]);
    assert_eq!(db.winner(&id("t")).unwrap().unwrap().rev, rev("2-b"));
    assert_eq!(purge(&["2-b"]), [rev("2-b")]);
    assert!(db.head(&id("t")).unwrap().is_none());
    let state = db.state();
    assert_eq!((state.doc_count, state.purge_seq, changes(&db).len()), (0, 2, 0));
    assert_eq!(db.purges(10).unwrap().len(), 2);
    assert_eq!(count(&engine, Table::Bodies), 0);
}

#[test]
fn local_documents_take_any_revision() {
    let Fixture { db, .. } = fixture();
    let write = |given, body: Option<&'static [u8]>| {
        let body = body.map(bytes::Bytes::from_static);
        let edit = LocalEdit { id: id("_local/x"), given, body };
        db.edit_locals(vec![edit]).unwrap().wait().unwrap()[0]
    };
    assert_eq!(write(0, Some(b"{}")), LocalOutcome::Saved(1));
    assert_eq!(write(41, Some(b"{\"a\":1}")), LocalOutcome::Saved(42));
    assert_eq!(db.local(&id("_local/x")).unwrap().unwrap().rev, 42);
    assert_eq!(write(0, None), LocalOutcome::Saved(0));
    assert_eq!(write(0, None), LocalOutcome::Missing);
}

#[test]
fn databases_are_created_deleted_and_created_anew() {
    let Fixture { engine, registry, db } = fixture();
    let db_name = name("db");
    let exists = registry.create(&db_name, CreateOptions::default());
    assert!(matches!(exists, Err(DatabaseError::Exists)));
    put(&db, "a", Base::New, "{}");
    let old = db.seq(1);
    registry.delete(&db_name).unwrap().wait().unwrap();
    assert!(db.is_deleted());
    assert!(matches!(registry.get(&db_name), Err(DatabaseError::NotFound)));
    assert!(matches!(db.edit(Admitted::by_server(vec![])), Err(DatabaseError::NotFound)));
    assert_eq!((count(&engine, Table::Heads), count(&engine, Table::Databases)), (0, 0));
    registry.create(&db_name, CreateOptions::default()).unwrap();
    let new = registry.get(&db_name).unwrap();
    assert_eq!((new.state().update_seq, new.number_of(old)), (0, 0));
    let events = registry.events(0, Direction::Forward, 10).unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Created]);
    assert_eq!(*registry.subscribe().borrow(), events[0].seq);
}

#[test]
fn ranks_count_live_documents_and_follow_the_writer() {
    let Fixture { db, .. } = fixture();
    let all: Vec<Edit> = (0..2000).map(|n| edit(&format!("{n:04}"), Base::New, "{}")).collect();
    let outcomes = write(&db, all);
    for (doc, rank) in [("", 0), ("0000", 0), ("0001", 1), ("1000", 1000), ("9", 2000)] {
        assert_eq!(db.rank(doc).unwrap(), rank, "{doc}");
    }
    put(&db, "0500", Base::On(saved(&outcomes[500])), r#"{"_deleted":true}"#);
    put(&db, "0000a", Base::New, "{}");
    put(&db, "0000b", Base::New, "{}");
    for (doc, rank) in [("0001", 3), ("0500", 502), ("0501", 502), ("1000", 1001)] {
        assert_eq!(db.rank(doc).unwrap(), rank, "{doc}");
    }
}

#[test]
fn clients_edits_need_not_shorten_the_tree() {
    let Fixture { registry, db, .. } = fixture();
    let revisions = |doc: &str| db.head(&id(doc)).unwrap().unwrap().tree.nodes().len();
    db.set_revs_limit(2).unwrap().wait().unwrap();
    let edits = |doc: &str| {
        let mut rev = put(&db, doc, Base::New, "{}");
        for _ in 0..3 {
            rev = put(&db, doc, Base::On(rev), "{}");
        }
        rev
    };
    edits("short");
    assert_eq!(revisions("short"), 2);
    registry.limits().set_stem_interactive_updates(false);
    let rev = edits("long");
    assert_eq!(revisions("long"), 4);
    put(
        &db,
        "long",
        replicated(&format!("{} x", rev.to_string().split_once('-').unwrap().1)),
        "{}",
    );
    put(&db, "path", replicated("a b c"), "{}");
    assert_eq!(revisions("path"), 2);
}

#[test]
fn the_engine_outlives_a_handle_with_everything_in_it() {
    let Fixture { engine, registry, db } = fixture();
    put(&db, "a", Base::New, r#"{"n":1}"#);
    db.set_security(b"{\"admins\":{}}".to_vec()).unwrap().wait().unwrap();
    db.set_revs_limit(7).unwrap().wait().unwrap();
    drop((registry, db));
    let registry = Registry::open(engine, b"{}".as_slice().into(), Arc::new(NoFunctions)).unwrap();
    let db = registry.get(&name("db")).unwrap();
    assert_eq!((db.state().doc_count, db.revs_limit()), (1, 7));
    assert_eq!(&*db.security(), b"{\"admins\":{}}");
    assert_eq!(db.winner(&id("a")).unwrap().unwrap().body, r#"{"n":1}"#);
}
