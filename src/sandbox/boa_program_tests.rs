//! Programs of applications, and of the kind that people write, through both engines.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::boa_tests::Engines;
use super::{CallError, ChunkSink, Code, Program, ReduceCall, RowSource, Sandbox};

/// An application as the tools of old push it: folders are objects, files their texts.
fn application(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/couchapps").join(name);
    let mut ddoc = read(&folder);
    ddoc["vendor"]["mustache"] = json!(
        "exports.render = function(template, view) { \
           return template.replace(/{{[{#^\\/&]?(\\w+)}?}}/g, function(all, name) { \
             return String(view[name]).replace(/</g, '&lt;'); }); };"
    );
    ddoc
}

fn read(path: &Path) -> Value {
    if path.is_dir() {
        let mut members = json!({});
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| !path.ends_with("_attachments")) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            members[name] = read(&path);
        }
        return members;
    }
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).unwrap();
    }
    json!(text.trim_end())
}

fn design(ddoc: &Value) -> Program {
    Program::new(Code::Design { json: ddoc.to_string() })
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}

fn documents() -> Vec<Value> {
    vec![
        json!({"_id": "one", "type": "post", "title": "One & <two>", "html": "<p>Some words.</p>",
            "created_at": "2009-10-14T12:30:00Z", "author": "J. \"K\"", "tags": ["Old Times", "É"]}),
        json!({"_id": "c", "type": "comment", "post_id": "one", "comment": "Well",
            "created_at": "2010-01-02", "commenter": {"name": "Ann"}}),
        json!({"_id": "broken", "type": "post", "tags": [1, null]}),
        json!({"_id": "m", "room": "den", "who": "ann", "text": "Hello @bob", "at": 5}),
        json!({"_id": "n", "room": "den", "who": "bob", "text": "x".repeat(600), "at": 7.25}),
        json!({"_id": "gone", "_deleted": true}),
    ]
}

#[test]
fn views_of_applications_have_the_same_rows() {
    let engines = Engines::new();
    for name in ["blog", "chat"] {
        let ddoc = application(name);
        let mut modules = ddoc["views"].clone();
        modules.as_object_mut().unwrap().retain(|_, view| view.get("map").is_none());
        for (view, functions) in ddoc["views"].as_object().unwrap() {
            let Some(map) = functions.get("map") else { continue };
            let sources = vec![map.as_str().unwrap().to_owned()];
            let modules = Some(modules.to_string());
            let program = Program::new(Code::Maps { sources, modules });
            engines
                .same(view, |sandbox| sandbox.map_in_engine(&program, texts(&documents())))
                .unwrap();
            let Some(reduce) = functions.get("reduce").and_then(Value::as_str) else { continue };
            if reduce.starts_with("function") {
                reduce_alike(&engines, reduce);
            }
        }
    }
}

fn reduce_alike(engines: &Engines, source: &str) {
    let program = Program::new(Code::Reduce { source: source.to_owned() });
    let values = json!([{"posts": 1, "words": 3}, {"posts": 2, "words": 4.5}, 7, null]);
    let calls = vec![
        ReduceCall::Reduce { keys: r#"[["k","id"]]"#.to_owned(), values: values.to_string() },
        ReduceCall::Rereduce { values: values.to_string() },
        ReduceCall::Rereduce { values: "[3,9,-1]".to_owned() },
    ];
    engines.same(source, |sandbox| sandbox.reduce(&program, calls.clone())).unwrap();
}

fn request() -> Value {
    json!({"method": "POST", "path": ["db", "_design", "blog", "_list", "index"], "id": "one",
        "headers": {"Host": "example.org"}, "query": {"room": "den", "who": "bob"}, "uuid": "u",
        "body": "{\"room\":\"den\",\"text\":\"Hi\"}", "userCtx": {"name": "ann", "roles": []},
        "info": {"db_name": "db", "doc_count": 4}})
}

#[test]
fn functions_of_applications_have_the_same_answers() {
    let engines = Engines::new();
    let call = |program: &Program, path: &[&str], arguments: &[Value]| {
        let answer = |sandbox: &Sandbox| sandbox.call(program, path, texts(arguments));
        let _answer = engines.same(&path.join("/"), answer);
    };
    let (blog, chat) = (design(&application("blog")), design(&application("chat")));
    let (admin, nobody) = (json!({"name": "a", "roles": ["_admin"]}), json!({"roles": []}));
    for document in documents() {
        for user in [&admin, &nobody] {
            for old in [json!(null), json!({"type": "post", "who": "zoe"})] {
                let arguments = [document.clone(), old, user.clone(), json!({})];
                call(&blog, &["validate_doc_update"], &arguments);
                call(&chat, &["validate_doc_update"], &arguments);
            }
        }
        for format in ["html", "json", "gemini", "none"] {
            let mut request = request();
            request["query"]["format"] = json!(format);
            call(&blog, &["shows", "post"], &[document.clone(), request]);
        }
        call(&chat, &["updates", "say"], &[document.clone(), request()]);
    }
    call(&blog, &["shows", "post"], &[json!(null), request()]);
    call(&chat, &["updates", "say"], &[json!(null), json!({"body": "no JSON", "method": "PUT"})]);
    for filter in ["in_room", "mentions"] {
        let answer = engines.same(filter, |sandbox| {
            let documents = texts(&documents());
            sandbox.filter(&chat, &["filters", filter], documents, request().to_string())
        });
        answer.unwrap();
    }
}

struct Rows(Vec<String>);

impl RowSource for Rows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        Ok(self.0.pop())
    }
}

#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<String>>);

impl ChunkSink for Pieces {
    fn start(&mut self, response: String) -> Result<(), String> {
        self.chunk(response)
    }

    fn chunk(&mut self, text: String) -> Result<(), String> {
        self.0.lock().unwrap().push_str(&text);
        Ok(())
    }
}

#[test]
fn lists_of_applications_write_the_same() {
    let engines = Engines::new();
    let rows: Vec<Value> = documents()
        .into_iter()
        .map(|doc| json!({"id": doc["_id"], "key": doc["created_at"], "value": doc, "doc": doc}))
        .collect();
    for (name, list) in [("blog", "index"), ("blog", "post"), ("chat", "transcript")] {
        let program = design(&application(name));
        for format in ["html", "atom"] {
            let mut request = request();
            request["query"]["format"] = json!(format);
            let write = |sandbox: &Sandbox| -> (String, Result<(), CallError>) {
                let pieces = Pieces::default();
                let texts = ["{}".to_owned(), request.to_string()];
                let rows = Box::new(Rows(rows.iter().rev().map(Value::to_string).collect()));
                let sink = Box::new(pieces.clone());
                let end = sandbox.list(&program, &["lists", list], texts, rows, sink);
                (pieces.0.lock().unwrap().clone(), end)
            };
            let (written, _) = engines.same(list, write);
            assert!(format == "atom" && list != "transcript" || written.len() > 50, "{written}");
        }
    }
}

/// Map functions that look at whole documents.
const MAPS: &[&str] = &[
    "function(doc){ emit(doc, null); }",
    "function(doc){ for (var k in doc) emit([k, typeof doc[k]], doc[k]); }",
    "function(doc){ emit(Object.keys(doc).sort(), JSON.stringify(doc).length); }",
    "function(doc){ (function walk(v, p){ if (v && typeof v == 'object') { \
       Object.keys(v).forEach(function(k){ walk(v[k], p.concat(k)); }); } \
       else emit(p, [v, String(v), Number(v), !v, v | 0, v + '']); })(doc, []); }",
    "function(doc){ JSON.stringify(doc).split(/\\b/).forEach(function(w){ \
       emit(w.toLowerCase(), [w.length, w.toUpperCase(), w.trim(), encodeURI(w)]); }); }",
    "function(doc){ var n = {}; JSON.stringify(doc).replace(/[^\\s]/g, function(c){ \
       n[c] = (n[c] || 0) + 1; return ''; }); emit(n, Object.values(n).reduce((a, b) => a + b, 0)); }",
    "doc => { const {a, ...rest} = doc; emit([a, ...Object.entries(rest)], `${a} and ${rest}`); }",
    "function(doc){ var s = []; JSON.stringify(doc, function(k, v){ s.push(k); return v; }, 1); \
       emit(s, JSON.parse(JSON.stringify(doc), function(k, v){ return v === null ? 0 : v; })); }",
    "function(doc){ if (typeof doc.n != 'number') return; var d = new Date(doc.n); emit([d.getTime(), d.getUTCDay()], d); }",
    "function(doc){ var n = Number(doc.n); emit([n.toString(16), n.toFixed(2),        n.toExponential(), Math.round(n), Math.floor(n), n % 7, n >> 1, n >>> 1, n < 0, -n]); }",
    "function(doc){ var s = String(doc.s); emit([s.substr(1, 3), s.slice(-2), s.charAt(0), \
       s.indexOf('a'), escape(s), s.localeCompare('m') > 0, s.split('').reverse().join('')]); }",
    "function(doc){ var l = [].concat(doc.a); l.sort(); emit(l, l.map(String).sort().join()); \
       l.length = 1; l.unshift(0); emit(l.indexOf(0), l.slice().reverse()); }",
    "function(doc){ var m = new Map(Object.entries(doc)), s = new Set(JSON.stringify(doc)); \
       emit([...m.keys()], [...s]); }",
    "function(doc){ if (doc.n > 0) throw {n: doc.n}; emit(doc.n.a, isNaN(doc.n)); }",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-1000..1000).prop_map(|n| json!(f64::from(n) / 8.0)),
        "[a-zA-Z 0-9]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-f]{1,2}",
        "[0-9]{1,11}",
        "\\PC{0,4}",
        prop::sample::select(vec!["length", "toString", "constructor", "_id", "-1", "1.5", ""])
            .prop_map(str::to_owned),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let members = prop::collection::vec((name(), value()), 0..4);
    (members, value(), value(), value()).prop_map(|(members, n, s, a)| {
        let mut document: serde_json::Map<String, Value> = members.into_iter().collect();
        document.insert("n".to_owned(), n);
        document.insert("s".to_owned(), s);
        document.insert("a".to_owned(), a);
        Value::Object(document)
    })
}

/// Reduce functions as people write them.
const REDUCES: &[&str] = &[
    "function(keys, values, rereduce){ return [keys, values.length, rereduce]; }",
    "function(k, v){ return sum(v); }",
    "function(k, v){ return Math.max.apply(null, v); }",
    "function(k, v){ var o = {}; v.forEach(function(x){ o[x] = (o[x] || 0) + 1; }); return o; }",
    "function(k, v){ v.sort(); while (v.length > 2) v.length -= 1; return v; }",
];

/// The sandboxes live as long as all cases: their threads keep the programs.
#[test]
fn any_document_has_the_same_rows() {
    let engines = Engines::new();
    let program = |source: &&str| {
        Program::new(Code::Maps { sources: vec![(*source).to_owned()], modules: None })
    };
    let programs: Vec<Program> = MAPS.iter().map(program).collect();
    let config = ProptestConfig::with_cases(150);
    proptest!(config, |(documents in prop::collection::vec(document(), 1..4))| {
        let documents = texts(&documents);
        for (program, source) in programs.iter().zip(MAPS) {
            let shown = format!("{source}\n{}", documents.join("\n"));
            let rows = |sandbox: &Sandbox| {
                sandbox.map_in_engine(program, documents.clone()).map(|results| results.text)
            };
            engines.same(&shown, rows).unwrap();
        }
    });
}

#[test]
fn any_values_are_reduced_alike() {
    let engines = Engines::new();
    let config = ProptestConfig::with_cases(60);
    proptest!(config, |(values in prop::collection::vec(value(), 0..6))| {
        let values = Value::from(values).to_string();
        for source in REDUCES {
            let program = Program::new(Code::Reduce { source: (*source).to_owned() });
            let keys = values.clone();
            let calls = [
                ReduceCall::Reduce { keys, values: values.clone() },
                ReduceCall::Rereduce { values: values.clone() },
            ];
            engines.same(&format!("{source}\n{values}"), |sandbox| sandbox.reduce(&program, calls.to_vec())).unwrap();
        }
    });
}
