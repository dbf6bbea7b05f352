//! Blocks after any changes against blocks made at once, and covers against the rows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::collation::write_key;
use crate::config::Settings;
use crate::sandbox::{Options, Sandbox};
use crate::storage::keys::DbNumber;
use crate::storage::view_keys::{self, IndexNumber, ViewNumber};
use crate::storage::view_values::{Block, ViewRow};
use crate::storage::{Batch, Direction, Durability, Engine, MemoryEngine, Table};

/// Key number and document number to value.
type Model = BTreeMap<(i64, u32), i64>;

fn address() -> ViewAddress {
    ViewAddress { db: DbNumber(1), index: IndexNumber(2), view: ViewNumber(3) }
}

fn place(key: i64, document: u32) -> Vec<u8> {
    let mut place = Vec::new();
    write_key(&mut place, &json!(key));
    view_keys::write_document(&mut place, &format!("d{document}"), 0);
    place
}

fn blocks<'a>(reduces: &'a [ReduceFunction], sandbox: &'a Sandbox) -> Blocks<'a> {
    Blocks {
        address: address(),
        collation: Collation::Locale,
        partitioned: false,
        reduces,
        reducer: Reducer { sandbox, settings: Settings::default().query_server },
    }
}

fn put_row(batch: &mut Batch, place: &[u8], key: &str, value: &str) {
    let row = ViewRow { key, value }.encode();
    batch.put(Table::ViewRows, view_keys::row(address(), place), row);
}

/// All records of blocks, each as a text.
fn stored(engine: &MemoryEngine) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let range = view_keys::all_blocks(address());
    let mut visit = |key: &[u8], value: &[u8]| {
        let Block { level, parts } = Block::decode(value).unwrap();
        let part = |part: &BlockPart<'_>| {
            let states: Vec<_> =
                part.states.iter().map(|state| String::from_utf8_lossy(state)).collect();
            format!("{:x?} {} {states:?}", part.place, part.count)
        };
        let parts: Vec<String> = parts.iter().map(part).collect();
        found.insert(key.to_vec(), format!("{level}: {parts:?}"));
        ControlFlow::Continue(())
    };
    let snapshot = engine.snapshot();
    snapshot.scan(Table::ViewBlocks, &range, Direction::Forward, &mut visit).unwrap();
    found
}

/// Shows the first record in which two stores of blocks differ.
fn difference(one: &MemoryEngine, other: &MemoryEngine) -> Option<String> {
    let (one, other) = (stored(one), stored(other));
    let keys = one.keys().chain(other.keys());
    let mut different = keys.filter(|key| one.get(*key) != other.get(*key));
    let key = different.next()?;
    Some(format!("{key:x?}\n{:?}\n{:?}", one.get(key), other.get(key)))
}

/// What blocks of these rows are when they are made at once.
fn made(model: &Model, reduces: &[ReduceFunction], sandbox: &Sandbox) -> MemoryEngine {
    let engine = MemoryEngine::new();
    let mut batch = Batch::default();
    for ((key, document), value) in model {
        put_row(&mut batch, &place(*key, *document), &key.to_string(), &value.to_string());
    }
    engine.commit(batch, Durability::Buffered).unwrap();
    blocks(reduces, sandbox).build_all(&engine).unwrap();
    engine
}

/// Commits changes of rows with what they make of the blocks.
fn change(
    engine: &MemoryEngine,
    model: &mut Model,
    changes: &BTreeMap<(i64, u32), Option<i64>>,
    blocks: &Blocks<'_>,
) {
    let mut batch = Batch::default();
    let mut texts = Vec::new();
    for (row @ (key, document), value) in changes {
        let existed = model.contains_key(row);
        let place = place(*key, *document);
        match value {
            Some(value) => {
                put_row(&mut batch, &place, &key.to_string(), &value.to_string());
                model.insert(*row, *value);
            }
            None => {
                batch.delete(Table::ViewRows, view_keys::row(address(), &place));
                model.remove(row);
            }
        }
        let now = value.map(|value| (key.to_string(), value.to_string()));
        if existed || now.is_some() {
            texts.push((place, format!("d{document}"), existed, now));
        }
    }
    texts.sort();
    let changes: Vec<RowChange<'_>> = texts
        .iter()
        .map(|(place, id, existed, now)| RowChange {
            place,
            id,
            existed: *existed,
            now: now.as_ref().map(|(key, value)| (key.as_str(), value.as_str())),
        })
        .collect();
    blocks.apply_changes(engine.snapshot().as_ref(), &mut batch, &changes).unwrap();
    engine.commit(batch, Durability::Buffered).unwrap();
}

/// Keys that many documents share, and keys of their own.
fn row() -> impl Strategy<Value = (i64, u32)> {
    prop_oneof![(-2..3_i64, 0..40_u32), (0..400_i64, 0..2_u32)]
}

fn changes() -> impl Strategy<Value = BTreeMap<(i64, u32), Option<i64>>> {
    let value = prop_oneof![2 => (-9..9_i64).prop_map(Some), 1 => Just(None)];
    prop::collection::btree_map(row(), value, 0..80)
}

fn reduces() -> impl Strategy<Value = Vec<ReduceFunction>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec![ReduceFunction::Count]),
        Just(vec![ReduceFunction::Sum, ReduceFunction::Stats]),
        Just(vec![ReduceFunction::First, ReduceFunction::Sum, ReduceFunction::Last]),
        Just(vec![ReduceFunction::Top(3), ReduceFunction::ApproxCountDistinct]),
    ]
}

#[test]
fn levels_are_as_frequent_as_they_are_meant_to_be() {
    const ROWS: u32 = 200_000;
    let mut counts = [0_u32; 4];
    for key in 0..ROWS {
        let level = level_of(&place(key.into(), 1)).min(3);
        counts.iter_mut().take(usize::from(level)).for_each(|count| *count += 1);
    }
    let mut expect = ROWS >> ROW_BITS;
    for count in counts.into_iter().take(3) {
        assert!(count.abs_diff(expect) < expect / 20, "{counts:?}");
        expect >>= BITS;
    }
}

#[test]
fn hashes_never_change() {
    assert_eq!(hash(b""), 2_313_596_203_510_479_947);
    assert_eq!(hash(b"a place of a row"), 11_984_096_179_752_476_521);
}

proptest! {
    #[test]
    fn changed_blocks_are_those_made_at_once(
        first in changes(),
        rest in prop::collection::vec(changes(), 1..4),
        removal in prop::option::of(0..400_i64),
        reduces in reduces(),
    ) {
        let sandbox = Sandbox::new(Options::default()).unwrap();
        let blocks = blocks(&reduces, &sandbox);
        let (engine, mut model) = (MemoryEngine::new(), Model::new());
        let removal: BTreeMap<_, _> = removal
            .map(|from| (from..400).flat_map(|key| [((key, 0), None), ((key, 1), None)]).collect())
            .unwrap_or_default();
        for changes in [&first].into_iter().chain(&rest).chain([&removal]) {
            change(&engine, &mut model, changes, &blocks);
            let at_once = made(&model, &reduces, &sandbox);
            prop_assert_eq!(difference(&engine, &at_once), None);
        }
        let all = model.keys().map(|row| (*row, None)).collect();
        change(&engine, &mut model, &all, &blocks);
        prop_assert!(stored(&engine).is_empty());
    }

    #[test]
    fn covers_are_the_rows_of_a_range(
        rows in prop::collection::btree_map(row(), -9..9_i64, 0..200),
        (from, to) in (row(), row()),
        bounded: bool,
    ) {
        let sandbox = Sandbox::new(Options::default()).unwrap();
        let reduces = [ReduceFunction::Count, ReduceFunction::Sum];
        let engine = made(&rows, &reduces, &sandbox);
        let snapshot = engine.snapshot();
        let tree = Tree::new(snapshot.as_ref(), address(), None);
        let (from, to) = (place(from.0, from.1), place(to.0, to.1));
        let range = PlaceRange { start: from.clone(), end: bounded.then(|| to.clone()) };
        let cover = tree.cover(&range, Some(1)).unwrap();
        let inside = |range: &PlaceRange, place: &[u8]| {
            range.start.as_slice() <= place && range.end.as_deref().is_none_or(|end| place < end)
        };
        let mut count = cover.count;
        let texts = cover.states.iter().map(|state| std::str::from_utf8(state).unwrap());
        let mut sum: i64 = texts.map(|text| text.parse::<i64>().unwrap()).sum();
        let (mut naive_count, mut naive_sum) = (0, 0);
        for ((key, document), value) in &rows {
            let place = place(*key, *document);
            if cover.partial.iter().any(|part| inside(&part.wanted, &place)) {
                count += 1;
                sum += value;
            }
            if inside(&range, &place) {
                naive_count += 1;
                naive_sum += value;
            }
        }
        prop_assert_eq!((count, sum), (naive_count, naive_sum));
        prop_assert!(cover.partial.len() <= 2);
    }

    #[test]
    fn the_block_of_any_row_is_found(
        rows in prop::collection::btree_map(row(), -9..9_i64, 0..200),
        rank in 0..220_u64,
    ) {
        let sandbox = Sandbox::new(Options::default()).unwrap();
        let engine = made(&rows, &[], &sandbox);
        let snapshot = engine.snapshot();
        let tree = Tree::new(snapshot.as_ref(), address(), None);
        let mut places: Vec<Vec<u8>> = rows.keys().map(|row| place(row.0, row.1)).collect();
        places.sort();
        match tree.block_at(rank).unwrap() {
            None => prop_assert!(rank >= rows.len() as u64),
            Some(RowBlock { range: PlaceRange { start, end }, before, count }) => {
                let at = usize::try_from(rank).unwrap();
                let first = usize::try_from(before).unwrap();
                prop_assert!(first <= at && start <= places[at]);
                prop_assert_eq!(places.iter().filter(|place| **place < start).count(), first);
                let after = end.and_then(|end| places.iter().position(|place| *place == end));
                let after = after.unwrap_or(places.len());
                prop_assert_eq!((after - first) as u64, count);
                prop_assert!(places[first + 1..=at].iter().all(|place| level_of(place) == 0));
            }
        }
    }
}

#[test]
fn roots_rise_and_sink() {
    let sandbox = Sandbox::new(Options::default()).unwrap();
    let mut model: Model = (0..2_000).map(|key| ((key, 0), key)).collect();
    let reduces = [ReduceFunction::Sum];
    let engine = made(&model, &reduces, &sandbox);
    let root_level = || {
        let root = engine.get(Table::ViewBlocks, &view_keys::root_block(address())).unwrap();
        Block::decode(&root.unwrap()).unwrap().level
    };
    assert!(root_level() > LEAF + 3);
    // Take the rows away that make it so high, and put them back.
    let high = |(key, document): &(i64, u32)| level_of(&place(*key, *document)) > 1;
    let removed: BTreeMap<_, _> =
        model.keys().filter(|row| high(row)).map(|row| (*row, None)).collect();
    let blocks = blocks(&reduces, &sandbox);
    change(&engine, &mut model, &removed, &blocks);
    assert_eq!(difference(&engine, &made(&model, &reduces, &sandbox)), None);
    assert_eq!(root_level(), LEAF);
    let added = removed.keys().map(|row| (*row, Some(1))).collect();
    change(&engine, &mut model, &added, &blocks);
    assert_eq!(difference(&engine, &made(&model, &reduces, &sandbox)), None);
    assert!(root_level() > LEAF + 3);
}
