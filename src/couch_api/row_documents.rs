//! Documents inside rows: `include_docs` of `_all_docs`, `_changes` and views.

use crate::database::{Database, Head};
use crate::document::encode::{EncodingInfo, Extras, write_document};
use crate::document::{Document, Rev, revtree};

use super::document_parts::load_attachment_data;
use super::error::ApiError;

/// Whether rows carry the bytes of attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowAttachments {
    #[default]
    Stubs,
    Data,
}

/// How a row's document is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowDocuments {
    pub attachments: RowAttachments,
    pub encoding_info: EncodingInfo,
}

impl RowDocuments {
    /// As the parameters `attachments` and `att_encoding_info` say.
    #[must_use]
    pub fn of(attachments: bool, att_encoding_info: bool) -> Self {
        Self {
            attachments: if attachments { RowAttachments::Data } else { RowAttachments::Stubs },
            encoding_info: if att_encoding_info { EncodingInfo::Show } else { EncodingInfo::Hide },
        }
    }

    /// Appends a document. For threads that may block where attachments have bytes.
    ///
    /// # Errors
    /// Where an attachment cannot be read.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        db: &Database,
        document: &Document,
        conflicts: &[Rev],
    ) -> Result<(), ApiError> {
        let forms = match self.attachments {
            RowAttachments::Data if !document.attachments.is_empty() => {
                load_attachment_data(db, document, &vec![true; document.attachments.len()])?
            }
            RowAttachments::Data | RowAttachments::Stubs => Vec::new(),
        };
        let encoding_info = self.encoding_info;
        let extras = Extras { conflicts, attachments: &forms, encoding_info, ..Extras::default() };
        write_document(out, document, &extras);
        Ok(())
    }
}

/// The leaves beside the winner that are no tombstones.
#[must_use]
pub fn conflicts_of(head: &Head) -> Vec<Rev> {
    let others = head.tree.leaves().into_iter().skip(1);
    others.filter(|leaf| !leaf.deleted).map(revtree::Node::rev).collect()
}
