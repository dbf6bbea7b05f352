//! Keys of `[replicator]` that say which servers are asked, how, and when.

use serde_json::{Value, json};

use crate::stage::{Stage, text};

fn set(stage: &Stage, key: &str, value: &str) {
    stage.put(&format!("/_node/_local/_config/replicator/{key}"), &json!(value));
}

#[test]
fn only_addresses_of_valid_protocols_are_taken() {
    let stage = Stage::new();
    let body = json!({
        "source": stage.address("db"),
        "target": stage.address("copy"),
        "create_target": true,
    });
    let through = json!({
        "source": stage.address("db"),
        "target": stage.address("copy"),
        "proxy": "socks5://127.0.0.1:1",
    });
    let document = |id: &str, body: &Value| {
        let response = stage.ask("PUT", &format!("/_replicator/{id}"), Some(body));
        (response.status, text(&response))
    };
    set(&stage, "valid_endpoint_protocols", "https");
    let (status, found) = stage.ask_json("POST", "/_replicate", Some(&body));
    assert_eq!(status, 400, "{found}");
    assert_eq!(found["reason"], "endpoint has an invalid url");
    let (status, found) = document("a", &body);
    assert!(status == 403 && found.contains("endpoint has an invalid url"), "{status} {found}");
    set(&stage, "valid_endpoint_protocols", "https, http");
    stage.replicate(&body);
    set(&stage, "valid_proxy_protocols", "http");
    let (status, found) = document("b", &through);
    assert!(status == 403 && found.contains("proxy has an invalid url"), "{status} {found}");
}

#[test]
fn plugins_say_whether_there_is_a_session() {
    let stage = Stage::with(|_| vec!["--log-level=info".to_owned()]);
    let body = json!({"source": stage.address("db"), "target": stage.address("db")});
    let logins = || stage.log().matches("http.path=\"/_session\"").count();
    set(&stage, "auth_plugins", "couch_replicator_auth_noop");
    stage.replicate(&body);
    assert_eq!(logins(), 0);
    set(&stage, "auth_plugins", "couch_replicator_auth_session,couch_replicator_auth_noop");
    stage.replicate(&body);
    assert!(logins() > 0);
}

#[test]
fn what_begins_with_the_server_begins_bit_by_bit() {
    let stage = Stage::new();
    // A day: what is drawn by lot is not a moment.
    set(&stage, "startup_jitter", "86400000");
    let continuous = json!({
        "source": stage.address("db"),
        "target": stage.address("copy"),
        "create_target": true,
        "continuous": true,
    });
    stage.put("/_replicator/before", &continuous);
    stage.until_state("_replicator", "before", "running");
    let stage = stage.killed_and_started_again();
    stage.until_state("_replicator", "before", "initializing");
    let mut once = continuous;
    once["continuous"] = json!(false);
    stage.put("/_replicator/after", &once);
    super::until("the new one to be completed", || {
        let document = stage.read("/_replicator/after");
        (document["_replication_state"] == "completed").then_some(())
    });
    stage.until_state("_replicator", "before", "initializing");
}
