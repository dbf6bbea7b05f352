//! Attachments on their way from a source to a target: read as they come, taken up again where a
//! connection was cut, checked against their digest. One chunk is in memory at a time.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, try_unfold};
use md5::{Digest as _, Md5};

use crate::document::{Digest, Encoding};

use super::peer::{AttachmentBody, AttachmentHolder, Revision, Stub};
use super::{PeerError, Retries};

/// Reads the attachments of a source.
#[derive(Clone)]
pub struct AttachmentSource {
    holder: Arc<dyn AttachmentHolder>,
    retries: Retries,
}

/// An attachment's bytes as they come.
pub struct AttachmentStream {
    pub encoding: Encoding,
    pub bytes: BoxStream<'static, Result<Bytes, PeerError>>,
}

impl AttachmentSource {
    #[must_use]
    pub fn new(holder: Arc<dyn AttachmentHolder>, retries: Retries) -> Self {
        Self { holder, retries }
    }

    /// Opens an attachment. The stream fails where the bytes are not those of the stub.
    ///
    /// # Errors
    /// Where the source cannot be read.
    pub async fn open(
        &self,
        revision: &Arc<Revision>,
        stub: &Stub,
    ) -> Result<AttachmentStream, PeerError> {
        let (source, revision) = (self.clone(), revision.clone());
        let body = self.holder.attachment(&revision, stub, 0).await?;
        let encoding = body.encoding;
        let reading = Reading {
            source,
            revision,
            stub: stub.clone(),
            encoding,
            body: Some(Opened::at(0, body)),
            offset: 0,
            md5: Md5::new(),
        };
        let bytes = try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        });
        Ok(AttachmentStream { encoding, bytes: bytes.boxed() })
    }
}

/// A connection's bytes, and how many of them are known already.
struct Opened {
    bytes: BoxStream<'static, Result<Bytes, PeerError>>,
    skip: u64,
}

impl Opened {
    fn at(offset: u64, body: AttachmentBody) -> Self {
        Self { bytes: body.bytes, skip: offset.saturating_sub(body.offset) }
    }
}

struct Reading {
    source: AttachmentSource,
    revision: Arc<Revision>,
    stub: Stub,
    encoding: Encoding,
    /// Nothing where the connection was cut.
    body: Option<Opened>,
    /// Bytes given so far.
    offset: u64,
    md5: Md5,
}

impl Reading {
    /// The next bytes, from as many connections as it takes; each that brings something on is a
    /// first attempt again.
    async fn next(&mut self) -> Result<Option<Bytes>, PeerError> {
        let mut attempts = self.source.retries.attempts();
        loop {
            match self.advance().await {
                Err(error) if error.is_transient() => {
                    self.body = None;
                    attempts.wait(error).await?;
                }
                ended => return ended,
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, PeerError> {
        let body = match self.body.take() {
            Some(body) => self.body.insert(body),
            None => {
                let holder = &self.source.holder;
                let body = holder.attachment(&self.revision, &self.stub, self.offset).await?;
                if body.encoding != self.encoding {
                    let reason = "an attachment's encoding changed while it was read";
                    return Err(PeerError::Local(reason.to_owned()));
                }
                self.body.insert(Opened::at(self.offset, body))
            }
        };
        while let Some(mut bytes) = body.bytes.next().await.transpose()? {
            let known = usize::try_from(body.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(known);
            body.skip -= known as u64;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                self.md5.update(&bytes);
                // More than there should be need not be read to its end.
                return if self.offset > self.length() {
                    self.check_end()
                } else {
                    Ok(Some(bytes))
                };
            }
        }
        self.check_end()
    }

    /// Bytes that make the attachment.
    fn length(&self) -> u64 {
        let stored = self.encoding == self.stub.encoding;
        if stored { self.stub.encoded_length } else { self.stub.length }
    }

    /// All that the source sent is here: is it the attachment?
    fn check_end(&mut self) -> Result<Option<Bytes>, PeerError> {
        let stored = self.encoding == self.stub.encoding;
        let length = self.length();
        if self.offset < length {
            let reason = format!("attachment {} ended early", self.stub.name);
            return Err(PeerError::Unreachable(reason));
        }
        let digest = Digest(std::mem::take(&mut self.md5).finalize().into());
        let wanted = Digest::parse(&self.stub.digest);
        if self.offset > length || stored && wanted.is_some_and(|wanted| wanted != digest) {
            let reason = format!("attachment {} is not what its digest says", self.stub.name);
            return Err(PeerError::Local(reason));
        }
        Ok(None)
    }
}
