//! The replicator from outside: servers that replicate with each other, with themselves and with
//! npm's `pouchdb-server`, by request and by document, and what they tell about it.

mod cut_connections;
mod documents;
mod documents_go_on;
mod options;
mod proxy;
mod requests;
mod routes;
mod secrets;
mod settings;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{ADMIN, PASSWORD};
use crate::stage::{Stage, text};

const DEADLINE: Duration = Duration::from_mins(1);

/// Asks until there is an answer.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Stage {
    /// The status and the JSON of an answer.
    #[track_caller]
    fn ask_json(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let response = self.ask(method, path, body);
        let found = serde_json::from_slice(&response.body);
        (response.status, found.unwrap_or_else(|_| panic!("{path}: {}", text(&response))))
    }

    /// The JSON of an answer that is no failure.
    #[track_caller]
    fn read(&self, path: &str) -> Value {
        let (status, found) = self.ask_json("GET", path, None);
        assert_eq!(status, 200, "{path}: {found}");
        found
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, found) = self.ask_json("POST", path, Some(body));
        assert!(status < 300, "{path}: {found}");
        found
    }

    /// Writes documents; all must be taken.
    #[track_caller]
    fn write(&self, db: &str, docs: &[Value]) {
        for row in
            self.post(&format!("/{db}/_bulk_docs"), &json!({"docs": docs})).as_array().unwrap()
        {
            assert_eq!(row["ok"], true, "{row}");
        }
    }

    /// Writes revisions as they are.
    #[track_caller]
    fn graft(&self, db: &str, docs: &[Value]) {
        let body = json!({"docs": docs, "new_edits": false});
        assert_eq!(self.post(&format!("/{db}/_bulk_docs"), &body), json!([]));
    }

    /// Makes another admin of the server.
    fn new_admin(&self, name: &str, password: &str) {
        let path = format!("/_node/_local/_config/admins/{}", encoded(name));
        self.put(&path, &json!(password));
    }

    fn new_db(&self, name: &str) -> String {
        self.put(&format!("/{name}"), &json!({}));
        name.to_owned()
    }

    /// Replicates to the end.
    #[track_caller]
    fn replicate(&self, body: &Value) -> Value {
        let (status, found) = self.ask_json("POST", "/_replicate", Some(body));
        assert_eq!((status, &found["ok"]), (200, &Value::Bool(true)), "{body}: {found}");
        found
    }

    /// Where others find a database of this server, with its admin's credentials.
    fn address(&self, db: &str) -> String {
        format!("http://{ADMIN}:{PASSWORD}@{}/{db}", self.client.host)
    }

    fn ids(&self, db: &str) -> Vec<String> {
        let rows = self.read(&format!("/{db}/_all_docs"));
        let rows = rows["rows"].as_array().unwrap();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    fn has(&self, path: &str) -> bool {
        self.ask("GET", path, None).status == 200
    }

    /// All leaves of all documents, whole: histories, attachments, bytes; and the winners.
    fn everything(&self, db: &str) -> BTreeMap<String, (Value, Vec<Value>)> {
        let changes = self.read(&format!("/{db}/_changes?style=all_docs"));
        let rows = changes["results"].as_array().unwrap();
        rows.iter()
            .map(|row| {
                let id = row["id"].as_str().unwrap();
                let path = format!("/{db}/{}", encoded(id));
                let leaves = "open_revs=all&revs=true&attachments=true";
                let headers = [("Accept", "application/json")];
                let found = self.send("GET", &format!("{path}?{leaves}"), &headers, "");
                let mut leaves: Vec<Value> = serde_json::from_slice(&found.body)
                    .unwrap_or_else(|_| panic!("{id}: {}", text(&found)));
                leaves.sort_by_key(|leaf| leaf["ok"]["_rev"].to_string());
                assert_eq!(leaves.len(), row["changes"].as_array().unwrap().len(), "{id}");
                let (_, winner) = self.ask_json("GET", &format!("{path}?conflicts=true"), None);
                (id.to_owned(), (winner, leaves))
            })
            .collect()
    }

    /// What `_scheduler/docs` says of a document; null where it says nothing.
    fn state_of(&self, db: &str, id: &str) -> Value {
        let (status, found) = self.ask_json("GET", &format!("/_scheduler/docs/{db}/{id}"), None);
        if status == 200 { found } else { Value::Null }
    }

    /// Waits until a document's replication is in a state; what is told of it then.
    #[track_caller]
    fn until_state(&self, db: &str, id: &str, state: &str) -> Value {
        until(&format!("{db}/{id} to be {state}"), || {
            Some(self.state_of(db, id)).filter(|found| found["state"] == state)
        })
    }

    fn jobs(&self) -> Vec<Value> {
        self.read("/_scheduler/jobs")["jobs"].as_array().unwrap().clone()
    }

    fn replication_tasks(&self) -> Vec<Value> {
        let tasks = self.read("/_active_tasks");
        let tasks = tasks.as_array().unwrap().iter();
        tasks.filter(|task| task["type"] == "replication").cloned().collect()
    }
}

/// Documents `PREFIX-000` and so on.
fn numbered(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"_id": format!("{prefix}-{n:03}"), "n": n})).collect()
}

/// The newest session of a `_replicate` answer.
fn session(answer: &Value) -> &Value {
    &answer["history"][0]
}

/// An id as it stands in a path.
fn encoded(id: &str) -> String {
    if let Some(name) = id.strip_prefix("_design/") {
        return format!("_design/{name}");
    }
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    id.bytes().map(byte).collect()
}
