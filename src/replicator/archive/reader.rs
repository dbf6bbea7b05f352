//! Reads a file in batches: one that settee wrote, or documents from elsewhere.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::document::Encoding;
use crate::replicator::http_peer::revision;
use crate::replicator::{Revision, Stub, WriteFailure};

use super::chunks::{FileAt, Located};
use super::foreign::{self, Foreign};
use super::format::{AttachmentLine, DataLine, End, SkippedLine, VERSION};
use super::values::{Found, Values, Wrapping};
use super::{ArchiveError, Header, NewDocument};

/// What one batch has, at most, if no document is larger.
const BATCH_DOCUMENTS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// Design documents that are kept in memory until the end.
const DEFERRED_BYTES_MAX: usize = 64 << 20;
/// Where the last line is looked for.
const LAST_LINE_BYTES: u64 = 4 << 10;

/// What is done with a file whose end is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    Refuse,
    /// Its documents are read as far as they go.
    Take,
}

/// A file that is being read.
pub struct ArchiveReader {
    file: Arc<File>,
    values: Values<FileAt>,
    kind: Kind,
    truncated: Truncated,
    is_over: bool,
    /// Documents until now.
    documents: u64,
    deferred: Vec<Document>,
    deferred_bytes: usize,
}

enum Kind {
    Archive(Header),
    Foreign(Wrapping),
}

/// A document to be written.
#[derive(Debug)]
pub(super) enum Document {
    Replicated(Replicated),
    New(NewDocument),
}

#[derive(Debug)]
pub(super) struct Replicated {
    pub revision: Revision,
    pub located: Vec<Located>,
}

/// Documents that are dealt with together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub documents: Vec<Document>,
    /// Documents that are not whole in the file.
    pub failures: Vec<WriteFailure>,
    /// How much of the file has been read.
    pub reached: u64,
}

/// What stands next.
enum Read {
    Document(Document),
    Failed(WriteFailure),
    Nothing,
}

impl ArchiveReader {
    /// Finds out what the file is.
    ///
    /// # Errors
    /// Where it cannot be read, begins with nothing known, or has no end, if that is refused.
    pub fn open(file: File, truncated: Truncated) -> Result<Self, ArchiveError> {
        let file = Arc::new(file);
        let at_start = || Values::new(FileAt { file: file.clone(), offset: 0 }, 0);
        let mut values = at_start();
        let first = values.next();
        let header = first.as_ref().ok().copied().flatten().and_then(|found| header(&found));
        let kind = match header.transpose()? {
            Some(header) if header.version() > VERSION => {
                return Err(ArchiveError::Version(header.version()));
            }
            Some(header) => {
                if truncated == Truncated::Refuse && !has_end(&file)? {
                    return Err(ArchiveError::Truncated);
                }
                Kind::Archive(header)
            }
            None => {
                values = at_start();
                Kind::Foreign(values.unwrap()?)
            }
        };
        let (deferred, deferred_bytes) = (Vec::new(), 0);
        let (is_over, documents) = (false, 0);
        Ok(Self { file, values, kind, truncated, is_over, documents, deferred, deferred_bytes })
    }

    /// What the file says of the database; nothing where another tool wrote it.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        match &self.kind {
            Kind::Archive(header) => Some(header),
            Kind::Foreign(_) => None,
        }
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// The next documents, without design documents, whose functions would be asked about all
    /// that comes after them.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, ArchiveError> {
        let (mut batch, mut bytes, mut count) = (Batch::default(), 0, 0);
        while !self.is_over && count < BATCH_DOCUMENTS && bytes < BATCH_BYTES {
            count += 1;
            match self.next_document()? {
                None => self.is_over = true,
                Some(Read::Nothing) => {}
                Some(Read::Failed(failure)) => batch.failures.push(failure),
                Some(Read::Document(document)) => {
                    let length = document.length();
                    if document.is_design() && self.deferred_bytes + length < DEFERRED_BYTES_MAX {
                        self.deferred_bytes += length;
                        self.deferred.push(document);
                    } else {
                        bytes += length;
                        batch.documents.push(document);
                    }
                }
            }
        }
        batch.reached = self.values.offset();
        Ok((count > 0).then_some(batch))
    }

    /// The design documents, once all others have been written.
    pub(super) fn deferred(&mut self) -> Batch {
        let documents = std::mem::take(&mut self.deferred);
        Batch { documents, reached: self.values.offset(), ..Batch::default() }
    }

    fn next_document(&mut self) -> Result<Option<Read>, ArchiveError> {
        let read = match self.kind {
            Kind::Archive(_) => self.archived(),
            Kind::Foreign(wrapping) => self.foreign(wrapping),
        };
        match (read, self.truncated) {
            (Err(ArchiveError::Truncated | ArchiveError::Unclosed { .. }), Truncated::Take) => {
                Ok(None)
            }
            (read, _) => read,
        }
    }

    fn archived(&mut self) -> Result<Option<Read>, ArchiveError> {
        let found = self.values.next()?.ok_or(ArchiveError::Truncated)?;
        let revision = match revision::read(Bytes::copy_from_slice(found.text)) {
            Ok(revision) => revision,
            Err(bad) => {
                let end = serde_json::from_slice(found.text).map_err(|_| broken(&found, &bad))?;
                return self.check_end(&end).map(|()| None);
            }
        };
        self.documents += 1;
        let mut located = Vec::with_capacity(revision.attachments.len());
        for stub in &revision.attachments {
            match locate(&mut self.values, stub)? {
                Ok(found) => located.push(found),
                Err(reason) => {
                    self.documents -= 1;
                    let (id, error) = (revision.id, "skipped".to_owned());
                    return Ok(Some(Read::Failed(WriteFailure { id, error, reason })));
                }
            }
        }
        let document = Document::Replicated(Replicated { revision, located });
        Ok(Some(Read::Document(document)))
    }

    fn check_end(&mut self, end: &End) -> Result<(), ArchiveError> {
        if let Some(more) = self.values.next()? {
            return Err(broken(&more, "the file goes on after its end"));
        }
        let (announced, found) = (end.docs, self.documents);
        if announced == found { Ok(()) } else { Err(ArchiveError::Incomplete { announced, found }) }
    }

    fn foreign(&mut self, wrapping: Wrapping) -> Result<Option<Read>, ArchiveError> {
        let Some(found) = self.values.next()? else { return Ok(None) };
        self.documents += 1;
        let read = foreign::read(found.text, wrapping, self.documents);
        Ok(Some(match read.map_err(|error| broken(&found, &error))? {
            Foreign::Revision(revision) => {
                let located = Vec::new();
                Read::Document(Document::Replicated(Replicated { revision, located }))
            }
            Foreign::New(document) => Read::Document(Document::New(document)),
            Foreign::Failed(failure) => Read::Failed(failure),
            Foreign::Nothing => Read::Nothing,
        }))
    }
}

impl Document {
    fn is_design(&self) -> bool {
        let id = match self {
            Self::Replicated(replicated) => &replicated.revision.id,
            Self::New(new) => &new.id,
        };
        id.starts_with("_design/")
    }

    fn length(&self) -> usize {
        match self {
            Self::Replicated(replicated) => replicated.revision.text.len(),
            Self::New(new) => new.text.len(),
        }
    }
}

fn broken(found: &Found<'_>, reason: &(impl ToString + ?Sized)) -> ArchiveError {
    ArchiveError::Broken { line: found.line, reason: reason.to_string() }
}

/// The header that a file's first object is, if it is one.
fn header(found: &Found<'_>) -> Option<Result<Header, ArchiveError>> {
    // Not a document that happens to have such a member.
    let is_header = found.text.get(1..).is_some_and(|text| {
        text.trim_ascii_start().starts_with(b"\"settee_export\"")
            && serde_json::from_slice::<Value>(found.text)
                .is_ok_and(|header| header["settee_export"].is_u64())
    });
    let header = || serde_json::from_slice(found.text).map_err(|error| broken(found, &error));
    is_header.then(header)
}

fn has_end(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LAST_LINE_BYTES);
    let mut last = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut last, start)?;
    let last = last.trim_ascii_end();
    let line = last.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<End>(line).is_ok())
}

/// Passes over an attachment's lines; why its document is skipped, where it is.
fn locate(
    values: &mut Values<FileAt>,
    stub: &Stub,
) -> Result<Result<Located, String>, ArchiveError> {
    let found = values.next()?.ok_or(ArchiveError::Truncated)?;
    let line: AttachmentLine<'_> = match serde_json::from_slice(found.text) {
        Ok(line) => line,
        Err(error) => return skipped(&found, &error).map(Err),
    };
    let encoding = Encoding::from(line.encoding);
    let length = match (encoding, stub.encoding) {
        (Encoding::Identity, _) => stub.length,
        (Encoding::Gzip, _) => stub.encoded_length,
    };
    let is_packed_by_itself = encoding == Encoding::Gzip && stub.encoding == Encoding::Identity;
    if line.attachment != stub.name || line.length != length || is_packed_by_itself {
        let reason = format!("this is not attachment {} of the document before", stub.name);
        return Err(broken(&found, &reason));
    }
    let offset = values.offset();
    let mut left = length;
    while left > 0 {
        let found = values.next()?.ok_or(ArchiveError::Truncated)?;
        let data: DataLine<'_> = match serde_json::from_slice(found.text) {
            Ok(data) => data,
            Err(error) => return skipped(&found, &error).map(Err),
        };
        let bytes = foreign::decoded_length(data.data);
        let fits = left.checked_sub(bytes).filter(|_| bytes > 0);
        let wrong = || format!("attachment {} has another length than it should", stub.name);
        left = fits.ok_or_else(|| broken(&found, &wrong()))?;
    }
    Ok(Ok(Located { name: stub.name.clone(), offset, length, encoding }))
}

/// Why the document is skipped; that line, or `error` about a line that is something else.
fn skipped(found: &Found<'_>, error: &serde_json::Error) -> Result<String, ArchiveError> {
    let line: SkippedLine<'_> =
        serde_json::from_slice(found.text).map_err(|_| broken(found, error))?;
    Ok(line.skipped.into_owned())
}
