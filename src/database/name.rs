//! Database names (CouchDB's documentation, `PUT /{db}`).

use std::fmt;

use thiserror::Error;

/// Why a text is no database name; the texts are CouchDB's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error(
        "Name: '{0}'. Only lowercase characters (a-z), digits (0-9), and any of the characters \
         _, $, (, ), +, -, and / are allowed. Must begin with a letter."
    )]
    Illegal(String),
    #[error("At least one path segment of `{0}` is too long.")]
    TooLong(String),
}

/// The databases that may begin with an underscore.
const SYSTEM: [&str; 6] =
    ["_users", "_replicator", "_global_changes", "_dbs", "_nodes", "_metadata"];

/// A valid database name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseName(Box<str>);

impl DatabaseName {
    /// The longest path segment in bytes: CouchDB keeps a segment as a file name with a suffix.
    const SEGMENT_BYTES_MAX: usize = 238;

    /// Checks `text` against CouchDB's rules.
    ///
    /// # Errors
    /// `illegal_database_name`, `database_name_too_long`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let inside = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_$()+-/".contains(&byte)
        };
        // `app/_users` and `app/_replicator` are system databases of an application.
        let begins = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if !(SYSTEM.contains(&text) || begins && text.bytes().all(inside)) {
            return Err(NameError::Illegal(text.to_owned()));
        }
        if text.split('/').any(|segment| segment.len() > Self::SEGMENT_BYTES_MAX) {
            return Err(NameError::TooLong(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether CouchDB treats the database as one of its own: `_users`, `x/_replicator`...
    #[must_use]
    pub fn is_system(&self) -> bool {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        SYSTEM.contains(&last)
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_couchdbs_rules() {
        for good in ["a", "a1_$()+-/x", "_users", "_replicator", "app/_replicator"] {
            assert!(DatabaseName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "Bad-Name", "_bad", "1abc", "a b", "é", "a.b", "/a"] {
            let error = NameError::Illegal(bad.to_owned());
            assert_eq!(DatabaseName::parse(bad), Err(error), "{bad}");
        }
        let long = format!("a/{}", "b".repeat(239));
        assert_eq!(DatabaseName::parse(&long), Err(NameError::TooLong(long.clone())));
        assert!(DatabaseName::parse("app/_users").is_ok_and(|name| name.is_system()));
        assert!(!DatabaseName::parse("users").is_ok_and(|name| name.is_system()));
    }
}
