//! What a writer is asked to do to documents, and what came of it.

use bytes::Bytes;

use crate::design::FunctionError;
use crate::document::{Attachment, DocId, Rev, Revisions};

use super::attachments::Blob;

/// On what an edit stands; the one place where interactive and replicated edits differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// No revision was given: the document must not exist, or be deleted.
    New,
    /// The revision that the client read; it must be a leaf.
    On(Rev),
    /// The revision and its ancestors come from another database and are taken as they are
    /// (`new_edits=false`).
    Replicated(Revisions),
}

/// One new revision of one document.
#[derive(Debug, Clone)]
pub struct Edit {
    pub id: DocId,
    pub base: Base,
    pub deleted: bool,
    /// Minified JSON without `_` members.
    pub body: Vec<u8>,
    /// The body as the revision hash sees it (`document::incoming`).
    pub body_term: Vec<u8>,
    pub attachments: Vec<EditAttachment>,
}

impl Edit {
    /// Bytes that the edit holds in memory while it waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(EditAttachment::bytes).sum();
        self.id.as_str().len() + self.body.len() + self.body_term.len() + attachments + 256
    }
}

/// An attachment of an [`Edit`].
#[derive(Debug, Clone)]
pub struct EditAttachment {
    pub name: String,
    /// The generation that brought the bytes, where the client says so.
    pub revpos: Option<u64>,
    pub source: Source,
}

impl EditAttachment {
    /// What another document of the same database has, shared.
    #[must_use]
    pub fn shared(attachment: Attachment) -> Self {
        Self { name: attachment.name.clone(), revpos: None, source: Source::Shared(attachment) }
    }

    fn bytes(&self) -> usize {
        match &self.source {
            Source::Stub | Source::Shared(_) => self.name.len(),
            Source::Bytes { blob, content_type } => {
                self.name.len() + content_type.len() + blob.bytes_in_memory()
            }
        }
    }
}

/// Where an attachment's bytes come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The revision below has an attachment of that name; it is kept.
    Stub,
    Bytes {
        content_type: String,
        blob: Blob,
    },
    /// Another document of the database has it.
    Shared(Attachment),
}

/// What became of an [`Edit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditOutcome {
    Saved(Rev),
    /// A replicated revision that the tree had already.
    Known(Rev),
    Conflict,
    /// A validation function does not let it in, or cannot say.
    Refused(FunctionError),
    /// A stub names no attachment of the revision below.
    MissingStub {
        name: String,
    },
    /// The document would grow in a partition that is full.
    PartitionOverflow,
}

/// A write of a `_local` document: the last one wins, whatever revision it names.
#[derive(Debug, Clone)]
pub struct LocalEdit {
    pub id: DocId,
    /// The number in the `0-N` that the client gave.
    pub given: u64,
    /// `None` deletes the document.
    pub body: Option<Bytes>,
}

/// What became of a [`LocalEdit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalOutcome {
    /// The number in the document's new `0-N`.
    Saved(u64),
    Missing,
}
