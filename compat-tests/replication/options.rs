//! What can be chosen for a replication: which documents, from where on, which revisions, and how
//! it goes about its work. Each between databases of one server and to and from another.

use serde_json::{Map, Value, json};

use crate::stage::Stage;

use super::{numbered, session};

/// Two servers with a database `source` each.
struct Pair {
    here: Stage,
    there: Stage,
}

impl Pair {
    fn new(fill: impl Fn(&Stage)) -> Self {
        let pair = Self { here: Stage::new(), there: Stage::new() };
        for stage in [&pair.here, &pair.there] {
            stage.new_db("source");
            fill(stage);
        }
        pair
    }

    /// Replicates `source` with these options on every way, each to a database of its own, and
    /// looks at the answer and the target. `options` are made for a source.
    fn with_ways(
        &self,
        name: &str,
        options: impl Fn(&Stage) -> Value,
        check: impl Fn(&Value, &Stage, &str),
    ) {
        let (here, there) = (&self.here, &self.there);
        for (way, source_at, target_at) in
            [("local", here, here), ("push", here, there), ("pull", there, here)]
        {
            let db = format!("{name}-{way}");
            target_at.new_db(&db);
            let side = |at: &Stage, db: &str| {
                if self.is_there(at) { json!(at.address(db)) } else { json!(db) }
            };
            let mut body =
                json!({"source": side(source_at, "source"), "target": side(target_at, &db)});
            let options = options(source_at);
            body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            check(&here.replicate(&body), target_at, &db);
        }
    }

    fn is_there(&self, stage: &Stage) -> bool {
        std::ptr::eq(stage, &raw const self.there)
    }

    /// Checks that exactly these documents are chosen.
    fn check_chosen(&self, name: &str, options: &Value, ids: &[&str]) {
        self.with_ways(
            name,
            |_| options.clone(),
            |answer, stage, db| {
                assert_eq!(stage.ids(db), ids, "{db}");
                assert_eq!(session(answer)["docs_written"], ids.len(), "{answer}");
            },
        );
    }
}

fn fill(stage: &Stage) {
    stage.write("source", &numbered("doc", 30));
    let functions = json!({
        "filters": {"over": "function(doc, req) { return doc.n > Number(req.query.limit); }"},
        "views": {"small": {"map": "function(doc) { if (doc.n < 2) emit(doc.n, null); }"}},
    });
    stage.put("/source/_design/app", &functions);
    stage.write("source", &[json!({"_id": "ä/ö", "n": "odd"})]);
}

#[test]
fn documents_are_chosen() {
    let pair = Pair::new(fill);
    let ids = json!({"doc_ids": ["doc-003", "doc-020", "ä/ö", "not-there"]});
    pair.check_chosen("ids", &ids, &["doc-003", "doc-020", "ä/ö"]);
    let encoded = json!({"doc_ids": ["%C3%A4%2F%C3%B6", "doc-003", "doc-003"]});
    pair.check_chosen("encoded", &encoded, &["doc-003", "ä/ö"]);
    let selector = json!({"selector": {"n": {"$gte": 10, "$lt": 13}}});
    pair.check_chosen("selector", &selector, &["doc-010", "doc-011", "doc-012"]);
    let filter = json!({"filter": "app/over", "query_params": {"limit": 27}});
    pair.check_chosen("filter", &filter, &["doc-028", "doc-029"]);
    let view = json!({"filter": "_view", "query_params": {"view": "app/small"}});
    pair.check_chosen("view", &view, &["doc-000", "doc-001"]);
    let design = json!({"filter": "_design"});
    pair.check_chosen("design", &design, &["_design/app"]);
}

#[test]
fn replications_begin_where_they_are_told() {
    let pair = Pair::new(|stage| stage.write("source", &numbered("early", 3)));
    let since: Vec<Value> =
        [&pair.here, &pair.there].map(|stage| stage.read("/source")["update_seq"].clone()).to_vec();
    for stage in [&pair.here, &pair.there] {
        stage.write("source", &numbered("late", 2));
    }
    pair.with_ways(
        "since",
        |stage| json!({"since_seq": since[usize::from(pair.is_there(stage))]}),
        |_, stage, db| assert_eq!(stage.ids(db), ["late-000", "late-001"]),
    );
}

#[test]
fn conflicts_stay_behind_where_only_winners_are_wanted() {
    let pair = Pair::new(|stage| {
        let revs = ["a", "b"].map(|digit| digit.repeat(32));
        let docs = revs.map(|rev| {
            let revisions = json!({"start": 1, "ids": [rev]});
            json!({"_id": "both", "_rev": format!("1-{rev}"), "_revisions": revisions})
        });
        stage.graft("source", &docs);
    });
    for winners in [true, false] {
        pair.with_ways(
            &format!("winners-{winners}"),
            |_| json!({"winning_revs_only": winners}),
            |_, stage, db| {
                let found = stage.read(&format!("/{db}/both?conflicts=true"));
                assert_eq!(found["_rev"], format!("1-{}", "b".repeat(32)));
                assert_eq!(found.get("_conflicts").is_none(), winners, "{found}");
            },
        );
    }
}

#[test]
fn nothing_is_remembered_without_checkpoints() {
    let pair = Pair::new(fill);
    pair.with_ways(
        "forgetful",
        |_| json!({"use_checkpoints": false}),
        |answer, stage, db| {
            assert_eq!(answer["use_checkpoints"], false, "{answer}");
            assert_eq!(stage.read(&format!("/{db}"))["doc_count"], 32);
            assert_eq!(stage.read(&format!("/{db}/_local_docs"))["rows"], json!([]));
        },
    );
    assert_eq!(pair.here.read("/source/_local_docs")["rows"], json!([]));
}

#[test]
fn revisions_come_by_bulk_get_unless_nobody_wants_it() {
    let pair = Pair::new(fill);
    for (wanted, count) in [(true, 32), (false, 0)] {
        pair.with_ways(
            &format!("bulk-{wanted}"),
            |_| json!({"use_bulk_get": wanted}),
            |answer, stage, db| {
                assert_eq!(stage.read(&format!("/{db}"))["doc_count"], 32);
                let counted = session(answer);
                let is_pull = db.ends_with("pull");
                assert_eq!(counted["docs_read"], 32);
                if is_pull || !wanted {
                    assert_eq!(counted["bulk_get_docs"], count, "{db}: {answer}");
                    assert_eq!(counted["bulk_get_attempts"], count, "{db}: {answer}");
                }
            },
        );
    }
}

#[test]
fn targets_are_created_as_they_are_wanted() {
    let pair = Pair::new(|stage| stage.write("source", &[json!({"_id": "part:one"})]));
    let create = |target: Value, params: Option<Value>| {
        let mut body = Map::new();
        body.insert("source".to_owned(), json!("source"));
        body.insert("target".to_owned(), target);
        body.insert("create_target".to_owned(), json!(true));
        body.extend(params.map(|params| ("create_target_params".to_owned(), params)));
        pair.here.replicate(&Value::Object(body))
    };
    for stage in [&pair.here, &pair.there] {
        let side = |db: &str| {
            if pair.is_there(stage) {
                json!(stage.address(&db.replace('/', "%2F")))
            } else {
                json!(db)
            }
        };
        create(side("plain"), None);
        create(side("plain"), None);
        create(side("cut/small"), Some(json!({"q": 3, "partitioned": true})));
        for db in ["plain", "cut%2Fsmall"] {
            assert!(stage.has(&format!("/{db}/part:one")), "{db}");
        }
        let made = stage.read("/cut%2Fsmall");
        assert_eq!(
            (&made["cluster"]["q"], &made["props"]["partitioned"]),
            (&json!(3), &json!(true))
        );
    }
}

#[test]
fn refused_documents_are_counted_and_the_rest_goes_on() {
    let pair = Pair::new(|stage| {
        stage.write("source", &numbered("doc", 10));
        let file = json!({"content_type": "text/plain", "data": "YWJj"});
        stage.write(
            "source",
            &[
                json!({"_id": "refused", "bad": true}),
                json!({"_id": "refused-file", "bad": true, "_attachments": {"f": file}}),
                json!({"_id": "taken-file", "_attachments": {"f": file}}),
            ],
        );
    });
    let rule = "function(doc) { if (doc.bad) throw({forbidden: 'not here'}); }";
    let rules = json!({"validate_doc_update": rule});
    for (at, way) in [(&pair.here, "local"), (&pair.there, "push"), (&pair.here, "pull")] {
        let db = at.new_db(&format!("strict-{way}"));
        at.put(&format!("/{db}/_design/rules"), &rules);
        let side = |remote: bool, at: &Stage, db: &str| {
            if remote { json!(at.address(db)) } else { json!(db) }
        };
        let source = side(way == "pull", &pair.there, "source");
        let body = json!({"source": source, "target": side(way == "push", at, &db)});
        let answer = pair.here.replicate(&body);
        let counted = session(&answer);
        assert_eq!(
            (&counted["docs_written"], &counted["doc_write_failures"]),
            (&json!(11), &json!(2)),
            "{way}: {answer}"
        );
        assert!(at.has(&format!("/{db}/taken-file/f")));
        for id in ["refused", "refused-file"] {
            assert!(!at.has(&format!("/{db}/{id}")), "{way} {id}");
        }
        assert_eq!(
            pair.here.replicate(&body)["no_changes"],
            true,
            "a refusal is no reason to stay"
        );
    }
}
