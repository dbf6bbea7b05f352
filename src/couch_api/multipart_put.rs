//! Documents with attachments on their way in: `PUT` as multipart/related, and attachments inside
//! the JSON of `PUT` and `_bulk_docs`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::blocking;
use crate::config::Settings;
use crate::database::{Database, EditAttachment, Source};
use crate::document::incoming::{AttachmentSource, Incoming, IncomingAttachment};
use crate::http::multipart::{Boundary, MultipartError, MultipartReader};

use super::attachment_write::drain;
use super::compress::{self, Arrival, AttachmentSink, DEFAULT_CONTENT_TYPE, INLINE_BYTES};
use super::documents_write::parse;
use super::error::ApiError;
use super::request::Request;

/// The least that the JSON part may have, whatever `max_document_size` says: attachments may be
/// inside it.
const JSON_BYTES_MIN: u64 = 64 << 20;
const JSON_BYTES_MAX: u64 = 512 << 20;

const SHORTER: &str = "attachment shorter than expected";
const LONGER: &str = "attachment longer than expected";

/// Reads a document and the attachments that follow it. Parts belong to the attachments with
/// `"follows":true` in the order of `_attachments`, whatever the parts call themselves.
///
/// # Errors
/// 400 where parts and attachments do not fit together, 413, 415 for a first part that is no JSON,
/// and what makes the document no valid one.
pub async fn read_multipart_document(
    request: &mut Request,
    db: &Arc<Database>,
    boundary: &Boundary,
) -> Result<(Incoming, Vec<EditAttachment>), ApiError> {
    let settings = request.settings.clone();
    let mut body = request.take_body()?;
    let result = read_parts(&mut body, db, &settings, boundary).await;
    drain(&mut body).await;
    result
}

async fn read_parts<S>(
    body: &mut S,
    db: &Arc<Database>,
    settings: &Arc<Settings>,
    boundary: &Boundary,
) -> Result<(Incoming, Vec<EditAttachment>), ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    let mut parts = MultipartReader::new(body, boundary);
    let mut incoming = read_document(&mut parts, settings).await?;
    let listed = incoming.attachments.take().unwrap_or_default();
    let mut attachments = Vec::with_capacity(listed.len());
    for attachment in listed {
        check_digest(&attachment)?;
        attachments.push(match attachment.source {
            AttachmentSource::Follows => {
                read_attachment(&mut parts, db, settings, attachment).await?
            }
            AttachmentSource::Inline(_) | AttachmentSource::Stub => {
                edit_attachment(db, settings, attachment).await?
            }
        });
    }
    Ok((incoming, attachments))
}

async fn read_document<S>(
    parts: &mut MultipartReader<S>,
    settings: &Settings,
) -> Result<Incoming, ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    let head = parts.next_part().await.map_err(broken)?.ok_or_else(ApiError::invalid_json)?;
    if head.media_type().as_deref() != Some("application/json") {
        return Err(ApiError::BadContentType("Content-Type must be application/json".into()));
    }
    let limit = settings.couchdb.max_document_size.clamp(JSON_BYTES_MIN, JSON_BYTES_MAX);
    let text = parts.read_part(usize::try_from(limit).unwrap_or(usize::MAX)).await;
    parse(settings, &text.map_err(broken)?)
}

/// Stores the next part as `attachment`.
async fn read_attachment<S>(
    parts: &mut MultipartReader<S>,
    db: &Database,
    settings: &Settings,
    attachment: IncomingAttachment,
) -> Result<EditAttachment, ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    let (arrival, length) = match attachment.encoding.as_deref() {
        Some("gzip") => (
            Arrival::Gzip { length: attachment.length },
            attachment.encoded_length.or(attachment.length),
        ),
        _ => (Arrival::Plain, attachment.length),
    };
    if parts.next_part().await.map_err(broken)?.is_none() {
        return Err(ApiError::bad_request(SHORTER));
    }
    let sink = sink(db, settings, attachment, arrival);
    sink.check_length(length.unwrap_or(0))?;
    let chunks = parts.part_chunks().map(|chunk| chunk.map_err(broken));
    compress::store(sink, Measured::new(chunks, length)).await
}

fn sink(
    db: &Database,
    settings: &Settings,
    attachment: IncomingAttachment,
    arrival: Arrival,
) -> AttachmentSink {
    let IncomingAttachment { name, content_type, revpos, .. } = attachment;
    let content_type = content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned());
    AttachmentSink::new(db, settings, name, content_type, arrival).with_revpos(revpos)
}

/// A stream that must have as many bytes as were announced.
struct Measured<S> {
    source: S,
    /// `None` where nothing was announced.
    left: Option<u64>,
}

impl<S> Measured<S> {
    fn new(source: S, length: Option<u64>) -> Self {
        Self { source, left: length }
    }

    fn measure(&mut self, chunk: Option<&Bytes>) -> Result<(), ApiError> {
        match (chunk, &mut self.left) {
            (Some(chunk), Some(left)) => match left.checked_sub(chunk.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(ApiError::bad_request(LONGER)),
            },
            (None, Some(1..)) => return Err(ApiError::bad_request(SHORTER)),
            (_, Some(0) | None) => {}
        }
        Ok(())
    }
}

impl<S> Stream for Measured<S>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    type Item = Result<Bytes, ApiError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.source.poll_next_unpin(context).map(|chunk| {
            let chunk = chunk.transpose();
            let measured = chunk.and_then(|chunk| {
                self.measure(chunk.as_ref())?;
                Ok(chunk)
            });
            measured.transpose()
        })
    }
}

fn broken(error: MultipartError<ApiError>) -> ApiError {
    match error {
        MultipartError::Source(error) => error,
        MultipartError::PartTooLong { .. } => ApiError::DocumentTooLarge(String::new()),
        MultipartError::Parse(error) => ApiError::bad_request(error.to_string()),
    }
}

/// Makes the attachments of a JSON document ready for its edit; their bytes are uploaded.
///
/// # Errors
/// 413 for one that is too large; 400 for one that was to follow.
pub async fn edit_attachments(
    db: &Arc<Database>,
    settings: &Arc<Settings>,
    listed: Vec<IncomingAttachment>,
) -> Result<Vec<EditAttachment>, ApiError> {
    if inline_bytes(&listed) <= INLINE_BYTES {
        return edit_attachments_blocking(db, settings, listed);
    }
    let (db, settings) = (db.clone(), settings.clone());
    let edit = move || edit_attachments_blocking(&db, &settings, listed);
    blocking::run("store attachments", edit).await?
}

async fn edit_attachment(
    db: &Arc<Database>,
    settings: &Arc<Settings>,
    attachment: IncomingAttachment,
) -> Result<EditAttachment, ApiError> {
    let mut edited = edit_attachments(db, settings, vec![attachment]).await?;
    edited.pop().ok_or_else(|| ApiError::bad_request(SHORTER))
}

fn inline_bytes(listed: &[IncomingAttachment]) -> usize {
    let bytes = listed.iter().map(|attachment| match &attachment.source {
        AttachmentSource::Inline(data) => data.len(),
        AttachmentSource::Stub | AttachmentSource::Follows => 0,
    });
    bytes.sum()
}

/// As [`edit_attachments`], for threads that may block.
///
/// # Errors
/// 413 for one that is too large; 400 for one that was to follow.
pub fn edit_attachments_blocking(
    db: &Database,
    settings: &Settings,
    listed: Vec<IncomingAttachment>,
) -> Result<Vec<EditAttachment>, ApiError> {
    let edit = |mut attachment: IncomingAttachment| {
        check_digest(&attachment)?;
        match std::mem::replace(&mut attachment.source, AttachmentSource::Stub) {
            AttachmentSource::Stub => Ok(EditAttachment {
                name: attachment.name,
                revpos: attachment.revpos,
                source: Source::Stub,
            }),
            AttachmentSource::Inline(data) => {
                let mut sink = sink(db, settings, attachment, Arrival::Plain);
                sink.write(&data)?;
                sink.finish()
            }
            AttachmentSource::Follows => Err(ApiError::bad_request(SHORTER)),
        }
    };
    listed.into_iter().map(edit).collect()
}

/// CouchDB decodes the digest of what does not bring its bytes, and fails where it cannot.
fn check_digest(attachment: &IncomingAttachment) -> Result<(), ApiError> {
    let digest = attachment.digest.as_deref().and_then(|digest| digest.strip_prefix("md5-"));
    let is_inline = matches!(attachment.source, AttachmentSource::Inline(_));
    match digest {
        Some(digest) if !is_inline && STANDARD.decode(digest).is_err() => {
            Err(ApiError::UnknownError("function_clause"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(chunks: &[&'static str], length: Option<u64>) -> Result<(), String> {
        let chunks = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        let mut measured = Measured::new(futures_util::stream::iter(chunks), length);
        let read = async {
            while measured.next().await.transpose()?.is_some() {}
            Ok(())
        };
        let read: Result<(), ApiError> =
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn parts_must_have_the_announced_length() {
        for (chunks, length, expect) in [
            (&["ab", "c"][..], Some(3), Ok(())),
            (&["ab", "c"], None, Ok(())),
            (&[], Some(0), Ok(())),
            (&["ab", "c"], Some(2), Err(LONGER)),
            (&["abc"], Some(2), Err(LONGER)),
            (&["ab", "c"], Some(4), Err(SHORTER)),
            (&[], Some(1), Err(SHORTER)),
        ] {
            let expect = expect.map_err(str::to_owned);
            assert_eq!(measure(chunks, length), expect, "{chunks:?} {length:?}");
        }
    }

    #[test]
    fn digests_that_cannot_be_decoded() {
        for (digest, source, is_fine) in [
            (None, AttachmentSource::Stub, true),
            (Some("md5-XUFAKrxLKna5cZ2REBfFkg=="), AttachmentSource::Stub, true),
            (Some("sha1-x"), AttachmentSource::Follows, true),
            (Some("md5-xxx"), AttachmentSource::Stub, false),
            (Some("md5-xxx"), AttachmentSource::Follows, false),
            (Some("md5-xxx"), AttachmentSource::Inline(Vec::new()), true),
        ] {
            let attachment = IncomingAttachment {
                name: "a".into(),
                content_type: None,
                revpos: None,
                digest: digest.map(str::to_owned),
                source,
                encoding: None,
                encoded_length: None,
                length: None,
            };
            assert_eq!(check_digest(&attachment).is_ok(), is_fine, "{attachment:?}");
        }
    }
}
