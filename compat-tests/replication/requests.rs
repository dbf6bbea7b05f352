//! `_replicate`: how replications are ended, and what is said where one cannot be done.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Headers, Stage};

use super::until;

/// Merged into a body: one attempt, no patience.
fn impatient(mut body: Value) -> Value {
    body["retries_per_request"] = json!(0);
    body
}

#[test]
fn replications_end_by_their_body_and_by_each_name_of_their_id() {
    let stage = Stage::new();
    stage.put("/other", &json!({}));
    let body = json!({"source": "db", "target": stage.address("other"), "continuous": true});
    for name in ["body", "id", "_local_id", "replication_id"] {
        let begun = stage.post("/_replicate", &body);
        until("the job to run", || (stage.replication_tasks().len() == 1).then_some(()));
        let cancel = if name == "body" {
            let mut cancel = body.clone();
            cancel["cancel"] = json!(true);
            cancel
        } else {
            json!({name: begun["_local_id"], "cancel": true})
        };
        assert_eq!(stage.post("/_replicate", &cancel), begun, "{name}");
        assert_eq!(stage.jobs(), Vec::<Value>::new(), "{name}");
        assert_eq!(stage.ask_json("POST", "/_replicate", Some(&cancel)).0, 404, "{name}");
    }
}

#[test]
fn replications_are_those_of_who_began_them_and_nobody_elses() {
    let stage = Stage::new();
    stage.new_db("other");
    stage.new_admin("ann", "pw");
    let ask = |headers: Headers<'_>, body: &Value| {
        let json = [("Content-Type", "application/json")];
        stage.send("POST", "/_replicate", &[&json, headers].concat(), &body.to_string())
    };
    let authorization = format!("Basic {}", STANDARD.encode("ann:pw"));
    let ann = [("Authorization", authorization.as_str())];
    let body = json!({"source": "db", "target": "other", "continuous": true});
    assert_eq!(ask(&[("X-No-Auth", "yes")], &body).status, 401);
    assert_eq!(ask(&ann, &body).status, 202);
    let jobs = stage.jobs();
    assert_eq!((jobs.len(), &jobs[0]["user"]), (1, &json!("ann")));
    let cancel = json!({"id": jobs[0]["id"], "cancel": true});
    assert_eq!(ask(&[("X-No-Auth", "yes")], &cancel).status, 401);
    assert_eq!(stage.jobs().len(), 1);
    assert_eq!(stage.post("/_replicate", &cancel)["ok"], true, "admins may");
}

#[test]
fn failures_say_what_is_wrong() {
    let (here, there) = (Stage::new(), Stage::new());
    // Nobody listens there once it is dropped.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there_host = &there.client.host;
    let anonymous = format!("http://{there_host}/db");
    let wrong = format!("http://admin:wrong-word@{there_host}/db");
    let absent = there.address("absent");
    let check = |body: Value, error: &str, reason: &str| {
        let (status, found) = here.ask_json("POST", "/_replicate", Some(&impatient(body.clone())));
        assert_eq!((status, &found["error"]), (500, &json!(error)), "{body}: {found}");
        let said = found["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{body}: {said:?} lacks {reason:?}");
        assert!(!said.contains("adminpw") && !said.contains("wrong-word"), "{said}");
    };
    let could_not = |db: &str| format!("could not open http://{there_host}/{db}/");
    check(json!({"source": absent, "target": "db"}), "db_not_found", &could_not("absent"));
    check(json!({"source": "db", "target": absent}), "db_not_found", &could_not("absent"));
    check(json!({"source": "db", "target": "absent"}), "db_not_found", "could not open http://");
    check(json!({"source": "absent", "target": "db"}), "db_not_found", "could not open");
    for address in [&anonymous, &wrong] {
        let reason = format!("unauthorized to access or create database http://{there_host}/db/");
        check(json!({"source": address, "target": "db"}), "unauthorized", &reason);
        check(json!({"source": "db", "target": address}), "unauthorized", &reason);
    }
    let lost = format!("http://{nobody}/db");
    check(json!({"source": lost, "target": "db"}), "http_request_failed", &nobody.to_string());
    check(json!({"source": "db", "target": lost}), "http_request_failed", &nobody.to_string());
    let filter = json!({"source": "db", "target": there.address("db"), "filter": "no/such"});
    check(filter, "filter_fetch_error", "_design/no");
    let no_database = json!({"source": format!("http://{there_host}/_up"), "target": "db"});
    let (status, _) = here.ask_json("POST", "/_replicate", Some(&impatient(no_database)));
    assert_eq!(status, 500);
    assert_eq!(here.jobs(), Vec::<Value>::new(), "what failed is gone");
}
