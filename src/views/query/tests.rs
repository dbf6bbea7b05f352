//! Queries against naive models: all rows in a list, filtered, sorted and grouped.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::json;

use super::gather::Gathering;
use super::map::MapCursor;
use super::reduce::{ReduceCursor, Reducing};
use super::source::Source;
use super::*;
use crate::collation::{write_key, write_raw_key};
use crate::config::Settings;
use crate::sandbox::{Options, Sandbox};
use crate::storage::keys::DbNumber;
use crate::storage::view_keys::{self, IndexNumber, ViewAddress, ViewNumber};
use crate::storage::view_values::ViewRow;
use crate::storage::{Batch, Durability, Engine, MemoryEngine, Table};
use crate::views::Blocks;
use crate::views::blocks::Places;
use crate::views::pages::{Pages, ViewPages};
use crate::views::reduce::{ReduceFunction, Reducer};

#[test]
fn inverted_ranges() {
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    for (start, end, direction, expect) in [
        (json!(1), json!(2), forward, false),
        (json!(2), json!(1), forward, true),
        (json!(2), json!(1), backward, false),
        (json!(1), json!(2), backward, true),
        (json!(1), json!(1), forward, false),
        (json!(1), json!(1), backward, false),
        (json!(1), json!(1.0), forward, false),
        (json!(1), json!(1.0), backward, false),
        (json!("b"), json!("A"), forward, true),
    ] {
        let (start_key, end_key) = (Some(start), Some(end));
        let query = RangeQuery { start_key, end_key, direction, ..RangeQuery::default() };
        assert_eq!(query.is_inverted(Collation::Locale), expect, "{query:?}");
        let ids = RangeQuery {
            start_docid: Some("b".to_owned()),
            end_docid: Some("a".to_owned()),
            ..query.clone()
        };
        let numbers = query.start_key == Some(json!(1)) && query.end_key == Some(json!(1.0));
        let by_id = numbers && direction == forward;
        assert_eq!(ids.is_inverted(Collation::Locale), expect || by_id, "{ids:?}");
    }
    let (start_key, end_key) = (Some(json!("a")), Some(json!("B")));
    let query = RangeQuery { start_key, end_key, ..RangeQuery::default() };
    assert!(!query.is_inverted(Collation::Locale));
    assert!(query.is_inverted(Collation::Raw));
    assert!(!RangeQuery { end_key: None, ..query }.is_inverted(Collation::Raw));
}

/// A row of the model.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    partition: String,
    key: Value,
    id: String,
    ordinal: u32,
    value: i64,
}

/// A view whose rows are known.
struct Model {
    engine: MemoryEngine,
    places: Places,
    summarised: bool,
    /// In order.
    rows: Vec<Row>,
    pages: Pages,
    /// Whether the next source reads pages; every other one does.
    warm: Cell<bool>,
}

fn address() -> ViewAddress {
    ViewAddress { db: DbNumber(1), index: IndexNumber(2), view: ViewNumber(3) }
}

const REDUCES: [ReduceFunction; 2] = [ReduceFunction::Count, ReduceFunction::Sum];

fn reducer(sandbox: &Sandbox) -> Reducer<'_> {
    Reducer { sandbox, settings: Settings::default().query_server }
}

impl Model {
    /// `emitted`: partition, key, document and value of rows.
    fn new(
        emitted: &[(u8, Value, u8, i64)],
        places: Places,
        summarised: bool,
        sandbox: &Sandbox,
    ) -> Self {
        let mut ordinals: BTreeMap<(Vec<u8>, String), u32> = BTreeMap::new();
        let mut rows = Vec::new();
        for (partition, key, document, value) in emitted {
            let partition =
                if places.partitioned { format!("p{partition}") } else { String::new() };
            let id = format!("{partition}d{document}");
            let mut prefix = Vec::new();
            match places.collation {
                Collation::Locale => write_key(&mut prefix, key),
                Collation::Raw => write_raw_key(&mut prefix, key),
            }
            let next = ordinals.entry((prefix, id.clone())).or_default();
            let ordinal = *next;
            *next += 1;
            rows.push(Row { partition, key: key.clone(), id, ordinal, value: *value });
        }
        rows.sort_by(|a, b| {
            let keys = places.collation.compare(&a.key, &b.key);
            let ids = || a.id.cmp(&b.id).then(a.ordinal.cmp(&b.ordinal));
            a.partition.cmp(&b.partition).then(keys).then_with(ids)
        });
        let model = Self {
            engine: MemoryEngine::new(),
            places,
            summarised,
            rows,
            pages: Pages::default(),
            warm: Cell::default(),
        };
        let mut batch = Batch::default();
        for row in &model.rows {
            let (key, value) = (row.key.to_string(), row.value.to_string());
            let record = ViewRow { key: &key, value: &value }.encode();
            batch.put(Table::ViewRows, view_keys::row(address(), &model.place(row)), record);
        }
        model.engine.commit(batch, Durability::Buffered).unwrap();
        let Places { collation, partitioned } = places;
        let (reduces, reducer) = (&REDUCES, reducer(sandbox));
        let blocks = Blocks { address: address(), collation, partitioned, reduces, reducer };
        blocks.build_all(&model.engine).unwrap();
        model
    }

    fn place(&self, row: &Row) -> Vec<u8> {
        let mut place = Vec::new();
        if self.places.partitioned {
            view_keys::write_partition(&mut place, &row.partition);
        }
        match self.places.collation {
            Collation::Locale => write_key(&mut place, &row.key),
            Collation::Raw => write_raw_key(&mut place, &row.key),
        }
        view_keys::write_document(&mut place, &row.id, row.ordinal);
        place
    }

    fn source(&self) -> Source<'_> {
        Source {
            snapshot: self.engine.snapshot(),
            address: address(),
            places: self.places,
            summarised: self.summarised,
            rows: self.rows.len() as u64,
            seq: 7,
            failed: false,
            pages: ViewPages {
                pages: &self.pages,
                address: address(),
                version: 1,
                reach: Reach::Store,
            },
            warm: self.warm.replace(!self.warm.get()),
        }
    }

    /// The view as it is where so many pages in memory may be looked at.
    fn source_in_memory<'a>(&'a self, left: &'a Cell<usize>) -> Source<'a> {
        let mut source = self.source();
        source.warm = true;
        source.pages.reach = Reach::Memory(left);
        source
    }

    /// The rows of one range in the order of reading, without regard to skip and limit, and how
    /// many rows of the view stand before its end at which reading begins.
    fn range(&self, query: &RangeQuery, key: Option<&Value>) -> (Vec<&Row>, usize) {
        let forward = query.direction == Direction::Forward;
        let start = key.or(query.start_key.as_ref());
        let end = key.or(query.end_key.as_ref());
        let compare = |row: &Row, key: &Value, id: Option<&String>| {
            let ids = id.map_or(Ordering::Equal, |id| row.id.cmp(id));
            let order = self.places.collation.compare(&row.key, key).then(ids);
            if forward { order } else { order.reverse() }
        };
        let in_partition = |row: &&Row| match (&query.partition, self.places.partitioned) {
            (Some(partition), true) => row.partition.cmp(partition),
            _ => Ordering::Equal,
        };
        let before = |row: &&Row| {
            let partitions = if forward { in_partition(row) } else { in_partition(row).reverse() };
            partitions
                .then(
                    start.map_or(Ordering::Greater, |key| {
                        compare(row, key, query.start_docid.as_ref())
                    }),
                )
                .is_lt()
        };
        let inside = |row: &&Row| {
            in_partition(row).is_eq()
                && !before(row)
                && end.is_none_or(|key| match compare(row, key, query.end_docid.as_ref()) {
                    Ordering::Less => true,
                    Ordering::Equal => query.inclusive_end,
                    Ordering::Greater => false,
                })
        };
        let offset = self.rows.iter().filter(before).count();
        let mut rows: Vec<&Row> = self.rows.iter().filter(inside).collect();
        if !forward {
            rows.reverse();
            // Rows of one document and key stay as they were emitted.
            rows.sort_by(|a, b| {
                let keys = self.places.collation.compare(&b.key, &a.key);
                let partitions = b.partition.cmp(&a.partition);
                partitions.then(keys).then(b.id.cmp(&a.id)).then(a.ordinal.cmp(&b.ordinal))
            });
        }
        (rows, offset)
    }

    fn ranges(&self, query: &RangeQuery) -> Vec<(Vec<&Row>, usize)> {
        match &query.keys {
            Some(keys) => keys.iter().map(|key| self.range(query, Some(key))).collect(),
            None => vec![self.range(query, None)],
        }
    }
}

/// Keys of which many are equal or begin alike.
fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4_u8).prop_map(|n| json!(n)),
        Just(json!(1.0)),
        prop_oneof![Just(json!("a")), Just(json!("A")), Just(json!("b")), Just(json!(null))],
        (0..3_u8, 0..3_u8).prop_map(|(a, b)| json!([a, b])),
        (0..2_u8).prop_map(|a| json!([a])),
        (0..2_u8, 0..60_u8).prop_map(|(a, b)| json!([a, "x,]", b])),
        Just(json!([])),
        Just(json!({"a": [1]})),
    ]
}

fn emitted() -> impl Strategy<Value = Vec<(u8, Value, u8, i64)>> {
    prop::collection::vec((0..2_u8, key(), 0..6_u8, -9..9_i64), 0..150)
}

fn places() -> impl Strategy<Value = Places> {
    let collation = prop_oneof![Just(Collation::Locale), Just(Collation::Raw)];
    (collation, any::<bool>())
        .prop_map(|(collation, partitioned)| Places { collation, partitioned })
}

fn query() -> impl Strategy<Value = RangeQuery> {
    let id = || prop::option::of((0..6_u8).prop_map(|n| format!("d{n}")));
    let bounds = (prop::option::of(key()), id(), prop::option::of(key()), id());
    let keys = prop_oneof![4 => Just(None), 1 => prop::collection::vec(key(), 0..4).prop_map(Some)];
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    let skip = prop_oneof![3 => 0..4_u64, 1 => 0..160_u64];
    let limit = prop_oneof![1 => Just(u64::MAX), 1 => 0..20_u64];
    let partition = prop::option::of((0..3_u8).prop_map(|n| format!("p{n}")));
    (bounds, any::<bool>(), direction, keys, (skip, limit), partition).prop_map(
        |(bounds, inclusive_end, direction, keys, (skip, limit), partition)| {
            let (start_key, start_docid, end_key, end_docid) = bounds;
            // Ids count only beside keys.
            let beside = |key: &Option<Value>, id: Option<String>| {
                if key.is_some() || keys.is_some() { id } else { None }
            };
            let start_docid = beside(&start_key, start_docid);
            let end_docid = beside(&end_key, end_docid);
            RangeQuery {
                start_key,
                start_docid,
                end_key,
                end_docid,
                inclusive_end,
                direction,
                keys,
                spans: None,
                skip,
                limit,
                partition,
            }
        },
    )
}

/// In a partitioned view ids begin with the partition.
fn fit(mut query: RangeQuery, places: Places) -> RangeQuery {
    if places.partitioned {
        let partition = query.partition.get_or_insert_with(|| "p0".to_owned()).clone();
        for id in [&mut query.start_docid, &mut query.end_docid].into_iter().flatten() {
            id.insert_str(0, &partition);
        }
    }
    query
}

type Shown = (String, String, String);

/// Whether an attempt from memory has shown everything; else it says why not.
fn was_in_memory(begun: Result<bool, ViewsError>) -> bool {
    match begun {
        Ok(more) => {
            assert!(!more);
            true
        }
        Err(error) => {
            assert!(matches!(error, ViewsError::NotInMemory), "{error}");
            false
        }
    }
}

/// `at_once` pages may be looked at for a beginning from memory.
fn map_rows(model: &Model, query: &RangeQuery, page: usize, at_once: Option<usize>) -> Vec<Shown> {
    let mut cursor = MapCursor::new(query.clone());
    let mut shown = Vec::new();
    let add = |shown: &mut Vec<Shown>, row: MapRow<'_>| {
        shown.push((row.id.to_owned(), row.key.to_owned(), row.value.to_owned()));
    };
    if let Some(pages) = at_once {
        let left = Cell::new(pages);
        let source = model.source_in_memory(&left);
        let begun = cursor.begin(&source, &mut |piece| match piece {
            FirstPiece::Header(header) => {
                assert_eq!(header, MapCursor::new(query.clone()).header(&model.source()).unwrap());
                ControlFlow::Continue(())
            }
            FirstPiece::Row(row) => {
                add(&mut shown, row);
                ControlFlow::Continue(())
            }
        });
        if was_in_memory(begun) {
            return shown;
        }
        shown.clear();
        cursor.rewind();
    }
    loop {
        let upto = shown.len() + page;
        let more = cursor.page(&model.source(), &mut |row| {
            add(&mut shown, row);
            if shown.len() < upto { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if !more.unwrap() {
            return shown;
        }
        assert_eq!(shown.len(), upto);
    }
}

fn skipped_and_limited<T>(rows: impl Iterator<Item = T>, query: &RangeQuery) -> Vec<T> {
    let limit = usize::try_from(query.limit).unwrap();
    rows.skip(usize::try_from(query.skip).unwrap()).take(limit).collect()
}

fn reduce_rows(
    model: &Model,
    query: &RangeQuery,
    grouping: Grouping,
    number: usize,
    (page, at_once, sandbox): (usize, Option<usize>, &Sandbox),
) -> Vec<(String, String)> {
    let reducing = Reducing { function: &REDUCES[number], number, reducer: reducer(sandbox) };
    let mut cursor = ReduceCursor::new(query.clone(), grouping);
    let mut shown = Vec::new();
    if let Some(pages) = at_once {
        let left = Cell::new(pages);
        let begun = cursor.page(&model.source_in_memory(&left), &reducing, &mut |row| {
            let ReducedValue::Value(value) = row.value else { panic!("{row:?}") };
            shown.push((row.key, value));
            ControlFlow::Continue(())
        });
        if was_in_memory(begun) {
            return shown;
        }
        shown.clear();
        cursor.rewind();
    }
    loop {
        let upto = shown.len() + page;
        let more = cursor.page(&model.source(), &reducing, &mut |row| {
            let ReducedValue::Value(value) = row.value else { panic!("{row:?}") };
            shown.push((row.key, value));
            if shown.len() < upto { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if !more.unwrap() {
            return shown;
        }
        assert_eq!(shown.len(), upto);
    }
}

/// The part of a key that its group has in common.
fn group_key(key: &Value, grouping: Grouping) -> Value {
    match (grouping, key) {
        (Grouping::Level(0), _) => Value::Null,
        (Grouping::Level(level), Value::Array(elements)) => {
            json!(elements.iter().take(usize::try_from(level).unwrap()).collect::<Vec<_>>())
        }
        _ => key.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn map_rows_are_those_of_the_model(
        emitted in emitted(),
        places in places(),
        summarised: bool,
        query in query(),
        (page, at_once) in (1..40_usize, 0..100_usize),
    ) {
        let sandbox = Sandbox::new(Options::default()).unwrap();
        let model = Model::new(&emitted, places, summarised, &sandbox);
        let query = fit(query, places);
        let ranges = model.ranges(&query);
        let rows = ranges.iter().flat_map(|(rows, _)| rows).map(|row| {
            (row.id.clone(), row.key.to_string(), row.value.to_string())
        });
        let rows = skipped_and_limited(rows, &query);
        prop_assert_eq!(&map_rows(&model, &query, page, None), &rows);
        prop_assert_eq!(&map_rows(&model, &query, page, Some(at_once)), &rows);
        let header = MapCursor::new(query.clone()).header(&model.source()).unwrap();
        let first = ranges.iter().find(|(rows, _)| !rows.is_empty()).or(ranges.last());
        prop_assert_eq!((header.total_rows, header.seq), (model.rows.len() as u64, 7));
        // An empty range says where its end is, which is behind the start or nowhere.
        if first.is_none_or(|(rows, _)| !rows.is_empty()) {
            let offset = first.map_or(0, |(_, offset)| *offset) as u64;
            prop_assert_eq!(header.offset, offset);
        }
    }

    #[test]
    fn groups_are_those_of_the_model(
        emitted in emitted(),
        places in places(),
        summarised: bool,
        query in query(),
        (page, at_once, number) in (1..20_usize, 0..100_usize, 0..2_usize),
        grouping in prop_oneof![(0..4_u64).prop_map(Grouping::Level), Just(Grouping::Exact)],
    ) {
        let sandbox = Sandbox::new(Options::default()).unwrap();
        let model = Model::new(&emitted, places, summarised, &sandbox);
        let query = fit(query, places);
        let mut groups: Vec<(Value, i64, i64)> = Vec::new();
        for (mut rows, _) in model.ranges(&query) {
            if query.direction == Direction::Backward {
                // The key of a group is that of the row that lies last.
                rows.sort_by_key(|row| std::cmp::Reverse(model.place(row)));
            }
            let mut begun = false;
            for row in rows {
                let key = group_key(&row.key, grouping);
                match groups.last_mut() {
                    Some((last, count, sum))
                        if begun && places.collation.compare(last, &key).is_eq() =>
                    {
                        *count += 1;
                        *sum += row.value;
                    }
                    _ => groups.push((key, 1, row.value)),
                }
                begun = true;
            }
        }
        let rows = groups.into_iter().map(|(key, count, sum)| {
            (key.to_string(), if number == 0 { count } else { sum }.to_string())
        });
        let rows = skipped_and_limited(rows, &query);
        for at_once in [None, Some(at_once)] {
            let ways = (page, at_once, &sandbox);
            prop_assert_eq!(&reduce_rows(&model, &query, grouping, number, ways), &rows);
        }
    }
}

#[test]
fn what_was_read_before_is_there_at_once() {
    let sandbox = Sandbox::new(Options::default()).unwrap();
    let places = Places { collation: Collation::Locale, partitioned: false };
    let emitted: Vec<_> = (0..100).map(|n| (0, json!(n), 1, 1)).collect();
    let model = Model::new(&emitted, places, true, &sandbox);
    let begin = |pages| {
        let query = RangeQuery { start_key: Some(json!(40)), limit: 5, ..RangeQuery::default() };
        let (mut shown, left) = (0, Cell::new(pages));
        let begun = MapCursor::new(query).begin(&model.source_in_memory(&left), &mut |piece| {
            shown += u64::from(matches!(piece, FirstPiece::Row(_)));
            ControlFlow::Continue(())
        });
        begun.map(|more| (more, shown)).map_err(|error| error.to_string())
    };
    let nothing = Err("not in memory".to_owned());
    assert_eq!(begin(100), nothing);
    model.warm.set(true);
    let query = RangeQuery { start_key: Some(json!(40)), limit: 5, ..RangeQuery::default() };
    let source = model.source();
    MapCursor::new(query).begin(&source, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(begin(100), Ok((false, 5)));
    assert_eq!(begin(2), nothing);
}

#[test]
fn few_rows_are_reduced_against_the_order_of_reading() {
    let sandbox = Sandbox::new(Options::default()).unwrap();
    let places = Places { collation: Collation::Locale, partitioned: false };
    let emitted: Vec<_> =
        [(1, 0), (1, 1), (2, 2), (2, 3), (2, 4), (3, 5)].map(|(d, v)| (0, json!(0), d, v)).into();
    let model = Model::new(&emitted, places, true, &sandbox);
    for (direction, expect) in
        [(Direction::Forward, [5, 2, 3, 4, 0, 1]), (Direction::Backward, [0, 1, 2, 3, 4, 5])]
    {
        let source = model.source();
        let tree = source.tree();
        let gathering = Gathering {
            source: &source,
            tree: &tree,
            function: &ReduceFunction::Sum,
            number: 1,
            reducer: reducer(&sandbox),
            grouping: Grouping::Level(0),
            direction,
        };
        let all = RangeQuery::default().range(0, places).unwrap();
        let (groups, _) = gathering.gather(all, &mut 0, 1).unwrap();
        let values = gathering.in_order(&groups[0].rows).into_iter().map(|row| row.value.parse());
        assert_eq!(values.collect::<Result<Vec<i64>, _>>().unwrap(), expect);
    }
}
