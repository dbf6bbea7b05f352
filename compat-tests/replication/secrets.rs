//! Credentials get replications to where they are wanted and are shown nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::{Stage, text};

use super::until;

const NAME: &str = "bert@home";
const SECRET: &str = "hush:7f3a9c";

/// A server with a database that only its admins may use, of whom one is `bert`.
fn guarded() -> Stage {
    let stage = Stage::new();
    stage.new_admin(NAME, SECRET);
    stage.write("db", &[json!({"_id": "one"})]);
    stage
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{NAME}:{SECRET}")))
}

/// The ways to name somebody, each with an address of the database.
fn ways(stage: &Stage) -> Vec<Value> {
    let host = &stage.client.host;
    let plain = format!("http://{host}/db");
    vec![
        json!("http://bert%40home:hush%3A7f3a9c@HOST/db".replace("HOST", host)),
        json!({"url": plain, "auth": {"basic": {"username": NAME, "password": SECRET}}}),
        json!({"url": plain, "headers": {"Authorization": basic()}}),
        json!({"url": plain, "headers": {"authorization": basic(), "X-Other": "plain"}}),
    ]
}

#[track_caller]
fn check_hidden(what: &str, text: &str) {
    for secret in ["hush", "7f3a9c", &basic()[6..]] {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

fn check_all_hidden(stage: &Stage, also: &[&str]) {
    let paths = ["/_scheduler/jobs", "/_scheduler/docs", "/_active_tasks"];
    for path in paths.iter().chain(also) {
        let response = stage.ask("GET", path, None);
        check_hidden(path, &text(&response));
    }
    check_hidden("the log", &stage.log());
}

#[test]
fn credentials_open_the_other_side_and_are_not_shown() {
    let (here, there) = (Stage::new(), guarded());
    for (n, side) in ways(&there).into_iter().enumerate() {
        let target = here.new_db(&format!("pulled-{n}"));
        let pulled = here.replicate(&json!({"source": side, "target": target}));
        check_hidden("the answer", &pulled.to_string());
        assert!(here.has(&format!("/{target}/one")), "{side}");
        let source = here.new_db(&format!("pushed-{n}"));
        here.write(&source, &[json!({"_id": format!("pushed-{n}")})]);
        here.replicate(&json!({"source": source, "target": side}));
        assert!(there.has(&format!("/db/pushed-{n}")), "{side}");

        let body = json!({"source": side, "target": target, "continuous": true});
        let begun = here.post("/_replicate", &body);
        until("the job to run", || (here.replication_tasks().len() == 1).then_some(()));
        check_all_hidden(&here, &[]);
        let cancel = json!({"id": begun["_local_id"], "cancel": true});
        here.post("/_replicate", &cancel);
    }
    let locals = here.read("/pulled-0/_local_docs?include_docs=true");
    check_hidden("a checkpoint", &locals.to_string());
    check_hidden("the other log", &there.log());
}

#[test]
fn failures_of_documents_do_not_show_credentials() {
    let (here, there) = (Stage::new(), guarded());
    let host = &there.client.host;
    let addresses = [
        // The name is wrong, the database is missing, nobody listens.
        format!("http://nobody:hush-7f3a9c@{host}/db"),
        format!("http://bert%40home:hush%3A7f3a9c@{host}/absent"),
        "http://bert%40home:hush%3A7f3a9c@127.0.0.1:1/db".to_owned(),
    ];
    for (n, address) in addresses.iter().enumerate() {
        let id = format!("job-{n}");
        let body = json!({
            "source": address, "target": here.address("db"), "retries_per_request": 0
        });
        here.put(&format!("/_replicator/{id}"), &body);
        let shown = here.until_state("_replicator", &id, "crashing");
        check_hidden(&id, &shown.to_string());
        let filtered = json!({"source": address, "target": here.address("db"), "filter": "a/b",
            "retries_per_request": 0, "proxy": null});
        here.put(&format!("/_replicator/filter-{n}"), &filtered);
        let shown = here.until_state("_replicator", &format!("filter-{n}"), "error");
        check_hidden(&id, &shown.to_string());
    }
    check_all_hidden(&here, &["/_scheduler/docs/_replicator"]);
}

#[test]
fn others_see_replications_without_their_credentials() {
    let (here, there) = (Stage::new(), guarded());
    here.put("/_replicator/_security", &json!({}));
    let nobody = [("X-No-Auth", "yes"), ("Content-Type", "application/json")];
    for (n, side) in ways(&there).into_iter().enumerate() {
        let id = format!("job-{n}");
        let target = here.address(&here.new_db(&format!("target-{n}")));
        let body = json!({"source": side, "target": target, "continuous": true});
        let rev = here.put(&format!("/_replicator/{id}"), &body)["rev"].take();
        let rev = rev.as_str().unwrap();
        here.until_state("_replicator", &id, "running");
        let document = here.send("GET", &format!("/_replicator/{id}"), &nobody, "");
        assert_eq!(document.status, 200);
        let host = &there.client.host;
        assert!(text(&document).contains(host), "{}", text(&document));
        for query in ["", "?revs=true", "?open_revs=all", &format!("?rev={rev}"), "?conflicts=true"]
        {
            let found = here.send("GET", &format!("/_replicator/{id}{query}"), &nobody, "");
            check_hidden(query, &text(&found));
        }
        let wanted = json!({"docs": [{"id": id}]}).to_string();
        let found = here.send("POST", "/_replicator/_bulk_get", &nobody, &wanted);
        check_hidden("_bulk_get", &text(&found));
        for path in ["_all_docs?include_docs=true", "_changes?include_docs=true"] {
            let found = here.send("GET", &format!("/_replicator/{path}"), &nobody, "");
            check_hidden(path, &text(&found));
        }
        let own = here.read(&format!("/_replicator/{id}"));
        assert_eq!(own["source"], side, "who wrote it sees it whole");
    }
}
