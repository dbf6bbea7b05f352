//! Filters and validations that run natively answer as the engine does: verdicts, what is thrown,
//! and log lines.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::instance::Instance;
use super::super::program::{CallError, Code, Emitted};
use super::grammar::{Choices, document, filter, function, validation};
use super::tests::{config, documents, in_engine, logged, program};
use super::{NativeFunction, NativeMaps};

fn design(ddoc: &Value) -> Code {
    Code::Design { json: ddoc.to_string() }
}

fn path(members: &[&str]) -> Vec<String> {
    members.iter().map(|&member| member.to_owned()).collect()
}

/// What a filter is asked with.
fn request() -> String {
    json!({
        "method": "GET",
        "query": {"n": "3", "type": "post", "list": "[\"x\",\"y\"]", "x": "é\u{1f600}", "1": "z"},
        "userCtx": {"db": "db", "name": "jan", "roles": ["editor", "_admin"]},
        "headers": {"Host": "localhost:5984", "Accept": "*/*"},
        "id": null,
    })
    .to_string()
}

/// How many documents from the beginning on a filter judges natively, having checked that the
/// engine agrees; none where it does not run natively.
#[track_caller]
fn check_filter(source: &str, documents: &[String]) -> Option<usize> {
    let native = NativeFunction::new(source)?;
    let (passing, lines) = logged(|| native.filter(documents, &request()));
    let judged = &documents[..passing.len()];
    let (mut engine, clock) = program(&design(&json!({"filters": {"f": source}}))).unwrap();
    let (expected, expected_lines) =
        logged(|| engine.filter(&path(&["filters", "f"]), judged, &request(), &clock));
    match expected {
        // Whoever asks natively has made sure that the engine takes the source.
        Err(CallError::Compilation(_)) => return None,
        expected => assert_eq!(expected.as_ref(), Ok(&passing), "{source}\n{judged:?}"),
    }
    assert_eq!(lines, expected_lines, "{source}\n{judged:?}");
    Some(passing.len())
}

/// As [`check_filter`], of maps as filters.
#[track_caller]
fn check_rows(source: &str, documents: &[String]) -> Option<usize> {
    let native = NativeFunction::new(source)?;
    let (passing, lines) = logged(|| native.filter_by_rows(documents));
    let judged = &documents[..passing.len()];
    let (mut engine, clock) = program(&design(&json!({"views": {"v": {"map": source}}}))).unwrap();
    let (expected, expected_lines) =
        logged(|| engine.filter(&path(&["views", "v", "map"]), judged, "{}", &clock));
    match expected {
        Err(CallError::Compilation(_)) => return None,
        expected => assert_eq!(expected.as_ref(), Ok(&passing), "{source}\n{judged:?}"),
    }
    assert_eq!(lines, expected_lines, "{source}\n{judged:?}");
    Some(passing.len())
}

const USERS: [&str; 3] = [
    r#"{"db":"db","name":null,"roles":[]}"#,
    r#"{"db":"db","name":"jan","roles":["editor","x"]}"#,
    r#"{"db":"db","name":"admin","roles":["_admin"]}"#,
];
const SECURITY: [&str; 2] = [
    "{}",
    r#"{"admins":{"names":["jan"],"roles":["boss"]},"members":{"names":[],"roles":["editor"]}}"#,
];

/// How many of `questions` a validation judges natively, for all users together, having checked
/// that the engine agrees; none where it does not run natively.
#[track_caller]
fn check_validation(source: &str, questions: &[[&str; 2]]) -> Option<usize> {
    let native = NativeFunction::new(source)?;
    let (mut engine, clock) = program(&design(&json!({"validate_doc_update": source}))).unwrap();
    let mut judged = 0;
    for (user, security) in USERS.iter().zip(SECURITY.iter().cycle()) {
        for question in questions {
            let (found, lines) =
                logged(|| native.validate([*question].into_iter(), user, security).remove(0));
            let Some(found) = found else {
                assert!(lines.is_empty(), "{source}\n{question:?}: the engine will log them");
                continue;
            };
            let arguments = path(&[question[0], question[1], user, security]);
            let at = path(&["validate_doc_update"]);
            let (expected, expected_lines) = logged(|| engine.call(&at, &arguments, &clock));
            if let Err(CallError::Compilation(_)) = expected {
                return None;
            }
            let found = found.map(|()| "1".to_owned());
            assert_eq!(found, expected, "{source}\n{arguments:?}");
            assert_eq!(lines, expected_lines, "{source}\n{arguments:?}");
            judged += 1;
        }
    }
    Some(judged)
}

/// Filters, and how many of the documents they judge natively before the first that they cannot.
const FILTERS: &[(&str, usize)] = &[
    ("function(doc, req) { return doc.type == req.query.type; }", 6),
    ("(doc, req) => doc.n > 2", 6),
    ("function(doc, req) { return true; }", 6),
    (
        "function(doc, req) { if (doc._deleted) return true; if (doc.tags) { return doc.tags.length; } }",
        6,
    ),
    (
        "function(doc, req) { return req.userCtx.roles.indexOf('_admin') !== -1 && doc.type === 'post'; }",
        6,
    ),
    (
        "function(doc, req) { return req.userCtx.name === doc.author || doc._id.indexOf('_design/') === 0; }",
        6,
    ),
    (
        "function(doc, req) { if (!req.query.type) { throw({forbidden: 'type is missing'}); } return doc.type == req.query.type; }",
        6,
    ),
    ("function(doc) { log(doc._id); return doc; }", 6),
    ("function(doc, req) { return doc.n; } // é", 6),
    ("function(doc, req) { return doc.tags.indexOf(req.query.x) >= 0; }", 0),
    ("function(doc, req) { doc.n = 5; return doc.n; }", 0),
    ("function(doc, req) { return doc.type == 'post' || new Date(doc.date) > 1; }", 0),
    ("function(doc, req) { return doc.type == 'post' && new Date(doc.date) > 1; }", 1),
];

#[test]
fn filters_run_natively() {
    let documents = documents();
    let mut short = Vec::new();
    for (source, judged) in FILTERS {
        let found = check_filter(source, &documents);
        if found != Some(*judged) {
            short.push((source, found));
        }
    }
    assert!(short.is_empty(), "{short:#?}");
    assert_eq!(check_rows("doc => { if (doc.n > 1) emit(doc.n, 1); }", &documents), Some(6));
    assert_eq!(check_rows("doc => { for (var k in doc.o) emit(k); }", &documents), Some(6));
    assert_eq!(check_rows("doc => emit(new Date(doc.n))", &documents), Some(0));
}

/// Validations that people write, and how many of the questions they answer natively.
const VALIDATIONS: &[(&str, usize)] = &[
    (
        "function(newDoc, oldDoc, userCtx, secObj) { if (userCtx.roles.indexOf('_admin') === -1) { throw({forbidden: 'admins only'}); } }",
        24,
    ),
    (
        "function(newDoc, oldDoc, userCtx) { if (!userCtx.name) throw({unauthorized: 'Please log in.'}); }",
        24,
    ),
    (
        "function(newDoc, oldDoc, userCtx) {
            function require(field, message) {
                message = message || 'Document must have a ' + field;
                if (!newDoc[field]) throw({forbidden: message});
            }
            if (newDoc._deleted) return;
            require('type');
            require('text', 'No text');
            if (newDoc.type == 'post') { require('author'); require('date'); }
        }",
        24,
    ),
    (
        "function(newDoc, oldDoc) {
            function unchanged(field) {
                if (oldDoc && toJSON(oldDoc[field]) != toJSON(newDoc[field]))
                    throw({forbidden: 'Field can\\'t be changed: ' + field});
            }
            unchanged('type'); unchanged('tags');
        }",
        24,
    ),
    (
        "function(newDoc, oldDoc, userCtx, secObj) {
            var is_admin = function(user, sec) {
                if (user.roles.indexOf('_admin') !== -1) return true;
                if (sec && sec.admins && sec.admins.names) {
                    if (sec.admins.names.indexOf(user.name) !== -1) return true;
                }
                if (sec && sec.admins && sec.admins.roles) {
                    var roles = sec.admins.roles;
                    for (var i = 0; i < user.roles.length; i++) {
                        if (roles.indexOf(user.roles[i]) !== -1) return true;
                    }
                }
                return false;
            };
            if (!is_admin(userCtx, secObj)) {
                log('refused: ' + newDoc._id);
                throw({forbidden: {reason: 'You are no admin', user: userCtx.name, doc: newDoc}});
            }
        }",
        24,
    ),
    (
        "function(newDoc) {
            if (newDoc.tags && !isArray(newDoc.tags)) throw({forbidden: 'tags must be a list'});
            if (newDoc.tags) newDoc.tags.forEach(function(tag) {
                if (typeof tag !== 'string') throw({forbidden: 'no string: ' + typeof tag});
            });
        }",
        24,
    ),
    (
        "function(newDoc) { switch (newDoc.type) { case 'post': throw({forbidden: 1.0}); case null: throw {unauthorized: null}; } }",
        24,
    ),
    ("function(newDoc) { if (newDoc.type == 'post') throw({forbidden: undefined}); }", 18),
    ("function(newDoc) { if (newDoc.type == 'post') throw('no'); }", 18),
    ("function(newDoc) { if (newDoc.type == 'post') throw({error: 'a', reason: 'b'}); }", 18),
    ("function(newDoc) { if (newDoc.type == 'post') throw({forbidden: 1, b: 2}); }", 18),
    ("function(newDoc) { if (newDoc.type == 'post') throw(new Error('a')); }", 18),
    ("function(newDoc, oldDoc) { return oldDoc.type; }", 21),
    ("function(newDoc, oldDoc) { newDoc.type = 1; }", 0),
    ("function(newDoc) { newDoc.tags.sort(); }", 0),
    ("function(newDoc) { throw({forbidden: ['é', '\u{ffff}', 'b', '😀', 'a', 'b'].sort()}); }", 24),
];

/// Every document with the one after it as the one that it replaces, or with none.
fn questions(documents: &[String]) -> Vec<[&str; 2]> {
    let olds = documents.iter().skip(1).map(String::as_str);
    documents
        .iter()
        .map(String::as_str)
        .zip(olds.chain(["null"]))
        .map(|(new, old)| [new, old])
        .collect()
}

#[test]
fn validations_run_natively() {
    let mut documents = documents();
    // Half of a surrogate pair is the engine's.
    documents.retain(|document| !document.contains("ud800"));
    let questions = questions(&documents);
    let mut short = Vec::new();
    for (source, judged) in VALIDATIONS {
        let found = check_validation(source, &questions);
        if found != Some(*judged) {
            short.push((source, found));
        }
    }
    assert!(short.is_empty(), "{short:#?}");
}

/// Functions of which not even a part runs natively.
const FOREIGN: &[&str] = &[
    "",
    "5",
    "function f(doc) { return true; }",
    "var a = 1; function(doc) { return a; }",
    "function(doc) { try { return doc.a.b; } catch (e) { return false; } }",
    "function(doc) { with (doc) return n; }",
    "function(doc) { if (doc.n) { function f() {} } return 1; }",
    "function(doc) { class A {} return 1; }",
    "function(doc) { var {n} = doc; return n; }",
    "function(doc = 1) { return doc; }",
    "function(doc) { a: for (;;) break a; }",
    "function*(doc) { return 1; }",
    "async function(doc) { return 1; }",
    "function(doc) { return ",
];

#[test]
fn other_functions_are_the_engines() {
    for source in FOREIGN {
        assert!(NativeFunction::new(source).is_none(), "{source}");
    }
}

#[test]
fn what_takes_too_long_is_not_tried_for_ever() {
    let native = NativeFunction::new("(doc, req) => { while (doc.n); return 1; }").unwrap();
    let documents = ["{}", "{\"n\":1}"].map(str::to_owned);
    for _ in 0..8 {
        assert_eq!(native.filter(&documents, "{}"), [true]);
    }
    assert!(native.filter(&documents, "{}").is_empty());
}

/// A document with a member that only one of maps and filters is told.
fn told(document: &str, member: &str) -> String {
    let rest = document.strip_prefix('{').unwrap_or_default();
    let comma = if rest == "}" { "" } else { "," };
    format!("{{\"{member}\":{{\"start\":2,\"ids\":[\"a\"]}}{comma}{rest}")
}

/// Whether a map is said to let documents pass as a filter exactly if it has rows for them; if it
/// is, the engine has to agree.
#[track_caller]
fn check_filters(source: &str, documents: &[String]) -> bool {
    let maps = NativeMaps::new(&[source.to_owned()]);
    let Some(maps) = maps.filter(|maps| maps.filters(0)) else { return false };
    // What has no end natively has none in the engine.
    let ends = |one: &&String| maps.map(&[told(one, "_local_seq")]).1.is_empty();
    let documents: Vec<&String> = documents.iter().filter(ends).collect();
    let mapped: Vec<String> = documents.iter().map(|one| told(one, "_local_seq")).collect();
    let Some(mapped) = in_engine(source, &mapped) else { return false };
    let (mut engine, clock) = program(&design(&json!({"views": {"v": {"map": source}}}))).unwrap();
    for (document, emitted) in documents.iter().zip(&mapped.documents) {
        if let [Emitted::Rows(rows)] = emitted.as_slice() {
            let asked = [told(document, "_revisions")];
            let passing = engine.filter(&path(&["views", "v", "map"]), &asked, "{}", &clock);
            assert_eq!(passing, Ok(vec![!rows.is_empty()]), "{source}\n{document}");
        }
    }
    true
}

/// Maps, and whether an index of theirs tells what passes them as filters.
const FILTERING_MAPS: &[(&str, bool)] = &[
    ("function(doc) { if (doc.type == 'post') emit(doc._id, doc); }", true),
    ("doc => doc && doc['type'] && !doc.n && emit(doc.tags)", true),
    ("function(doc) { if (typeof doc === 'object') for (var k in doc.o) emit(k); }", true),
    ("function(doc) { var words = []; words.push(doc.n); if (words[0] > 1) emit(words); }", true),
    ("function(doc) { emit(doc.missing.a); }", true),
    ("function() { emit(1); }", true),
    ("function(doc) { if (doc._revisions) emit(1); }", false),
    ("function(doc) { if (doc['_local_seq']) emit(1); }", false),
    ("function(doc) { if (doc['_local' + '_seq']) emit(1); }", false),
    ("function(doc) { for (var k in doc) if (k == '_revisions') emit(1); }", false),
    ("function(doc) { if (Object.keys(doc).length > 3) emit(1); }", false),
    ("function(doc) { var d = doc; if (d._revisions) emit(1); }", false),
    ("function(doc) { (function(d) { if (d._revisions) emit(1); })(doc); }", false),
    ("function(doc) { if ((doc || 1)._revisions) emit(1); }", false),
    ("function(doc) { if ((true && doc)._revisions) emit(1); }", false),
    ("function(doc) { if ([doc][0]._revisions) emit(1); }", false),
    // A map cannot change its document, a filter can.
    ("function(doc) { doc.type = 'x'; if (doc.type == 'x') emit(1); }", false),
    ("function(doc) { if (doc.o) doc.o.a = 1; if (doc.o && doc.o.a == 1) emit(1); }", false),
    ("function(doc) { var o = doc.o || {}; o.a++; if (o.a) emit(1); }", false),
    ("function(doc) { if (Array.isArray(doc.tags)) { doc.tags.sort(); emit(doc.tags); } }", true),
    ("function(doc) { log(doc.n); }", false),
    ("function(doc) { if (new Date(doc.date) > 1) emit(1); }", false),
];

#[test]
fn maps_that_filter_alike() {
    let documents = documents();
    for (source, filters) in FILTERING_MAPS {
        assert_eq!(check_filters(source, &documents), *filters, "{source}");
    }
}

#[test]
fn maps_tell_of_filters_only_where_all_of_them_are_known() {
    let sources = ["doc => emit(doc.n)", "doc => emit(doc)", "doc => log(doc)"].map(str::to_owned);
    let maps = NativeMaps::new(&sources).unwrap();
    assert_eq!([0, 1, 2, 3].map(|map| maps.filters(map)), [true, true, false, false]);
    assert!(
        NativeMaps::new(&["doc => emit(doc.n)", "doc => eval('')"].map(str::to_owned)).is_none()
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn maps_filter_alike_where_they_say_so(
        code in prop::collection::vec(any::<u16>(), 1..200),
        data in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..100), 1..6),
    ) {
        let source = function(&mut Choices::new(&code));
        let mut all: Vec<String> = documents();
        all.extend(data.iter().map(|data| document(&mut Choices::new(data))));
        check_filters(&source, &all);
    }

    #[test]
    fn native_filters_judge_as_the_engine_does(
        code in prop::collection::vec(any::<u16>(), 1..200),
        data in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..100), 1..6),
    ) {
        let source = filter(&mut Choices::new(&code));
        let mut all: Vec<String> = documents();
        all.extend(data.iter().map(|data| document(&mut Choices::new(data))));
        // Those that it leaves to the engine hide no others.
        if let Some(native) = NativeFunction::new(&source) {
            let judged = |one: &String| native.filter(std::slice::from_ref(one), &request());
            all.retain(|document| !judged(document).is_empty());
            prop_assert!(check_filter(&source, &all).is_none_or(|judged| judged == all.len()));
        }
    }

    #[test]
    fn native_validations_judge_as_the_engine_does(
        code in prop::collection::vec(any::<u16>(), 1..200),
        data in prop::collection::vec(prop::collection::vec(any::<u16>(), 1..100), 1..6),
    ) {
        let source = validation(&mut Choices::new(&code));
        let mut all: Vec<String> = documents();
        all.extend(data.iter().map(|data| document(&mut Choices::new(data))));
        check_validation(&source, &questions(&all));
    }
}
