//! The lines of a file that are no documents.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::Encoding;

/// The version of the format that is written, and the newest that is read.
pub(super) const VERSION: u64 = 1;

/// The first line: what the database was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "settee_export")]
    version: u64,
    pub db_name: String,
    #[serde(default)]
    pub partitioned: bool,
    /// The security object.
    #[serde(default)]
    pub security: Map<String, Value>,
}

impl Header {
    #[must_use]
    pub fn new(db_name: &str, partitioned: bool, security: Map<String, Value>) -> Self {
        Self { version: VERSION, db_name: db_name.to_owned(), partitioned, security }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    #[serde(rename = "settee_export_end")]
    pub version: u64,
    /// Lines of documents, without those that were taken back.
    pub docs: u64,
}

/// What stands before the bytes of an attachment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AttachmentLine<'a> {
    #[serde(borrow)]
    pub attachment: Cow<'a, str>,
    /// Of the bytes that follow, which may be packed.
    pub length: u64,
    pub encoding: PackedAs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PackedAs {
    Identity,
    Gzip,
}

impl From<Encoding> for PackedAs {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip,
        }
    }
}

impl From<PackedAs> for Encoding {
    fn from(packed: PackedAs) -> Self {
        match packed {
            PackedAs::Identity => Self::Identity,
            PackedAs::Gzip => Self::Gzip,
        }
    }
}

/// Some of an attachment's bytes in base64, which has nothing in it that JSON escapes.
#[derive(Debug, Deserialize)]
pub(super) struct DataLine<'a> {
    pub data: &'a str,
}

/// The document before it, which is not whole, counts for nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SkippedLine<'a> {
    #[serde(borrow)]
    pub skipped: Cow<'a, str>,
}
