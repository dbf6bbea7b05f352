//! Documents and bulk requests against CouchDB's rules, and terms against a naive builder.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::document::json::tests::any_value;

fn read(text: &str) -> Result<Incoming, IncomingError> {
    parse(text.as_bytes(), &Limits::default())
}

fn body(text: &str) -> String {
    String::from_utf8(read(text).unwrap().body).unwrap()
}

#[test]
fn bodies_lose_only_their_special_members() {
    for (text, expect) in [
        ("{}", "{}"),
        (" { } ", "{}"),
        (r#"{"_id":"a"}"#, "{}"),
        (r#" { "_id" : "a" , "_rev" : "1-a" } "#, "{}"),
        (r#"{"_id":"a","x":1}"#, r#"{"x":1}"#),
        (r#"{"x":1,"_id":"a"}"#, r#"{"x":1}"#),
        (r#"{"x":1,"_id":"a","y":2,"_rev":"1-a"}"#, r#"{"x":1,"y":2}"#),
        (r#"{ "x" : 1 , "_id" : "a" , "_rev" : "1-a" , "y" : 2 }"#, r#"{"x":1,"y":2}"#),
        (r#"{"_id":"a","_rev":"1-a","x":"a\u0062\n","y":[1, 2]}"#, r#"{"x":"ab\n","y":[1,2]}"#),
        (r#"{"\u005fid":"a","x":1}"#, r#"{"x":1}"#),
        (r#"{"x":1,"_id":"a","x":2}"#, r#"{"x":2}"#),
        (r#"{"x":1,"_id":"a","x":2,"_id":"b"}"#, r#"{"x":2}"#),
        (r#"{"x":{"_id":1,"_foo":2,"_deleted":3}}"#, r#"{"x":{"_id":1,"_foo":2,"_deleted":3}}"#),
        (r#"{"_revs_info":[{"a":[]}],"_local_seq":{},"ok":1}"#, r#"{"ok":1}"#),
        (r#"{"_conflicts":null,"_deleted_conflicts":"x"}"#, "{}"),
        (
            r#"{"_replication_state":"x","_access":[]}"#,
            r#"{"_replication_state":"x","_access":[]}"#,
        ),
        (
            r#"{"n":1e3,"m":-0,"k":123456789012345678901234}"#,
            r#"{"n":1e3,"m":-0,"k":123456789012345678901234}"#,
        ),
    ] {
        assert_eq!(body(text), expect, "{text}");
        let again = read(expect).unwrap();
        assert_eq!(again.body_term, read(text).unwrap().body_term, "{text}");
    }
}

#[test]
fn special_members_are_read() {
    let md5 = "967a00dff5e02add41819138abb3284d";
    let full = format!(
        r#"{{"_id":"\u00e9","_rev":"9-z","_deleted":true,
        "_revisions":{{"x":1,"start":2,"ids":["{md5}","b"]}},"_attachments":{{}}}}"#
    );
    let incoming = read(&full).unwrap();
    assert_eq!(incoming.id.as_deref(), Some("é"));
    assert!(incoming.deleted);
    assert_eq!(incoming.rev.unwrap().to_string(), format!("2-{md5}"));
    assert_eq!(incoming.revisions.unwrap().ids.len(), 2);
    assert_eq!(incoming.attachments, Some(Vec::new()));

    let plain = read(r#"{"_rev":"1-a","_rev":"3-abc","_deleted":"x","_deleted":false}"#).unwrap();
    assert_eq!(plain.rev.unwrap().to_string(), "3-abc");
    assert_eq!((plain.revisions, plain.deleted, plain.attachments), (None, false, None));

    let late = read(r#"{"_revisions":{"start":1,"ids":["a"]},"_rev":"nonsense"}"#).unwrap();
    assert_eq!(late.rev.unwrap().to_string(), "1-a");
    let none = read(r#"{"_revisions":{"start":0,"ids":[]},"_rev":"4-b"}"#).unwrap();
    assert_eq!((none.rev.unwrap().to_string(), none.revisions), ("4-b".to_owned(), None));
}

#[test]
fn wrong_documents_get_couchdbs_reasons() {
    for (text, reason) in [
        ("{", "invalid UTF-8 JSON"),
        ("", "invalid UTF-8 JSON"),
        ("{} x", "invalid UTF-8 JSON"),
        ("[] x", "invalid UTF-8 JSON"),
        (r#"{"_foo":1,"x":}"#, "invalid UTF-8 JSON"),
        (r#"{"_id":"a","_rev":"1-a",}"#, "invalid UTF-8 JSON"),
        (r#"{"_id":"a""_rev":"1-a"}"#, "invalid UTF-8 JSON"),
        ("[]", "Document must be a JSON object"),
        ("null", "Document must be a JSON object"),
        ("\"x\"", "Document must be a JSON object"),
        ("1", "Document must be a JSON object"),
        (r#"{"_id":5}"#, "Document id must be a string"),
        (r#"{"_id":null}"#, "Document id must be a string"),
        (r#"{"_rev":"nonsense"}"#, "Invalid rev format"),
        (r#"{"_rev":null}"#, "Invalid rev format"),
        (r#"{"_rev":""}"#, "Invalid rev format"),
        (r#"{"_rev":{"a":1}}"#, "Invalid rev format"),
        (r#"{"_rev":"1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}"#, "Invalid rev format"),
        (r#"{"_deleted":"yes"}"#, "Bad special document member: _deleted"),
        (r#"{"_deleted":null}"#, "Bad special document member: _deleted"),
        (r#"{"_foo":1}"#, "Bad special document member: _foo"),
        (r#"{"_foo":1,"_bar":1,"_id":5}"#, "Bad special document member: _foo"),
        (r#"{"_id":5,"_foo":1}"#, "Document id must be a string"),
        (r#"{"_":1}"#, "Bad special document member: _"),
        (r#"{"_attachments":3}"#, "Bad special document member: _attachments"),
        (r#"{"_attachments":[]}"#, "Bad special document member: _attachments"),
        (r#"{"_revisions":[]}"#, "Bad special document member: _revisions"),
        (r#"{"_revisions":{}}"#, "_revisions.start isn't an integer."),
        (r#"{"_revisions":{"start":1.0,"ids":["a"]}}"#, "_revisions.start isn't an integer."),
        (r#"{"_revisions":{"start":-1,"ids":["a"]}}"#, "_revisions.start isn't an integer."),
        (r#"{"_revisions":{"start":1,"ids":["a","b"]}}"#, "_revisions.start isn't an integer."),
        (r#"{"_revisions":{"start":"1","ids":[5]}}"#, "_revisions.start isn't an integer."),
        (r#"{"_revisions":{"start":1}}"#, "_revisions.ids isn't a array."),
        (r#"{"_revisions":{"start":1,"ids":{}}}"#, "_revisions.ids isn't a array."),
        (r#"{"_revisions":{"start":1,"ids":[]}}"#, "_revisions.ids isn't a array."),
        (r#"{"_revisions":{"start":1,"ids":[5]}}"#, "RevId isn't a string"),
        (r#"{"_revisions":{"start":1,"ids":[["a"]]}}"#, "RevId isn't a string"),
        (
            r#"{"_revisions":{"start":1,"ids":["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]}}"#,
            "RevId isn't a valid hexadecimal",
        ),
        (r#"{"_attachments":{"x":{}}}"#, "Invalid attachment data for x"),
        (r#"{"_attachments":{"x":3}}"#, "Invalid attachment data for x"),
        (r#"{"_attachments":{"x":{"stub":false}}}"#, "Invalid attachment data for x"),
        (r#"{"_attachments":{"x":{"data":"a"}}}"#, "Invalid attachment data for x"),
        (r#"{"_attachments":{"x":{"data":"YQ"}}}"#, "Invalid attachment data for x"),
        (r#"{"_attachments":{"x":{"data":5}}}"#, "Invalid attachment data for x"),
        (
            r#"{"_attachments":{"_x":{"stub":true}}}"#,
            "Attachment name '_x' starts with prohibited character '_'",
        ),
    ] {
        assert_eq!(read(text).map_err(|error| error.to_string()), Err(reason.to_owned()), "{text}");
    }
}

#[test]
fn attachments_are_read() {
    let text = r#"{"_attachments":{
        "b":{"content_type":"text/plain","data":"SGVs\nbG8=","revpos":3,"digest":"md5-x"},
        "c":{"stub":true,"data":"!"},
        "a":{"data":"","stub":"yes"},
        "é/\n":{"follows":true,"length":18,"encoding":"gzip","encoded_length":38,"junk":[{}]},
        "c":{"stub":true,"revpos":-1,"content_type":5}
    },"x":1}"#;
    let incoming = read(text).unwrap();
    let found = incoming.attachments.unwrap();
    let names: Vec<&str> = found.iter().map(|attachment| &*attachment.name).collect();
    assert_eq!(names, ["b", "a", "é/\n", "c"]);
    assert_eq!(found[0].source, AttachmentSource::Inline(b"Hello".to_vec()));
    assert_eq!(found[0].content_type.as_deref(), Some("text/plain"));
    assert_eq!((found[0].revpos, found[0].digest.as_deref()), (Some(3), Some("md5-x")));
    assert_eq!(found[1].source, AttachmentSource::Inline(Vec::new()));
    assert_eq!(found[2].source, AttachmentSource::Follows);
    assert_eq!((found[2].length, found[2].encoded_length), (Some(18), Some(38)));
    assert_eq!(found[2].encoding.as_deref(), Some("gzip"));
    assert_eq!(found[3].source, AttachmentSource::Stub);
    assert_eq!((found[3].revpos, found[3].content_type.as_deref()), (None, None));
    assert_eq!(incoming.body, br#"{"x":1}"#);
}

#[test]
fn hostile_documents_are_harmless() {
    let many = |member: &dyn Fn(usize) -> String| {
        let members: Vec<String> = (0..200_000).map(member).collect();
        format!("{{{}}}", members.join(","))
    };
    let digits = "9".repeat(100_000);
    for (text, fine) in [
        (many(&|at| format!("\"_id\":\"{at}\"")), true),
        (many(&|at| format!("\"{}\":[{at}]", at % 1_000)), true),
        (many(&|at| format!("\"_x{at}\":1")), false),
        (format!("{{\"_attachments\":{}}}", many(&|_| "\"a\":{\"stub\":true}".to_owned())), true),
        (format!("{{\"a\":[{}0]}}", format!("{digits},").repeat(10)), true),
        (format!("{{\"a\":[{}0]}}", format!("{digits},").repeat(50)), false),
        (format!("{{\"a\":{}", "[".repeat(1_000_000)), false),
        (format!("{{\"_rev\":{}", "{\"a\":".repeat(1_000_000)), false),
        (
            format!("{{\"_revisions\":{{\"start\":1,\"ids\":[{}1]}}}}", "1,".repeat(1_000_000)),
            false,
        ),
    ] {
        let start = Instant::now();
        assert_eq!(read(&text).is_ok(), fine, "{}", &text[..40]);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn bulk_requests_are_cut_into_documents() {
    for (text, documents, new_edits, all_or_nothing) in [
        (r#"{"docs":[]}"#, &[][..], true, false),
        (
            r#" { "docs" : [ {"a" : 1} , 5,[ ],"x" ] } "#,
            &[r#"{"a" : 1}"#, "5", "[ ]", "\"x\""],
            true,
            false,
        ),
        (r#"{"new_edits":false,"docs":[{}],"w":3}"#, &["{}"], false, false),
        (r#"{"docs":5,"all_or_nothing":true,"docs":[1]}"#, &["1"], true, true),
        (
            r#"{"d\u006fcs":[1],"new_edits":5,"new_edits":true,"all_or_nothing":"x"}"#,
            &["1"],
            true,
            false,
        ),
    ] {
        let bulk = parse_bulk(text.as_bytes(), &Limits::default()).unwrap();
        let found: Vec<&str> =
            bulk.documents.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(found, documents, "{text}");
        assert_eq!((bulk.new_edits, bulk.all_or_nothing), (new_edits, all_or_nothing), "{text}");
    }
}

#[test]
fn wrong_bulk_requests_get_couchdbs_reasons() {
    for (text, reason) in [
        ("nope", "invalid UTF-8 JSON"),
        ("", "invalid UTF-8 JSON"),
        ("[] []", "invalid UTF-8 JSON"),
        (r#"{"docs":[{"a":}]}"#, "invalid UTF-8 JSON"),
        (r#"{"docs":[{}],"x":"\ud800"}"#, "invalid UTF-8 JSON"),
        (r#"{"docs":[{}]"#, "invalid UTF-8 JSON"),
        (r#"{"docs":[{},]}"#, "invalid UTF-8 JSON"),
        ("[]", "Request body must be a JSON object"),
        ("{}", "POST body must include `docs` parameter."),
        (r#"{"docs":{}}"#, "`docs` parameter must be an array."),
        (r#"{"docs":[],"new_edits":"maybe"}"#, "`new_edits` parameter must be a boolean."),
        (r#"{"docs":[],"new_edits":[true]}"#, "`new_edits` parameter must be a boolean."),
    ] {
        let found = parse_bulk(text.as_bytes(), &Limits::default());
        assert_eq!(found.map_err(|error| error.to_string()), Err(reason.to_owned()), "{text}");
    }
}

/// The term of a value, built the slow way.
fn term(value: &Value) -> Vec<u8> {
    let length = |count: usize| u32::try_from(count).unwrap().to_be_bytes().to_vec();
    let binary = |text: &str| [&[0x6d], &length(text.len())[..], text.as_bytes()].concat();
    let list = |items: Vec<Vec<u8>>| match items.len() {
        0 => vec![0x6a],
        count => [&[0x6c], &length(count)[..], &items.concat(), &[0x6a]].concat(),
    };
    let atom =
        |name: &str| [&[0x64, 0, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    match value {
        Value::Null => atom("null"),
        Value::Bool(flag) => atom(if *flag { "true" } else { "false" }),
        Value::String(text) => binary(text),
        Value::Number(number) if number.is_f64() => {
            [&[0x46], &number.as_f64().unwrap().to_bits().to_be_bytes()[..]].concat()
        }
        Value::Number(number) => integer(number.as_i128().unwrap()),
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> =
                items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect();
            match bytes {
                Some(bytes) if !bytes.is_empty() && bytes.len() < 65_535 => {
                    let [.., high, low] = length(bytes.len())[..] else { unreachable!() };
                    [&[0x6b, high, low], &bytes[..]].concat()
                }
                _ => list(items.iter().map(term).collect()),
            }
        }
        Value::Object(members) => {
            let pair = |(name, value): (&String, &Value)| {
                [&[0x68, 2], &binary(name)[..], &term(value)].concat()
            };
            [&[0x68, 1], &list(members.iter().map(pair).collect())[..]].concat()
        }
    }
}

fn integer(value: i128) -> Vec<u8> {
    if (0..256).contains(&value) {
        return vec![0x61, u8::try_from(value).unwrap()];
    }
    if let Ok(value) = i32::try_from(value) {
        return [&[0x62], &value.to_be_bytes()[..]].concat();
    }
    let mut rest = value.unsigned_abs();
    let mut bytes = Vec::new();
    while rest > 0 {
        bytes.push(u8::try_from(rest % 256).unwrap());
        rest /= 256;
    }
    [&[0x6e, u8::try_from(bytes.len()).unwrap(), u8::from(value < 0)], &bytes[..]].concat()
}

#[test]
fn lists_of_bytes_have_their_own_form_up_to_the_vms_limit() {
    for length in [1, 2, 65_534, 65_535, 65_536] {
        let value = serde_json::json!({"l": vec![7; length], "after": [1]});
        assert_eq!(read(&value.to_string()).unwrap().body_term, term(&value), "{length}");
    }
}

/// What ends a document that has only this integer, and its bytes, lowest first.
fn check_big(digits: &str, head: &[u8], bytes: &[u8]) {
    let found = read(&format!("{{\"i\":{digits}}}")).unwrap().body_term;
    let expect = [&b"\x68\x01\x6c\0\0\0\x01\x68\x02\x6d\0\0\0\x01i"[..], head, bytes, b"\x6a"];
    assert_eq!(found, expect.concat(), "{digits}");
}

#[test]
fn integers_of_any_size_are_exact() {
    check_big("-0", &[0x61, 0], &[]);
    check_big("256", &[0x62], &[0, 0, 1, 0]);
    check_big("2147483648", &[0x6e, 4, 0], &[0, 0, 0, 0x80]);
    check_big("-2147483648", &[0x62], &[0x80, 0, 0, 0]);
    check_big("-2147483649", &[0x6e, 4, 1], &[1, 0, 0, 0x80]);
    check_big("1000000000000000000", &[0x6e, 8, 0], &[0, 0, 0x64, 0xa7, 0xb3, 0xb6, 0xe0, 0x0d]);
    check_big("18446744073709551616", &[0x6e, 9, 0], &[0, 0, 0, 0, 0, 0, 0, 0, 1]);
    check_big("-18446744073709551615", &[0x6e, 8, 1], &[0xff; 8]);
    let two_to_2040 = power_of_two(2_040);
    let bytes = [&[0; 255][..], &[1]].concat();
    check_big(&two_to_2040, &[0x6f, 0, 0, 1, 0, 0], &bytes);
    check_big(&power_of_two(2_032), &[0x6e, 255, 0], &bytes[1..]);
}

fn power_of_two(exponent: usize) -> String {
    let mut digits = vec![1_u8];
    for _ in 0..exponent {
        let mut carry = 0;
        for digit in &mut digits {
            let double = *digit * 2 + carry;
            (*digit, carry) = (double % 10, double / 10);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

fn any_body() -> impl Strategy<Value = Map<String, Value>> {
    let name = "[a-z][a-zé\\\\\"]{0,10}";
    prop::collection::vec((name, any_value()), 0..24).prop_map(|pairs| pairs.into_iter().collect())
}

proptest! {
    #[test]
    fn body_and_term_agree_with_the_value(members in any_body()) {
        let value = Value::Object(members.clone());
        let mut whole = Map::new();
        whole.insert("_id".to_owned(), "x".into());
        whole.extend(members);
        whole.insert("_rev".to_owned(), "1-a".into());
        let whole = Value::Object(whole);
        for text in [format!("{whole}"), format!("{whole:#}")] {
            let incoming = read(&text).unwrap();
            prop_assert_eq!(String::from_utf8(incoming.body).unwrap(), value.to_string());
            prop_assert_eq!(incoming.body_term, term(&value));
        }
    }

    /// The same members twice, the first time with other values: only the second time counts.
    #[test]
    fn duplicates_leave_no_trace(
        members in any_body(),
        others in prop::collection::vec(any_value(), 24),
    ) {
        let value = Value::Object(members.clone());
        let pair = |name: &str, value: &Value| format!("{}:{value}", Value::from(name));
        let void = members.keys().zip(&others).map(|(name, other)| pair(name, other));
        let real = members.iter().map(|(name, value)| pair(name, value));
        let text = format!("{{{}}}", void.chain(real).collect::<Vec<_>>().join(" , "));
        let wrapped = format!("{{\"in\":[{text},{text}]}}");
        let incoming = read(&text).unwrap();
        prop_assert_eq!(incoming.body_term, term(&value));
        prop_assert_eq!(String::from_utf8(incoming.body).unwrap(), value.to_string());
        let incoming = read(&wrapped).unwrap();
        prop_assert_eq!(incoming.body_term, term(&serde_json::json!({"in": [value, value]})));
    }
}
