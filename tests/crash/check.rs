//! What must hold after a restart: each client finds what was acknowledged to it, or what its last
//! attempt would have made of it, whole; and the feed, the list and the counts agree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::couch::Couch;
use crate::writer::{Attachment, Content, Document, Known, Writer, digest, text};

/// Which documents are read by themselves, beside the list of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// Those written since the last check.
    Touched,
    Everything,
}

/// Checks each client's documents. What an unanswered write made of one is settled by this: the
/// client goes on from what the server holds.
pub async fn holds_what_was_acknowledged(couch: &Couch, writers: &mut [Writer], scope: Scope) {
    let listed = couch.read("/_all_docs?include_docs=true").await;
    let rows = listed["rows"].as_array().expect("_all_docs has rows");
    let mut found: BTreeMap<&str, &Value> = rows.iter().map(|row| (id(row), &row["doc"])).collect();
    for writer in writers.iter_mut() {
        for (id, document) in &mut writer.documents {
            settle(id, document, found.remove(id.as_str()).map(|doc| state(id, doc)));
        }
        writer.documents.retain(|_, document| document.acknowledged.is_some());
    }
    assert!(found.is_empty(), "documents that nobody wrote: {:?}", found.keys());
    for writer in writers {
        let touched = std::mem::take(&mut writer.touched);
        for (id, document) in &writer.documents {
            let Some(known) = &document.acknowledged else { continue };
            if scope == Scope::Everything || touched.contains(id) {
                reads_by_itself(couch, id, known).await;
            }
        }
    }
}

/// The id in a row.
pub fn id(row: &Value) -> &str {
    row["id"].as_str().unwrap_or_else(|| panic!("a row without id: {row}"))
}

/// Compares what is held with what was acknowledged and attempted.
fn settle(id: &str, document: &mut Document, held: Option<Known>) {
    let attempted = document.attempted.take();
    match (held, &document.acknowledged) {
        (Some(held), Some(known)) if held.rev == known.rev => {
            assert_eq!(held.content, known.content, "{id} changed under its revision {}", held.rev);
        }
        (Some(held), known) => {
            let made = Some(&held.content);
            assert_eq!(
                made,
                attempted.as_ref(),
                "{id} holds {}, acknowledged: {known:?}",
                held.rev
            );
            document.acknowledged = Some(held);
        }
        (None, Some(Known { content: Content::Deleted, .. }) | None) => {}
        (None, Some(known)) => {
            let deleted = Some(&Content::Deleted);
            assert_eq!(
                attempted.as_ref(),
                deleted,
                "{id} {} was acknowledged and is lost",
                known.rev
            );
            document.acknowledged = None;
        }
    }
}

fn state(id: &str, doc: &Value) -> Known {
    let rev = doc["_rev"].as_str().unwrap_or_else(|| panic!("{id} has no revision")).to_owned();
    let value = doc["value"].as_u64().unwrap_or_else(|| panic!("{id} has no value: {doc}"));
    assert_eq!(doc["text"], text(value), "{id} is made of two writes");
    let attachment = doc.get("_attachments").map(|stubs| attachment(id, &stubs["file"]));
    Known { rev, content: Content::Live { value, attachment } }
}

fn attachment(id: &str, stub: &Value) -> Attachment {
    let number = |name: &str| {
        stub[name].as_u64().unwrap_or_else(|| panic!("{id}: no {name} in the stub {stub}"))
    };
    Attachment {
        digest: stub["digest"].as_str().unwrap_or_default().to_owned(),
        length: usize::try_from(number("length")).expect("a length in memory"),
        revpos: number("revpos"),
    }
}

/// Reads one document: its revision, that it has no conflict, and its attachment's bytes.
async fn reads_by_itself(couch: &Couch, id: &str, known: &Known) {
    let found = couch.document(id).await;
    let Content::Live { attachment, .. } = &known.content else {
        assert!(found.is_none(), "{id} was deleted and is back");
        return;
    };
    let found = found.unwrap_or_else(|| panic!("{id} is listed and cannot be read"));
    assert_eq!(found.get("_conflicts"), None, "{id} has a conflict");
    let held = state(id, &found);
    assert_eq!((&held.rev, &held.content), (&known.rev, &known.content), "{id}");
    if let Some(attachment) = attachment {
        let bytes = couch.attachment(id).await;
        assert_eq!(bytes.len(), attachment.length, "the length of the attachment of {id}");
        assert_eq!(digest(&bytes), attachment.digest, "the bytes of the attachment of {id}");
    }
}

/// The feed's sequences rise, it names each document once, and it agrees with the list and the
/// counts. Returns the number of live documents.
pub async fn adds_up(couch: &Couch) -> usize {
    let feed = couch.read("/_changes").await;
    let rows = feed["results"].as_array().expect("_changes has results");
    let sequences: Vec<u64> = rows.iter().map(|row| sequence(&row["seq"])).collect();
    let rising = sequences.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(rising, "the sequences do not rise: {sequences:?}");
    let ids: BTreeSet<&str> = rows.iter().map(id).collect();
    assert_eq!(ids.len(), rows.len(), "a document stands twice in the feed");
    let last = sequences.last().copied().unwrap_or_default();
    assert_eq!(sequence(&feed["last_seq"]), last);

    let is_deleted = |row: &&Value| row["deleted"] == true;
    let live: BTreeMap<&str, &Value> = rows
        .iter()
        .filter(|row| !is_deleted(row))
        .map(|row| (id(row), &row["changes"][0]["rev"]))
        .collect();
    let listed = couch.read("/_all_docs").await;
    let listed_rows = listed["rows"].as_array().expect("_all_docs has rows");
    let listed: BTreeMap<&str, &Value> =
        listed_rows.iter().map(|row| (id(row), &row["value"]["rev"])).collect();
    assert_eq!(listed, live, "_all_docs and _changes disagree");

    let info = couch.read("").await;
    assert_eq!(info["doc_count"], live.len());
    assert_eq!(info["doc_del_count"], rows.len() - live.len());
    assert_eq!(sequence(&info["update_seq"]), last);
    live.len()
}

/// The number in front of an update sequence.
pub fn sequence(seq: &Value) -> u64 {
    let text = seq.as_str().unwrap_or_else(|| panic!("not a sequence: {seq}"));
    let number = text.split('-').next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("not a sequence: {text}"))
}
