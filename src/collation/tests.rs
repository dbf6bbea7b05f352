//! Tests of the orders: CouchDB's observed order as a table, and keys against comparisons.

use std::cmp::Ordering;
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::strings::write_sort_key;
use super::*;

fn key(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_key(&mut out, value);
    out
}

fn raw_key(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_raw_key(&mut out, value);
    out
}

/// Every value stands before all that follow it, by comparison and by key.
fn check_ascending(
    values: &[Value],
    by: fn(&Value, &Value) -> Ordering,
    key: fn(&Value) -> Vec<u8>,
) {
    for (at, a) in values.iter().enumerate() {
        for (other, b) in values.iter().enumerate() {
            assert_eq!(by(a, b), at.cmp(&other), "{a} against {b}");
            assert_eq!(key(a).cmp(&key(b)), at.cmp(&other), "keys of {a} and {b}");
        }
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => vec![other],
    }
}

/// The rows of a CouchDB view over a value of every kind, as it returned them.
#[test]
fn view_order_is_what_couchdb_was_seen_to_do() {
    let rows = json!([
        null, false, true, -1, 0, 0.5, 1, 2, 10, 1e20, "", "a", "A", "aa", "b", "B", "ba", "bb",
        [], [null], [1], [1, 2], ["a"], ["a", {}], ["b"], ["b", "c"], ["b", "c", "a"], ["b", "d"],
        ["b", "d", "e"], {}, {"a": null}, {"a": 1}, {"a": 2}, {"a": [1]}, {"b": 1}, {"b": 2},
        {"b": 2, "a": 1}, {"b": 2, "c": 2}
    ]);
    check_ascending(&list(rows), compare, key);
}

#[test]
fn idioms_of_view_keys_hold() {
    check_ascending(&list(json!(["_", "-", "1", "a", "A", "str"])), compare, key);
    let after_all_that_begin_with_a =
        json!(["a", "A", "a\u{301}", "ab", "aé", "azzz", "a東京", "a𠀀", "a\u{fff0}", "b"]);
    check_ascending(&list(after_all_that_begin_with_a), compare, key);
    let highest = json!(["😀", "z", "ω", "я", "힣", "東", "\u{10ffff}", "\u{ffff}"]);
    check_ascending(&list(highest), compare, key);
    check_ascending(
        &list(json!([["a"], ["a", null], ["a", "z"], ["a", ["z"]], ["a", {}], ["b"], [{}]])),
        compare,
        key,
    );
}

#[test]
fn raw_order_is_that_of_erlang_terms() {
    let rows = json!([
        -1e300, -2, -1.5, 0, 1, 9_007_199_254_740_992_u64, 9_007_199_254_740_993_u64,
        18_446_744_073_709_551_614_u64, u64::MAX, 1e300, false, null, true, {}, {"a": 1},
        {"a": 1, "b": 1}, {"a": 2}, {"b": 0}, [], [1], [1, 2], [["A"]],
        ["A"],
    ]);
    let strings =
        json!(["", "\u{0}", "\u{0}a", "1", "A", "A\u{0}", "AA", "_", "a", "str", "é", "\u{ffff}"]);
    let rows = [list(rows), list(strings)].concat();
    check_ascending(&rows, compare_raw, raw_key);
}

#[test]
fn values_that_count_as_equal_share_a_key() {
    let equal = [
        (json!(1), json!(1.0)),
        (json!(0), json!(-0.0)),
        (json!(9_007_199_254_740_992_u64), json!(9_007_199_254_740_993_u64)),
        (json!("é"), json!("e\u{301}")),
        (json!(""), json!("\u{0}")),
        (json!({"é": [1]}), json!({"e\u{301}": [1.0]})),
    ];
    for (a, b) in equal {
        assert_eq!(compare(&a, &b), Ordering::Equal, "{a} {b}");
        assert_eq!(key(&a), key(&b), "{a} {b}");
    }
    assert_eq!(compare_raw(&json!(1), &json!(1.0)), Ordering::Equal);
    assert_eq!(raw_key(&json!(1)), raw_key(&json!(1.0)));
    assert_ne!(raw_key(&json!("é")), raw_key(&json!("e\u{301}")));
}

#[test]
fn no_sort_key_holds_a_zero_byte() {
    let mut out = Vec::new();
    for character in ('\0'..='\u{ffff}').chain(('\u{10000}'..=char::MAX).step_by(31)) {
        out.clear();
        write_sort_key(&mut out, character.encode_utf8(&mut [0; 4]));
        assert!(!out.contains(&0), "{:x}", u32::from(character));
    }
}

/// Fails when the Unicode data changes: every view index will then be rebuilt, which is worth a
/// line in the changelog beside the new value here.
#[test]
fn collation_data_is_the_known_one() {
    assert_eq!(collator_version(), "icu4x-a577691fcb269b01");
}

#[test]
fn depth_costs_no_stack() {
    let mut deep = json!(1);
    for _ in 0..500 {
        let object = Map::from_iter([("a".to_owned(), deep)]);
        deep = Value::Array(vec![Value::Object(object)]);
    }
    assert_eq!(compare(&deep, &deep.clone()), Ordering::Equal);
    assert!(key(&deep) > key(&json!([{ "a": 1 }])));
    assert!(raw_key(&deep) > raw_key(&json!([{ "a": 1 }])));
}

fn hostile_character() -> impl Strategy<Value = char> {
    prop_oneof![
        3 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec![
            '\0', '\u{1}', '\t', '\u{ad}', 'é', 'e', '\u{301}', '\u{327}', 'ß', 'ǆ', 'Å', 'ı',
            '·', 'l', 'L', '\u{200d}', '\u{34f}', '가', '\u{1100}', '\u{1161}', '\u{11a8}', '東',
            'א', '\u{5bc}', 'क', '\u{94d}', '\u{e40}', 'ก', '\u{1f468}', '\u{fe0f}', '\u{fffe}',
            '\u{ffff}', '\u{fff0}', '\u{fffd}', '\u{fdd0}', '\u{10ffff}', '\u{e000}', '½', 'ﷺ',
        ]),
        1 => any::<char>(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(hostile_character(), 0..6).prop_map(String::from_iter),
        "[aAbB _\\-]{0,5}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..4).prop_map(|n| Value::from(n + (1 << 53))),
        any::<f64>().prop_map(|n| if n.is_finite() { Value::from(n) } else { Value::from(-0.0) }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|entries| Value::from(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// JSON with every character of strings that is not a digit or a letter escaped.
fn escaped(value: &Value) -> String {
    let text = value.to_string();
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04X}").unwrap();
            }
        }
    }
    out
}

#[test]
fn numbers_as_text() {
    for text in [
        "0",
        "-0",
        "-0.0",
        "1",
        "1.0",
        "1e0",
        "10E-1",
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e308",
        "5e-324",
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        let (mut view, mut raw) = (Vec::new(), Vec::new());
        write_key_of_text(&mut view, text);
        write_raw_key_of_text(&mut raw, text);
        assert_eq!((view, raw), (key(&value), raw_key(&value)), "{text}");
    }
    let (mut half, mut replaced) = (Vec::new(), Vec::new());
    write_key_of_text(&mut half, r#""a\ud83d!""#);
    write_key_of_text(&mut replaced, "\"a\u{fffd}!\"");
    assert_eq!(half, replaced);
}

/// Two values that often share a beginning, since the second may be a changed first.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    prop_oneof![
        (value(), value()),
        (text(), text()).prop_map(|(a, b)| (Value::from(a), Value::from(b))),
        (text(), text()).prop_map(|(a, b)| (Value::from(a.clone() + &b), Value::from(a))),
        (prop::collection::vec(value(), 0..3), prop::collection::vec(value(), 0..2))
            .prop_map(|(a, more)| (Value::from(a.clone()), Value::from([a, more].concat()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn keys_order_as_comparison_does((a, b) in pair()) {
        prop_assert_eq!(key(&a).cmp(&key(&b)), compare(&a, &b));
        prop_assert_eq!(raw_key(&a).cmp(&raw_key(&b)), compare_raw(&a, &b));
    }

    #[test]
    fn keys_end_where_they_end((a, b) in pair(), rest in prop::collection::vec(any::<u8>(), 0..9)) {
        for value in [&a, &b] {
            let (view, raw) = (key(value), raw_key(value));
            let followed = |key: &[u8]| [key, &rest].concat();
            prop_assert_eq!(key_end(&followed(&view)), Some(view.len()));
            prop_assert_eq!(raw_key_end(&followed(&raw)), Some(raw.len()));
            for cut in 0..view.len() {
                prop_assert_eq!(key_end(&view[..cut]), None);
            }
            for cut in 0..raw.len() {
                prop_assert_eq!(raw_key_end(&raw[..cut]), None);
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_have_an_end_or_none(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let _ = (key_end(&bytes), raw_key_end(&bytes), group_end(&bytes, 1));
        let _ = raw_group_end(&bytes, 2);
    }

    #[test]
    fn groups_are_keys_with_a_common_beginning((a, b) in pair(), elements in 1..4_u64) {
        // Arrays that begin alike are more frequent in arrays of the values.
        let pairs = [
            (a.clone(), b.clone()),
            (json!([a, b]), json!([a, a])),
            (json!([a]), json!([a, b])),
        ];
        for (a, b) in pairs {
            let first = |value: &Value| match value {
                Value::Array(all) => Value::Array(
                    all.iter().take(usize::try_from(elements).unwrap()).cloned().collect(),
                ),
                other => other.clone(),
            };
            let (view_a, raw_a) = (key(&a), raw_key(&a));
            let view_group = &view_a[..group_end(&view_a, elements).unwrap()];
            let raw_group = &raw_a[..raw_group_end(&raw_a, elements).unwrap()];
            let alike = compare(&first(&a), &first(&b)).is_eq();
            prop_assert_eq!(key(&b).starts_with(view_group), alike, "{} {}", a, b);
            let alike = compare_raw(&first(&a), &first(&b)).is_eq();
            prop_assert_eq!(raw_key(&b).starts_with(raw_group), alike, "{} {}", a, b);
        }
    }

    #[test]
    fn keys_of_text_are_those_of_its_value(value in value()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for json in [value.to_string(), pretty, escaped(&value)] {
            let (mut view, mut raw) = (Vec::new(), Vec::new());
            write_key_of_text(&mut view, &json);
            write_raw_key_of_text(&mut raw, &json);
            prop_assert_eq!(view, key(&value), "{}", json);
            prop_assert_eq!(raw, raw_key(&value), "{}", json);
        }
    }

    #[test]
    fn any_text_makes_some_key(text in "[\\[\\]{}\"\\\\untfale0-9.,:-]{0,20}|.{0,9}") {
        write_key_of_text(&mut Vec::new(), &text);
        write_raw_key_of_text(&mut Vec::new(), &text);
    }

    #[test]
    fn no_key_begins_another((a, b) in pair()) {
        for (a, b) in [(key(&a), key(&b)), (raw_key(&a), raw_key(&b))] {
            prop_assert!(a == b || !(a.starts_with(&b) || b.starts_with(&a)));
        }
    }

    #[test]
    fn more_bytes_may_follow_a_key((a, b) in pair(), x: [u8; 2], y: [u8; 2]) {
        let order = compare(&a, &b).then(x.cmp(&y));
        prop_assert_eq!([key(&a), x.to_vec()].concat().cmp(&[key(&b), y.to_vec()].concat()), order);
    }

    #[test]
    fn comparison_turns_round((a, b) in pair()) {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert_eq!(compare_raw(&a, &b), compare_raw(&b, &a).reverse());
    }

    /// The table for ASCII agrees with the collator, whose sort keys do not use it.
    #[test]
    fn the_quick_comparison_is_the_collators(a in text(), b in text()) {
        let (mut a_key, mut b_key) = (Vec::new(), Vec::new());
        write_sort_key(&mut a_key, &a);
        write_sort_key(&mut b_key, &b);
        prop_assert_eq!(compare_strings(&a, &b), a_key.cmp(&b_key));
    }
}
