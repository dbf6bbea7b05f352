//! `[purge]`: limits of `_purge`.

use super::reader::Reader;

/// `[purge]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeSettings {
    /// The most revisions one request may purge; `None` is infinity.
    pub max_revisions_number: Option<u64>,
    /// The log tells of indexes that lack a purge that is older.
    pub index_lag_warn_seconds: u64,
}

impl PurgeSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["purge"]);
        Self {
            max_revisions_number: section.limit("max_revisions_number", None),
            index_lag_warn_seconds: section.number("index_lag_warn_seconds", 86_400, 0..=u64::MAX),
        }
    }
}
