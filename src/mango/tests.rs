//! Every plan finds what a naive scan finds: random documents and random selectors, asked through
//! every index that can serve them, forwards and backwards, whole and page by page.

mod explained;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::cursor::{FindCursor, open_index};
use super::index::{IndexDefinition, NewIndex, design_documents, indexes};
use super::planner::{FieldRange, Purpose, choose};
use super::request::FindRequest;
use super::selector::tests::{any_value, condition, naive};
use super::selector::{FieldPath, Found};
use super::{mapper, warnings};
use crate::collation;
use crate::database::{
    Admitted, Base, CreateOptions, Database, DatabaseName, Edit, EditOutcome, Registry,
};
use crate::design::Functions;
use crate::document::{DocId, incoming};
use crate::sandbox::{Options, Sandbox};
use crate::storage::MemoryEngine;
use crate::views::{Index, Views};

struct Fixture {
    db: Arc<Database>,
    views: Views,
}

/// What a query found.
#[derive(Debug, PartialEq)]
struct Answer {
    docs: Vec<Value>,
    bookmark: String,
    keys: u64,
    read: u64,
    warning: Option<String>,
}

impl Fixture {
    fn new() -> Self {
        let functions = Arc::new(Functions::new(Sandbox::new(Options::default()).unwrap()));
        let engine = Arc::new(MemoryEngine::new());
        let security = b"{}".as_slice().into();
        let registry = Registry::open(engine, security, functions.clone()).unwrap();
        let name = DatabaseName::parse("db").unwrap();
        registry.create(&name, CreateOptions::default()).unwrap();
        let views = Views::new(functions);
        views.set_language(mapper::LANGUAGE, mapper::make_mapper());
        Self { db: registry.get(&name).unwrap(), views }
    }

    fn write(&self, documents: &[(String, Value)]) {
        let edits = documents.iter().map(|(id, body)| {
            let text = body.to_string();
            let parsed = incoming::parse(text.as_bytes(), &incoming::Limits::default()).unwrap();
            Edit {
                id: DocId::parse(id).unwrap(),
                base: Base::New,
                deleted: false,
                body: parsed.body,
                body_term: parsed.body_term,
                attachments: Vec::new(),
            }
        });
        let outcomes = self.db.edit(Admitted::by_server(edits.collect())).unwrap().wait().unwrap();
        let is_saved = |outcome: &EditOutcome| matches!(outcome, EditOutcome::Saved(_));
        assert!(outcomes.iter().all(is_saved), "{outcomes:?}");
    }

    fn index(&self, definition: Value) {
        let body = Map::from_iter([("index".to_owned(), definition)]);
        let new = NewIndex::parse(body).unwrap();
        let ddoc = new.add_to(None).unwrap().unwrap();
        self.write(&[(new.ddoc, Value::Object(ddoc))]);
    }

    fn named_index(&self, name: &str, definition: &Value) {
        let body = json!({"index": definition, "ddoc": name, "name": name});
        let new = NewIndex::parse(body.as_object().unwrap().clone()).unwrap();
        let ddoc = new.add_to(None).unwrap().unwrap();
        self.write(&[(new.ddoc, Value::Object(ddoc))]);
    }

    fn indexes(&self) -> Vec<IndexDefinition> {
        indexes(&self.db, &design_documents(&self.db).unwrap())
    }

    /// Answers a request through the index that the planner chooses.
    fn find(&self, request: &Value) -> Option<(IndexDefinition, Answer)> {
        let request = FindRequest::parse(request.as_object().unwrap().clone(), 25).unwrap();
        let ddocs = design_documents(&self.db).unwrap();
        let all = indexes(&self.db, &ddocs);
        let chosen = choose(&all, &request, false, Purpose::Find).ok()?.chosen.unwrap();
        let definition = all[chosen.at].clone();
        if chosen.ranges == [FieldRange::Empty] {
            let (docs, bookmark) = (Vec::new(), String::new());
            return Some((definition, Answer { docs, bookmark, keys: 0, read: 0, warning: None }));
        }
        let index = open_index(&self.views, &self.db, &ddocs, &definition).unwrap();
        if let Some(updater) = index.as_ref().and_then(Index::update) {
            updater.run();
        }
        let request = Arc::new(request);
        let mut cursor =
            FindCursor::new(self.db.clone(), request.clone(), &definition, index).unwrap();
        let mut docs = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = cursor.page(&mut out, 1, &mut |_| {}).unwrap();
            if !out.is_empty() {
                docs.push(serde_json::from_slice(&out).unwrap());
            }
            if !more {
                break;
            }
        }
        let stats = cursor.stats();
        let warning = warnings::warnings(&request, &definition, stats, 10);
        let (keys, read) = (stats.keys, stats.docs);
        Some((definition, Answer { docs, bookmark: cursor.bookmark(), keys, read, warning }))
    }
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.docs.iter().map(|doc| doc["_id"].as_str().unwrap()).collect()
}

/// What the documents of an index sort by; none for a document that is not in it.
fn sort_key(definition: &IndexDefinition, doc: &Value) -> Option<Value> {
    if definition.ddoc.is_none() {
        return Some(json!([]));
    }
    let values = definition.columns().into_iter().map(|column| {
        match FieldPath::parse(column).unwrap().find(doc) {
            Found::Value(value) => Some(value.clone()),
            Found::Missing | Found::NoWay => None,
        }
    });
    values.collect::<Option<Vec<Value>>>().map(Value::from)
}

/// The ids of the wanted documents, in the order of an index.
fn expected(
    definition: &IndexDefinition,
    documents: &[(String, Value)],
    selector: &Value,
    descending: bool,
) -> Option<Vec<String>> {
    let mut wanted = Vec::new();
    for (id, doc) in documents {
        let mut doc = doc.clone();
        doc["_id"] = id.as_str().into();
        let is_wanted = naive::matches(selector, &doc)?;
        let in_index = !definition.is_partial() || doc.get("b").is_some();
        if is_wanted && in_index {
            wanted.extend(sort_key(definition, &doc).map(|key| (key, id.clone())));
        }
    }
    wanted.sort_by(|a, b| collation::compare(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
    if descending {
        wanted.reverse();
    }
    Some(wanted.into_iter().map(|(_, id)| id).collect())
}

fn body() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::vec((name, any_value()), 0..4)
        .prop_map(|members| members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
}

fn documents() -> impl Strategy<Value = Vec<(String, Value)>> {
    let ids = vec!["A", "B", "a", "b", "é", "aa", "a:", "10", "9", "zz", "Z", "e\u{301}", "ab"];
    prop::collection::vec((prop::sample::select(ids), body()), 0..13).prop_map(|documents| {
        let mut all: Vec<(String, Value)> =
            documents.into_iter().map(|(id, body)| (id.to_owned(), body)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        all
    })
}

/// Selectors that an index can serve more often than not.
fn selector() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec!["a", "a", "b", "b", "c", "_id", "a.b"]);
    let leaf = (field, condition()).prop_map(|(field, condition)| json!({ field: condition }));
    let leaf = leaf.boxed();
    let either = prop::collection::vec(leaf.clone(), 1..4).prop_map(|all| json!({"$or": all}));
    let not = leaf.clone().prop_map(|part| json!({"$not": part}));
    let part = prop_oneof![4 => leaf, 2 => either, 1 => not];
    prop::collection::vec(part, 1..4).prop_map(|parts| json!({"$and": parts}))
}

fn all_definitions() -> [Value; 8] {
    [
        json!({"fields": ["a"]}),
        json!({"fields": ["b"]}),
        json!({"fields": ["a", "b"]}),
        json!({"fields": ["b", "a"]}),
        json!({"fields": ["a.b"]}),
        json!({"fields": ["_id", "a"]}),
        json!({"fields": ["a", "b", "c"]}),
        json!({"fields": ["a"], "partial_filter_selector": {"b": {"$exists": true}}}),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_plan_finds_what_a_scan_finds(
        documents in documents(),
        selectors in prop::collection::vec(selector(), 6),
        (limit, skip) in (1..6_u64, 0..3_u64),
    ) {
        let fixture = Fixture::new();
        fixture.write(&documents);
        for definition in all_definitions() {
            fixture.index(definition);
        }
        for selector in &selectors {
            for definition in fixture.indexes() {
                for descending in [false, true] {
                    ask(&fixture, &definition, &documents, selector, descending, (limit, skip))?;
                }
            }
        }
    }
}

/// Asks through one index, if it can serve the query: all at once, and page by page.
fn ask(
    fixture: &Fixture,
    wanted: &IndexDefinition,
    documents: &[(String, Value)],
    selector: &Value,
    descending: bool,
    (limit, skip): (u64, u64),
) -> Result<(), TestCaseError> {
    let fails = |(id, doc): &(String, Value)| {
        let mut doc = doc.clone();
        doc["_id"] = id.as_str().into();
        naive::matches(selector, &doc).is_none()
    };
    if documents.iter().any(fails) {
        return Ok(());
    }
    let direction = if descending { "desc" } else { "asc" };
    let first = wanted.columns()[0].to_owned();
    let sort = if descending { json!([{ first: direction }]) } else { json!([]) };
    let mut request = json!({"selector": selector, "sort": sort, "limit": 100});
    if let Some(ddoc) = &wanted.ddoc {
        request["use_index"] = json!([ddoc, wanted.name]);
    }
    let Some((used, whole)) = fixture.find(&request) else { return Ok(()) };
    let Some(expect) = expected(&used, documents, selector, descending) else { return Ok(()) };
    prop_assert_eq!(ids(&whole), expect.clone(), "{} {} {:?}", selector, direction, used);
    // From the rows alone, where they tell all.
    request["fields"] = json!(["_id"]);
    let (_, shown) = fixture.find(&request).unwrap();
    prop_assert_eq!(ids(&shown), expect.clone());
    request["limit"] = limit.into();
    let mut seen = Vec::new();
    loop {
        let (_, page) = fixture.find(&request).unwrap();
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        if page.docs.is_empty() {
            break;
        }
        request["bookmark"] = page.bookmark.into();
    }
    prop_assert_eq!(&seen, &expect);
    request["bookmark"] = json!(null);
    request["skip"] = skip.into();
    let (_, page) = fixture.find(&request).unwrap();
    let skip = usize::try_from(skip).unwrap();
    let expect: Vec<_> = expect.iter().skip(skip).take(usize::try_from(limit).unwrap()).collect();
    prop_assert_eq!(ids(&page), expect);
    Ok(())
}

/// People of the recorded queries.
fn people() -> Fixture {
    let fixture = Fixture::new();
    let documents: Vec<(String, Value)> = (0..200)
        .map(|n| {
            let tags = if n % 10 == 0 { json!(["x", n]) } else { json!(n % 7) };
            (format!("d{n:03}"), json!({"n": n, "m": n % 20, "tags": tags}))
        })
        .collect();
    fixture.write(&documents);
    for (name, fields) in [("n", json!(["n"])), ("m", json!(["m", "n"])), ("tags", json!(["tags"]))]
    {
        fixture.named_index(name, &json!({ "fields": fields }));
    }
    fixture
}

#[test]
fn only_rows_that_can_be_wanted_are_read() {
    let fixture = people();
    // Selector, index, results, keys.
    let table = [
        (json!({"n": 5}), "n", 1, 1),
        (json!({"n": {"$in": [1, 100, 150, 999]}}), "n", 3, 3),
        (json!({"$or": [{"n": {"$lt": 3}}, {"n": {"$gte": 197}}]}), "n", 6, 6),
        (json!({"n": {"$ne": 7, "$lt": 10}}), "n", 9, 9),
        (json!({"n": {"$gt": 150}, "m": {"$in": [3, 4]}}), "n", 4, 49),
        (json!({"m": 3, "$or": [{"n": 3}, {"n": 23}, {"n": 24}]}), "m", 2, 2),
        (json!({"tags": {"$in": [1]}}), "tags", 26, 46),
        (json!({"tags": {"$elemMatch": {"$eq": 10}}}), "tags", 1, 20),
        (json!({"tags": {"$type": "number", "$mod": [2, 0]}}), "tags", 103, 180),
        (json!({"_id": {"$in": ["d001", "d100", "x"]}}), "_all_docs", 2, 2),
        (json!({"_id": {"$beginsWith": "d19"}}), "_all_docs", 10, 10),
    ];
    for (selector, index, results, keys) in table {
        let request = json!({"selector": selector, "limit": 1000});
        let (used, answer) = fixture.find(&request).unwrap();
        let first = if used.ddoc.is_none() { "_all_docs" } else { used.columns()[0] };
        assert_eq!((first, answer.docs.len(), answer.keys), (index, results, keys), "{selector}");
        assert_eq!(answer.read, keys, "{selector}");
    }
    let selector = json!({"$or": [{"m": 3}, {"m": 4}], "n": {"$gt": 150}});
    let request = json!({"selector": selector, "use_index": "m"});
    assert_eq!(fixture.find(&request).unwrap().1.keys, 4);
    // So are the points of a list; arrays of `m` could hold one of these, too, but there are none.
    let selector = json!({"m": {"$in": [3, 4]}, "n": {"$gt": 150}});
    let request = json!({"selector": selector, "use_index": "m"});
    assert_eq!(fixture.find(&request).unwrap().1.keys, 4);
}

#[test]
fn covering_indexes_read_no_documents() {
    let fixture = people();
    let request =
        json!({"selector": {"m": 3, "n": {"$gt": 100}}, "fields": ["n", "_id"], "limit": 2});
    let (_, answer) = fixture.find(&request).unwrap();
    assert_eq!(answer.docs, [json!({"n": 103, "_id": "d103"}), json!({"n": 123, "_id": "d123"})]);
    assert_eq!((answer.keys, answer.read), (2, 0));
    let request = json!({"selector": {"n": 3, "tags": 3}, "fields": ["n"]});
    assert_eq!(fixture.find(&request).unwrap().1.read, 1);
}

#[test]
fn answers_warn() {
    const NO_INDEX: &str = "No matching index found, create an index to optimize query time.";
    let fixture = people();
    let warning = |request: Value| fixture.find(&request).unwrap().1.warning;
    assert_eq!(warning(json!({"selector": {"n": 3}})), None);
    assert_eq!(warning(json!({"selector": {"_id": "d003"}})).unwrap(), NO_INDEX);
    let many = warning(json!({"selector": {"n": {"$gt": 100}, "z": 1}})).unwrap();
    assert!(many.starts_with("The number of documents examined is high"), "{many}");
    let both = warning(json!({"selector": {"z": 1}, "use_index": "x"})).unwrap();
    let expect = "_design/x was not used because it does not contain a valid index for this query.";
    let lines: Vec<&str> = both.split('\n').collect();
    assert_eq!((lines[0], lines[1], lines.len()), (expect, NO_INDEX, 3));
    let named = warning(json!({"selector": {"n": 3}, "use_index": ["_design/x", "y"]}));
    let expect = "_design/x, y was not used because it is not a valid index for this query.";
    assert_eq!(named.unwrap(), expect);
}
