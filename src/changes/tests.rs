//! Cursors and feeds over a database on the in-memory engine.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::database::{
    Admitted, Base, CreateOptions, Database, DatabaseName, Direction, Edit, NoFunctions, Registry,
};
use crate::document::{DocId, Rev, RevHash, Revisions, incoming};
use crate::storage::MemoryEngine;

fn id(text: &str) -> DocId {
    DocId::parse(text).unwrap()
}

pub(super) fn database() -> (Registry, Arc<Database>) {
    let registry = Registry::open(
        Arc::new(MemoryEngine::new()),
        b"{}".as_slice().into(),
        Arc::new(NoFunctions),
    )
    .unwrap();
    let name = DatabaseName::parse("db").unwrap();
    registry.create(&name, CreateOptions::default()).unwrap();
    let db = registry.get(&name).unwrap();
    (registry, db)
}

/// Writes a revision whose path is `revs`, oldest first.
pub(super) fn put(db: &Arc<Database>, doc: &str, revs: &str, body: &str) {
    let parsed = incoming::parse(body.as_bytes(), &incoming::Limits::default()).unwrap();
    let ids: Vec<RevHash> = revs.split(' ').rev().map(RevHash::parse).collect();
    let edit = Edit {
        id: id(doc),
        base: Base::Replicated(Revisions { start: ids.len() as u64, ids }),
        deleted: parsed.deleted,
        body: parsed.body,
        body_term: parsed.body_term,
        attachments: Vec::new(),
    };
    db.edit(Admitted::by_server(vec![edit])).unwrap().wait().unwrap();
}

/// `d0 d1 d2 _design/d d3`, the last one a tombstone with sequence 6.
fn sample() -> (Registry, Arc<Database>) {
    let (registry, db) = database();
    put(&db, "d0", "a", r#"{"n":0}"#);
    put(&db, "d1", "a", r#"{"n":1}"#);
    put(&db, "d2", "a", r#"{"n":2}"#);
    put(&db, "d3", "a", r#"{"n":3}"#);
    put(&db, "_design/d", "a", "{}");
    put(&db, "d3", "a b", r#"{"_deleted":true}"#);
    (registry, db)
}

/// Everything a pass shows, and how it ended: rows, `last_seq`, pending, the last page's reason.
type Pass = (Vec<String>, u64, u64, Reached);

/// Reads a pass with pages of at most `page_rows`.
fn pass(cursor: &mut Cursor, page_rows: usize) -> Pass {
    let mut rows = Vec::new();
    loop {
        let mut taken = 0;
        let reached = cursor
            .page(&mut |row| {
                let revs: Vec<String> = row.revs.iter().map(|(rev, _)| rev.to_string()).collect();
                let deleted = if row.deleted { "-" } else { "" };
                rows.push(format!("{}:{}{deleted} {}", row.seq, row.id, revs.join(",")));
                taken += 1;
                let full = taken >= page_rows;
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        if reached != Reached::PageEnd {
            return (rows, cursor.last_seq(), cursor.pending().unwrap(), reached);
        }
    }
}

/// Checks a question, whatever the size of pages.
fn check(db: &Arc<Database>, since: u64, options: &Options, expect: (&[&str], u64, u64, Reached)) {
    let newest = db.state().update_seq;
    for page_rows in [1, 2, 100] {
        let mut cursor = Cursor::new(db.clone(), since, newest, options.clone());
        let (rows, last_seq, pending, reached) = pass(&mut cursor, page_rows);
        let rows: Vec<&str> = rows.iter().map(|row| row.split(' ').next().unwrap()).collect();
        assert_eq!((rows.as_slice(), last_seq, pending, reached), expect, "{options:?}");
    }
}

fn selector(selector: &serde_json::Value) -> Filter {
    Filter::Selector(SelectorFilter::parse(selector, &[]).unwrap())
}

#[test]
fn rows_limits_and_what_is_pending_are_couchdbs() {
    let (_registry, db) = sample();
    let all = Options::default();
    let rows = ["1:d0", "2:d1", "3:d2", "5:_design/d", "6:d3-"];
    check(&db, 0, &all, (&rows, 6, 0, Reached::PassEnd));
    check(&db, 3, &all, (&rows[3..], 6, 0, Reached::PassEnd));
    check(&db, 6, &all, (&[], 6, 0, Reached::PassEnd));
    check(&db, 99, &all, (&[], 99, 0, Reached::PassEnd));
    let limit = |limit| Options { limit: Some(limit), ..Options::default() };
    check(&db, 0, &limit(2), (&rows[..2], 2, 3, Reached::Limit));
    check(&db, 1, &limit(2), (&rows[1..3], 3, 2, Reached::Limit));
    check(&db, 0, &limit(0), (&[], 0, 5, Reached::Limit));
    check(&db, 2, &limit(0), (&[], 2, 3, Reached::Limit));
    let backward = Options { direction: Direction::Backward, ..Options::default() };
    let reversed: Vec<&str> = rows.iter().rev().copied().collect();
    check(&db, 3, &backward, (&reversed, 1, 0, Reached::PassEnd));
    let backward = Options { limit: Some(2), ..backward };
    check(&db, 0, &backward, (&reversed[..2], 5, 3, Reached::Limit));
}

#[test]
fn a_filter_moves_last_seq_behind_the_last_row() {
    let (_registry, db) = sample();
    let odd = Options { filter: selector(&json!({"n": {"$mod": [2, 1]}})), ..Options::default() };
    check(&db, 0, &odd, (&["2:d1"], 6, 0, Reached::PassEnd));
    // The row behind the limit is looked at, and passed over where the filter does not want it.
    let one = Options { limit: Some(1), ..odd.clone() };
    check(&db, 0, &one, (&["2:d1"], 3, 3, Reached::Limit));
    let backward = Options { direction: Direction::Backward, ..one };
    check(&db, 0, &backward, (&["2:d1"], 1, 1, Reached::Limit));
    let deleted = Options { filter: selector(&json!({"_deleted": true})), ..Options::default() };
    check(&db, 0, &deleted, (&["6:d3-"], 6, 0, Reached::PassEnd));
}

#[test]
fn documents_named_by_the_filter_are_looked_up_or_scanned_for() {
    let (_registry, db) = sample();
    let ids: HashSet<DocId> = ["d2", "d0", "zz"].map(id).into();
    let scanned = Options { filter: Filter::DocIds(ids), ..Options::default() };
    check(&db, 0, &scanned, (&["1:d0", "3:d2"], 6, 0, Reached::PassEnd));
    let looked_up = Options { lookups_max: 10, ..scanned.clone() };
    check(&db, 0, &looked_up, (&["1:d0", "3:d2"], 6, 3, Reached::PassEnd));
    check(&db, 1, &looked_up, (&["3:d2"], 6, 3, Reached::PassEnd));
    let documents = Options { documents: Documents::Winner, ..looked_up.clone() };
    check(&db, 0, &documents, (&["1:d0", "3:d2"], 6, 3, Reached::PassEnd));
    let backward = Options { direction: Direction::Backward, ..looked_up };
    check(&db, 0, &backward, (&["3:d2", "1:d0"], 1, 3, Reached::PassEnd));
    let design = Options { filter: Filter::Design, ..Options::default() };
    check(&db, 0, &design, (&["5:_design/d"], 6, 4, Reached::PassEnd));
    let none = Options { filter: Filter::DocIds(HashSet::new()), lookups_max: 1, ..design };
    check(&db, 0, &none, (&[], 6, 5, Reached::PassEnd));
}

#[test]
fn styles_name_the_winner_or_all_leaves() {
    let (_registry, db) = database();
    put(&db, "t", "a", "{}");
    put(&db, "t", "b", r#"{"n":1}"#);
    put(&db, "t", "x y", r#"{"_deleted":true}"#);
    let rows = |options: Options| pass(&mut Cursor::new(db.clone(), 0, 3, options), 100).0;
    assert_eq!(rows(Options::default()), ["3:t 1-b"]);
    let all = Options { style: Style::AllDocs, ..Options::default() };
    assert_eq!(rows(all.clone()), ["3:t 1-b,1-a,2-y"]);
    let filter = selector(&json!({"n": {"$exists": false}}));
    assert_eq!(rows(Options { filter: filter.clone(), ..all }), ["3:t 1-a,2-y"]);
    assert_eq!(rows(Options { filter, ..Options::default() }), [""; 0]);
}

#[test]
fn rows_carry_documents_conflicts_and_fields() {
    let (_registry, db) = database();
    put(&db, "t", "a", "{}");
    put(&db, "t", "b", r#"{"n":{"m":1,"o":2},"p":3}"#);
    let shown = |options: Options| {
        let mut cursor = Cursor::new(db.clone(), 0, 2, options);
        let mut shown = String::new();
        let mut take = |row: &Row<'_>| {
            shown = match row.document {
                RowDocument::NotAsked => "not asked".to_owned(),
                RowDocument::Gone => "gone".to_owned(),
                RowDocument::Whole { document, conflicts } => {
                    format!("{} {conflicts:?}", document.rev)
                }
                RowDocument::Fields(fields) => fields.to_string(),
            };
            ControlFlow::Continue(())
        };
        cursor.page(&mut take).unwrap();
        shown
    };
    assert_eq!(shown(Options::default()), "not asked");
    let winner = Options { documents: Documents::Winner, ..Options::default() };
    assert_eq!(shown(winner.clone()), "1-b []");
    let conflicts = Documents::WinnerWithConflicts;
    assert_eq!(shown(Options { documents: conflicts, ..winner.clone() }), "1-b [1-a]");
    let fields = SelectorFilter::parse(&json!({}), &["_id", "n.m", "none"]).unwrap();
    let fields = Options { filter: Filter::Selector(fields), ..winner };
    assert_eq!(shown(fields), r#"{"_id":"t","n":{"m":1}}"#);
}

#[test]
fn a_pass_ends_though_documents_keep_changing() {
    let (_registry, db) = sample();
    let mut cursor = Cursor::new(db.clone(), 0, 6, Options::default());
    let mut seen = Vec::new();
    let mut updates = 0;
    loop {
        let reached = cursor.page(&mut |row| {
            seen.push(row.id.to_string());
            ControlFlow::Break(())
        });
        if reached.unwrap() == Reached::PassEnd {
            break;
        }
        updates += 1;
        put(&db, "d2", &format!("a {updates}"), "{}");
    }
    // The document that changed during the pass belongs to the next one.
    assert_eq!(seen, ["d0", "d1", "_design/d", "d3"]);
    assert_eq!((cursor.last_seq(), cursor.pending().unwrap()), (6, 0));
    cursor.renew(db.state().update_seq);
    let (rows, last_seq, ..) = pass(&mut cursor, 100);
    assert_eq!((rows.len(), last_seq), (1, db.state().update_seq));
}

fn news(feed: &mut Feed) -> News {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(feed.news())
}

#[test]
fn a_feed_wakes_on_changes_and_ends_with_the_database() {
    let (registry, db) = sample();
    let mut feed = Feed::new(db.clone(), Since::Now, Options::default());
    assert_eq!(pass(feed.cursor_mut(), 100).0, [""; 0]);
    put(&db, "e", "a", "{}");
    assert_eq!(news(&mut feed), News::Changes);
    assert_eq!(pass(feed.cursor_mut(), 100).0, ["7:e 1-a"]);
    let earlier = Since::Seq(db.seq(5));
    let mut other = Feed::new(db.clone(), earlier, Options::default());
    assert_eq!(pass(other.cursor_mut(), 100).0.len(), 2);
    let foreign = crate::database::Seq { incarnation: 1, ..db.seq(5) };
    let mut foreign = Feed::new(db.clone(), Since::Seq(foreign), Options::default());
    assert_eq!(pass(foreign.cursor_mut(), 100).0.len(), 6);
    registry.delete(db.name()).unwrap().wait().unwrap();
    assert_eq!(news(&mut feed), News::DatabaseDeleted);
}

#[test]
fn what_is_pending_is_exact_wherever_and_whenever_it_is_asked() {
    let (_registry, db) = database();
    for round in 1..40_u64 {
        let doc = format!("d{}", round * 7 % 13);
        let path: Vec<String> = (1..=round).map(|number| format!("r{number}")).collect();
        put(&db, &doc, &path.join(" "), if round % 5 == 0 { r#"{"_deleted":true}"# } else { "{}" });
        for since in [round / 2, round / 3, round, 0, round * 7 % 11] {
            let mut count = 0;
            let mut take = |_, _| {
                count += 1;
                ControlFlow::Continue(())
            };
            db.scan_changes(since + 1, u64::MAX, Direction::Forward, &mut take).unwrap();
            assert_eq!(db.pending(since).unwrap(), count, "round {round}, since {since}");
        }
    }
}

#[test]
fn bodies_in_order_are_those_that_are_looked_up() {
    let (_registry, db) = database();
    for doc in ["a", "a\u{0}", "b", "c", "c\u{1}"] {
        for path in ["x", "x y", "x y z", "x y z w"] {
            put(&db, doc, path, "{}");
        }
    }
    let wanted = |docs: &[&str], revs: &[&str]| -> Vec<(DocId, Rev)> {
        let rev = |text: &str| Rev::parse(text).unwrap();
        docs.iter().zip(revs).map(|(doc, text)| (id(doc), rev(text))).collect()
    };
    for wanted in [
        wanted(&[], &[]),
        wanted(&["a", "a\u{0}", "b", "c", "c\u{1}"], &["4-w"; 5]),
        wanted(&["a", "b", "c"], &["1-x", "9-none", "2-y"]),
        wanted(&["a", "c\u{1}"], &["1-x", "4-w"]),
        wanted(&["none"], &["1-x"]),
    ] {
        let found = db.revisions_in_order(&wanted).unwrap();
        assert_eq!(found, db.revisions(&wanted).unwrap(), "{wanted:?}");
    }
}
