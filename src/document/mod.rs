//! Documents as pure values: ids, revisions, revision trees, bodies and attachment stubs.
//!
//! Nothing here does I/O or knows where a document is stored; every other layer stands on it.

pub mod attachment;
pub mod encode;
pub mod id;
pub mod incoming;
pub mod json;
pub mod rev;
pub mod rev_hash;
pub mod revtree;

pub use attachment::{Attachment, Digest, Encoding};
pub use id::{DocId, DocIdError};
pub use rev::{Rev, RevError, RevHash, Revisions};

use bytes::Bytes;

/// One stored revision of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub id: DocId,
    pub rev: Rev,
    pub deleted: bool,
    /// The body as minified JSON text: an object without its `_` members, member order kept.
    pub body: Bytes,
    /// In the order in which CouchDB shows them.
    pub attachments: Vec<Attachment>,
}
