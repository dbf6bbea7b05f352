//! The views of the test: how they are built and watched, and what must hold of their indexes when
//! the server was killed meanwhile.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::check::{id, sequence};
use crate::couch::Couch;
use crate::editor::{self, PLACES};
use crate::rows::{self, MAP, Question, REDUCE, Row};

/// Design documents, each with one view of the same rows, and how it reduces them.
pub const DESIGNS: [&str; 3] = ["plain", "stats", "script"];
const REDUCES: [Option<&str>; 3] = [None, Some("_stats"), Some(REDUCE)];
const QUESTIONS: usize = 12;

/// How far each index has come.
pub type Reached = [u64; 3];

/// Saves the design documents so that all their views must be built anew.
pub async fn save(couch: &Couch, edition: u64) {
    for (name, reduce) in DESIGNS.into_iter().zip(REDUCES) {
        let id = format!("_design/{name}");
        let map = MAP.replacen('{', &format!("{{ /* {edition} */"), 1);
        let mut document = json!({"views": {"v": {"map": map}}});
        if let Some(reduce) = reduce {
            document["views"]["v"]["reduce"] = reduce.into();
        }
        if let Some(saved) = couch.document(&id).await {
            document["_rev"] = saved["_rev"].clone();
        }
        couch.put(&id, &document).await.expect("the server answers");
    }
}

fn view(name: &str, parameters: &str) -> String {
    format!("/_design/{name}/_view/v?{parameters}")
}

/// Has the view built, again and again.
pub async fn ask_until_cut_off(couch: Couch, name: &str) {
    while couch.ask(&view(name, "limit=1"), &json!({})).await.is_some() {}
}

/// Looks until one of the indexes, any of them, has come somewhere between where it is and where
/// the database is; how far they all have come then.
pub async fn watch(couch: &Couch, random: &mut StdRng) -> Reached {
    let chosen = random.random_range(0..DESIGNS.len());
    let mut reached = read_reached(couch).await;
    let now = database_sequence(couch).await;
    let wanted = reached[chosen] + 1;
    let wanted = random.random_range(wanted..=now.max(wanted));
    while reached[chosen] < wanted {
        let before = std::mem::replace(&mut reached, read_reached(couch).await);
        let goes_on = before.iter().zip(&reached).all(|(before, now)| before <= now);
        assert!(goes_on, "an index went back from {before:?} to {reached:?}");
    }
    reached
}

/// Of indexes that never are ahead of their database.
async fn read_reached(couch: &Couch) -> Reached {
    let mut reached = [0; 3];
    for (reached, name) in reached.iter_mut().zip(DESIGNS) {
        let info = couch.read(&format!("/_design/{name}/_info")).await;
        *reached = info["view_index"]["update_seq"].as_u64().expect("a number");
    }
    let now = database_sequence(couch).await;
    assert!(reached.iter().all(|reached| *reached <= now), "{reached:?} of {now}");
    reached
}

async fn database_sequence(couch: &Couch) -> u64 {
    sequence(&couch.read("").await["update_seq"])
}

/// After a restart, before anything is built: no index has lost what was seen of it, and each is
/// that of one moment, its reduces with it. How far they have come.
pub async fn are_of_a_moment(couch: &Couch, seen: &Reached, random: &mut StdRng) -> Reached {
    let found = read_reached(couch).await;
    for (place, name) in DESIGNS.into_iter().enumerate() {
        assert!(found[place] >= seen[place], "{name} has come to {found:?}, before: {seen:?}");
        let all = couch.ask(&view(name, "update=false&reduce=false"), &json!({})).await;
        let rows = rows::read(&all.expect("the server answers"));
        is_of_a_moment(couch, found[place], &rows).await;
        let never = view(name, "update=false");
        if REDUCES[place].is_some() {
            check_reduces(couch, &never, &rows, random).await;
        }
    }
    assert_eq!(read_reached(couch).await, found, "nobody has asked for an update");
    found
}

/// Documents that have not changed since the index was as it is have their rows there; those that
/// have, the rows of an earlier edit or none.
async fn is_of_a_moment(couch: &Couch, reached: u64, rows: &[Row]) {
    assert!(rows.is_sorted(), "rows out of order");
    let mut by_document: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_document.entry(&row.id).or_default().push(row);
    }
    let live: BTreeMap<String, u64> =
        editor::live(couch).await.into_iter().map(|held| (held.id, held.number)).collect();
    let feed = couch.read("/_changes").await;
    let changes = feed["results"].as_array().expect("_changes has results");
    for change in changes.iter().filter(|change| !id(change).starts_with("_design/")) {
        let (id, seq) = (id(change), sequence(&change["seq"]));
        let mut found = by_document.remove(id).unwrap_or_default();
        found.sort();
        let now = live.get(id).copied();
        let held = found.first().map(|row| row.number);
        if seq <= reached {
            assert_eq!(held, now, "{id}, changed at {seq}, in an index at {reached}");
        }
        if let Some(held) = held {
            let mut whole = rows::emitted(held);
            whole.sort();
            assert!(found.into_iter().eq(&whole), "{id} has some of its rows");
            let edits = now.map_or(u64::MAX, |now| now / PLACES);
            assert!(held / PLACES <= edits, "{id} has rows of what it never was: {held}");
        }
    }
    assert!(by_document.is_empty(), "rows of no document: {by_document:?}");
}

async fn check_reduces(couch: &Couch, path: &str, rows: &[Row], random: &mut StdRng) {
    for _ in 0..QUESTIONS {
        let question = Question::random(random);
        let answer = couch.ask(path, &question.query()).await.expect("the server answers");
        question.check(&answer, rows);
    }
}

/// All indexes go on from where they were found, and end as the documents are; how many rows each
/// has then.
pub async fn catch_up(couch: &Couch, found: &Reached, random: &mut StdRng) -> usize {
    let documents = editor::live(couch).await;
    let mut expected: Vec<Row> =
        documents.iter().flat_map(|held| rows::emitted(held.number)).collect();
    expected.sort();
    for (place, name) in DESIGNS.into_iter().enumerate() {
        let answer = ask_and_watch(couch, &view(name, "reduce=false"), found).await;
        assert_eq!(rows::read(&answer), expected, "{name}");
        if REDUCES[place].is_some() {
            check_reduces(couch, &view(name, ""), &expected, random).await;
        }
    }
    let now = database_sequence(couch).await;
    assert_eq!(read_reached(couch).await, [now; 3]);
    expected.len()
}

/// Asks while the indexes are looked at: none begins anew.
async fn ask_and_watch(couch: &Couch, path: &str, found: &Reached) -> Value {
    let everything = json!({});
    let asked = couch.ask(path, &everything);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            answer = &mut asked => return answer.expect("the server answers"),
            now = read_reached(couch) => {
                let goes_on = found.iter().zip(&now).all(|(before, now)| before <= now);
                assert!(goes_on, "an index went back from {found:?} to {now:?}");
            }
        }
    }
}
