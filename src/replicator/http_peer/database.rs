//! What an import and an export ask a database for beside the calls of the replication protocol:
//! what it is, who may use it, and documents that are new to it.

use std::collections::{BTreeMap, HashSet};

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::replicator::archive::{ImportTarget, NewDocument, decoded_length};
use crate::replicator::{Answer, PeerError, WriteFailure};

use super::connection::Call;
use super::write::{self, Edits, Outgoing};
use super::{HttpPeer, about_database};

/// The most that documents to compare with may take.
const COMPARED_BYTES_MAX: usize = 64 << 20;

/// What a database tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Description {
    #[serde(default)]
    pub doc_count: u64,
    #[serde(default)]
    pub doc_del_count: u64,
    #[serde(default)]
    props: Properties,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Properties {
    #[serde(default)]
    partitioned: bool,
}

impl Description {
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.props.partitioned
    }

    /// Documents and tombstones.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.doc_count.saturating_add(self.doc_del_count)
    }
}

impl HttpPeer {
    /// What the database tells of itself.
    ///
    /// # Errors
    /// [`PeerError::NotFound`] where there is no such database.
    pub async fn describe(&self) -> Result<Description, PeerError> {
        self.connection.json(&Call::get("")).await.map_err(about_database)
    }

    /// The security object; empty where a server has no such thing.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn security(&self) -> Result<Map<String, Value>, PeerError> {
        match self.connection.json(&Call::get("_security")).await {
            Err(PeerError::Status { status: 404 | 405 | 501, .. }) => Ok(Map::new()),
            answer => answer.map_err(about_database),
        }
    }

    /// Sets the security object.
    ///
    /// # Errors
    /// Where that is refused.
    pub async fn set_security(&self, security: &Map<String, Value>) -> Result<(), PeerError> {
        let call = Call::put("_security", json!(security).to_string());
        self.connection.json::<Value>(&call).await.map(|_| ()).map_err(about_database)
    }

    async fn write_new(&self, documents: &[NewDocument]) -> Result<Vec<WriteFailure>, PeerError> {
        let outgoing: Vec<Outgoing<'_>> =
            documents.iter().map(|new| Outgoing { id: &new.id, text: &new.text }).collect();
        let mut failures = write::write(&self.connection, &outgoing, Edits::New).await?;
        let conflicts: HashSet<&str> =
            failures.iter().filter(|failure| failure.error == "conflict").map(|f| &*f.id).collect();
        let doubtful: Vec<Outgoing<'_>> =
            outgoing.into_iter().filter(|document| conflicts.contains(document.id)).collect();
        let there = self.already_there(&doubtful).await?;
        failures.retain(|failure| failure.error != "conflict" || !there.contains(&failure.id));
        Ok(failures)
    }

    /// Which of these documents the database has with just this content.
    async fn already_there(
        &self,
        documents: &[Outgoing<'_>],
    ) -> Result<HashSet<String>, PeerError> {
        let mut there = HashSet::new();
        let mut rest = documents;
        while !rest.is_empty() {
            let (group, later) = rest.split_at(write::group_length(rest));
            let ids: Vec<&str> = group.iter().map(|document| document.id).collect();
            let path = "_all_docs?include_docs=true";
            let call = Call::post(path, json!({ "keys": ids }).to_string());
            let found: Result<Found, _> =
                self.connection.json_up_to(&call, COMPARED_BYTES_MAX).await;
            let rows = match found {
                Ok(found) => found.rows,
                Err(PeerError::TooLarge(_)) => Vec::new(),
                Err(error) => return Err(error),
            };
            for (row, document) in rows.iter().zip(group) {
                if row.doc.as_ref().is_some_and(|theirs| is_same(document, theirs)) {
                    there.insert(document.id.to_owned());
                }
            }
            rest = later;
        }
        // A second document of the same id is not there.
        let mut seen = HashSet::new();
        let twice = documents.iter().filter(|document| !seen.insert(document.id));
        for document in twice {
            there.remove(document.id);
        }
        Ok(there)
    }
}

impl ImportTarget for HttpPeer {
    fn write_new<'a>(&'a self, documents: &'a [NewDocument]) -> Answer<'a, Vec<WriteFailure>> {
        self.write_new(documents).boxed()
    }
}

/// The documents that the database has.
#[derive(Deserialize)]
struct Found {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    doc: Option<Value>,
}

fn is_same(ours: &Outgoing<'_>, theirs: &Value) -> bool {
    serde_json::from_slice(ours.text).is_ok_and(|ours| Content::of(&ours) == Content::of(theirs))
}

/// A document without what a server adds. Of an attachment only its type and its length count.
#[derive(Debug, PartialEq)]
struct Content<'a> {
    members: BTreeMap<&'a str, &'a Value>,
    attachments: BTreeMap<&'a str, (&'a str, u64)>,
}

impl<'a> Content<'a> {
    fn of(document: &'a Value) -> Option<Self> {
        let all = document.as_object()?;
        let own = all.iter().filter(|(name, _)| !name.starts_with('_'));
        let members = own.map(|(name, value)| (name.as_str(), value)).collect();
        let listed = all.get("_attachments").and_then(Value::as_object);
        let attachment = |(name, stub): (&'a String, &'a Value)| {
            let content_type = stub.get("content_type").and_then(Value::as_str);
            let content_type = content_type.unwrap_or("application/octet-stream");
            let inline = || stub.get("data").and_then(Value::as_str).map(decoded_length);
            let length = stub.get("length").and_then(Value::as_u64).or_else(inline);
            (name.as_str(), (content_type, length.unwrap_or(0)))
        };
        let attachments = listed.into_iter().flatten().map(attachment).collect();
        Some(Self { members, attachments })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn documents_are_compared_without_what_servers_add() {
        let check = |ours: Value, theirs: Value, expect: bool| {
            let text = Bytes::from(ours.to_string());
            let ours = Outgoing { id: "a", text: &text };
            assert_eq!(is_same(&ours, &theirs), expect, "{text:?} {theirs}");
        };
        check(json!({"_id": "a", "x": 1}), json!({"x": 1, "_id": "a", "_rev": "1-b"}), true);
        check(json!({"x": 1, "y": 2}), json!({"y": 2, "_id": "a", "x": 1}), true);
        check(json!({"x": 1}), json!({"_id": "a", "x": 2}), false);
        check(json!({"x": 1}), json!({"_id": "a", "x": 1, "y": 1}), false);
        let inline = json!({"_attachments": {"t": {"content_type": "text/x", "data": "YWJjZA=="}}});
        let stub = |length: u64| {
            let stub = json!({"content_type": "text/x", "length": length, "stub": true});
            json!({"_attachments": {"t": stub}})
        };
        check(inline.clone(), stub(4), true);
        check(inline.clone(), stub(5), false);
        check(inline, json!({}), false);
        check(json!(5), json!({}), false);
    }
}
