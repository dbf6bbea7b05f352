//! Remote databases that misbehave. Time is the runtime's, which goes on as soon as all wait.

mod calls;
mod documents;
mod feeds;
mod sessions;
mod uploads;
mod writes;

use std::time::Duration;

use serde_json::{Value, json};

use super::HttpPeer;
use crate::config::Settings;
use crate::document::Rev;
use crate::http::client::HttpClients;
use crate::http::client::scripted::{Scripted, Step, answer};
use crate::replicator::{Endpoint, Missing, Revision, Tuning};

const PATIENCE: Duration = Duration::from_secs(30);

fn defaults() -> Tuning {
    Tuning::of(&Settings::default().replicator)
}

/// The peer that an endpoint of a replication means.
fn peer_of(endpoint: &Value, use_bulk_get: bool) -> HttpPeer {
    let Endpoint::Remote(remote) = Endpoint::parse(endpoint, None).unwrap() else {
        panic!("{endpoint} is no address")
    };
    let tuning = Tuning { connection_timeout: PATIENCE, ..defaults() };
    HttpPeer::new(&HttpClients::new(), &remote, &tuning, use_bulk_get).unwrap()
}

/// The database `db` of a server.
fn peer(server: &Scripted) -> HttpPeer {
    peer_of(&json!(server.address("db")), true)
}

/// A whole answer of JSON.
fn json_answer(status: u16, body: &Value) -> Vec<Step> {
    answer(status, "Content-Type: application/json\r\n", &body.to_string())
}

/// CouchDB's answer to what it refuses.
fn refusal(status: u16, error: &str, reason: &str) -> Vec<Step> {
    json_answer(status, &json!({ "error": error, "reason": reason }))
}

fn rev(text: &str) -> Rev {
    Rev::parse(text).unwrap()
}

fn revs(texts: &[&str]) -> Vec<Rev> {
    texts.iter().map(|text| rev(text)).collect()
}

fn missing(id: &str, texts: &[&str]) -> Missing {
    Missing { id: id.to_owned(), revs: revs(texts), possible_ancestors: Vec::new() }
}

/// A revision as a source gives it.
fn revision(document: &Value) -> Revision {
    super::revision::read(document.to_string().into()).unwrap()
}

/// The JSON that was sent.
fn sent(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}
