//! Attachment bytes on their way in: limited, compressed where CouchDB compresses them, stored.
//!
//! Digests and revision ids depend on the stored bytes, so whether an attachment is compressed
//! follows CouchDB exactly: by its type, and never a second time. Memory is bounded by one batch
//! whatever the attachment's size.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::blocking;
use crate::config::Settings;
use crate::database::attachments::{Blob, CHUNK_BYTES, Upload};
use crate::database::{Database, EditAttachment, Source};
use crate::document::Encoding;
use crate::http::gzip::GzipWriter;

use super::error::ApiError;

/// The type of an attachment that came without one.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Up to this size an attachment is not worth a crossing to another thread.
pub const INLINE_BYTES: usize = 8 << 10;

/// How an attachment's bytes come from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Plain,
    /// Compressed already; `length` is that of the unpacked bytes, where the client tells it.
    Gzip {
        length: Option<u64>,
    },
}

/// Takes one attachment's bytes as the client sends them. For threads that may block, except
/// for the first [`CHUNK_BYTES`].
pub struct AttachmentSink {
    upload: Upload,
    form: Form,
    name: String,
    content_type: String,
    revpos: Option<u64>,
    taken: u64,
    bytes_max: u64,
}

/// From the bytes that come to those that are stored.
enum Form {
    Identity,
    Compress { writer: GzipWriter, ready: Vec<u8> },
    Gzip { length: Option<u64> },
}

impl AttachmentSink {
    #[must_use]
    pub fn new(
        db: &Database,
        settings: &Settings,
        name: String,
        content_type: String,
        arrival: Arrival,
    ) -> Self {
        let form = match arrival {
            Arrival::Gzip { length } => Form::Gzip { length },
            Arrival::Plain if settings.attachments.is_compressible(&content_type) => {
                let writer = GzipWriter::new(settings.attachments.compression_level);
                Form::Compress { writer, ready: Vec::new() }
            }
            Arrival::Plain => Form::Identity,
        };
        Self {
            upload: db.upload(),
            form,
            name,
            content_type,
            revpos: None,
            taken: 0,
            bytes_max: settings.couchdb.max_attachment_size.unwrap_or(u64::MAX),
        }
    }

    /// The generation that the client says the bytes are from.
    #[must_use]
    pub fn with_revpos(mut self, revpos: Option<u64>) -> Self {
        self.revpos = revpos;
        self
    }

    /// # Errors
    /// 413 with the attachment's name where so many bytes are too many.
    pub fn check_length(&self, length: u64) -> Result<(), ApiError> {
        if length > self.bytes_max {
            Err(ApiError::AttachmentTooLarge(self.name.clone()))
        } else {
            Ok(())
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// 413 where they are too many; those of storage.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.taken += bytes.len() as u64;
        self.check_length(self.taken)?;
        match &mut self.form {
            Form::Identity | Form::Gzip { .. } => self.upload.write(bytes)?,
            Form::Compress { writer, ready } => {
                writer.write(bytes, ready)?;
                self.upload.write(ready)?;
                ready.clear();
            }
        }
        Ok(())
    }

    /// Ends the attachment.
    ///
    /// # Errors
    /// Those of storage.
    pub fn finish(mut self) -> Result<EditAttachment, ApiError> {
        let (encoding, length) = match self.form {
            Form::Identity => (Encoding::Identity, self.taken),
            // As CouchDB: the unpacked length is not looked for, and counts as unknown where it
            // equals the stored one.
            Form::Gzip { length } => (Encoding::Gzip, length.unwrap_or(self.taken)),
            Form::Compress { writer, mut ready } => {
                writer.finish(&mut ready)?;
                self.upload.write(&ready)?;
                (Encoding::Gzip, self.taken)
            }
        };
        let blob: Blob = self.upload.finish(encoding, length)?;
        let source = Source::Bytes { content_type: self.content_type, blob };
        Ok(EditAttachment { name: self.name, revpos: self.revpos, source })
    }
}

/// Stores all that `chunks` has. Bytes cross to a thread that may block in batches of about one
/// stored chunk; a small attachment does not cross at all.
///
/// # Errors
/// Those of the stream and of the sink.
pub async fn store<S>(mut sink: AttachmentSink, mut chunks: S) -> Result<EditAttachment, ApiError>
where
    S: Stream<Item = Result<Bytes, ApiError>> + Unpin,
{
    const OPERATION: &str = "store an attachment";
    let mut batch = BytesMut::new();
    while let Some(chunk) = chunks.next().await.transpose()? {
        batch.extend_from_slice(&chunk);
        if batch.len() >= CHUNK_BYTES {
            let full = std::mem::take(&mut batch);
            let write = move || sink.write(&full).map(|()| sink);
            sink = blocking::run(OPERATION, write).await??;
        }
    }
    if sink.taken == 0 && batch.len() <= INLINE_BYTES {
        sink.write(&batch)?;
        return sink.finish();
    }
    let finish = move || {
        sink.write(&batch)?;
        sink.finish()
    };
    blocking::run(OPERATION, finish).await?
}
