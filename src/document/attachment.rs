//! What a document says of its attachments; the bytes themselves are the storage's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The MD5 of an attachment's stored (for gzip: compressed) bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Reads `md5-<base64>`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix("md5-")?).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The base64 text without `md5-`, as in an attachment's ETag.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }
}

/// `md5-<base64>`, as in an attachment stub.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "md5-{}", self.to_base64())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How an attachment's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// One attachment of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub content_type: String,
    pub digest: Digest,
    /// Bytes as the client sees them.
    pub length: u64,
    /// Bytes as stored; equals `length` where `encoding` is identity.
    pub encoded_length: u64,
    pub encoding: Encoding,
    /// The generation of the revision that brought these bytes.
    pub revpos: u64,
}
