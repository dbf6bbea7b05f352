//! Design documents and verdicts, for the most part as CouchDB 3.5 gave them.

use serde_json::{Map, Value, json};

use super::{
    DesignError, FunctionKind, Partitioning, has_views, signature::view_signature, validate,
};
use crate::sandbox::{CompileError, Options, PoolError, Sandbox};

fn object(ddoc: &Value) -> &Map<String, Value> {
    ddoc.as_object().unwrap()
}

/// What is refused says why in the text of the error; `""` stands for what is accepted.
fn check_all(partitioning: Partitioning, cases: &[(Value, &str)]) {
    let sandbox = Sandbox::new(Options::default()).unwrap();
    for (ddoc, expect) in cases {
        let verdict = validate(object(ddoc), partitioning, |source| sandbox.check_function(source));
        let reason = verdict.map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(reason, *expect, "{ddoc}");
    }
}

fn check(cases: &[(Value, &str)]) {
    check_all(Partitioning::NotPartitioned, cases);
}

const MAP: &str = "function(doc){ emit(doc._id, doc.n); }";

#[test]
fn types_of_members() {
    check(&[
        (json!({}), ""),
        (json!({"views": 1}), "`views` field must have object type"),
        (json!({"views": []}), "`views` field must have object type"),
        (json!({"views": {}}), ""),
        (json!({"views": {"v": null}}), "`views.v` field must have object type"),
        (json!({"views": {"v": "function(doc){}"}}), "`views.v` field must have object type"),
        (json!({"views": {"v": {"map": 5}}}), "`views.v.map` field must have string type"),
        (json!({"views": {"v": {"map": null}}}), "`views.v.map` field must have string type"),
        (json!({"views": {"lib": {"a": "exports.a=1"}}}), ""),
        (json!({"views": {"lib": "x"}}), "`views.lib` field must have object type"),
        (json!({"language": 5, "views": {}}), "`language` field must have string type"),
        (json!({"options": 5, "views": {}}), "`options` field must have object type"),
        (json!({"options": {"local_seq": true, "include_design": false, "x": 1}}), ""),
        (json!({"options": {"local_seq": 1}}), "`options.local_seq` field must have boolean type"),
        (
            json!({"options": {"include_design": null}}),
            "`options.include_design` field must have boolean type",
        ),
        (json!({"filters": []}), "`filters` field must have object type"),
        (json!({"filters": {"f": 5}}), "`filters.f` field must have string or object type"),
        (json!({"filters": {"f": "x", "g": {"h": 1}}}), ""),
        (json!({"lists": {"l": []}}), "`lists.l` field must have string or object type"),
        (json!({"updates": 5}), "`updates` field must have object type"),
        (json!({"shows": {"s": 1}}), "`shows.s` field must have string or object type"),
        (json!({"validate_doc_update": 5}), "`validate_doc_update` field must have string type"),
        (json!({"validate_doc_update": {}}), "`validate_doc_update` field must have string type"),
        (json!({"validate_doc_update": "function(n){"}), ""),
        (json!({"language": "query", "validate_doc_update": {"newDoc": {"a": 1}}}), ""),
        (json!({"rewrites": 5}), "`rewrites` field must have array or string type"),
        (json!({"rewrites": "x"}), ""),
        (json!({"rewrites": []}), ""),
        (json!({"autoupdate": "x", "shows": {"s": "no function"}}), ""),
        (json!({"views": 5, "filters": 5}), "`filters` field must have object type"),
    ]);
}

#[test]
fn maps() {
    let end = "Compilation of the map function in the 'v' view failed: (new Error(\"Line 1: \
               Unexpected end of input\", \"./share/server/main.js\", 1)) (function(doc){)";
    let value = "Compilation of the map function in the 'v' view failed: Expression does not \
                 eval to a function. (({}))";
    check(&[
        (json!({"views": {"v": {}}}), "View `v` must contain map function"),
        (json!({"views": {"v": {"reduce": "_sum"}}}), "View `v` must contain map function"),
        (json!({"views": {"v": {"map": MAP}, "lib": {"map": "exports.a = 1"}}}), ""),
        (json!({"views": {"v": {"map": "function(doc){"}}}), end),
        (json!({"views": {"v": {"map": "({})"}}}), value),
        (json!({"views": {"v": {"map": ""}}}), "missing function"),
    ]);
}

#[test]
fn languages() {
    check(&[
        (json!({"language": "klingon", "views": {"v": {"map": "bogus", "reduce": "_x"}}}), ""),
        (json!({"language": "erlang", "views": {"v": {"map": "fun({Doc}) -> ok end."}}}), ""),
        (json!({"language": "JavaScript", "views": {"v": {"map": MAP}}}), ""),
        (json!({"language": "JavaScript", "views": {"v": {"map": ""}}}), "missing function"),
        (
            json!({"language": "query", "views": {"v": {"map": {"fields": {"n": "asc"}}, "reduce": "_count"}}}),
            "",
        ),
        (
            json!({"language": "query", "views": {"v": {"map": MAP}}}),
            "`views.v.map` field must have object type",
        ),
    ]);
}

#[test]
fn reduces() {
    let view = |reduce: Value| json!({"views": {"v": {"map": MAP, "reduce": reduce}}});
    let failed = "Compilation of the reduce function in the 'v' view failed: ";
    check(&[
        (view(json!("_sum")), ""),
        (view(json!("_sum ")), ""),
        (view(json!("_stats_x")), ""),
        (view(json!("_approx_count_distinct")), ""),
        (view(json!("_first")), ""),
        (view(json!("_top_1")), ""),
        (view(json!("_bottom_100")), ""),
        (view(json!("_top_0")), "invalid rank reducer"),
        (view(json!("_top_101")), "invalid rank reducer"),
        (view(json!("_bottom_x")), "invalid rank reducer"),
        (view(json!("_top")), "`_top` is not a supported reduce function."),
        (view(json!("_nope")), "`_nope` is not a supported reduce function."),
        (view(json!("_SUM")), "`_SUM` is not a supported reduce function."),
        (view(json!("_")), "`_` is not a supported reduce function."),
        (view(json!("")), "missing function"),
        (view(json!(null)), "`views.v.reduce` field must have string type"),
        (view(json!(5)), "`views.v.reduce` field must have string type"),
        (view(json!("function(k, v){ return nothere(v); }")), ""),
        (
            view(json!(" _sum")),
            &format!(
                "{failed}(new ReferenceError(\"_sum is not defined\", \"<unknown>\", 1)) ( _sum)"
            ),
        ),
        (
            view(json!("'not a function'")),
            &format!("{failed}Expression does not eval to a function. ('not a function')"),
        ),
    ]);
}

#[test]
fn partitions() {
    let ddoc = |option: Value| json!({"options": {"partitioned": option}, "views": {}});
    let type_error = "`options.partitioned` field must have boolean type";
    check(&[
        (ddoc(json!(false)), ""),
        (ddoc(json!("yes")), type_error),
        (ddoc(json!(true)), "partitioned option cannot be true in a non-partitioned database."),
    ]);
    check_all(
        Partitioning::Partitioned,
        &[(ddoc(json!(false)), ""), (ddoc(json!(true)), ""), (ddoc(json!("yes")), type_error)],
    );
}

#[test]
fn a_busy_sandbox_is_no_fault_of_the_function() {
    let ddoc = json!({"views": {"v": {"map": MAP}}});
    let with = |error: CompileError| {
        validate(object(&ddoc), Partitioning::NotPartitioned, |_| Err(error.clone())).unwrap_err()
    };
    for error in [CompileError::TimedOut, CompileError::Pool(PoolError::Busy)] {
        assert_eq!(with(error.clone()), DesignError::NotCompiled(error));
    }
    let refused = with(CompileError::NotAFunction);
    assert!(matches!(refused, DesignError::CompilationError { kind: FunctionKind::Map, .. }));
}

#[test]
fn signatures_cover_what_views_compute() {
    let base = json!({"views": {"v": {"map": MAP}, "w": {"map": MAP, "reduce": "_sum"}}});
    let of = |ddoc: &Value| view_signature(object(ddoc), None);
    assert_eq!(of(&base), "2c16760f404d3d66ccc5ed70c02531b9", "indexes on disk are named so");
    for same in [
        json!({"_id": "_design/x", "filters": {"f": "x"}, "views": base["views"]}),
        json!({"language": "javascript", "options": {}, "views": base["views"]}),
        json!({"views": {"w": {"reduce": "_sum", "map": MAP}, "v": {"map": MAP, "note": 1}}}),
    ] {
        assert_eq!(of(&same), of(&base), "{same}");
    }
    for other in [
        json!({}),
        json!({"language": "erlang", "views": base["views"]}),
        json!({"options": {"local_seq": true}, "views": base["views"]}),
        json!({"views": {"v": {"map": MAP}}}),
        json!({"views": {"v": {"map": MAP}, "x": {"map": MAP, "reduce": "_sum"}}}),
        json!({"views": {"v": {"map": MAP}, "w": {"map": MAP, "reduce": "_count"}}}),
        json!({"views": {"v": {"map": MAP, "options": {"collation": "raw"}}, "w": base["views"]["w"]}}),
        json!({"views": {"v": {"map": MAP}, "w": base["views"]["w"], "lib": {"a": "1"}}}),
    ] {
        assert_ne!(of(&other), of(&base), "{other}");
    }
    let lib = |lib: Value| of(&json!({"views": {"lib": lib}}));
    assert_eq!(
        lib(json!({"a": {"b": "1", "c": "2"}, "d": "3"})),
        lib(json!({"d": "3", "a": {"c": "2", "b": "1"}}))
    );
    let mango = |fields: Value| {
        of(&json!({"language": "query", "views": {"v": {"map": {"fields": fields}}}}))
    };
    assert_ne!(mango(json!({"a": "asc", "b": "asc"})), mango(json!({"b": "asc", "a": "asc"})));
}

#[test]
fn modules_are_no_views() {
    for (ddoc, expect) in [
        (json!({}), false),
        (json!({"views": 5}), false),
        (json!({"views": {"lib": {"a": "1"}}}), false),
        (json!({"views": {"lib": {}, "v": {"map": MAP}}}), true),
    ] {
        assert_eq!(has_views(object(&ddoc)), expect, "{ddoc}");
    }
}
