//! Documents as CouchDB sends them, spliced together from stored bytes: no body is parsed.
//!
//! The order of members is CouchDB's (`couch_doc:to_json_obj`, `couch_att:to_json`): `_id`,
//! `_rev`, the body, `_deleted`, `_revisions`, `_revs_info`, `_local_seq`, `_conflicts`,
//! `_deleted_conflicts`, `_attachments`. Bodies are normalised text, which `incoming` wrote.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::json::string::write_content;
use super::{Attachment, Digest, Document, Encoding, Rev, RevHash, Revisions};

pub use super::json::write_string;

/// What the server knows of a revision in a document's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevStatus {
    Available,
    Missing,
    Deleted,
}

impl RevStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Missing => "missing",
            Self::Deleted => "deleted",
        }
    }
}

/// How one attachment is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AttachmentForm {
    /// Without its bytes.
    #[default]
    Stub,
    /// Its stored bytes are a later part of the multipart answer.
    Follows,
    /// Its bytes as the client sees them (not compressed), sent as base64.
    Data(Bytes),
}

/// Whether attachments that are stored compressed say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncodingInfo {
    #[default]
    Hide,
    /// For `att_encoding_info=true` and for everything in multipart.
    Show,
}

/// What is sent with a document beside the revision itself. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct Extras<'a> {
    pub revisions: Option<&'a Revisions>,
    /// Newest first.
    pub revs_info: Option<&'a [(Rev, RevStatus)]>,
    pub local_seq: Option<u64>,
    /// No member where empty.
    pub conflicts: &'a [Rev],
    /// No member where empty.
    pub deleted_conflicts: &'a [Rev],
    /// One form an attachment, in the order of `Document::attachments`; stubs where it ends.
    pub attachments: &'a [AttachmentForm],
    /// An attachment that follows shows its encoding in any case.
    pub encoding_info: EncodingInfo,
}

/// Appends `document` as a JSON object.
pub fn write_document(out: &mut Vec<u8>, document: &Document, extras: &Extras<'_>) {
    out.reserve(document.body.len() + document.id.as_str().len() + 64);
    out.extend_from_slice(b"{\"_id\":");
    write_string(out, document.id.as_str());
    out.extend_from_slice(b",\"_rev\":");
    write_rev(out, &document.rev);
    if let [b'{', members @ .., b'}'] = document.body.as_ref()
        && !members.is_empty()
    {
        out.push(b',');
        out.extend_from_slice(members);
    }
    if document.deleted {
        out.extend_from_slice(b",\"_deleted\":true");
    }
    write_meta(out, extras);
    write_attachments(out, &document.attachments, extras);
    out.push(b'}');
}

fn write_meta(out: &mut Vec<u8>, extras: &Extras<'_>) {
    if let Some(revisions) = extras.revisions {
        out.extend_from_slice(b",\"_revisions\":");
        write_revisions(out, revisions);
    }
    if let Some(infos) = extras.revs_info {
        out.extend_from_slice(b",\"_revs_info\":");
        write_list(out, infos, |out, (rev, status)| {
            out.extend_from_slice(b"{\"rev\":");
            write_rev(out, rev);
            out.extend_from_slice(b",\"status\":\"");
            out.extend_from_slice(status.as_str().as_bytes());
            out.extend_from_slice(b"\"}");
        });
    }
    if let Some(seq) = extras.local_seq {
        out.extend_from_slice(b",\"_local_seq\":");
        write_unsigned(out, seq);
    }
    if !extras.conflicts.is_empty() {
        out.extend_from_slice(b",\"_conflicts\":");
        write_list(out, extras.conflicts, write_rev);
    }
    if !extras.deleted_conflicts.is_empty() {
        out.extend_from_slice(b",\"_deleted_conflicts\":");
        write_list(out, extras.deleted_conflicts, write_rev);
    }
}

fn write_attachments(out: &mut Vec<u8>, attachments: &[Attachment], extras: &Extras<'_>) {
    let mut separator: &[u8] = b",\"_attachments\":{";
    for (at, attachment) in attachments.iter().enumerate() {
        out.extend_from_slice(separator);
        separator = b",";
        write_string(out, &attachment.name);
        out.push(b':');
        let form = extras.attachments.get(at).unwrap_or(&AttachmentForm::Stub);
        write_attachment(out, attachment, form, extras.encoding_info);
    }
    if !attachments.is_empty() {
        out.push(b'}');
    }
}

/// Appends the description of one attachment as a JSON object.
pub fn write_attachment(
    out: &mut Vec<u8>,
    attachment: &Attachment,
    form: &AttachmentForm,
    encoding_info: EncodingInfo,
) {
    out.extend_from_slice(b"{\"content_type\":");
    write_string(out, &attachment.content_type);
    out.extend_from_slice(b",\"revpos\":");
    write_unsigned(out, attachment.revpos);
    out.extend_from_slice(b",\"digest\":");
    write_digest(out, &attachment.digest);
    match form {
        AttachmentForm::Stub => {
            write_length(out, attachment.length);
            out.extend_from_slice(b",\"stub\":true");
        }
        AttachmentForm::Follows => {
            write_length(out, attachment.length);
            out.extend_from_slice(b",\"follows\":true");
        }
        AttachmentForm::Data(data) => {
            out.extend_from_slice(b",\"data\":\"");
            write_base64(out, data);
            out.push(b'"');
        }
    }
    let shown = encoding_info == EncodingInfo::Show || *form == AttachmentForm::Follows;
    if shown && attachment.encoding == Encoding::Gzip {
        out.extend_from_slice(b",\"encoding\":\"gzip\",\"encoded_length\":");
        write_unsigned(out, attachment.encoded_length);
    }
    out.push(b'}');
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b",\"length\":");
    write_unsigned(out, length);
}

/// Appends `{"start":N,"ids":[...]}`.
pub fn write_revisions(out: &mut Vec<u8>, revisions: &Revisions) {
    out.extend_from_slice(b"{\"start\":");
    write_unsigned(out, revisions.start);
    out.extend_from_slice(b",\"ids\":");
    write_list(out, &revisions.ids, |out, hash| {
        out.push(b'"');
        write_hash(out, hash);
        out.push(b'"');
    });
    out.push(b'}');
}

/// Appends a revision as a JSON string.
pub fn write_rev(out: &mut Vec<u8>, rev: &Rev) {
    out.push(b'"');
    write_unsigned(out, rev.generation);
    out.push(b'-');
    write_hash(out, &rev.hash);
    out.push(b'"');
}

/// A hash that is no MD5 is any text that a client has chosen, so it may need escapes.
fn write_hash(out: &mut Vec<u8>, hash: &RevHash) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match hash {
        RevHash::Md5(bytes) => {
            let mut text = [0; 32];
            for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
                let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
                pair.copy_from_slice(&digits);
            }
            out.extend_from_slice(&text);
        }
        RevHash::Text(text) => write_content(out, text),
    }
}

/// Appends a digest as a JSON string.
pub fn write_digest(out: &mut Vec<u8>, digest: &Digest) {
    out.extend_from_slice(b"\"md5-");
    write_base64(out, &digest.0);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, place).unwrap_or_default();
    out.truncate(start + written);
}

/// Appends a number in decimal digits.
pub fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}
