//! `[chttpd_auth_cache]`: how many accounts are kept in memory.

use super::reader::Reader;

/// Accounts kept where nothing else is configured.
const OBJECTS: usize = 10_000;

/// `[chttpd_auth_cache]`. Its entries never grow old: a look at the database tells whether they
/// still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthCacheSettings {
    /// Accounts kept at most.
    pub max_objects: usize,
}

impl AuthCacheSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["chttpd_auth_cache"]);
        Self { max_objects: section.number("max_objects", OBJECTS, 1..=usize::MAX) }
    }
}
