//! Documents that other tools wrote: with or without a revision, attachments inline, as they are
//! or in the rows of an answer.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::replicator::http_peer::revision::{self, BadDocument};
use crate::replicator::{Revision, WriteFailure};

use super::NewDocument;
use super::values::Wrapping;

/// What an object is.
#[derive(Debug)]
pub(super) enum Foreign {
    /// It has a revision, which it keeps.
    Revision(Revision),
    New(NewDocument),
    Failed(WriteFailure),
    /// A row of what is deleted or not there; a `_local` document.
    Nothing,
}

/// Why an object is no document.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadObject {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Document(#[from] BadDocument),
    #[error("the row has no document: ask for rows with include_docs=true")]
    NoDocument,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(default, borrow)]
    doc: Option<&'a RawValue>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(default, rename = "_id")]
    id: Option<String>,
    #[serde(default, rename = "_rev")]
    rev: Option<IgnoredAny>,
    #[serde(default, rename = "_deleted")]
    deleted: bool,
    #[serde(default, borrow, rename = "_attachments")]
    attachments: Option<&'a RawValue>,
    #[serde(default, borrow)]
    name: Option<&'a RawValue>,
    #[serde(default, borrow)]
    marker: Option<&'a RawValue>,
}

impl Members<'_> {
    /// What couchbackup writes between lines of documents: its version, and where it was resumed.
    fn is_of_couchbackup(&self) -> bool {
        let is = |member: Option<&RawValue>, text| member.is_some_and(|raw| raw.get() == text);
        is(self.name, "\"@cloudant/couchbackup\"")
            || is(self.marker, "\"@cloudant/couchbackup:resume\"")
    }
}

/// Reads the `number`th object of a file.
pub(super) fn read(text: &[u8], wrapping: Wrapping, number: u64) -> Result<Foreign, BadObject> {
    match wrapping {
        Wrapping::None => document(text, number),
        Wrapping::Rows => {
            let row: Row<'_> = serde_json::from_slice(text)?;
            match row.doc {
                Some(doc) => document(doc.get().as_bytes(), number),
                None if row.is_about_nothing() => Ok(Foreign::Nothing),
                None => Err(BadObject::NoDocument),
            }
        }
    }
}

impl Row<'_> {
    fn is_about_nothing(&self) -> bool {
        let value = self.value.and_then(|value| serde_json::from_str::<Value>(value.get()).ok());
        let deleted = value.is_some_and(|value| value["deleted"] == true);
        self.deleted || self.error.is_some() || deleted
    }
}

fn document(text: &[u8], number: u64) -> Result<Foreign, BadObject> {
    let members: Members<'_> = serde_json::from_slice(text)?;
    let shown = members.id.clone().unwrap_or_else(|| format!("document {number}"));
    let failed = |error: &str, reason: &str| {
        let (error, reason) = (error.to_owned(), reason.to_owned());
        Ok(Foreign::Failed(WriteFailure { id: shown.clone(), error, reason }))
    };
    if members.id.as_ref().is_some_and(|id| id.starts_with("_local/")) {
        return Ok(Foreign::Nothing);
    }
    if let Some(listed) = members.attachments {
        let listed: Map<String, Value> = serde_json::from_str(listed.get())?;
        if listed.values().any(|attachment| attachment.get("data").is_none()) {
            let reason = "the file does not have its attachments; write it with attachments=true";
            return failed("missing_stub", reason);
        }
    }
    let is_of_couchbackup = members.is_of_couchbackup();
    match (members.rev, members.id) {
        (Some(_), Some(_)) => Ok(Foreign::Revision(revision::read(Bytes::copy_from_slice(text))?)),
        (Some(_), None) => failed("bad_request", "a document with _rev needs an _id"),
        (None, _) if members.deleted => failed("bad_request", "a deleted document needs a _rev"),
        (None, Some(id)) => {
            Ok(Foreign::New(NewDocument { id, text: Bytes::copy_from_slice(text) }))
        }
        (None, None) if is_of_couchbackup => Ok(Foreign::Nothing),
        (None, None) => Ok(Foreign::New(named(text, number))),
    }
}

/// A document with an id that is the same whenever this file is read.
fn named(text: &[u8], number: u64) -> NewDocument {
    let mut md5 = Md5::new();
    md5.update(number.to_be_bytes());
    md5.update(text);
    let id = format!("{:032x}", u128::from_be_bytes(md5.finalize().into()));
    let rest = text.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
    let comma = if rest.starts_with(b"}") { "" } else { "," };
    let begin = format!("{{\"_id\":{}{comma}", json!(id));
    NewDocument { id, text: [begin.as_bytes(), rest].concat().into() }
}

/// How many bytes a base64 text stands for.
pub(in crate::replicator) fn decoded_length(base64: &str) -> u64 {
    base64.trim_end_matches('=').len() as u64 * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, wrapping: Wrapping) -> String {
        match read(text.as_bytes(), wrapping, 7) {
            Ok(Foreign::Revision(revision)) => format!("{} {}", revision.id, revision.rev),
            Ok(Foreign::New(new)) => format!("new {}", String::from_utf8_lossy(&new.text)),
            Ok(Foreign::Failed(failure)) => format!("{} {}", failure.id, failure.error),
            Ok(Foreign::Nothing) => "nothing".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn documents_are_told_apart() {
        for (text, expect) in [
            (r#"{"_id":"a","_rev":"1-b","x":1}"#, "a 1-b"),
            (r#"{"_id":"a","x":1}"#, r#"new {"_id":"a","x":1}"#),
            (r#"{"_id":"_local/a","_rev":"0-1"}"#, "nothing"),
            (r#"{"name":"@cloudant/couchbackup","version":"2.11.9"}"#, "nothing"),
            (r#"{"marker":"@cloudant/couchbackup:resume"}"#, "nothing"),
            (
                r#"{"_id":"a","name":"@cloudant/couchbackup"}"#,
                "new {\"_id\":\"a\",\"name\":\"@cloudant/couchbackup\"}",
            ),
            (r#"{"_rev":"1-b"}"#, "document 7 bad_request"),
            (r#"{"_id":"a","_deleted":true}"#, "a bad_request"),
            (r#"{"_id":"a","_attachments":{"t":{"stub":true}}}"#, "a missing_stub"),
            (r#"{"_id":"a","_attachments":{}}"#, r#"new {"_id":"a","_attachments":{}}"#),
        ] {
            assert_eq!(shown(text, Wrapping::None), expect, "{text}");
        }
        for text in [r#"{"_id":5}"#, r#"{"_id":"a","_rev":"x"}"#, r#"{"a" 1}"#, "{\"a\":\"\u{1}\"}"]
        {
            assert!(shown(text, Wrapping::None).starts_with("error: "), "{text}");
        }
    }

    #[test]
    fn rows_have_documents() {
        for (text, expect) in [
            (r#"{"id":"a","value":{"rev":"1-b"},"doc":{"_id":"a","_rev":"1-b"}}"#, "a 1-b"),
            (r#"{"id":"a","value":{"rev":"1-b","deleted":true},"doc":null}"#, "nothing"),
            (r#"{"key":"a","error":"not_found"}"#, "nothing"),
            (r#"{"seq":1,"id":"a","deleted":true}"#, "nothing"),
        ] {
            assert_eq!(shown(text, Wrapping::Rows), expect, "{text}");
        }
        let without = shown(r#"{"id":"a","value":{"rev":"1-b"}}"#, Wrapping::Rows);
        assert!(without.contains("include_docs=true"), "{without}");
    }

    #[test]
    fn ids_are_made_of_what_a_file_has() {
        let id = |text: &str, number| named(text.as_bytes(), number).id;
        assert_eq!(id("{}", 1), id("{}", 1));
        assert_ne!(id("{}", 1), id("{}", 2));
        assert_ne!(id("{}", 1), id("{\"a\":1}", 1));
        for text in ["{}", "{ \"a\" : 1 }", "{ }"] {
            let NewDocument { id, text: named } = named(text.as_bytes(), 1);
            let mut expect: Value = serde_json::from_str(text).unwrap();
            expect["_id"] = id.into();
            assert_eq!(serde_json::from_slice::<Value>(&named).unwrap(), expect);
        }
    }
}
