//! A document's text as a server gave it, as a [`Revision`]: its text is kept as it is, only its
//! stubs are read.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::document::{Encoding, Rev};
use crate::replicator::{Revision, Stub};

/// What of a document is looked at.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "_id")]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "_rev")]
    rev: Cow<'a, str>,
    #[serde(default, borrow, rename = "_attachments")]
    attachments: Option<&'a RawValue>,
}

/// Where a document has its attachments, and the revisions before it.
#[derive(Deserialize)]
pub(super) struct History<'a> {
    #[serde(default, borrow, rename = "_attachments")]
    pub(super) attachments: Option<&'a RawValue>,
    #[serde(default, rename = "_revisions")]
    pub(super) revisions: Ancestry,
}

/// `_revisions`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Ancestry {
    start: u64,
    ids: Vec<String>,
}

impl Ancestry {
    /// The generation of the newest of `revs` that the document descends from, or is.
    pub(super) fn newest_of(&self, revs: &[Rev]) -> Option<u64> {
        let known = revs.iter().filter(|rev| {
            let age = self.start.checked_sub(rev.generation).and_then(|age| age.try_into().ok());
            let id = age.and_then(|age: usize| self.ids.get(age));
            id.is_some_and(|id| *id == rev.hash.to_string())
        });
        known.map(|rev| rev.generation).max()
    }
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Rev(#[from] crate::document::RevError),
}

/// Reads `text`, which is what another server gave.
pub fn read(text: Bytes) -> Result<Revision, BadDocument> {
    let members: Members<'_> = serde_json::from_slice(&text)?;
    let (id, rev) = (members.id.into_owned(), Rev::parse(&members.rev)?);
    let attachments = match members.attachments {
        Some(listed) => stubs(listed)?,
        None => Vec::new(),
    };
    Ok(Revision { id, rev, text, attachments, possible_ancestors: Vec::new() })
}

fn stubs(listed: &RawValue) -> Result<Vec<Stub>, BadDocument> {
    let listed: Map<String, Value> = serde_json::from_str(listed.get())?;
    let stubs = listed.into_iter().filter(|(_, stub)| stub.get("data").is_none());
    stubs.map(|(name, stub)| Ok(Written::deserialize(stub)?.stub(name))).collect()
}

/// A stub as it is written.
#[derive(Deserialize)]
struct Written {
    #[serde(default = "octet_stream")]
    content_type: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    revpos: u64,
    length: u64,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    encoded_length: Option<u64>,
}

fn octet_stream() -> String {
    "application/octet-stream".to_owned()
}

impl Written {
    fn stub(self, name: String) -> Stub {
        let (encoding, encoded_length) = match (self.encoding.as_deref(), self.encoded_length) {
            (Some("gzip"), Some(length)) => (Encoding::Gzip, length),
            _ => (Encoding::Identity, self.length),
        };
        let Self { content_type, digest, revpos, length, .. } = self;
        Stub { name, content_type, digest, revpos, length, encoding, encoded_length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_text() {
        let text = r#"{"_id":"\u0061","_rev":"2-b","x":1.0,"_attachments":{
            "a":{"content_type":"text/plain","revpos":2,"digest":"md5-x","length":9,"stub":true,
                 "encoding":"gzip","encoded_length":5},
            "b":{"digest":"md5-y","length":3,"revpos":1,"stub":true},
            "c":{"content_type":"a/b","data":"AAAA"}}}"#;
        let found = read(Bytes::from_static(text.as_bytes())).unwrap();
        assert_eq!((found.id.as_str(), found.rev.to_string().as_str()), ("a", "2-b"));
        assert_eq!(found.text, text);
        let stub = |name: &str, content_type: &str, digest: &str, revpos, lengths, encoding| {
            let (name, content_type) = (name.to_owned(), content_type.to_owned());
            let (length, encoded_length) = lengths;
            let digest = digest.to_owned();
            Stub { name, content_type, digest, revpos, length, encoding, encoded_length }
        };
        let octets = "application/octet-stream";
        let expect = [
            stub("a", "text/plain", "md5-x", 2, (9, 5), Encoding::Gzip),
            stub("b", octets, "md5-y", 1, (3, 3), Encoding::Identity),
        ];
        assert_eq!(found.attachments, expect);
        for bad in ["{}", "[]", r#"{"_id":"a","_rev":"x"}"#, r#"{"_id":"a"}"#] {
            assert!(read(Bytes::from_static(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn ancestors_are_found_in_the_path() {
        let ancestry = Ancestry { start: 5, ids: ["e", "d", "c"].map(str::to_owned).to_vec() };
        for (revs, expect) in [
            (&[][..], None),
            (&["4-d", "3-c"], Some(4)),
            (&["5-e"], Some(5)),
            (&["4-x", "3-c"], Some(3)),
            (&["2-b", "6-f", "4-c"], None),
        ] {
            let revs: Vec<Rev> = revs.iter().map(|rev| Rev::parse(rev).unwrap()).collect();
            assert_eq!(ancestry.newest_of(&revs), expect, "{revs:?}");
        }
    }
}
