//! `[chttpd_auth_cache]`: how many accounts are kept in memory.

use std::time::Duration;

use super::reader::Reader;

/// Accounts kept where nothing else is configured.
const OBJECTS: usize = 10_000;
const LIFETIME_MAX_MS: u64 = 365 * 86_400_000;

/// `[chttpd_auth_cache]`. Whether an entry still holds a look at the database tells; how old it may
/// grow is only a bound on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthCacheSettings {
    /// Accounts kept at most.
    pub max_objects: usize,
    /// Bytes of their documents, all together.
    pub max_size_bytes: usize,
    pub max_lifetime: Duration,
}

impl AuthCacheSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["chttpd_auth_cache"]);
        let lifetime_ms = section.number("max_lifetime", 600_000, 0..=LIFETIME_MAX_MS);
        Self {
            max_objects: section.number("max_objects", OBJECTS, 1..=usize::MAX),
            max_size_bytes: section.number("max_size", 100 << 20, 1..=usize::MAX),
            max_lifetime: Duration::from_millis(lifetime_ms),
        }
    }
}
