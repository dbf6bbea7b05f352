//! The bytes of attachments as they stand in a file, read from where they begin.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;

use crate::blocking;
use crate::document::Encoding;
use crate::replicator::{Answer, AttachmentBody, AttachmentHolder, PeerError, Revision, Stub};

use super::Tally;
use super::format::DataLine;
use super::values::Values;

/// Bytes of an attachment that are read in one go.
const READ_BYTES: usize = 1 << 20;

/// Reads a file from an offset on, whoever else reads it.
#[derive(Debug, Clone)]
pub(super) struct FileAt {
    pub file: Arc<File>,
    pub offset: u64,
}

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Where the bytes of an attachment are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub name: String,
    /// Of the first line of data.
    pub offset: u64,
    /// Of the bytes as they are encoded.
    pub length: u64,
    pub encoding: Encoding,
}

/// The attachments of one revision.
#[derive(Debug)]
pub(super) struct LocatedAttachments {
    pub file: Arc<File>,
    pub located: Vec<Located>,
    /// Is told how far reading has come.
    pub tally: Arc<Tally>,
}

impl AttachmentHolder for LocatedAttachments {
    /// Always from the beginning.
    fn attachment<'a>(
        &'a self,
        revision: &'a Revision,
        stub: &'a Stub,
        _: u64,
    ) -> Answer<'a, AttachmentBody> {
        let found = self.located.iter().find(|located| located.name == stub.name);
        let missing = || format!("the file has no attachment {} of {}", stub.name, revision.id);
        let body = found.ok_or_else(|| PeerError::Local(missing())).map(|located| {
            let source = FileAt { file: self.file.clone(), offset: located.offset };
            let reading = (Values::new(source, located.offset), located.length);
            let tally = self.tally.clone();
            let bytes = try_unfold(reading, move |(mut values, mut left)| {
                let tally = tally.clone();
                async move {
                    let work = move || {
                        let piece = read_piece(&mut values, &mut left);
                        tally.reach(values.offset());
                        (piece, (values, left))
                    };
                    let (piece, reading) = blocking::run("read attachment", work).await?;
                    let piece = piece?;
                    Ok((!piece.is_empty()).then_some((piece, reading)))
                }
            });
            AttachmentBody { encoding: located.encoding, offset: 0, bytes: bytes.boxed() }
        });
        Box::pin(std::future::ready(body))
    }
}

/// The next of the `left` bytes; nothing at their end.
fn read_piece(values: &mut Values<FileAt>, left: &mut u64) -> Result<Bytes, PeerError> {
    let changed = || PeerError::Local("the file changed while it was read".to_owned());
    let mut piece = Vec::new();
    while *left > 0 && piece.len() < READ_BYTES {
        let found = values.next().map_err(|error| PeerError::Local(error.to_string()))?;
        let found = found.ok_or_else(changed)?;
        let line: DataLine<'_> = serde_json::from_slice(found.text).map_err(|_| changed())?;
        let before = piece.len();
        STANDARD
            .decode_vec(line.data, &mut piece)
            .map_err(|error| PeerError::Local(format!("an attachment's bytes: {error}")))?;
        *left = left.checked_sub((piece.len() - before) as u64).ok_or_else(changed)?;
    }
    Ok(piece.into())
}
