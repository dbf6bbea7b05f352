//! `[couch_passwords_cache]`: remembering that a password was right, so that Basic authentication
//! does not pay for PBKDF2 with every request.

use super::reader::Reader;

/// `[couch_passwords_cache]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordsCacheSettings {
    pub enable: bool,
    pub max_objects: usize,
    /// An entry that nobody used for so many milliseconds is forgotten.
    pub max_idle_ms: u64,
}

impl PasswordsCacheSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["couch_passwords_cache"]);
        Self {
            enable: section.boolean("enable", true),
            max_objects: section.number("max_objects", 10_000, 1..=1_000_000),
            max_idle_ms: section.number("max_idle", 600_000, 1..=u64::MAX),
        }
    }
}
