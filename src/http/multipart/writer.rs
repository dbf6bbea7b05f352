//! The byte pieces of CouchDB's framing, in the order in which they go out:
//!
//! * one document with attachments, `multipart/related`: `related_head`, the JSON,
//!   `next(boundary)`, then for each attachment `AttachmentPart::head`, its bytes,
//!   `next(boundary)`; at last `CLOSE`.
//! * revisions (`open_revs`), `multipart/mixed`: `opening`, for each `mixed_part_head`, its body,
//!   `next(boundary)`; at last `CLOSE`.
//! * `_bulk_get`: for each document `bulk_get_part_head` and its body; then `bulk_get_close`,
//!   unless there was no document at all.
//! * byte ranges: `opening`, for each `range_head`, its bytes, `next(boundary)`; at last `CLOSE`.
//!
//! A document without attachments to send is its JSON alone inside of `multipart/mixed` and
//! `_bulk_get`, and is no multipart body at all outside. Line ends cannot get into a header: names
//! and types lose them.

use std::borrow::Cow;

use bytes::Bytes;

use super::boundary::Boundary;
use crate::http::range::ByteRange;

/// What follows the last `next`, to make it the end of the body.
pub const CLOSE: Bytes = Bytes::from_static(b"--");

const JSON_HEAD: &str = "\r\nContent-Type: application/json\r\n\r\n";
const ERROR_HEAD: &str = "\r\nContent-Type: application/json; error=\"true\"\r\n\r\n";

/// The kinds of multipart bodies that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subtype {
    Related,
    Mixed,
    ByteRanges,
}

/// The value of `Content-Type` for a body: `multipart/related; boundary="…"`.
#[must_use]
pub fn content_type(subtype: Subtype, boundary: &Boundary) -> String {
    let name = match subtype {
        Subtype::Related => "related",
        Subtype::Mixed => "mixed",
        Subtype::ByteRanges => "byteranges",
    };
    format!("multipart/{name}; boundary={}", quoted(boundary.as_str()))
}

/// Before the parts of `multipart/mixed` and `multipart/byteranges`.
#[must_use]
pub fn opening(boundary: &Boundary) -> Bytes {
    format!("--{boundary}").into()
}

/// After each part: another head may follow, or `CLOSE`.
#[must_use]
pub fn next(boundary: &Boundary) -> Bytes {
    format!("\r\n--{boundary}").into()
}

/// Before the JSON of a document in `multipart/related`.
#[must_use]
pub fn related_head(boundary: &Boundary) -> Bytes {
    format!("--{boundary}{JSON_HEAD}").into()
}

/// How many bytes the `multipart/related` body of one document has.
#[must_use]
pub fn related_length(
    boundary: &Boundary,
    json_bytes: u64,
    attachments: &[AttachmentPart<'_>],
) -> u64 {
    let next_bytes = length(&next(boundary));
    let document = length(&related_head(boundary)) + json_bytes + next_bytes;
    let parts = attachments.iter().map(|part| length(&part.head()) + part.length + next_bytes);
    document + parts.sum::<u64>() + length(&CLOSE)
}

/// How the bytes of an attachment are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEncoding {
    Identity,
    Gzip,
}

/// What the head of an attachment's part tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentPart<'a> {
    pub name: &'a str,
    pub content_type: &'a str,
    /// The bytes that are sent: of the gzip data, for an attachment that is sent as gzip.
    pub length: u64,
    pub encoding: PartEncoding,
}

impl AttachmentPart<'_> {
    /// Before the attachment's bytes.
    #[must_use]
    pub fn head(&self) -> Bytes {
        let encoding = match self.encoding {
            PartEncoding::Identity => "",
            PartEncoding::Gzip => "\r\nContent-Encoding: gzip",
        };
        format!(
            "\r\nContent-Disposition: attachment; filename={}\r\nContent-Type: {}\
             \r\nContent-Length: {}{encoding}\r\n\r\n",
            quoted(self.name),
            one_line(self.content_type),
            self.length,
        )
        .into()
    }
}

/// What an item of `open_revs` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixedPart<'a> {
    /// The JSON of a document without attachments to send.
    Json,
    /// A whole `multipart/related` body with this boundary.
    Related(&'a Boundary),
    /// A revision that is not there: the body is `missing_body`.
    Missing,
}

/// Before the body of an item of `open_revs`.
#[must_use]
pub fn mixed_part_head(part: MixedPart<'_>) -> Bytes {
    match part {
        MixedPart::Json => Bytes::from_static(JSON_HEAD.as_bytes()),
        MixedPart::Missing => Bytes::from_static(ERROR_HEAD.as_bytes()),
        MixedPart::Related(inner) => {
            format!("\r\nContent-Type: {}\r\n\r\n", content_type(Subtype::Related, inner)).into()
        }
    }
}

/// The body of `MixedPart::Missing`: `{"missing":"1-abc"}`.
#[must_use]
pub fn missing_body(rev: &str) -> Bytes {
    serde_json::json!({ "missing": rev }).to_string().into()
}

/// What an item of a multipart `_bulk_get` answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkGetPart<'a> {
    /// The JSON of a document without attachments to send.
    Json,
    /// A whole `multipart/related` body with this boundary.
    Related { id: &'a str, rev: &'a str, boundary: &'a Boundary },
    /// JSON that tells why there is no document.
    Error,
}

/// Before the body of an item of `_bulk_get`. The boundary comes before each item, not after it.
#[must_use]
pub fn bulk_get_part_head(boundary: &Boundary, part: BulkGetPart<'_>) -> Bytes {
    match part {
        BulkGetPart::Json => format!("\r\n--{boundary}{JSON_HEAD}"),
        BulkGetPart::Error => format!("\r\n--{boundary}{ERROR_HEAD}"),
        BulkGetPart::Related { id, rev, boundary: inner } => format!(
            "\r\n--{boundary}\r\nX-Doc-Id: {}\r\nX-Rev-Id: {}\r\nContent-Type: {}\r\n\r\n",
            one_line(id),
            one_line(rev),
            content_type(Subtype::Related, inner),
        ),
    }
    .into()
}

/// After the last item of `_bulk_get`.
#[must_use]
pub fn bulk_get_close(boundary: &Boundary) -> Bytes {
    format!("\r\n--{boundary}--\r\n").into()
}

/// Before the bytes of one range of something that is `length` bytes long.
#[must_use]
pub fn range_head(content_type: &str, range: ByteRange, length: u64) -> Bytes {
    let content_type = one_line(content_type);
    let content_range = range.content_range(length);
    format!("\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n").into()
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// `text` between quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in one_line(text).chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// `text` with a space for each control character, which would end or break a header.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        text.replace(|character: char| character.is_ascii_control(), " ").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(text: &str) -> Boundary {
        Boundary::parse(text).unwrap()
    }

    fn text(pieces: &[Bytes]) -> String {
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn a_document_and_its_attachments() {
        let b = boundary("B");
        let plain = AttachmentPart {
            name: "a.bin",
            content_type: "application/octet-stream",
            length: 3,
            encoding: PartEncoding::Identity,
        };
        let packed = AttachmentPart {
            name: "b.txt",
            content_type: "text/plain",
            length: 2,
            encoding: PartEncoding::Gzip,
        };
        let body = [
            related_head(&b),
            "{}".into(),
            next(&b),
            plain.head(),
            "abc".into(),
            next(&b),
            packed.head(),
            "zz".into(),
            next(&b),
            CLOSE,
        ];
        let expect = "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n\
            Content-Disposition: attachment; filename=\"a.bin\"\r\n\
            Content-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nabc\r\n--B\r\n\
            Content-Disposition: attachment; filename=\"b.txt\"\r\n\
            Content-Type: text/plain\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n\
            zz\r\n--B--";
        assert_eq!(text(&body), expect);
        assert_eq!(related_length(&b, 2, &[plain, packed]), expect.len() as u64);
    }

    #[test]
    fn revisions() {
        let (b, inner) = (boundary("B"), boundary("I"));
        let body = [
            opening(&b),
            mixed_part_head(MixedPart::Json),
            "{}".into(),
            next(&b),
            mixed_part_head(MixedPart::Related(&inner)),
            related_head(&inner),
            "{}".into(),
            next(&inner),
            CLOSE,
            next(&b),
            mixed_part_head(MixedPart::Missing),
            missing_body("1-abc"),
            next(&b),
            CLOSE,
        ];
        let expect = "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n\
            Content-Type: multipart/related; boundary=\"I\"\r\n\r\n\
            --I\r\nContent-Type: application/json\r\n\r\n{}\r\n--I--\r\n--B\r\n\
            Content-Type: application/json; error=\"true\"\r\n\r\n{\"missing\":\"1-abc\"}\r\n--B--";
        assert_eq!(text(&body), expect);
        assert_eq!(missing_body("1-\"\n"), r#"{"missing":"1-\"\n"}"#);
    }

    #[test]
    fn answers_of_bulk_get() {
        let (b, inner) = (boundary("B"), boundary("I"));
        let related = BulkGetPart::Related { id: "a\r\nX: y", rev: "1-abc", boundary: &inner };
        let body = [
            bulk_get_part_head(&b, BulkGetPart::Json),
            "{}".into(),
            bulk_get_part_head(&b, related),
            "…".into(),
            bulk_get_part_head(&b, BulkGetPart::Error),
            "{}".into(),
            bulk_get_close(&b),
        ];
        let expect = "\r\n--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n\
            X-Doc-Id: a  X: y\r\nX-Rev-Id: 1-abc\r\n\
            Content-Type: multipart/related; boundary=\"I\"\r\n\r\n…\r\n--B\r\n\
            Content-Type: application/json; error=\"true\"\r\n\r\n{}\r\n--B--\r\n";
        assert_eq!(text(&body), expect);
    }

    #[test]
    fn byte_ranges() {
        let b = boundary("B");
        let head = range_head("text/plain", ByteRange { start: 2, end: 4 }, 11);
        let body = [opening(&b), head, "llo".into(), next(&b), CLOSE];
        let expect = "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 2-4/11\r\n\r\n\
            llo\r\n--B--";
        assert_eq!(text(&body), expect);
        let value = content_type(Subtype::ByteRanges, &b);
        assert_eq!(value, "multipart/byteranges; boundary=\"B\"");
    }

    #[test]
    fn names_cannot_break_out() {
        let part = AttachmentPart {
            name: "a\"b\\c\r\nX: y",
            content_type: "text/plain\r\nY: z\0",
            length: 0,
            encoding: PartEncoding::Identity,
        };
        let expect = "\r\nContent-Disposition: attachment; filename=\"a\\\"b\\\\c  X: y\"\
            \r\nContent-Type: text/plain  Y: z \r\nContent-Length: 0\r\n\r\n";
        assert_eq!(part.head(), expect);
    }
}
