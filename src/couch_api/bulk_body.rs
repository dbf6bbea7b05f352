//! The body of `_bulk_docs`: in memory while it is small, in a nameless file when it is large, so
//! that memory does not grow with what clients send.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::header;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::blocking;
use crate::config::Settings;
use crate::document::incoming::{Bulk, BulkScanner, BulkSpans, Limits, parse_bulk};
use crate::http::gzip::{Gunzip, GunzipError};

use super::body_memory::BodyMemory;
use super::error::ApiError;
use super::request::Request;

/// The largest body that is held in memory.
const MEMORY_BYTES_MAX: usize = 8 << 20;
/// Bytes that go to the file at once.
const WRITE_BYTES: usize = 512 << 10;

/// Where the text of a request is.
#[derive(Debug, Clone)]
enum Text {
    Memory(Bytes),
    File(Arc<File>),
}

/// A request, and where its documents stand in it.
#[derive(Debug, Clone)]
pub struct BulkBody {
    text: Text,
    pub documents: Arc<[Range<u64>]>,
    pub new_edits: bool,
    pub all_or_nothing: bool,
}

impl BulkBody {
    /// Takes the body of a request.
    ///
    /// # Errors
    /// 413, 415, and what makes the text no `_bulk_docs` request.
    pub async fn receive(request: &mut Request) -> Result<Self, ApiError> {
        let mut place = Place {
            limit: request.settings.chttpd.max_http_request_size,
            scratch: request.app.scratch.clone(),
            settings: request.settings.clone(),
            memory: std::mem::take(&mut request.memory),
        };
        let body = match request.header(header::CONTENT_ENCODING.as_str()) {
            None | Some("identity") => receive(request.take_body()?, &mut place).await,
            Some("gzip") => {
                let unpacked = Gunzip::new(request.take_body()?).map(|chunk| {
                    chunk.map_err(|error| match error {
                        GunzipError::Source(error) => error,
                        GunzipError::Gzip(_) => {
                            ApiError::bad_request("Request body is not properly gzipped.")
                        }
                    })
                });
                receive(unpacked, &mut place).await
            }
            Some(other) => {
                let reason = format!("{other} is not a supported content encoding.");
                Err(ApiError::BadContentType(reason.into()))
            }
        };
        request.memory = place.memory;
        body
    }

    /// Bytes of the text, where it is in memory.
    #[must_use]
    pub fn bytes_in_memory(&self) -> Option<usize> {
        match &self.text {
            Text::Memory(text) => Some(text.len()),
            Text::File(_) => None,
        }
    }

    /// The text of one document. Reads from disk where the request is large.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn document(&self, span: &Range<u64>) -> Result<Cow<'_, [u8]>, ApiError> {
        let length = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
        match &self.text {
            Text::Memory(text) => {
                let start = usize::try_from(span.start).unwrap_or(usize::MAX);
                let found = text.get(start..start.saturating_add(length));
                Ok(Cow::Borrowed(found.unwrap_or_default()))
            }
            Text::File(file) => {
                let mut text = vec![0; length];
                file.read_exact_at(&mut text, span.start)?;
                Ok(Cow::Owned(text))
            }
        }
    }

    fn in_memory(text: Bytes) -> Result<Self, ApiError> {
        let Bulk { documents, new_edits, all_or_nothing } = parse_bulk(&text, &Limits::default())?;
        let start = text.as_ptr() as usize;
        let span = |document: &&[u8]| {
            let at = (document.as_ptr() as usize).saturating_sub(start) as u64;
            at..at + document.len() as u64
        };
        let documents = documents.iter().map(span).collect();
        Ok(Self { documents, new_edits, all_or_nothing, text: Text::Memory(text) })
    }
}

/// Where a request may go.
struct Place {
    limit: u64,
    scratch: PathBuf,
    settings: Arc<Settings>,
    memory: BodyMemory,
}

async fn receive<S>(mut chunks: S, place: &mut Place) -> Result<BulkBody, ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Send + Unpin,
{
    let mut waiting = BytesMut::new();
    while let Some(chunk) = chunks.next().await.transpose()? {
        if waiting.is_empty() && chunk.len() > MEMORY_BYTES_MAX / 2 {
            waiting.reserve(chunk.len());
        }
        waiting.extend_from_slice(&chunk);
        place.memory.hold(waiting.len() as u64, &place.settings.limits)?;
        if waiting.len() > MEMORY_BYTES_MAX {
            let scratch = place.scratch.clone();
            let spool = blocking::run("make a spool file", move || Spool::new(&scratch));
            return spool_all(spool.await??, waiting, chunks, place.limit).await;
        }
    }
    let text = waiting.freeze();
    let large = text.len() > MEMORY_BYTES_MAX / 64;
    if large {
        blocking::run("find bulk documents", move || BulkBody::in_memory(text)).await?
    } else {
        BulkBody::in_memory(text)
    }
}

/// A file on its way, and what has been found in it.
struct Spool {
    file: File,
    scanner: BulkScanner,
    bytes: u64,
}

impl Spool {
    fn new(scratch: &Path) -> Result<Self, ApiError> {
        let file = tempfile::tempfile_in(scratch)?;
        Ok(Self { file, scanner: BulkScanner::new(Limits::default()), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.bytes += bytes.len() as u64;
        self.scanner.push(bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    fn finish(self) -> Result<BulkBody, ApiError> {
        let BulkSpans { documents, new_edits, all_or_nothing } = self.scanner.finish()?;
        let text = Text::File(Arc::new(self.file));
        Ok(BulkBody { text, documents: documents.into(), new_edits, all_or_nothing })
    }
}

async fn spool_all<S>(
    mut spool: Spool,
    mut waiting: BytesMut,
    mut chunks: S,
    limit: u64,
) -> Result<BulkBody, ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Send + Unpin,
{
    loop {
        let chunk = chunks.next().await.transpose()?;
        let ended = chunk.is_none();
        waiting.extend_from_slice(&chunk.unwrap_or_default());
        if !ended && waiting.len() < WRITE_BYTES {
            continue;
        }
        if spool.bytes + waiting.len() as u64 > limit {
            return Err(ApiError::BodyTooLarge);
        }
        let bytes = waiting.split().freeze();
        let written = blocking::run("spool bulk documents", move || {
            spool.write(&bytes)?;
            Ok::<_, ApiError>(spool)
        });
        spool = written.await??;
        if ended {
            return spool.finish();
        }
    }
}
