//! Tables of valid and invalid texts, and properties against `serde_json`.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::{Limits, minify, write_string};

fn normal(text: &[u8]) -> Option<String> {
    minify(text, &Limits::default()).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn texts_are_normalised() {
    for (text, expect) in [
        ("1", "1"),
        (" \t\r\n1 \n", "1"),
        ("-0", "-0"),
        ("-0.0", "-0.0"),
        ("1.0", "1.0"),
        ("1E+3", "1E+3"),
        ("1e-999", "1e-999"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("null", "null"),
        ("[ ]", "[]"),
        ("{ }", "{}"),
        ("[ 1 , [ true , false ] , { \"a\" : null } ]", "[1,[true,false],{\"a\":null}]"),
        (r#""plain""#, r#""plain""#),
        (r#""\"\\\/\b\f\n\r\t""#, r#""\"\\/\b\f\n\r\t""#),
        (r#""\u0041\u00e9\u20ac\ud83d\ude00""#, r#""Aé€😀""#),
        (r#""\u0000\u001f\u000a\u007f""#, "\"\\u0000\\u001F\\n\u{7f}\""),
        (r#""\u0022\u005C""#, r#""\"\\""#),
        ("\"é€😀\u{7f}\"", "\"é€😀\u{7f}\""),
        (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#),
        (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
        (r#"{"a":1,"a":2,"a":3}"#, r#"{"a":3}"#),
        (r#"{ "a" : [ 1 ] , "a" : { "b" : 1 , "b" : 2 } }"#, r#"{"a":{"b":2}}"#),
        (r#"{"x":{"a":1,"a":2},"y":1,"x":{"a":3,"b":4,"a":5}}"#, r#"{"y":1,"x":{"b":4,"a":5}}"#),
        (r#"{"a":{"a":1},"b":{"a":1}}"#, r#"{"a":{"a":1},"b":{"a":1}}"#),
        (r#"{"":1,"":2}"#, r#"{"":2}"#),
    ] {
        assert_eq!(normal(text.as_bytes()).as_deref(), Some(expect), "{text}");
        assert_eq!(normal(expect.as_bytes()).as_deref(), Some(expect), "{text} twice");
    }
}

#[test]
fn names_with_equal_ends_are_told_apart() {
    let name = |middle: usize| format!("\"beginning {middle:05} and the end\":{middle}");
    let members: Vec<String> = (0..300).map(name).collect();
    for count in [2, 15, 16, 17, 18, 300] {
        let distinct = format!("{{{}}}", members[..count].join(","));
        assert_eq!(normal(distinct.as_bytes()).as_deref(), Some(&*distinct));
        let repeated = format!("{{{0},{0}}}", members[..count].join(","));
        assert_eq!(normal(repeated.as_bytes()).as_deref(), Some(&*distinct));
    }
}

#[test]
fn broken_structure_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "1 2",
        "[1]]",
        "{}{}",
        "[",
        "]",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,,2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{\"a\":1]",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "/**/1",
        "\u{c}1",
        "\u{b}1",
    ] {
        assert_eq!(normal(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn broken_numbers_are_refused() {
    let texts = "01 - -01 +1 .5 1. 1.e3 1e 1e+ -a 0x1 1e400 -1e400 00 1a 1-1 1.2.3 1e1e1 --1";
    for text in texts.split(' ') {
        assert_eq!(normal(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn broken_strings_are_refused() {
    for content in [
        r"\",
        r"\x",
        r"\u12",
        r"\u12g4",
        r"\u+123",
        r"\ud800",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\ud800",
        r"\ud800\u0041",
        r"\udc00",
        r"\ud83d\ude0",
        "a\nb",
        "\u{0}",
        "\u{1f}",
    ] {
        assert_eq!(normal(format!("\"{content}\"").as_bytes()), None, "{content:?}");
        assert_eq!(normal(format!("\"{content}").as_bytes()), None, "{content:?} without end");
        assert_eq!(normal(format!("{{\"{content}\":1}}").as_bytes()), None, "{content:?} as name");
    }
    for bytes in [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf4\x90\x80\x80\""] {
        assert_eq!(normal(bytes), None, "{bytes:?}");
    }
}

#[test]
fn every_truncation_and_every_bad_byte_is_refused() {
    let text = r#"{"_id":"é\n\ud83d\ude00","list":[1,-2.5e3,true,null,{}],"deep":[[{"a":[]}]]}"#;
    let bytes = text.as_bytes();
    assert!(normal(bytes).is_some());
    for end in 0..bytes.len() {
        assert_eq!(normal(&bytes[..end]), None, "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bad in [0xff, 0x00, 0x1b] {
            let mut bytes = bytes.to_vec();
            bytes[at] = bad;
            assert_eq!(normal(&bytes), None, "{bad:x} at {at}");
        }
    }
}

/// Runs one hostile text; the time limit is a hundred times what it takes.
fn quickly(text: &[u8]) -> Option<usize> {
    let start = Instant::now();
    let length = minify(text, &Limits::default()).ok().map(|bytes| bytes.len());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    length
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert_eq!(quickly(&nested(1_000)), Some(2_000));
    assert_eq!(quickly(&nested(1_001)), None);
    assert_eq!(quickly(&nested(1_000_000)), None);
    assert_eq!(quickly(&b"[".repeat(1_000_000)), None);
    assert_eq!(quickly(&br#"{"a":"#.repeat(1_000_000)), None);
    assert_eq!(quickly(&br#"[{"a":"#.repeat(1_000_000)), None);
}

#[test]
fn numbers_have_a_limit() {
    assert_eq!(quickly(&b"7".repeat(100_000)), Some(100_000));
    assert_eq!(quickly(&b"7".repeat(100_001)), None);
    assert_eq!(quickly(&b"7".repeat(5_000_000)), None);
    let fraction = [&b"0."[..], &b"7".repeat(5_000_000)].concat();
    assert_eq!(quickly(&fraction), Some(fraction.len()));
    let exponent = [&b"1e"[..], &b"7".repeat(5_000_000)].concat();
    assert_eq!(quickly(&exponent), None);
    let list = |count: usize| {
        [&b"["[..], &[b"7".repeat(100_000), b",".to_vec()].concat().repeat(count), b"0]"].concat()
    };
    assert!(quickly(&list(10)).is_some());
    assert_eq!(quickly(&list(11)), None);
}

#[test]
fn large_objects_take_linear_time() {
    let object = |member: &dyn Fn(usize) -> String| {
        let members: Vec<String> = (0..200_000).map(member).collect();
        format!("{{{}}}", members.join(","))
    };
    let distinct = object(&|n| format!("\"{n}\":{n}"));
    assert_eq!(quickly(distinct.as_bytes()), Some(distinct.len()));
    let doubled = object(&|n| format!("\"{}\":1", n % 100_000));
    assert!(quickly(doubled.as_bytes()).is_some_and(|length| length < doubled.len() / 2 + 2));
    let same = object(&|_| "\"a\":1".to_owned());
    assert_eq!(quickly(same.as_bytes()), Some(r#"{"a":1}"#.len()));
    let colliding = object(&|n| format!("\"12345678{n:06}12345678\":1"));
    assert_eq!(quickly(colliding.as_bytes()), Some(colliding.len()));
    let wide = format!("\"{}\"", "y".repeat(8_000_000));
    let nested = [&r#"{"a":1,"a":"#.repeat(900), &*wide, &"}".repeat(900)].concat();
    assert_eq!(quickly(nested.as_bytes()), Some(wide.len() + 900 * r#"{"a":}"#.len()));
}

#[test]
fn strings_are_written_with_couchdbs_escapes() {
    for (text, expect) in [
        ("", "\"\""),
        ("abc", "\"abc\""),
        ("\"\\/\u{8}\u{c}\n\r\t", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""),
        ("\u{0}\u{1f}\u{7f}", "\"\\u0000\\u001F\u{7f}\""),
        ("é€😀\u{2028}\u{ffff}", "\"é€😀\u{2028}\u{ffff}\""),
        ("seventeen letters\nand more", "\"seventeen letters\\nand more\""),
    ] {
        let mut out = Vec::new();
        write_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}

/// Values whose strings `serde_json` writes in the same form (its `\\u001f` has small letters).
pub fn any_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-c]{0,2}", "\\PC{0,12}", "[\"\\\\\n\u{1}é/]{1,9}"];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300_i64..300).prop_map(Value::from),
        (0_i64..256).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        name.clone().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 80, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec(0_u8..=255, 1..20).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..20)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn normal_text_is_what_serde_json_writes(value in any_value()) {
        for text in [format!("{value}"), format!("{value:#}")] {
            prop_assert_eq!(normal(text.as_bytes()), Some(value.to_string()));
        }
    }

    #[test]
    fn any_string_survives(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert_eq!(&serde_json::from_slice::<String>(&out).unwrap(), &text);
        prop_assert_eq!(&minify(&out, &Limits::default()).unwrap(), &out);
        let units: Vec<String> =
            text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let escaped = format!("\"{}\"", units.concat());
        prop_assert_eq!(minify(escaped.as_bytes(), &Limits::default()).unwrap(), out);
    }

    #[test]
    fn valid_is_what_serde_json_says(text in "[\\[\\]{},:\" 0-2.eE+\\-atrueflsn\\\\]{0,12}") {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        // It does not look at the size of numbers that it ignores.
        let overflow = text.contains(['e', 'E']);
        if valid != normal(text.as_bytes()).is_some() {
            prop_assert!(valid && overflow, "{:?}: serde_json says {}", text, valid);
        }
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let valid = serde_json::from_slice::<Value>(&bytes).is_ok();
        prop_assert_eq!(normal(&bytes).is_some(), valid);
    }
}
