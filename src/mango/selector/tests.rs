//! Tests of selectors: CouchDB's recorded answers, its errors, and a naive second matcher.

pub(in crate::mango) mod naive;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn parse(selector: &Value) -> Selector {
    Selector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"))
}

/// The documents of the recorded queries, `p1` to `p6`.
fn people() -> Vec<Value> {
    let people = json!([
        {"_id": "p1", "name": "Ada", "age": 36, "city": "London", "tags": ["math", "code"],
         "address": {"zip": "N1", "no": 5}, "score": 1.5},
        {"_id": "p2", "name": "Bob", "age": 25, "city": "Paris", "tags": ["code"],
         "address": {"zip": "75", "no": 7}, "score": -2},
        {"_id": "p3", "name": "Cy", "age": 25, "city": "London", "tags": [],
         "address": {"zip": "N1"}, "score": null},
        {"_id": "p4", "name": "dee", "age": "forty", "city": null, "tags": "none",
         "friends": [{"name": "Ada", "years": 3}, {"name": "Bob", "years": 1}]},
        {"_id": "p5", "name": "Éva", "age": 70, "city": "Berlin", "a.b": {"c": 1}, "flag": true,
         "list": [1, 2, 3]},
        {"_id": "p6", "name": "Zed", "age": 70.0, "flag": false, "list": [3, 2, 1],
         "nested": [[1], [2, 3]]},
    ]);
    people.as_array().unwrap().clone()
}

/// The numbers of the people a selector finds.
fn found(selector: &Value) -> String {
    let selector = parse(selector);
    let numbers = (1..=6).zip(people()).filter(|(_, person)| selector.matches(person).unwrap());
    numbers.map(|(number, _)| number.to_string()).collect()
}

fn check(table: &Value) {
    for (number, row) in table.as_array().unwrap().iter().enumerate() {
        assert_eq!(row[1], found(&row[0]), "row {number}: {}", row[0]);
    }
}

#[test]
fn comparisons_find_what_couchdb_found() {
    check(&json!([
        [{}, "123456"],
        [{"age": 25}, "23"],
        [{"age": {"$eq": 70}}, "56"],
        [{"age": {"$ne": 25}}, "1456"],
        [{"age": {"$gt": 30}}, "1456"],
        [{"age": {"$gte": 36}}, "1456"],
        [{"age": {"$lt": 36}}, "23"],
        [{"age": {"$lte": 36}}, "123"],
        [{"age": {"$gt": 25, "$lt": 70}}, "1"],
        [{"age": {"$gt": "a"}}, "4"],
        [{"age": {"$gt": null}}, "123456"],
        [{"name": {"$lt": "c"}}, "12"],
        [{"name": {"$gte": "Z"}}, "6"],
        [{"_id": {"$gt": "p3"}}, "456"],
        [{"_id": {"$gt": null}}, "123456"],
        [{"_id": {"$gte": "_"}}, "123456"],
        [{"_id": {"$gt": "P3"}}, "123456"],
        [{"address.zip": "N1"}, "13"],
        [{"address": {"zip": "N1"}}, "13"],
        [{"address": {"zip": "N1", "no": 5}}, "1"],
        [{"a\\.b.c": 1}, "5"],
        [{"flag": true}, "5"],
        [{"list": [1, 2, 3]}, "5"],
        [{"list": {"$gt": [2]}}, "6"],
        [{"score": null}, "3"],
    ]));
}

#[test]
fn array_operators_find_what_couchdb_found() {
    check(&json!([
        [{"tags": {"$in": ["math", "none"]}}, "14"],
        [{"age": {"$in": [25, 36]}}, "123"],
        [{"age": {"$nin": [25, 36]}}, "456"],
        [{"tags": {"$all": ["code", "math"]}}, "1"],
        [{"tags": {"$all": [["math", "code"]]}}, "1"],
        [{"tags": {"$size": 1}}, "2"],
        [{"tags": {"$size": 0}}, "3"],
        [{"tags": {"$elemMatch": {"$eq": "code"}}}, "12"],
        [{"friends": {"$elemMatch": {"name": "Bob", "years": {"$gt": 0}}}}, "4"],
        [{"list": {"$elemMatch": {"$gt": 2}}}, "56"],
        [{"list": {"$allMatch": {"$gt": 0}}}, "56"],
        [{"tags": {"$allMatch": {"$eq": "code"}}}, "2"],
        [{"address": {"$keyMapMatch": {"$eq": "no"}}}, "12"],
        [{"tags.0": "math"}, "1"],
        [{"list.[0]": 1}, ""],
        [{"nested": {"$elemMatch": {"$elemMatch": {"$gt": 2}}}}, "6"],
        [{"tags": {"$in": []}}, ""],
        [{"tags": {"$nin": []}}, "1234"],
        [{"tags": {"$all": []}}, ""],
    ]));
}

#[test]
fn type_operators_find_what_couchdb_found() {
    check(&json!([
        [{"flag": {"$exists": true}}, "56"],
        [{"flag": {"$exists": false}}, "1234"],
        [{"address.no": {"$exists": true}}, "12"],
        [{"age": {"$type": "number"}}, "12356"],
        [{"age": {"$type": "string"}}, "4"],
        [{"city": {"$type": "null"}}, "4"],
        [{"tags": {"$type": "array"}}, "123"],
        [{"address": {"$type": "object"}}, "123"],
        [{"flag": {"$type": "boolean"}}, "56"],
        [{"flag": {"$type": "undefined"}}, ""],
        [{"age": {"$mod": [5, 0]}}, "235"],
        [{"age": {"$mod": [7, 1]}}, "1"],
        [{"name": {"$regex": "^[AB]"}}, "12"],
        [{"name": {"$regex": "(?i)^D"}}, "4"],
        [{"name": {"$beginsWith": "B"}}, "2"],
        [{"_id": {"$beginsWith": "p"}}, "123456"],
        [{"name": {"$regex": "É"}}, "5"],
    ]));
}

#[test]
fn negation_never_finds_documents_without_the_field() {
    check(&json!([
        [{"tags": {"$ne": "none"}}, "123"],
        [{"tags": {"$nin": ["code"]}}, "34"],
        [{"$not": {"flag": true}}, "6"],
        [{"flag": {"$not": {"$eq": true}}}, "6"],
        [{"$nor": [{"flag": true}]}, "6"],
        [{"$not": {"tags": {"$elemMatch": {"$eq": "code"}}}}, "34"],
        [{"$not": {"tags": {"$regex": "x"}}}, "1234"],
        [{"$not": {"flag": {"$exists": true}}}, "1234"],
        [{"$nor": [{"age": {"$gt": 30}}, {"city": "Paris"}]}, "3"],
        [{"$not": {"$and": [{"age": 25}, {"city": "London"}]}}, "12456"],
        [{"$not": {"$not": {"age": 25}}}, "23"],
        [{"$not": {"$nor": [{"age": 25}, {"flag": true}]}}, "235"],
        [{"age": {"$not": {"$exists": true, "$eq": 25}}}, "1456"],
        [{"flag": {"$not": {"$exists": true, "$eq": true}}}, "12346"],
    ]));
}

/// `$exists: false` needs an object that lacks the name: no way through a scalar or past an array.
#[test]
fn a_path_that_leads_nowhere_matches_nothing() {
    check(&json!([
        [{"age.x": {"$exists": false}}, ""],
        [{"list.7": {"$exists": false}}, "1234"],
        [{"address.no": {"$exists": false}}, "3456"],
    ]));
}

#[test]
fn empty_lists_and_objects() {
    check(&json!([
        [{"$and": []}, "123456"],
        [{"$or": []}, "123456"],
        [{"$nor": []}, "123456"],
        [{"age": {"$or": []}, "flag": true}, "5"],
        [{"$and": [{}]}, ""],
        [{"$nor": [{}]}, "123456"],
        [{"address": {}}, ""],
        [{"address": {"$not": {}}}, "123"],
        [{"tags": {"$allMatch": {"$exists": true}}}, "12"],
        [{"tags": {"$not": {"$in": []}}}, "1234"],
        [{"tags": {"$not": {"$all": []}}}, "1234"],
        [{"$and": [{"$gt": 5}]}, "123456"],
    ]));
    for (selector, empty) in [
        (json!({"$or": []}), true),
        (json!({"$and": []}), true),
        (json!({"$nor": []}), true),
        (json!({}), false),
        (json!({"a": 1, "$or": []}), false),
    ] {
        assert_eq!(parse(&selector).is_empty_combination(), empty, "{selector}");
    }
}

/// Negation inside an element match is the plain one, and `$nor` fails there.
#[test]
fn element_matches_are_not_normalised() {
    check(&json!([
        [{"friends": {"$elemMatch": {"$not": {"nickname": "x"}}}}, "4"],
        [{"friends": {"$elemMatch": {"nickname": {"$ne": "x"}}}}, ""],
        [{"friends": {"$elemMatch": {"$nor": [{"name": "x"}]}}}, ""],
        [{"friends": {"$not": {"$elemMatch": {"$nor": [{"name": "x"}]}}}}, "4"],
        [{"list": {"$elemMatch": {"$mod": [0, 0]}}}, ""],
        [{"list": {"$allMatch": {"$mod": [0, 0]}}}, ""],
        [{"list": {"$elemMatch": {"$or": [{"$eq": 3}, {"$mod": [0, 0]}]}}}, "6"],
        [{"list": {"$elemMatch": {"$exists": false}}}, ""],
        [{"nested": {"$elemMatch": {"0": 2}}}, "6"],
    ]));
}

#[test]
fn equality_follows_the_operator() {
    let doc = json!({
        "ints": [1, 2], "floats": [1.0, 2.0], "e": "e\u{301}", "es": ["e\u{301}"],
        "_id": "e\u{301}", "o": {"b": 1, "a": 2}, "mixed": [[1, 2], "x"]
    });
    let table = [
        (json!({"ints": [1.0, 2.0]}), true),
        (json!({"ints": {"$all": [1.0]}}), false),
        (json!({"ints": {"$all": [[1.0, 2.0]]}}), true),
        (json!({"floats": {"$all": [1.0, 2.0]}}), true),
        (json!({"e": "é"}), true),
        (json!({"e": {"$beginsWith": "é"}}), false),
        (json!({"es": {"$in": ["é"]}}), true),
        (json!({"es": {"$all": ["é"]}}), false),
        (json!({"_id": "é"}), false),
        (json!({"\\_id": "é"}), true),
        (json!({"o": {"$eq": {"a": 2, "b": 1}}}), false),
        (json!({"o": {"$eq": {"b": 1, "a": 2}}}), true),
        (json!({"mixed": {"$in": [[1, 2]]}}), true),
        (json!({"ints": {"$in": [[1, 2]]}}), false),
        (json!({"es": {"$in": (0..20).map(|n| format!("x{n}")).collect::<Vec<_>>()}}), false),
        (json!({"_id": {"$in": ["é", 1, 2, 3, 4, 5, 6, 7, 8, 9]}}), false),
        (json!({"e": {"$in": ["é", 1, 2, 3, 4, 5, 6, 7, 8, 9]}}), true),
        (json!({"ints": {"$nin": [1.0, 11, 12, 13, 14, 15, 16, 17, 18, 19]}}), false),
    ];
    for (selector, expected) in table {
        assert_eq!(parse(&selector).matches(&doc), Ok(expected), "{selector}");
    }
}

#[test]
fn errors_are_couchdbs() {
    let table = [
        (json!([]), "invalid_selector_json", "Selector must be a JSON object, not: []"),
        (json!("a"), "invalid_selector_json", "Selector must be a JSON object, not: <<97>>"),
        (json!({"a": {"$foo": 1}}), "invalid_operator", "Invalid operator: $foo"),
        (json!({"$foo": 1}), "invalid_operator", "Invalid operator: $foo"),
        (json!({"$where": 1}), "not_supported", "Unsupported operator: $where"),
        (json!({"a": {"$nearSphere": 1}}), "not_supported", "Unsupported operator: $nearSphere"),
        (json!({"a": {"$regex": "("}}), "bad_arg", "Bad argument for operator $regex: <<40>>"),
        (json!({"a": {"$regex": 1}}), "invalid_operator", "Invalid operator: $regex"),
        (json!({"a": {"$beginsWith": 1}}), "invalid_operator", "Invalid operator: $beginsWith"),
        (json!({"$and": {}}), "bad_arg", "Bad argument for operator $and: {[]}"),
        (json!({"$or": 1}), "bad_arg", "Bad argument for operator $or: 1"),
        (json!({"$nor": "a"}), "bad_arg", "Bad argument for operator $nor: <<97>>"),
        (json!({"a": {"$not": 1}}), "bad_arg", "Bad argument for operator $not: 1"),
        (json!({"a": {"$in": 1}}), "bad_arg", "Bad argument for operator $in: 1"),
        (json!({"a": {"$nin": null}}), "bad_arg", "Bad argument for operator $nin: null"),
        (json!({"a": {"$all": 1.5}}), "bad_arg", "Bad argument for operator $all: 1.5"),
        (json!({"a": {"$exists": 1}}), "bad_arg", "Bad argument for operator $exists: 1"),
        (json!({"a": {"$type": 1}}), "bad_arg", "Bad argument for operator $type: 1"),
        (json!({"a": {"$size": -1}}), "bad_arg", "Bad argument for operator $size: -1"),
        (json!({"a": {"$size": 1.0}}), "bad_arg", "Bad argument for operator $size: 1.0"),
        (json!({"a": {"$mod": [1]}}), "bad_arg", "Bad argument for operator $mod: [1]"),
        (json!({"a": {"$mod": [1.0, 0]}}), "bad_arg", "Bad argument for operator $mod: [1.0,0]"),
        (json!({"a": {"$elemMatch": 1}}), "bad_arg", "Bad argument for operator $elemMatch: 1"),
        (json!({"a": {"$allMatch": []}}), "bad_arg", "Bad argument for operator $allMatch: []"),
        (json!({"a": {"$keyMapMatch": 1}}), "bad_arg", "Bad argument for operator $keyMapMatch: 1"),
        (json!({"$text": null}), "bad_arg", "Bad argument for operator $text: null"),
        (
            json!({"$not": {"$text": "x"}}),
            "bad_arg",
            "Bad argument for operator $not: \
             {[{<<36,100,101,102,97,117,108,116>>,{[{<<36,116,101,120,116>>,<<120>>}]}}]}",
        ),
        (
            json!({"a": {"$text": 1}}),
            "bad_field",
            "Invalid field normalization on selector: \
             {[{<<36,100,101,102,97,117,108,116>>,{[{<<36,116,101,120,116>>,1}]}}]}",
        ),
        (json!({"$gt": 1}), "invalid_selector", "One or more conditions is missing a field name."),
        (json!({"": 1}), "invalid_selector", "One or more conditions is missing a field name."),
        (json!({"a..b": 1}), "invalid_selector", "One or more conditions is missing a field name."),
    ];
    for (selector, name, reason) in table {
        let error = Selector::parse(&selector).map(|_| ()).unwrap_err();
        assert_eq!((error.name(), &*error.to_string()), (name, reason), "{selector}");
    }
}

#[test]
fn dividing_by_zero_fails_on_integers_only() {
    let selector = parse(&json!({"a": {"$mod": [0, 0]}}));
    let table = [
        (json!({"a": 5}), Err(SelectorError::DivisionByZero)),
        (json!({"a": 5.0}), Ok(false)),
        (json!({"a": "x"}), Ok(false)),
        (json!({}), Ok(false)),
    ];
    for (doc, outcome) in table {
        assert_eq!(selector.matches(&doc), outcome, "{doc}");
    }
    assert_eq!(SelectorError::DivisionByZero.name(), "unknown_error");
    assert_eq!(SelectorError::DivisionByZero.to_string(), "badarith");
    let selector = parse(&json!({"a": {"$mod": [-1, 0]}}));
    assert_eq!(selector.matches(&json!({"a": i64::MIN})), Ok(true));
}

#[test]
fn the_normal_form_is_couchdbs() {
    let table = [
        (json!({}), json!({})),
        (json!({"city": "London"}), json!({"city": {"$eq": "London"}})),
        (json!({"x": {}}), json!({"x": {"$eq": {}}})),
        (
            json!({"x": {"a": 1, "b": {"$gt": 2}}}),
            json!({"$and": [{"x.a": {"$eq": 1}}, {"x.b": {"$gt": 2}}]}),
        ),
        (
            json!({"foo": {"$and": [{"$gt": 5}, {"$lt": 10}]}}),
            json!({"$and": [{"foo": {"$gt": 5}}, {"foo": {"$lt": 10}}]}),
        ),
        (
            json!({"$not": {"$and": [
                {"a": {"$gt": 5}}, {"b": {"$in": [1]}}, {"c": {"$exists": true}}
            ]}}),
            json!({"$or": [{"a": {"$lte": 5}}, {"b": {"$nin": [1]}}, {"c": {"$exists": false}}]}),
        ),
        (json!({"$nor": [{"a": {"$lt": 1}}]}), json!({"$and": [{"a": {"$gte": 1}}]})),
        (json!({"a": {"$not": {"$size": 2}}}), json!({"a": {"$not": {"$size": 2}}})),
        (
            json!({"a": {"$elemMatch": {"$gte": 80, "$not": {"b": 1}}}}),
            json!({"a": {"$elemMatch": {"$and": [
                {"": {"$gte": 80}}, {"$not": {"b": {"$eq": 1}}}
            ]}}}),
        ),
        (json!({"a": {"$mod": [-3, u64::MAX]}}), json!({"a": {"$mod": [-3, u64::MAX]}})),
        (json!({"$text": "x"}), json!({"$default": {"$text": "x"}})),
    ];
    for (selector, normal) in table {
        let parsed = parse(&selector);
        assert_eq!(parsed.to_json(), normal, "{selector}");
        assert_eq!(parsed.has_text(), selector.get("$text").is_some());
    }
}

#[test]
fn selectors_are_limited() {
    let refused = |selector: &Value| Selector::parse(selector).map(|_| ()).unwrap_err();
    let long = "x".repeat(1 << 20);
    let names: Map<_, _> = (0..1000).map(|n| (n.to_string(), json!(1))).collect();
    assert_eq!(refused(&json!({long: names})), SelectorError::TooComplex);
    let patterns: Vec<_> = (0..300).map(|_| json!({"$regex": "a"})).collect();
    assert_eq!(refused(&json!({"a": {"$or": patterns}})), SelectorError::TooComplex);
    assert_eq!(refused(&json!({"$or": vec![1; 100_000]})), SelectorError::TooComplex);
    let shared = json!({"x".repeat(1 << 20): {"$or": vec![1; 10_000]}});
    assert_eq!(parse(&shared).matches(&json!({})), Ok(false));
}

/// Wraps a selector in `depth` operators.
fn nested(operator: &str, mut selector: Value, depth: usize) -> Value {
    for _ in 0..depth {
        selector = Value::Object(Map::from_iter([(operator.to_owned(), selector)]));
    }
    selector
}

#[test]
fn deep_selectors_fit_the_stack_or_are_refused() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let selector = parse(&nested("$not", json!({"a": 1}), 120));
        assert_eq!(selector.matches(&json!({"a": 1})), Ok(true));
        let selector = nested("a", nested("$elemMatch", json!({"a": 1}), 120), 1);
        assert_eq!(parse(&selector).matches(&json!({"a": [[[]]]})), Ok(false));
        let deep = nested("x", json!(1), 400);
        let selector = parse(&nested("a", nested("$eq", deep.clone(), 1), 1));
        assert_eq!(selector.matches(&nested("a", deep, 1)), Ok(true));
        let error = Selector::parse(&nested("$not", json!({"a": 1}), 1000)).map(|_| ());
        assert_eq!(error, Err(SelectorError::TooComplex));
    });
    thread.unwrap().join().unwrap();
}

fn scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(2),
        json!(-7),
        json!("a"),
        json!("A"),
        json!("ab"),
        json!("é"),
        json!("e\u{301}"),
        json!(""),
        json!([]),
        json!({}),
    ])
}

pub(in crate::mango) fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "_id", "0"]).prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), any_value()), 0..4)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

pub(in crate::mango) fn condition() -> impl Strategy<Value = Value> {
    let values = prop::collection::vec(any_value(), 0..12);
    prop_oneof![
        4 => (
            prop::sample::select(vec!["$lt", "$lte", "$eq", "$ne", "$gte", "$gt"]),
            any_value(),
        )
            .prop_map(|(operator, value)| entry(operator, value)),
        2 => (prop::sample::select(vec!["$in", "$nin", "$all"]), values)
            .prop_map(|(operator, values)| entry(operator, values.into())),
        1 => any::<bool>().prop_map(|exists| json!({ "$exists": exists })),
        1 => prop::sample::select(vec!["null", "number", "array", "x"])
            .prop_map(|name| json!({ "$type": name })),
        1 => (-3_i64..4, -2_i64..3).prop_map(|(d, r)| json!({ "$mod": [d, r] })),
        1 => prop::sample::select(vec!["^a", "b$", "A|é"]).prop_map(|p| json!({ "$regex": p })),
        1 => prop::sample::select(vec!["", "a", "e"]).prop_map(|p| json!({ "$beginsWith": p })),
        1 => (0_u64..3).prop_map(|size| json!({ "$size": size })),
    ]
}

fn selector() -> impl Strategy<Value = Value> {
    let field = prop_oneof![
        name(),
        prop::sample::select(vec!["a.b", "a.0", "b.a.b", "a\\.b"]).prop_map(str::to_owned),
    ];
    let leaf = (field.clone(), condition()).prop_map(|(name, condition)| entry(&name, condition));
    let leaf = prop_oneof![3 => leaf, 1 => condition()];
    let tree = leaf.prop_recursive(4, 16, 3, move |inner| {
        let lists = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (prop::sample::select(vec!["$and", "$or", "$nor"]), lists)
                .prop_map(|(operator, parts)| entry(operator, parts.into())),
            (
                prop::sample::select(vec!["$not", "$elemMatch", "$allMatch", "$keyMapMatch"]),
                inner.clone(),
            )
                .prop_map(|(operator, part)| entry(operator, part)),
            (field.clone(), inner.clone()).prop_map(|(name, part)| entry(&name, part)),
            (inner.clone(), inner).prop_map(|(mut a, mut b)| {
                a.as_object_mut().unwrap().append(b.as_object_mut().unwrap());
                a
            }),
        ]
    });
    (name(), tree).prop_map(|(name, tree)| json!({ name: 1, "$or": [tree.clone(), {"a": tree}] }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn the_naive_matcher_agrees(selector in selector(), doc in document()) {
        let outer = selector.as_object().unwrap();
        for selector in outer["$or"].as_array().unwrap() {
            let wrapped = json!({"$and": [selector]});
            let outcome = parse(&wrapped).matches(&doc);
            prop_assert_eq!(outcome.ok(), naive::matches(&wrapped, &doc), "{}", selector);
        }
    }

    /// Beside what the selector looks at, the document has other members, before and behind.
    #[test]
    fn a_projected_document_matches_as_the_whole_one(
        selector in selector(),
        doc in document(),
        rest in prop::collection::vec(("[w-z]", any_value()), 0..4),
    ) {
        let mut whole: Map<_, _> = rest.into_iter().collect();
        whole.extend(doc.as_object().unwrap().clone());
        whole.insert("last".to_owned(), json!([{"a": 1}]));
        let whole = Value::Object(whole);
        let outer = selector.as_object().unwrap();
        for selector in outer["$or"].as_array().unwrap() {
            let selector = parse(&json!({"$and": [selector]}));
            let projected = Projection::of_selector(&selector).read(whole.to_string().as_bytes());
            let outcome = selector.matches(&projected.unwrap());
            prop_assert_eq!(outcome, selector.matches(&whole), "{}", selector.to_json());
        }
    }

    #[test]
    fn the_normal_form_is_stable(selector in selector(), doc in document()) {
        let once = parse(&selector);
        let twice = parse(&once.to_json());
        prop_assert_eq!(once.to_json(), twice.to_json());
        prop_assert_eq!(once.matches(&doc), twice.matches(&doc));
    }
}
