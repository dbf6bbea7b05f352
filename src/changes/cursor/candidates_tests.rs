//! Feeds that ask an index show what feeds show that read every document: random histories,
//! through random questions, with the index as far behind as it happens to be.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::candidates::{DOCUMENTS_MAX, candidates_max};
use super::*;
use crate::changes::tests::{database, put};
use crate::changes::{FilterFunction, FunctionFilter, SelectorFilter};
use crate::database::Registry;
use crate::design::{Ddoc, Functions};
use crate::mango::mapper;
use crate::sandbox::{self, Sandbox};

const INDEX: &str = "_design/index";
const MAPS: &str = "_design/maps";
const OTHER: &str = "_design/other";

struct Fixture {
    _registry: Registry,
    db: Arc<Database>,
    views: Arc<Views>,
    /// The revisions of each branch of each document, oldest first.
    branches: Vec<[String; 2]>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Goes on with a branch of a document, or begins it.
    Write {
        document: usize,
        branch: usize,
        body: Value,
    },
    UpdateIndexes,
}

/// Maps that tell what passes them as filters, but for those that fail.
const TELLING: [(&str, &str); 6] = [
    ("n", "function(doc) { if (doc.n == 1) emit(doc.n, doc); }"),
    ("twice", "function(doc) { if (doc.m == 1) { emit('a'); emit('b'); } }"),
    ("some", "function(doc) { if (doc.n > 1 && doc.m) emit(null); }"),
    ("conflicts", "function(doc) { if (doc._conflicts) emit(doc._conflicts); }"),
    ("fails", "function(doc) { if (doc.n == 3) emit(doc.o.p); }"),
    ("nothing", "function(doc) {}"),
];
/// Maps of which no index tells anything.
const OTHERS: [(&str, &str); 3] = [
    ("revisions", "function(doc) { if (doc._revisions && doc.n == 1) emit(1); }"),
    ("changed", "function(doc) { doc.k = 1; if (doc.k && doc.n == 2) emit(1); }"),
    ("engine", "function(doc) { if (new Date(doc.n) > 2) emit(1); }"),
];

fn functions() -> Arc<Functions> {
    static FUNCTIONS: OnceLock<Arc<Functions>> = OnceLock::new();
    let make = || Arc::new(Functions::new(Sandbox::new(sandbox::Options::default()).unwrap()));
    FUNCTIONS.get_or_init(make).clone()
}

impl Fixture {
    fn new() -> Self {
        let (registry, db) = database();
        let all_views = Views::new(functions());
        all_views.set_language(mapper::LANGUAGE, mapper::make_mapper());
        let index = |fields: Value, filter: Value| {
            json!({
                "map": {"fields": fields, "partial_filter_selector": filter},
                "reduce": "_count",
                "options": {"def": {}},
            })
        };
        let ddoc = json!({"language": "query", "views": {
            "n": index(json!({"n": "asc"}), json!({})),
            "nm": index(json!({"n": "asc", "m": "asc"}), json!({})),
            "partial": index(json!({"n": "asc"}), json!({"m": 1})),
        }});
        put(&db, INDEX, "a", &ddoc.to_string());
        let views = |views: &[(&str, &str)]| {
            let views = views.iter().map(|(name, map)| ((*name).to_owned(), json!({"map": map})));
            json!({"views": views.collect::<serde_json::Map<_, _>>()}).to_string()
        };
        put(&db, MAPS, "a", &views(&TELLING));
        put(&db, OTHER, "a", &views(&OTHERS));
        Self { _registry: registry, db, views: Arc::new(all_views), branches: Vec::new() }
    }

    fn design(&self, id: &str) -> Arc<Ddoc> {
        self.db.design(&DocId::parse(id).unwrap()).unwrap().unwrap()
    }

    fn update_indexes(&self) {
        for id in [INDEX, MAPS, OTHER] {
            let index = self.views.index(&self.db, &self.design(id)).unwrap();
            if let Some(updater) = index.update() {
                updater.run();
            }
        }
    }

    /// The filters of a design document's views.
    fn view_filters<'a>(&self, id: &str, views: &'a [(&str, &str)]) -> Vec<(&'a str, Filter)> {
        let (ddoc, functions) = (self.design(id), functions());
        let filter = |(name, _): &'a (&str, &str)| {
            let function = FilterFunction::View { name: (*name).to_owned() };
            let (functions, ddoc) = (functions.clone(), ddoc.clone());
            (*name, Filter::Function(FunctionFilter { functions, ddoc, function }))
        };
        views.iter().map(filter).collect()
    }

    fn take(&mut self, step: &Step) {
        let Step::Write { document, branch, body } = step else { return self.update_indexes() };
        if self.branches.len() <= *document {
            self.branches.resize_with(document + 1, Default::default);
        }
        let path = &mut self.branches[*document][*branch];
        *path = if path.is_empty() {
            format!("{branch}")
        } else {
            format!("{path} {branch}{}", path.len())
        };
        let id = if *document == 0 { "_design/d".to_owned() } else { format!("d{document}") };
        put(&self.db, &id, &path.clone(), &body.to_string());
    }

    /// All that a pass shows, how it ends, and whether an index was asked.
    fn pass(&self, since: u64, page_rows: usize, options: Options) -> (Vec<String>, bool) {
        let newest = self.db.state().update_seq;
        let mut cursor = Cursor::new(self.db.clone(), since, newest, options);
        let (mut shown, mut asked) = (Vec::new(), false);
        loop {
            let mut taken = 0;
            let reached = cursor.page(&mut |row| {
                shown.push(format!("{row:?}"));
                taken += 1;
                let full = taken >= page_rows;
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            asked |= cursor.candidates.is_some();
            match reached {
                Ok(Reached::PageEnd) => {}
                Ok(reached) => {
                    let pending = cursor.pending().unwrap();
                    shown.push(format!("{reached:?} {} {pending}", cursor.last_seq()));
                    assert!(cursor.candidates.is_none() || reached == Reached::Limit);
                    return (shown, asked);
                }
                Err(error) => {
                    shown.push(error.to_string());
                    return (shown, asked);
                }
            }
        }
    }
}

fn selectors() -> Vec<Value> {
    vec![
        json!({"n": 1}),
        json!({"n": {"$gt": 1}}),
        json!({"n": {"$ne": 1}}),
        json!({"n": {"$in": [0, 2]}}),
        json!({"n": 1, "m": 1}),
        json!({"n": {"$exists": false}}),
        json!({"$or": [{"n": 1}, {"n": 3}]}),
        json!({"$or": [{"n": 1}, {"m": 1}]}),
        json!({"$or": []}),
        json!({"$nor": [{"n": 0}, {"n": 1}]}),
        json!({"n": {"$gte": 2}, "_conflicts": {"$exists": true}}),
        json!({"n": 2, "_deleted": true}),
        json!({"m": {"$mod": [0, 1]}, "n": 3}),
        json!({"n": "none"}),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deleted = prop::bool::weighted(0.2);
    let m = prop::option::of(0..2_u8);
    let write = (0..9_usize, prop::bool::weighted(0.2), 0..4_u8, m, deleted);
    let write = write.prop_map(|(document, other, n, m, deleted)| {
        let mut body = json!({"n": n});
        if let Some(m) = m {
            body["m"] = m.into();
        }
        if deleted {
            body["_deleted"] = true.into();
        }
        Step::Write { document, branch: usize::from(other), body }
    });
    prop::collection::vec(prop_oneof![6 => write, 1 => Just(Step::UpdateIndexes)], 1..40)
}

fn questions() -> impl Strategy<Value = (u64, usize, Options)> {
    let style = prop_oneof![Just(Style::MainOnly), Just(Style::AllDocs)];
    let direction = prop_oneof![3 => Just(Direction::Forward), 1 => Just(Direction::Backward)];
    let documents = prop_oneof![
        Just(Documents::No),
        Just(Documents::Winner),
        Just(Documents::WinnerWithConflicts)
    ];
    let limit = prop::option::of(0..5_u64);
    let asked = (0..12_u64, 1..4_usize, style, direction, limit, documents);
    asked.prop_map(|(since, page_rows, style, direction, limit, documents)| {
        let options = Options { style, direction, limit, documents, ..Options::default() };
        (since, page_rows, options)
    })
}

proptest! {
    #[test]
    fn an_index_changes_no_answer(steps in steps(), asked in questions()) {
        let mut fixture = Fixture::new();
        for step in &steps {
            fixture.take(step);
        }
        let (since, page_rows, options) = asked;
        let by_selector = selectors().into_iter().map(|selector| {
            let filter = SelectorFilter::parse(&selector, &[]).unwrap();
            (selector.to_string(), Filter::Selector(filter))
        });
        let by_view = [(MAPS, TELLING.as_slice()), (OTHER, OTHERS.as_slice())];
        let by_view = by_view.into_iter().flat_map(|(id, views)| fixture.view_filters(id, views));
        let by_view = by_view.map(|(name, filter)| (name.to_owned(), filter));
        for (name, filter) in by_selector.chain(by_view) {
            let read = Options { filter, ..options.clone() };
            let asked = Options { views: Some(fixture.views.clone()), ..read.clone() };
            let expect = fixture.pass(since, page_rows, read).0;
            let shown = fixture.pass(since, page_rows, asked).0;
            prop_assert_eq!(shown, expect, "{}", name);
        }
    }
}

#[test]
fn documents_that_an_index_rules_out_are_not_read() {
    let mut fixture = Fixture::new();
    let write = |document, n: u8, deleted: bool| {
        let mut body = json!({"n": n});
        if deleted {
            body["_deleted"] = true.into();
        }
        Step::Write { document, branch: 0, body }
    };
    (1..9).for_each(|document| fixture.take(&write(document, 0, false)));
    fixture.take(&write(3, 1, false));
    fixture.take(&write(4, 0, true));
    let filter = SelectorFilter::parse(&json!({"n": 1}), &[]).unwrap();
    let options = Options {
        filter: Filter::Selector(filter),
        views: Some(fixture.views.clone()),
        ..Options::default()
    };
    let cursor = |fixture: &Fixture, options: &Options| {
        let newest = fixture.db.state().update_seq;
        Cursor::new(fixture.db.clone(), 0, newest, options.clone())
    };
    // An index that was never built is not built for this.
    assert!(cursor(&fixture, &options).find_candidates().is_none());
    fixture.update_indexes();
    fixture.take(&write(5, 0, false));
    let candidates = cursor(&fixture, &options).find_candidates().unwrap();
    let mut left = Vec::new();
    let mut visit = |seq, change: Change| {
        if !candidates.leave_out(seq, &change) {
            left.push(change.id.to_string());
        }
        ControlFlow::Continue(())
    };
    fixture.db.scan_changes(1, u64::MAX, Direction::Forward, &mut visit).unwrap();
    // Design documents, the one that passes, a tombstone, and a change after the index.
    assert_eq!(left, [INDEX, MAPS, OTHER, "d3", "d4", "d5"]);
    let (shown, asked) = fixture.pass(0, 1, options.clone());
    assert!(asked && shown.len() == 2, "{shown:?}");
    // Half of the documents are too many to be worth it.
    let most = SelectorFilter::parse(&json!({"n": 0}), &[]).unwrap();
    let most = Options { filter: Filter::Selector(most), ..options };
    assert!(cursor(&fixture, &most).find_candidates().is_none());
}

#[test]
fn a_view_tells_what_passes_its_map_unless_that_has_failed() {
    let mut fixture = Fixture::new();
    let write = |document, n: u8| Step::Write { document, branch: 0, body: json!({"n": n}) };
    (1..20).for_each(|document| fixture.take(&write(document, 0)));
    fixture.take(&write(3, 1));
    let told = |fixture: &Fixture| {
        let filters = [(MAPS, TELLING.as_slice()), (OTHER, OTHERS.as_slice())];
        let filters = filters.into_iter().flat_map(|(id, views)| fixture.view_filters(id, views));
        let told = filters.filter(|(_, filter)| {
            let views = Some(fixture.views.clone());
            let options = Options { filter: filter.clone(), views, ..Options::default() };
            let newest = fixture.db.state().update_seq;
            Cursor::new(fixture.db.clone(), 0, newest, options).find_candidates().is_some()
        });
        told.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert!(told(&fixture).is_empty(), "an index that was never built is not built for this");
    fixture.update_indexes();
    assert_eq!(told(&fixture), TELLING.map(|(name, _)| name));
    // What it fails on has no rows, and the feed has to fail there.
    fixture.take(&write(4, 3));
    fixture.update_indexes();
    let others = ["n", "twice", "some", "conflicts", "nothing"];
    assert_eq!(told(&fixture), others);
    // It is not known which document that was.
    fixture.take(&write(4, 0));
    fixture.update_indexes();
    assert_eq!(told(&fixture), others);
}

#[test]
fn a_limit_makes_candidates_dear() {
    for (rows, limit, expect) in [
        (1_000_000, None, DOCUMENTS_MAX),
        (100_000, None, 50_000),
        (1_000_000, Some(25), 3_535),
        (1_000, Some(1_000_000), 500),
        (1_000, Some(0), 0),
    ] {
        assert_eq!(candidates_max(rows, limit), expect, "{rows} {limit:?}");
    }
}
