//! Builds on the in-memory engine, with a mapper of the tests' own: documents are
//! `{"keys": [...], "value": ...}` and emit each key with the value, in the first view as they are
//! and in the second one as arrays of one element.

mod histories;
mod meanwhile;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::*;
use crate::collation;
use crate::database::{
    Admitted, Base, CreateOptions, Database, DatabaseError, DatabaseName, Edit, EditOutcome,
    Registry,
};
use crate::design::{Ddoc, Functions};
use crate::document::{DocId, Document, Rev, incoming};
use crate::sandbox::{self, CallError, Emitted, EmittedRow, MapResults, Sandbox};
use crate::storage::view_keys::{self, IndexNumber, ViewAddress, ViewNumber};
use crate::storage::view_values::{IndexEntry, ViewRow, decode_emits};
use crate::storage::{Direction, Engine, MemoryEngine, Table, keys};

type Act = Box<dyn FnOnce() + Send>;

/// What the tests do to a build from inside.
#[derive(Default)]
struct Hooks {
    mapped: AtomicUsize,
    fail: AtomicBool,
    panic: AtomicBool,
    /// What happens before documents are mapped once more, and how many times they are before.
    meanwhile: Mutex<Option<(usize, Act)>>,
}

impl Hooks {
    fn let_happen(&self) {
        let due = self.meanwhile.lock().unwrap().take_if(|(calls, _)| {
            let is_due = *calls == 0;
            *calls = calls.saturating_sub(1);
            is_due
        });
        if let Some((_, act)) = due {
            act();
        }
    }
}

struct TestMapper {
    hooks: Arc<Hooks>,
    views: usize,
}

impl fmt::Debug for TestMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestMapper").field("views", &self.views).finish_non_exhaustive()
    }
}

impl TestMapper {
    fn emit(text: &mut String, value: &Value) -> Range<usize> {
        let start = text.len();
        text.push_str(&value.to_string());
        start..text.len()
    }
}

impl Mapper for TestMapper {
    fn map(&self, documents: Vec<String>) -> Result<MapResults, ViewsError> {
        self.hooks.mapped.fetch_add(documents.len(), Ordering::SeqCst);
        self.hooks.let_happen();
        assert!(!self.hooks.panic.load(Ordering::SeqCst), "on purpose");
        if self.hooks.fail.load(Ordering::SeqCst) {
            return Err(CallError::TimedOut.into());
        }
        let mut results = MapResults::default();
        for document in documents {
            let document: Value = serde_json::from_str(&document).unwrap();
            let emitted = (0..self.views).map(|view| {
                let rows = emits(view, &document).into_iter().map(|(key, value)| EmittedRow {
                    key: Self::emit(&mut results.text, &key),
                    value: Self::emit(&mut results.text, &value),
                });
                Emitted::Rows(rows.collect())
            });
            let emitted = emitted.collect();
            results.documents.push(emitted);
        }
        Ok(results)
    }
}

/// What a document emits in a view of the tests.
fn emits(view: usize, document: &Value) -> Vec<(Value, Value)> {
    let keys = document["keys"].as_array().cloned().unwrap_or_default();
    let key = |key: Value| if view == 0 { key } else { json!([key]) };
    keys.into_iter().map(|emitted| (key(emitted), document["value"].clone())).collect()
}

struct Fixture {
    engine: Arc<MemoryEngine>,
    registry: Registry,
    views: Views,
    hooks: Arc<Hooks>,
    db: Arc<Database>,
}

fn name() -> DatabaseName {
    DatabaseName::parse("db").unwrap()
}

fn id(text: &str) -> DocId {
    DocId::parse(text).unwrap()
}

fn ddoc(body: &Value) -> Ddoc {
    let document = Document {
        id: id("_design/d"),
        rev: Rev::parse("1-a").unwrap(),
        deleted: false,
        body: Bytes::from(body.to_string()),
        attachments: Vec::new(),
    };
    Ddoc::new(&document, None).unwrap()
}

fn two_views() -> Ddoc {
    ddoc(&json!({"language": "test", "views": {"one": {"map": "0"}, "two": {"map": "1"}}}))
}

fn fixture() -> Fixture {
    let engine = Arc::new(MemoryEngine::new());
    let sandbox = Sandbox::new(sandbox::Options::default()).unwrap();
    let functions = Arc::new(Functions::new(sandbox));
    let registry =
        Registry::open(engine.clone(), b"{}".as_slice().into(), functions.clone()).unwrap();
    registry.create(&name(), CreateOptions::default()).unwrap();
    let db = registry.get(&name()).unwrap();
    let views = Views::new(functions);
    let hooks = Arc::new(Hooks::default());
    let of_mapper = hooks.clone();
    views.set_language(
        "test",
        Arc::new(move |_, sources| {
            Ok(Arc::new(TestMapper { hooks: of_mapper.clone(), views: sources.len() }))
        }),
    );
    Fixture { engine, registry, views, hooks, db }
}

/// A row: view, key, id, value.
type Row = (u16, Value, String, Value);

impl Fixture {
    fn index(&self) -> Arc<Index> {
        self.views.index(&self.db, &two_views()).unwrap()
    }

    /// Brings the index up to date; what went wrong.
    fn update(&self) -> Option<ViewsError> {
        let index = self.index();
        index.update().unwrap().run();
        let reached = index.subscribe().borrow().clone();
        if reached.failure.is_none() {
            assert_eq!(reached.seq, self.db.state().update_seq);
            assert_eq!(reached.purge_seq, self.db.state().purge_seq);
        }
        reached.failure
    }

    fn write(&self, documents: &[(String, Option<Value>)]) {
        let edits = documents.iter().map(|(doc, body)| {
            let winner = self.db.winner(&id(doc)).unwrap();
            let base = winner.map_or(Base::New, |winner| Base::On(winner.rev));
            let text = body.clone().unwrap_or_else(|| json!({})).to_string();
            let parsed = incoming::parse(text.as_bytes(), &incoming::Limits::default()).unwrap();
            Edit {
                id: id(doc),
                base,
                deleted: body.is_none(),
                body: parsed.body,
                body_term: parsed.body_term,
                attachments: Vec::new(),
            }
        });
        let outcomes = self.db.edit(Admitted::by_server(edits.collect())).unwrap().wait().unwrap();
        let is_saved = |outcome: &EditOutcome| matches!(outcome, EditOutcome::Saved(_));
        assert!(outcomes.iter().all(is_saved), "{outcomes:?}");
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is given literals")]
    fn put(&self, doc: &str, keys: Value, value: Value) {
        self.write(&[(doc.to_owned(), Some(json!({"keys": keys, "value": value})))]);
    }

    fn purge(&self, doc: &str) {
        if let Some(winner) = self.db.winner(&id(doc)).unwrap() {
            let purges = vec![(id(doc), vec![winner.rev])];
            self.db.purge(purges).unwrap().wait().unwrap();
        }
    }

    fn entry(&self) -> Option<IndexEntry> {
        let index = self.index();
        index.entry(self.engine.snapshot().as_ref()).unwrap()
    }

    fn rows(&self) -> Vec<Row> {
        self.entry().map(|entry| self.rows_of(entry.number)).unwrap_or_default()
    }

    fn rows_of(&self, number: IndexNumber) -> Vec<Row> {
        let mut rows = Vec::new();
        for view in 0..2 {
            let address =
                ViewAddress { db: self.db.number(), index: number, view: ViewNumber(view) };
            self.scan(Table::ViewRows, &view_keys::rows(address), &mut |key, value| {
                let place = view_keys::place_of_row(key).unwrap();
                let row = ViewRow::decode(value).unwrap();
                let mut collation = Vec::new();
                collation::write_key_of_text(&mut collation, row.key);
                let id = view_keys::id_in_place(place, collation.len()).unwrap().into_owned();
                let parse = |json| serde_json::from_str(json).unwrap();
                rows.push((view, parse(row.key), id, parse(row.value)));
            });
        }
        rows
    }

    fn scan(
        &self,
        table: Table,
        range: &crate::storage::KeyRange,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let mut each = |key: &[u8], value: &[u8]| {
            visit(key, value);
            ControlFlow::Continue(())
        };
        self.engine.snapshot().scan(table, range, Direction::Forward, &mut each).unwrap();
    }

    fn count(&self, table: Table) -> usize {
        let mut count = 0;
        self.scan(table, &keys::database_range(self.db.number()), &mut |_, _| count += 1);
        count
    }

    /// What the rows must be.
    fn expected(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for view in 0..2 {
            self.db
                .scan_heads(&crate::database::IdRange::ALL, Direction::Forward, &mut |row| {
                    if !row.deleted && !row.id.starts_with("_design/") {
                        let body = self.db.winner(&id(row.id)).unwrap().unwrap().body;
                        let body: Value = serde_json::from_slice(&body).unwrap();
                        let of_view = emits(usize::from(view), &body).into_iter();
                        rows.extend(
                            of_view.map(|(key, value)| (view, key, row.id.to_owned(), value)),
                        );
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        rows.sort_by(|one, two| {
            let key = collation::compare(&one.1, &two.1);
            one.0.cmp(&two.0).then(key).then_with(|| one.2.cmp(&two.2))
        });
        rows
    }

    /// The index is what it must be, and what it tells of itself adds up.
    fn check(&self) {
        let rows = self.rows();
        assert_eq!(rows, self.expected());
        let Some(entry) = self.entry() else { return };
        let of_view = |view| rows.iter().filter(|row| row.0 == view).count() as u64;
        assert_eq!(entry.rows, [of_view(0), of_view(1)]);
        let bytes = |row: &Row| row.1.to_string().len() + row.3.to_string().len();
        assert_eq!(entry.external_bytes, rows.iter().map(bytes).sum::<usize>() as u64);
        let (mut emitted, mut documents) = (0, BTreeMap::<String, usize>::new());
        let range = view_keys::index_range(self.db.number(), entry.number);
        self.scan(Table::ViewEmits, &range, &mut |_, value| {
            emitted += decode_emits(value).unwrap().len();
        });
        for row in &rows {
            *documents.entry(row.2.clone()).or_default() += 1;
        }
        assert_eq!((emitted, self.count(Table::ViewEmits)), (rows.len(), documents.len()));
        assert_eq!(self.count(Table::ViewRows), rows.len());
    }
}

#[test]
fn edits_deletions_and_purges_reach_the_index() {
    let fixture = fixture();
    assert!(fixture.update().is_none());
    fixture.check();
    fixture.put("a", json!(["x", 1, null]), json!(1));
    fixture.put("b", json!(["x", "x", "x"]), json!(2));
    fixture.put("_design/d", json!(["x"]), json!(3));
    assert!(fixture.update().is_none());
    fixture.check();
    fixture.put("a", json!(["x", 2, "new"]), json!(1));
    fixture.put("b", json!(["x", "x"]), json!(2));
    fixture.put("c", json!([]), json!(2));
    assert!(fixture.update().is_none());
    fixture.check();
    fixture.write(&[("b".to_owned(), None)]);
    fixture.purge("a");
    assert!(fixture.update().is_none());
    fixture.check();
    assert!(fixture.rows().is_empty());
}

#[test]
fn rows_of_one_key_stand_in_the_order_of_their_values() {
    let fixture = fixture();
    let map = json!({"language": "test", "views": {"one": {"map": "0"}}});
    fixture.views.set_language(
        "test",
        Arc::new(|_, _| {
            #[derive(Debug)]
            struct Same;
            impl Mapper for Same {
                fn map(&self, _: Vec<String>) -> Result<MapResults, ViewsError> {
                    let text = "9[]3\"a\"{}null2".to_owned();
                    let values = [0..1, 1..3, 3..4, 4..7, 7..9, 9..13, 13..14];
                    let row = |value| EmittedRow { key: 0..1, value };
                    let rows = Emitted::Rows(values.map(row).into());
                    Ok(MapResults { text, documents: vec![vec![rows]] })
                }
            }
            Ok(Arc::new(Same))
        }),
    );
    fixture.put("a", json!([]), json!(null));
    let index = fixture.views.index(&fixture.db, &ddoc(&map)).unwrap();
    index.update().unwrap().run();
    let values: Vec<Value> = fixture.rows_of(IndexNumber(0)).into_iter().map(|row| row.3).collect();
    assert_eq!(
        values,
        [json!(2), json!(3), json!(9), json!(null), json!({}), json!([]), json!("a")]
    );
}

#[test]
fn an_index_that_fell_behind_remembered_purges_is_built_anew() {
    let fixture = fixture();
    fixture.db.set_purged_infos_limit(2).unwrap().wait().unwrap();
    for doc in ["a", "b", "c", "d", "e"] {
        fixture.put(doc, json!([doc]), json!(1));
    }
    assert!(fixture.update().is_none());
    let before = fixture.entry().unwrap().number;
    fixture.purge("a");
    fixture.purge("b");
    assert!(fixture.update().is_none());
    fixture.check();
    assert_eq!(fixture.entry().unwrap().number, before);
    for doc in ["c", "d", "e"] {
        fixture.purge(doc);
    }
    assert!(fixture.update().is_none());
    fixture.check();
    assert_ne!(fixture.entry().unwrap().number, before);
}

#[test]
fn an_unchanged_document_is_written_no_more_and_a_fresh_one_not_looked_up() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    assert!(fixture.update().is_none());
    assert_eq!(fixture.hooks.mapped.load(Ordering::SeqCst), 1);
    assert!(fixture.update().is_none());
    assert_eq!(fixture.hooks.mapped.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.entry().unwrap().fresh_until, 1);
}

#[test]
fn a_failure_leaves_what_was_reached_and_is_told() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    assert!(fixture.update().is_none());
    fixture.put("b", json!(["y"]), json!(1));
    fixture.hooks.fail.store(true, Ordering::SeqCst);
    assert!(matches!(fixture.update(), Some(ViewsError::Call(CallError::TimedOut))));
    assert_eq!(fixture.entry().unwrap().seq, 1);
    fixture.hooks.fail.store(false, Ordering::SeqCst);
    fixture.engine.fail_commits(1);
    assert!(matches!(fixture.update(), Some(ViewsError::Database(DatabaseError::Storage(_)))));
    assert_eq!(fixture.rows().len(), 2);
    assert!(fixture.update().is_none());
    fixture.check();
}

#[test]
fn an_updater_that_panics_or_never_runs_leaves_nobody_waiting() {
    let fixture = fixture();
    for n in 0..400 {
        fixture.put(&format!("{n}"), json!(["x"]), json!(1));
    }
    let index = fixture.index();
    fixture.hooks.panic.store(true, Ordering::SeqCst);
    assert!(matches!(fixture.update(), Some(ViewsError::Interrupted)), "on a thread of the build");
    fixture.hooks.panic.store(false, Ordering::SeqCst);
    let updater = index.update().unwrap();
    assert!(index.update().is_none());
    assert!(index.info().unwrap().updating);
    drop(updater);
    let reached = index.subscribe().borrow().clone();
    assert!(matches!(reached.failure, Some(ViewsError::Interrupted)));
    assert!(fixture.update().is_none());
    fixture.check();
}

#[test]
fn what_is_asked_for_during_an_update_is_done_by_it() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    let index = fixture.index();
    let updater = index.update().unwrap();
    fixture.put("b", json!(["y"]), json!(1));
    assert!(index.update().is_none());
    updater.run();
    fixture.check();
    assert_eq!(index.subscribe().borrow().updates, 1);
    assert!(fixture.views.building().is_empty());
}

#[test]
fn an_unknown_language_fails_the_update_alone() {
    let fixture = fixture();
    let body = json!({"language": "klingon", "views": {"v": {"map": "bogus"}}});
    fixture.put("a", json!([]), json!(1));
    let index = fixture.views.index(&fixture.db, &ddoc(&body)).unwrap();
    assert_eq!(index.info().unwrap(), IndexInfo { pending: 1, ..IndexInfo::default() });
    index.update().unwrap().run();
    let failure = index.subscribe().borrow().failure.clone();
    assert!(
        matches!(failure, Some(ViewsError::UnknownLanguage(language)) if language == "klingon")
    );
    assert_eq!(fixture.count(Table::Indexes), 0);
}

#[test]
fn cleanup_drops_what_is_not_kept_and_tells_who_uses_it() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    assert!(fixture.update().is_none());
    let index = fixture.index();
    let kept = HashSet::from([index.group().signature.clone()]);
    fixture.views.cleanup(&fixture.db, || Ok(kept)).unwrap();
    fixture.check();
    fixture.views.cleanup(&fixture.db, || Ok(HashSet::new())).unwrap();
    for table in [Table::ViewRows, Table::ViewEmits, Table::ViewBlocks] {
        assert_eq!(fixture.count(table), 0);
    }
    index.update().unwrap().run();
    let failure = index.subscribe().borrow().failure.clone();
    assert!(matches!(failure, Some(ViewsError::Dropped)));
    assert!(fixture.update().is_none(), "who asks again has a new one");
    fixture.check();
}

#[test]
fn an_index_of_other_collation_data_is_built_anew() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    assert!(fixture.update().is_none());
    let mut entry = fixture.entry().unwrap();
    entry.collator_version = "older".to_owned();
    let mut batch = crate::storage::Batch::default();
    let key = view_keys::index(fixture.db.number(), &fixture.index().group().signature);
    batch.put(Table::Indexes, key, entry.encode());
    fixture.engine.commit(batch, crate::storage::Durability::Buffered).unwrap();
    assert!(fixture.entry().is_none());
    assert!(fixture.update().is_none());
    fixture.check();
    assert_ne!(fixture.entry().unwrap().number, entry.number);
}

#[test]
fn a_deleted_database_takes_its_indexes_along() {
    let fixture = fixture();
    fixture.put("a", json!(["x"]), json!(1));
    assert!(fixture.update().is_none());
    let index = fixture.index();
    fixture.registry.delete(&name()).unwrap().wait().unwrap();
    for table in [Table::Indexes, Table::ViewRows, Table::ViewEmits, Table::ViewBlocks] {
        assert_eq!(fixture.count(table), 0, "{table:?}");
    }
    index.update().unwrap().run();
    let failure = index.subscribe().borrow().failure.clone();
    assert!(matches!(failure, Some(ViewsError::Database(DatabaseError::NotFound))), "{failure:?}");
    assert_eq!(fixture.count(Table::Indexes), 0);
}

#[test]
fn partitions_keep_rows_apart() {
    let fixture = fixture();
    let other = DatabaseName::parse("parts").unwrap();
    let options = CreateOptions { partitioned: true, ..CreateOptions::default() };
    fixture.registry.create(&other, options).unwrap();
    let fixture = Fixture { db: fixture.registry.get(&other).unwrap(), ..fixture };
    fixture.put("b:1", json!([1]), json!(1));
    fixture.put("a:1", json!([2, 1]), json!(1));
    assert!(fixture.update().is_none());
    let mut places = Vec::new();
    let range = keys::database_range(fixture.db.number());
    fixture.scan(Table::ViewRows, &range, &mut |key, _| {
        places.push(String::from_utf8_lossy(&key[14..15]).into_owned());
    });
    assert_eq!(places, ["a", "a", "b", "a", "a", "b"]);
    fixture.put("a:1", json!([2]), json!(1));
    assert!(fixture.update().is_none());
    assert_eq!(fixture.count(Table::ViewRows), 4);
}
