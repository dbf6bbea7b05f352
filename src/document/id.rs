//! Document ids and the rules for them (CouchDB's documentation, "Document IDs").

use std::fmt;

use thiserror::Error;

/// The prefix of design document ids.
pub const DESIGN_PREFIX: &str = "_design/";
/// The prefix of local document ids.
pub const LOCAL_PREFIX: &str = "_local/";

/// Why a text is no document id. The texts are CouchDB's reasons for `illegal_docid`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocIdError {
    #[error("Document id must not be empty")]
    Empty,
    #[error("Only reserved document ids may start with underscore.")]
    Reserved,
    #[error("Document id is too long")]
    TooLong,
}

/// A valid document id: not empty, and starting with `_` only where `_design/` or `_local/` does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocId(Box<str>);

impl DocId {
    /// The longest id in bytes. CouchDB has no limit by default; a storage key must have one.
    pub const BYTES_MAX: usize = 32 * 1024;

    /// Checks `text` against the rules for ids.
    ///
    /// # Errors
    /// CouchDB's `illegal_docid` cases.
    pub fn parse(text: &str) -> Result<Self, DocIdError> {
        if text.is_empty() {
            return Err(DocIdError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(DocIdError::TooLong);
        }
        if text.starts_with('_') {
            let rest = text.strip_prefix(DESIGN_PREFIX).or_else(|| text.strip_prefix(LOCAL_PREFIX));
            if rest.is_none_or(str::is_empty) {
                return Err(DocIdError::Reserved);
            }
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the id of a design document.
    #[must_use]
    pub fn is_design(&self) -> bool {
        self.0.starts_with(DESIGN_PREFIX)
    }

    /// The partition of the document in a partitioned database, where all documents but design
    /// documents have one.
    #[must_use]
    pub fn partition(&self) -> Option<&str> {
        let (partition, _) = self.0.split_once(':')?;
        (!self.0.starts_with('_')).then_some(partition)
    }

    /// Whether this is the id of a local (never replicated) document.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.starts_with(LOCAL_PREFIX)
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_couchdbs_rules() {
        for good in ["a", "é", "a/b", "_design/x", "_local/x", "_design/a/b", "\u{0}"] {
            assert!(DocId::parse(good).is_ok(), "{good:?}");
        }
        for (bad, why) in [
            ("", DocIdError::Empty),
            ("_x", DocIdError::Reserved),
            ("_design/", DocIdError::Reserved),
            ("_local/", DocIdError::Reserved),
            ("_design", DocIdError::Reserved),
        ] {
            assert_eq!(DocId::parse(bad), Err(why), "{bad:?}");
        }
    }
}
