//! The documents that validation functions are shown: as CouchDB shows them, before anything is
//! written. Pure.

use crate::document::encode::{self, Extras, write_rev, write_revisions, write_string};
use crate::document::revtree::RevTree;
use crate::document::{Attachment, Document, Revisions};

use super::{Base, Edit, Source, apply};

/// Revisions that are told of a stored document, as in CouchDB.
const REVISIONS_MAX: usize = 20;

/// The document that an edit makes; `below` has the attachments that its stubs mean. An
/// interactive edit names the revision that it stands on: it has none of its own yet.
///
/// # Errors
/// The name of a stub that means nothing.
pub(super) fn new_document(edit: &Edit, below: Option<&Document>) -> Result<String, String> {
    let mut out = Vec::with_capacity(edit.body.len() + 256);
    out.extend_from_slice(b"{\"_id\":");
    write_string(&mut out, edit.id.as_str());
    let of;
    let revisions = match &edit.base {
        Base::New => None,
        Base::On(rev) => {
            of = Revisions::of(rev.clone());
            Some(&of)
        }
        Base::Replicated(path) => Some(path),
    };
    if let Some(rev) = revisions.and_then(Revisions::newest) {
        out.extend_from_slice(b",\"_rev\":");
        write_rev(&mut out, &rev);
    }
    if let [b'{', members @ .., b'}'] = edit.body.as_slice()
        && !members.is_empty()
    {
        out.push(b',');
        out.extend_from_slice(members);
    }
    if edit.deleted {
        out.extend_from_slice(b",\"_deleted\":true");
    }
    if let Some(revisions) = revisions {
        out.extend_from_slice(b",\"_revisions\":");
        write_revisions(&mut out, revisions);
    }
    write_attachments(&mut out, edit, below)?;
    out.push(b'}');
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn write_attachments(
    out: &mut Vec<u8>,
    edit: &Edit,
    below: Option<&Document>,
) -> Result<(), String> {
    let old = below.map_or(&[][..], |below| &below.attachments);
    let mut separator: &[u8] = b",\"_attachments\":{";
    for attachment in &edit.attachments {
        out.extend_from_slice(separator);
        separator = b",";
        write_string(out, &attachment.name);
        out.push(b':');
        match &attachment.source {
            Source::Stub => {
                let kept = apply::stub_target(old, &attachment.name, attachment.revpos);
                write_stored(out, kept.ok_or_else(|| attachment.name.clone())?);
            }
            Source::Shared(shared) => write_stored(out, shared),
            Source::Bytes { content_type, blob } => {
                out.extend_from_slice(b"{\"content_type\":");
                write_string(out, content_type);
                let (revpos, length) = (attachment.revpos.unwrap_or(0), blob.length);
                let rest = format!(",\"revpos\":{revpos},\"length\":{length},\"stub\":true}}");
                out.extend_from_slice(rest.as_bytes());
            }
        }
    }
    if !edit.attachments.is_empty() {
        out.push(b'}');
    }
    Ok(())
}

fn write_stored(out: &mut Vec<u8>, attachment: &Attachment) {
    let form = encode::AttachmentForm::Stub;
    encode::write_attachment(out, attachment, &form, encode::EncodingInfo::Hide);
}

/// The document that is replaced, or `null`.
pub(super) fn old_document(old: Option<&Document>, tree: &RevTree) -> String {
    let Some(old) = old else { return "null".to_owned() };
    let mut revisions = tree.path(&old.rev).unwrap_or_else(|| Revisions::of(old.rev.clone()));
    revisions.ids.truncate(REVISIONS_MAX);
    let mut out = Vec::with_capacity(old.body.len() + 256);
    let extras = Extras { revisions: Some(&revisions), ..Extras::default() };
    encode::write_document(&mut out, old, &extras);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Digest, DocId, Encoding, Rev, RevHash};

    fn rev(text: &str) -> Rev {
        Rev::parse(text).unwrap()
    }

    fn attachment(name: &str) -> Attachment {
        Attachment {
            name: name.into(),
            content_type: "text/plain".into(),
            digest: Digest([0; 16]),
            length: 3,
            encoded_length: 3,
            encoding: Encoding::Identity,
            revpos: 2,
        }
    }

    fn edit(base: Base, body: &str, stubs: &[&str]) -> Edit {
        let attachments = stubs.iter().map(|name| super::super::EditAttachment {
            name: (*name).into(),
            revpos: None,
            source: Source::Stub,
        });
        Edit {
            id: DocId::parse("a").unwrap(),
            base,
            deleted: false,
            body: body.into(),
            body_term: Vec::new(),
            attachments: attachments.collect(),
        }
    }

    #[test]
    fn new_documents_name_the_revision_they_stand_on() {
        let path = Revisions { start: 2, ids: vec![RevHash::parse("b"), RevHash::parse("a")] };
        for (base, body, expect) in [
            (Base::New, r#"{"n":1}"#, r#"{"_id":"a","n":1}"#),
            (Base::New, "{}", r#"{"_id":"a"}"#),
            (
                Base::On(rev("1-a")),
                r#"{"n":1}"#,
                r#"{"_id":"a","_rev":"1-a","n":1,"_revisions":{"start":1,"ids":["a"]}}"#,
            ),
            (
                Base::Replicated(path),
                "{}",
                r#"{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}"#,
            ),
        ] {
            assert_eq!(new_document(&edit(base, body, &[]), None).unwrap(), expect);
        }
        let gone = Edit { deleted: true, ..edit(Base::New, r#"{"n":1}"#, &[]) };
        assert_eq!(new_document(&gone, None).unwrap(), r#"{"_id":"a","n":1,"_deleted":true}"#);
    }

    #[test]
    fn attachments_are_shown_as_stubs() {
        let below = Document {
            id: DocId::parse("a").unwrap(),
            rev: rev("2-b"),
            deleted: false,
            body: "{}".into(),
            attachments: vec![attachment("x")],
        };
        let stubs = edit(Base::On(rev("2-b")), "{}", &["x"]);
        let stub = r#""_attachments":{"x":{"content_type":"text/plain","revpos":2,"digest":"md5-AAAAAAAAAAAAAAAAAAAAAA==","length":3,"stub":true}}}"#;
        let shown = new_document(&stubs, Some(&below)).unwrap();
        assert!(shown.ends_with(stub), "{shown}");
        assert_eq!(new_document(&stubs, None), Err("x".to_owned()));
        let mut tree = RevTree::default();
        let ids = ["b", "a"].map(RevHash::parse).to_vec();
        tree.merge(&Revisions { start: 2, ids }, false);
        let old = old_document(Some(&below), &tree);
        let start = r#"{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"#;
        assert_eq!(old, format!("{start}{stub}"));
        assert_eq!(old_document(None, &tree), "null");
    }
}
