//! `_explain`, counting, and plans by estimates.

use super::*;
use crate::mango::planner::{Estimating, choose_cheapest, estimates_json, explain};

impl Fixture {
    fn explain(&self, request: &Value) -> Value {
        let request = FindRequest::parse(request.as_object().unwrap().clone(), 25).unwrap();
        let all = self.indexes();
        let choice = choose(&all, &request, false, Purpose::Explain).unwrap();
        explain("db", false, &all, &request, &choice)
    }

    fn count(&self, selector: &Value) -> (u64, u64) {
        let body = json!({"selector": selector, "count": true});
        let request = FindRequest::parse(body.as_object().unwrap().clone(), 25).unwrap();
        let ddocs = design_documents(&self.db).unwrap();
        let all = indexes(&self.db, &ddocs);
        let chosen = choose(&all, &request, false, Purpose::Find).unwrap().chosen.unwrap();
        let index = open_index(&self.views, &self.db, &ddocs, &all[chosen.at]).unwrap();
        if let Some(updater) = index.as_ref().and_then(Index::update) {
            updater.run();
        }
        let mut cursor =
            FindCursor::new(self.db.clone(), Arc::new(request), &all[chosen.at], index).unwrap();
        while cursor.count_page().unwrap() {}
        (cursor.stats().results, cursor.stats().keys)
    }

    /// The names of plans with their keys, the cheapest first.
    fn estimates(&self, request: &Value) -> (Value, Value) {
        let request = FindRequest::parse(request.as_object().unwrap().clone(), 25).unwrap();
        let ddocs = design_documents(&self.db).unwrap();
        let all = indexes(&self.db, &ddocs);
        let mut choice = choose(&all, &request, false, Purpose::Find).unwrap();
        let estimating =
            Estimating { db: &self.db, views: &self.views, ddocs: &ddocs, indexes: &all };
        let plans = estimating.plans(&request, &choice).unwrap();
        choose_cheapest(&mut choice, &plans);
        let chosen = all[choice.chosen.unwrap().at].to_json();
        (estimates_json(&all, &plans), chosen)
    }
}

fn candidate(explained: &Value, name: &str) -> Option<Value> {
    let candidates = explained["index_candidates"].as_array().unwrap();
    let found = candidates.iter().find(|candidate| candidate["index"]["name"] == name)?;
    Some(found["analysis"].clone())
}

#[test]
fn candidates_are_explained_as_couchdb_does() {
    let fixture = Fixture::new();
    for (name, fields) in [
        ("age", json!(["age"])),
        ("age2", json!(["age"])),
        ("wide", json!(["age", "_id"])),
        ("user", json!(["user_id"])),
        ("both", json!(["age", "name"])),
    ] {
        fixture.named_index(name, &json!({ "fields": fields }));
    }
    let partial = json!({"fields": ["age"], "partial_filter_selector": {"a": 1}});
    fixture.named_index("part", &partial);
    let explained = fixture.explain(&json!({"selector": {"age": 23}, "fields": ["age"]}));
    let analysis = |usable: bool, reason: &str, ranking: u64, covering: Value| {
        json!({
            "usable": usable,
            "reasons": [{"name": reason}],
            "ranking": ranking,
            "covering": covering,
        })
    };
    assert_eq!(
        (&explained["index"]["name"], &explained["covering"]),
        (&json!("age"), &json!(true))
    );
    for (name, usable, reason, ranking, covering) in [
        ("age2", true, "alphabetically_comes_after", 1, json!(true)),
        ("wide", true, "too_many_fields", 2, json!(true)),
        ("_all_docs", true, "unfavored_type", 3, json!(null)),
        ("user", false, "field_mismatch", 4, json!(false)),
        ("both", false, "field_mismatch", 4, json!(true)),
        ("part", false, "is_partial", 5, json!(true)),
    ] {
        let expect = Some(analysis(usable, reason, ranking, covering));
        assert_eq!(candidate(&explained, name), expect, "{name}");
    }
    assert_eq!(candidate(&explained, "age"), None);
    let by_user = fixture.explain(&json!({"selector": {"age": 23}, "use_index": "wide"}));
    assert_eq!(by_user["index"]["name"], "wide");
    assert_eq!(candidate(&by_user, "age").unwrap()["reasons"][0]["name"], "excluded_by_user");
    let unsorted = fixture.explain(&json!({"selector": {"z": 1}, "sort": ["z"]}));
    assert_eq!(unsorted["index"], Value::Null);
    assert_eq!(candidate(&unsorted, "_all_docs").unwrap()["reasons"][0]["name"], "field_mismatch");
    assert!(unsorted.get("mrargs").is_none());
}

#[test]
fn arguments_are_explained_as_couchdb_does() {
    let fixture = Fixture::new();
    fixture.named_index("age", &json!({"fields": ["age", "name"]}));
    let keys = |selector: Value, sort: Value| {
        let explained = fixture.explain(&json!({"selector": selector, "sort": sort}));
        let arguments = &explained["mrargs"];
        (
            explained["index"]["name"].as_str().unwrap().to_owned(),
            arguments["start_key"].to_string(),
            arguments["end_key"].to_string(),
            arguments["direction"].as_str().unwrap().to_owned(),
        )
    };
    let told = |name: &str, start: &str, end: &str, direction: &str| {
        (name.to_owned(), start.to_owned(), end.to_owned(), direction.to_owned())
    };
    let fwd = "fwd";
    for (selector, sort, expect) in [
        (json!({}), json!([]), told("_all_docs", "null", "\"<MAX>\"", fwd)),
        (json!({"_id": {"$lt": "x"}}), json!([]), told("_all_docs", "\"\"", "\"x\"", fwd)),
        (
            json!({"age": 1, "name": {"$gt": "a"}}),
            json!([]),
            told("age", "[1,\"a\"]", "[1,\"<MAX>\"]", fwd),
        ),
        (
            json!({"age": {"$gt": 1}, "name": {"$in": [1]}}),
            json!([{"age": "desc"}]),
            told("age", "[\"<MAX>\"]", "[1]", "rev"),
        ),
        (
            json!({"age": {"$beginsWith": "x"}, "name": {"$exists": true}}),
            json!([]),
            told("age", "[\"x\"]", "[\"x\u{fffd}\",\"<MAX>\"]", fwd),
        ),
        (
            json!({"age": {"$gt": 2, "$lt": 1}, "name": 1}),
            json!([]),
            told("age", "null", "null", fwd),
        ),
    ] {
        assert_eq!(keys(selector.clone(), sort), expect, "{selector}");
    }
    let explained = fixture.explain(&json!({"selector": {"age": 1, "b": {"$ne": 1}}}));
    assert_eq!(
        explained["selector_hints"],
        json!([{"type": "json", "indexable_fields": ["age"], "unindexable_fields": ["b"]}])
    );
    assert_eq!(explained["mrargs"]["conflicts"], "undefined");
}

#[test]
fn counts_need_no_documents() {
    let fixture = people();
    for (selector, count, keys) in [
        (json!({"n": {"$gte": 50}}), 150, 0),
        (json!({"n": {"$lt": 10, "$ne": 3}}), 9, 0),
        (json!({"$or": [{"n": {"$lt": 10}}, {"n": {"$gt": 189}}]}), 20, 0),
        (json!({"m": 3, "n": {"$gt": 100}}), 5, 0),
        (json!({"n": {"$in": [1, 2]}}), 2, 2),
        (json!({"n": {"$gt": 100}, "m": {"$mod": [2, 0]}}), 49, 99),
        (json!({}), 200, 203),
    ] {
        assert_eq!(fixture.count(&selector), (count, keys), "{selector}");
    }
}

#[test]
fn the_plan_that_reads_least_can_be_asked_for() {
    let fixture = people();
    for name in ["n", "m", "tags"] {
        fixture.find(&json!({"selector": {name: 1, "n": 1}, "sort": [name]}));
    }
    let selector = json!({"tags": {"$gt": 5}, "n": {"$gte": 198}});
    let request = json!({"selector": selector, "planner": "estimates"});
    let (estimates, chosen) = fixture.estimates(&request);
    assert_eq!(chosen["def"]["fields"], json!([{"n": "asc"}]));
    let plans = estimates["plans"].as_array().unwrap();
    assert_eq!((&plans[0]["keys"], &plans[0]["pending_changes"]), (&json!(2), &json!(0)));
    let keys: Vec<u64> = plans.iter().map(|plan| plan["keys"].as_u64().unwrap()).collect();
    assert_eq!(keys.len(), 3, "{estimates}");
    assert!(estimates["why"].as_str().unwrap().contains("the next best"), "{estimates}");
    // Without the wish, CouchDB's choice: the first by name.
    let (used, _) = fixture.find(&json!({"selector": selector})).unwrap();
    assert_eq!(used.columns().len(), 1);
}
