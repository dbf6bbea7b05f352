//! Answers made of text and attachment bytes, one piece after the other, in constant memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::blocking;
use crate::database::attachments::BlobReader;
use crate::http::gzip::GzipReader;
use crate::http::range::ByteRange;

use super::error::ApiError;
use super::stream::PAGE_BYTES;

/// Pages that one crossing to a thread that may block brings: fewer crossings cost more memory
/// for each slow reader.
const READ_AHEAD: usize = 4;
/// The same for a reader who has taken the pages before in less than [`FAST`].
const READ_AHEAD_FAST: usize = 16;
const FAST: Duration = Duration::from_millis(10);

/// An attachment's bytes on their way out, chunk by chunk.
pub struct AttachmentBytes {
    reader: BlobReader,
    offset: u64,
    /// Where to stop, in stored bytes.
    end: u64,
    unpacking: Option<Unpacking>,
}

struct Unpacking {
    gzip: GzipReader,
    /// Stored bytes that were read and not yet unpacked.
    input: Bytes,
}

impl AttachmentBytes {
    /// The bytes as they are stored.
    #[must_use]
    pub fn stored(reader: BlobReader) -> Self {
        let end = reader.encoded_length();
        Self { reader, offset: 0, end, unpacking: None }
    }

    /// A part of the bytes as they are stored.
    #[must_use]
    pub fn range(reader: BlobReader, range: ByteRange) -> Self {
        let end = range.end.saturating_add(1).min(reader.encoded_length());
        Self { reader, offset: range.start, end, unpacking: None }
    }

    /// What was compressed into the stored bytes.
    #[must_use]
    pub fn unpacked(reader: BlobReader) -> Self {
        let unpacking = Unpacking { gzip: GzipReader::new(), input: Bytes::new() };
        Self { unpacking: Some(unpacking), ..Self::stored(reader) }
    }

    /// The next bytes; `None` at the end. For threads that may block.
    ///
    /// # Errors
    /// Where storage fails, or stored bytes are not the gzip data that they should be.
    pub fn read(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(unpacking) = &mut self.unpacking
                && let Some(bytes) = unpacking.gzip.read(&mut unpacking.input)?
            {
                return Ok(Some(bytes));
            }
            let stored = self.read_stored()?;
            match (&mut self.unpacking, stored) {
                (None, stored) => return Ok(stored),
                (Some(unpacking), Some(stored)) => unpacking.input = stored,
                (Some(unpacking), None) => {
                    unpacking.gzip.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    fn read_stored(&mut self) -> Result<Option<Bytes>, ApiError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let mut bytes = self.reader.read_at(self.offset)?;
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        bytes.truncate(left);
        self.offset += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn is_at_end(&self) -> bool {
        self.offset >= self.end && self.unpacking.is_none()
    }
}

enum Piece {
    Text(Bytes),
    Attachment(AttachmentBytes),
}

/// What is still to be sent.
#[derive(Default)]
pub struct Pieces(VecDeque<Piece>);

impl Pieces {
    pub fn push_text(&mut self, text: impl Into<Bytes>) {
        self.0.push_back(Piece::Text(text.into()));
    }

    pub fn push_attachment(&mut self, bytes: AttachmentBytes) {
        self.0.push_back(Piece::Attachment(bytes));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes, about [`PAGE_BYTES`] or one stored chunk; `None` at the end. For threads
    /// that may block.
    ///
    /// # Errors
    /// Those of the attachments.
    pub fn next_page(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut page = Vec::new();
        while page.len() < PAGE_BYTES
            && let Some(piece) = self.0.front_mut()
        {
            let (bytes, last) = match piece {
                Piece::Text(text) => (Some(std::mem::take(text)), true),
                Piece::Attachment(attachment) => {
                    let bytes = attachment.read()?;
                    let last = bytes.is_none() || attachment.is_at_end();
                    (bytes, last)
                }
            };
            if last {
                self.0.pop_front();
            }
            match bytes {
                Some(bytes) if page.is_empty() && bytes.len() >= PAGE_BYTES => {
                    return Ok(Some(bytes));
                }
                Some(bytes) => page.extend_from_slice(&bytes),
                None => {}
            }
        }
        Ok((!page.is_empty()).then(|| page.into()))
    }

    /// Appends the next bytes, until `out` has about [`PAGE_BYTES`] or nothing is left.
    ///
    /// # Errors
    /// Those of the attachments.
    pub fn write_page(&mut self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        while out.len() < PAGE_BYTES
            && let Some(bytes) = self.next_page()?
        {
            out.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// The body of an answer. Reads the first page at once, so that its errors have a status and
    /// a small answer is whole. For threads that may block.
    ///
    /// # Errors
    /// Those of the first page.
    pub fn into_body(mut self) -> Result<Body, ApiError> {
        let first = self.next_page()?.unwrap_or_default();
        if self.is_empty() {
            return Ok(Body::from(first));
        }
        let rest = stream::try_unfold((self, None), |(mut pieces, read_at)| async move {
            let is_fast = read_at.is_some_and(|at: Instant| at.elapsed() < FAST);
            let ahead = if is_fast { READ_AHEAD_FAST } else { READ_AHEAD };
            let read = move || pieces.read_ahead(ahead).map(|pages| (pages, pieces));
            let (pages, pieces) = blocking::run("read attachments", read).await??;
            let state = (pieces, Some(Instant::now()));
            let more = !pages.is_empty();
            Ok::<_, ApiError>(more.then(|| (stream::iter(pages.into_iter().map(Ok)), state)))
        });
        let first = stream::once(async move { Ok::<_, ApiError>(first) });
        Ok(Body::from_stream(first.chain(rest.try_flatten())))
    }

    fn read_ahead(&mut self, most: usize) -> Result<Vec<Bytes>, ApiError> {
        let mut pages = Vec::with_capacity(most);
        while pages.len() < most
            && let Some(page) = self.next_page()?
        {
            pages.push(page);
        }
        Ok(pages)
    }
}
