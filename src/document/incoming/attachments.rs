//! `_attachments` of an incoming document.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};

use super::{IncomingError, Limits};
use crate::document::json::reader::{Check, InvalidJson, Reader, Scalar};

/// One attachment as a document describes it. What has a wrong type counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingAttachment {
    pub name: String,
    pub content_type: Option<String>,
    pub revpos: Option<u64>,
    /// `md5-<base64>`, unchecked.
    pub digest: Option<String>,
    pub source: AttachmentSource,
    /// `gzip` where the bytes that follow are compressed.
    pub encoding: Option<String>,
    /// Bytes as stored and, in multipart, as sent.
    pub encoded_length: Option<u64>,
    /// Bytes as the client sees them.
    pub length: Option<u64>,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentSource {
    /// In the document itself.
    Inline(Vec<u8>),
    /// In an earlier revision.
    Stub,
    /// In a later part of the multipart body.
    Follows,
}

/// As Erlang's decoder: bits after the last byte may be set.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// Reads the normalised value of `_attachments`.
pub fn read_attachments(
    value: &[u8],
    limits: &Limits,
) -> Result<Vec<IncomingAttachment>, IncomingError> {
    let mut reader = Reader::new(value, limits)?;
    if reader.peek(&mut Check)? != b'{' {
        return Err(IncomingError::BadMember("_attachments".to_owned()));
    }
    let mut attachments = Vec::new();
    reader.open_object(&mut Check)?;
    while let Some(key) = reader.next_key(&mut Check)? {
        let name = reader.content(key).to_owned();
        reader.colon(&mut Check)?;
        attachments.push(Entry::read(&mut reader)?.into_attachment(name)?);
    }
    // CouchDB looks at the names when it has read them all.
    match attachments.iter().find(|attachment| attachment.name.starts_with('_')) {
        Some(attachment) => Err(IncomingError::AttachmentName(attachment.name.clone())),
        None => Ok(attachments),
    }
}

/// The members of one entry as far as they are there and have the right type.
#[derive(Default)]
struct Entry {
    content_type: Option<String>,
    revpos: Option<u64>,
    digest: Option<String>,
    encoding: Option<String>,
    encoded_length: Option<u64>,
    length: Option<u64>,
    stub: bool,
    follows: bool,
    data: Option<Vec<u8>>,
}

impl Entry {
    /// An entry that is no object has no members.
    fn read(reader: &mut Reader<'_>) -> Result<Self, InvalidJson> {
        let mut entry = Self::default();
        if reader.peek(&mut Check)? != b'{' {
            reader.value(&mut Check)?;
            return Ok(entry);
        }
        reader.open_object(&mut Check)?;
        while let Some(key) = reader.next_key(&mut Check)? {
            let Some(read) = Self::reader_of(reader.content(key)) else {
                reader.colon(&mut Check)?;
                reader.value(&mut Check)?;
                continue;
            };
            reader.colon(&mut Check)?;
            read(&mut entry, &reader.scalar()?);
        }
        Ok(entry)
    }

    /// How the member of this name is taken over; `None` where it says nothing.
    fn reader_of(name: &str) -> Option<fn(&mut Self, &Scalar<'_>)> {
        Some(match name {
            "content_type" => |entry, value| entry.content_type = text(value),
            "revpos" => |entry, value| entry.revpos = unsigned(value),
            "digest" => |entry, value| entry.digest = text(value),
            "encoding" => |entry, value| entry.encoding = text(value),
            "encoded_length" => |entry, value| entry.encoded_length = unsigned(value),
            "length" => |entry, value| entry.length = unsigned(value),
            "stub" => |entry, value| entry.stub = *value == Scalar::Bool(true),
            "follows" => |entry, value| entry.follows = *value == Scalar::Bool(true),
            "data" => |entry, value| entry.data = decode(value),
            _ => return None,
        })
    }

    fn into_attachment(self, name: String) -> Result<IncomingAttachment, IncomingError> {
        let source = match self.data {
            _ if self.stub => AttachmentSource::Stub,
            _ if self.follows => AttachmentSource::Follows,
            Some(data) => AttachmentSource::Inline(data),
            None => return Err(IncomingError::InvalidAttachmentData(name)),
        };
        Ok(IncomingAttachment {
            name,
            content_type: self.content_type,
            revpos: self.revpos,
            digest: self.digest,
            source,
            encoding: self.encoding,
            encoded_length: self.encoded_length,
            length: self.length,
        })
    }
}

fn text(value: &Scalar<'_>) -> Option<String> {
    match value {
        Scalar::String(text) => Some((*text).to_owned()),
        _ => None,
    }
}

fn unsigned(value: &Scalar<'_>) -> Option<u64> {
    match value {
        Scalar::Unsigned(number) => Some(*number),
        _ => None,
    }
}

/// Decodes base64 with padding. White space in it means nothing, as in Erlang.
fn decode(value: &Scalar<'_>) -> Option<Vec<u8>> {
    let Scalar::String(text) = value else { return None };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    if text.as_bytes().iter().any(is_space) {
        let dense: Vec<u8> = text.bytes().filter(|byte| !is_space(byte)).collect();
        return BASE64.decode(dense).ok();
    }
    BASE64.decode(text).ok()
}
