//! Built-in reduces against CouchDB's recorded answers and against naive models.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::collation::compare;
use crate::config::{ReduceLimit, Settings};
use crate::sandbox::{Options, Sandbox};

fn sandbox() -> Sandbox {
    Sandbox::new(Options::default()).unwrap()
}

/// Rows of the keys 0, 1, ... and the ids of the same digits.
struct Rows(Vec<(String, String, String)>);

impl Rows {
    fn of(values: &[Value]) -> Self {
        let row =
            |(at, value): (usize, &Value)| (at.to_string(), at.to_string(), value.to_string());
        Self(values.iter().enumerate().map(row).collect())
    }

    fn group(&self) -> ReduceGroup<'_> {
        let rows = self.0.iter().map(|(key, id, value)| ReduceInput { key, id, value }).collect();
        ReduceGroup { rows, preceded: false }
    }
}

fn reduced(source: &str, values: &[Value], split: usize) -> Result<String, ViewsError> {
    let sandbox = sandbox();
    let reducer = Reducer { sandbox: &sandbox, settings: Settings::default().query_server };
    reduced_by(&reducer, source, values, split)
}

/// What clients see of the values, which are reduced in two parts where `split` is inside.
fn reduced_by(
    reducer: &Reducer<'_>,
    source: &str,
    values: &[Value],
    split: usize,
) -> Result<String, ViewsError> {
    let function = ReduceFunction::built_in(source).unwrap();
    let rows = Rows::of(values);
    let whole = rows.group();
    let (first, second) = whole.rows.split_at(split.min(values.len()));
    let part = |rows: &[ReduceInput<'_>]| !rows.is_empty();
    let groups: Vec<ReduceGroup<'_>> = [first, second]
        .into_iter()
        .filter(|rows| part(rows))
        .map(|rows| ReduceGroup { rows: rows.to_vec(), preceded: false })
        .collect();
    let states = reducer.reduce(&function, &groups)?;
    let states = states.iter().map(Vec::as_slice).collect();
    let state = reducer.rereduce(&function, &[states])?;
    match reducer.finish(&function, state)?.pop().unwrap() {
        ReducedValue::Value(value) => Ok(value),
        ReducedValue::Error { error, reason } => Ok(format!("{error}: {reason}")),
    }
}

fn check(source: &str, values: &Value, expect: &str) {
    let values = values.as_array().unwrap();
    for split in [0, 1] {
        assert_eq!(reduced(source, values, split).unwrap(), expect, "{source} {values:?}");
    }
}

#[test]
fn names_count_by_their_beginning() {
    for (source, known) in [
        ("_sum", true),
        ("_sum ", true),
        ("_sum\n", true),
        ("_stats_x", true),
        ("_count", true),
        ("_approx_count_distinct", true),
        ("_first", true),
        ("_last", true),
        ("_top_1", true),
        ("_bottom_+0100", true),
        ("_top_0", false),
        ("_top_101", false),
        ("_top_1x", false),
        ("_SUM", false),
        (" _sum", false),
        ("_", false),
    ] {
        assert_eq!(ReduceFunction::built_in(source).is_some(), known, "{source}");
    }
}

#[test]
fn sums() {
    check("_sum", &json!([1, 2, -4]), "-1");
    check("_sum", &json!([0.5, 0.5]), "1.0");
    check("_sum", &json!([1, 0.5]), "1.5");
    check("_sum", &json!([u64::MAX, u64::MAX]), "36893488147419103230");
    check("_sum", &json!([[1, 2], [10, 20, 30]]), "[11,22,30]");
    check("_sum", &json!([1, [1, 2]]), "[2,2]");
    check("_sum", &json!([[1, 2], 1]), "[2,2]");
    check(
        "_sum",
        &json!([{"b": 1, "a": {"x": [1]}}, {"a": {"x": [2, 3], "y": 0.5}}]),
        r#"{"a":{"x":[3,3],"y":0.5},"b":1}"#,
    );
    check("_count", &json!([null, "x", {}]), "3");
}

#[test]
fn sums_of_wrong_values_are_errors_for_values() {
    let error = |cause: &str| {
        let reason = serde_json::to_string(&reduced("_sum", &[json!(null)], 0).unwrap()).unwrap();
        let reason = reason.split("caused_by").next().unwrap().replace('\\', "");
        format!("{}caused_by\":{cause}}}", reason.strip_prefix('"').unwrap())
    };
    assert!(error("1").starts_with(
        r#"{"error":"builtin_reduce_error","reason":"The _sum function requires that map values"#
    ));
    check("_sum", &json!([1, "2"]), &error("\"2\""));
    check("_sum", &json!([null, 1]), &error("null"));
    check("_sum", &json!([true]), &error("true"));
    // In the order in which CouchDB's queries reduce few rows, the last row first.
    assert_eq!(reduced("_sum", &[json!([1]), json!(["a"])], 0).unwrap(), error("[1]"));
    check("_sum", &json!([{"a": 1}, {"a": "x"}]), &error("\"x\""));
    for crash in [
        json!([[1], {"a": 1}]),
        json!([1, {"a": 1}]),
        json!([{"error": 1}, {"error": 2}]),
        json!([1e308, 1e308]),
    ] {
        let values = crash.as_array().unwrap();
        let failed = reduced("_sum", values, 0);
        assert!(matches!(failed, Err(ViewsError::InvalidValue(_))), "{crash}: {failed:?}");
    }
}

#[test]
fn stats() {
    let of = |sum: &str, count: u8, min: &str, max: &str, squares: &str| {
        let ends = format!("\"min\":{min},\"max\":{max},\"sumsqr\":{squares}");
        format!("{{\"sum\":{sum},\"count\":{count},{ends}}}")
    };
    check("_stats", &json!([1, 2, -3.5]), &of("-0.5", 3, "-3.5", "2", "17.25"));
    check("_stats", &json!([7]), &of("7", 1, "7", "7", "49"));
    let floats = of("0.30000000000000004", 2, "0.1", "0.2", "0.05000000000000001");
    check("_stats", &json!([0.1, 0.2]), &floats);
    let (ones, tens) = (of("3", 2, "1", "2", "5"), of("30", 2, "10", "20", "500"));
    check("_stats", &json!([[1, 10], [2, 20]]), &format!("[{ones},{tens}]"));
    check("_stats", &json!([[]]), "[]");
    let made = json!({"sum": 10, "count": 4, "min": 1, "max": 4, "sumsqr": 30, "more": 5});
    check("_stats", &json!([made, 5]), &of("15", 5, "1", "5", "55"));
    check("_stats", &json!([[made, 2]]), &{
        format!("[{},{}]", of("10", 4, "1", "4", "30"), of("2", 1, "2", "2", "4"))
    });
}

#[test]
fn stats_of_wrong_values_fail() {
    let values = "The _stats function requires that map values be numbers or arrays of numbers, \
                  not '";
    for (value, reason) in [
        (json!("text"), format!("{values}<<\"text\">>'")),
        (json!(null), format!("{values}null'")),
        (json!(true), format!("{values}true'")),
        (json!([1, "x"]), format!("{values}[1,\n{:84}<<\"x\">>]'", "")),
        (
            json!({"sum": 1}),
            "user _stats input missing required field count ([{<<\"sum\">>,1}])".to_owned(),
        ),
        (
            json!({"sum": 1, "count": "x", "min": 1, "max": 1, "sumsqr": 1}),
            "non-numeric _stats input received for count: <<120>>".to_owned(),
        ),
    ] {
        let failed = reduced("_stats", &[json!(1), value.clone()], 0).unwrap_err();
        assert_eq!(failed.to_string(), reason);
        // The same where another block ends before the value.
        let sandbox = sandbox();
        let reducer = Reducer { sandbox: &sandbox, settings: Settings::default().query_server };
        let rows = Rows::of(&[value]);
        let group = ReduceGroup { preceded: true, ..rows.group() };
        let failed = reducer.reduce(&ReduceFunction::Stats, &[group]).unwrap_err();
        assert_eq!(failed.to_string(), reason);
    }
    let first = reduced("_stats", &[json!("x")], 0).unwrap_err();
    assert_eq!(first.to_string(), "non-numeric _stats input: <<120>>");
    for crash in [json!([[1, 2], [3]]), json!([1e200, 1e200])] {
        assert!(reduced("_stats", crash.as_array().unwrap(), 1).is_err());
    }
}

#[test]
fn first_last_top_and_bottom() {
    let values = json!([3, "b", 1, 3.0, "a", 1]);
    check("_first", &values, "3");
    check("_last", &values, "1");
    check("_top_2", &values, r#"["b","a"]"#);
    check("_bottom_2", &values, "[1,3]");
    check("_top_100", &values, r#"["b","a",3,1]"#);
    check("_top_2", &json!([1, 1, 1]), "[1]");
    // Also where the rows come the other way round.
    let sandbox = sandbox();
    let reducer = Reducer { sandbox: &sandbox, settings: Settings::default().query_server };
    let rows = Rows::of(values.as_array().unwrap());
    let mut group = rows.group();
    group.rows.reverse();
    for (function, expect) in [(ReduceFunction::First, "3"), (ReduceFunction::Last, "1")] {
        let states = reducer.reduce(&function, std::slice::from_ref(&group)).unwrap();
        let shown = reducer.finish(&function, states).unwrap();
        assert_eq!(shown, [ReducedValue::Value(expect.to_owned())]);
    }
}

#[test]
fn distinct_keys_are_counted_about() {
    let sandbox = sandbox();
    let reducer = Reducer { sandbox: &sandbox, settings: Settings::default().query_server };
    let function = ReduceFunction::ApproxCountDistinct;
    for (count, error) in [(1, 0.0), (4, 0.0), (20, 0.0), (1000, 0.03), (100_000, 0.06)] {
        let keys: Vec<String> = (0..count).map(|n| format!("[{n},\"k\"]")).collect();
        let row = |key| ReduceInput { key, id: "a", value: "null" };
        let rows = keys.iter().flat_map(|key| [row(key), row(key)]).collect::<Vec<_>>();
        let groups: Vec<ReduceGroup<'_>> = rows
            .chunks(37)
            .map(|rows| ReduceGroup { rows: rows.to_vec(), preceded: false })
            .collect();
        let states = reducer.reduce(&function, &groups).unwrap();
        let states = states.iter().map(Vec::as_slice).collect();
        let state = reducer.rereduce(&function, &[states]).unwrap();
        let shown = reducer.finish(&function, state).unwrap();
        let [ReducedValue::Value(shown)] = &shown[..] else { panic!("{shown:?}") };
        let estimate: f64 = shown.parse().unwrap();
        assert!((estimate / f64::from(count) - 1.0).abs() <= error, "{estimate} of {count}");
    }
}

#[test]
fn long_sums_are_limited() {
    let long = json!(vec![1.5; 600]);
    let sandbox = sandbox();
    let mut settings = Settings::default().query_server;
    let limited = |settings| {
        let reducer = Reducer { sandbox: &sandbox, settings };
        reduced_by(&reducer, "_sum", &[long.clone(), long.clone()], 1).unwrap()
    };
    let shown = limited(settings);
    let begin =
        r#"{"error":"builtin_reduce_error","reason":"Reduce output must shrink more rapidly"#;
    assert!(shown.starts_with(begin), "{shown}");
    for limit in [ReduceLimit::Off, ReduceLimit::Log] {
        settings.reduce_limit = limit;
        assert!(limited(settings).starts_with("[3.0,"));
    }
    settings.reduce_limit = ReduceLimit::On;
    settings.reduce_limit_threshold = Some(20_000);
    assert!(limited(settings).starts_with("[3.0,"));
}

fn integers() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![-5..5_i64, any::<i64>()], 1..20)
}

proptest! {
    #[test]
    fn sums_and_stats_of_integers_are_exact(numbers in integers(), split in 0..20_usize) {
        let values: Vec<Value> = numbers.iter().map(|n| json!(n)).collect();
        let wide = || numbers.iter().map(|n| i128::from(*n));
        let sum: i128 = wide().sum();
        prop_assert_eq!(reduced("_sum", &values, split).unwrap(), sum.to_string());
        let (min, max) = (numbers.iter().min().unwrap(), numbers.iter().max().unwrap());
        let squares = wide().try_fold(0_i128, |sum, n| sum.checked_add(n * n));
        if let Some(squares) = squares {
            let count = numbers.len();
            prop_assert_eq!(reduced("_stats", &values, split).unwrap(), format!(
                r#"{{"sum":{sum},"count":{count},"min":{min},"max":{max},"sumsqr":{squares}}}"#
            ));
        }
    }

    #[test]
    fn ranks_are_those_of_sorted_values(
        numbers in integers(), split in 0..20_usize, n in 1..6_usize,
    ) {
        let values: Vec<Value> = numbers.iter().map(|n| json!(n % 100)).collect();
        let sorted: BTreeSet<i64> = numbers.iter().map(|n| n % 100).collect();
        let bottom: Vec<i64> = sorted.iter().take(n).copied().collect();
        let top: Vec<i64> = sorted.iter().rev().take(n).copied().collect();
        let shown = reduced(&format!("_bottom_{n}"), &values, split).unwrap();
        prop_assert_eq!(shown, serde_json::to_string(&bottom).unwrap());
        let shown = reduced(&format!("_top_{n}"), &values, split).unwrap();
        prop_assert_eq!(shown, serde_json::to_string(&top).unwrap());
        prop_assert!(compare(&json!(bottom[0]), &json!(top[0])).is_le());
    }

    #[test]
    fn arrays_are_added_place_by_place(
        lists in prop::collection::vec(prop::collection::vec(-9..9_i64, 0..4), 1..6),
        split in 0..6_usize,
    ) {
        let longest = lists.iter().map(Vec::len).max().unwrap();
        let at = |at: usize| lists.iter().filter_map(|list| list.get(at)).sum::<i64>();
        // What is added to the first number, 0, is an array of one at least.
        let sums: Vec<i64> = (0..longest.max(1)).map(at).collect();
        let values: Vec<Value> = lists.iter().map(|list| json!(list)).collect();
        prop_assert_eq!(
            reduced("_sum", &values, split).unwrap(),
            serde_json::to_string(&sums).unwrap()
        );
    }
}
