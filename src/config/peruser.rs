//! `[couch_peruser]`: a database for every user.

use super::reader::Reader;

/// `[couch_peruser]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeruserSettings {
    pub enable: bool,
    /// Whether a user's database goes with the user.
    pub delete_dbs: bool,
    /// The number of shards that new databases show.
    pub q: u64,
    /// What a database's name begins with; the user's name follows in hexadecimal digits.
    pub database_prefix: String,
}

impl PeruserSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["couch_peruser"]);
        Self {
            enable: section.boolean("enable", false),
            delete_dbs: section.boolean("delete_dbs", false),
            q: section.number("q", 1, 1..=u64::MAX),
            database_prefix: section.text_or("database_prefix", "userdb-"),
        }
    }
}
