//! Every key of CouchDB's configuration: its default, and what becomes of it here.
//!
//! The typed settings read what is honoured; a test holds the two together. The catalogue is what
//! `settee config show` prints and what tells a typing error from a key that merely has no effect.

mod engine;
mod server;
#[cfg(test)]
mod tests;

use super::Values;
use super::reader::{Problem, Warning};

/// What a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does what it does in CouchDB.
    Honoured,
    /// It is honoured, and CouchDB does not know it.
    Own,
    /// It is kept and shown; there is nothing here that it could change.
    Accepted,
    /// As above, and about the inside of CouchDB's own storage engine.
    Ignored,
    /// Any value but the default asks for this, which the server does not have.
    Refused(&'static str),
}

impl Treatment {
    /// The word for it on the command line and in the documentation.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Own => "settee's own",
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Refused(_) => "refused",
        }
    }
}

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// As an ini file would say it; empty where it is not set by default.
    pub default: &'static str,
    pub treatment: Treatment,
}

/// Whether a section has keys of the user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Allowed,
    Unknown,
}

/// A section with all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    pub keys: &'static [Key],
    pub others: Others,
}

const fn key(name: &'static str, default: &'static str, treatment: Treatment) -> Key {
    Key { name, default, treatment }
}

const fn honoured(name: &'static str, default: &'static str) -> Key {
    key(name, default, Treatment::Honoured)
}

const fn own(name: &'static str, default: &'static str) -> Key {
    key(name, default, Treatment::Own)
}

const fn accepted(name: &'static str, default: &'static str) -> Key {
    key(name, default, Treatment::Accepted)
}

const fn ignored(name: &'static str, default: &'static str) -> Key {
    key(name, default, Treatment::Ignored)
}

const fn refused(name: &'static str, default: &'static str, what: &'static str) -> Key {
    key(name, default, Treatment::Refused(what))
}

/// Sections that start programs of the user's, which nothing here does.
const PROGRAMS: [&str; 4] = ["daemons", "external", "os_daemons", "query_servers"];

/// Sections where a key is looked for when the first lacks it: the old name of a section.
const OLD_NAMES: [(&str, &str); 2] = [("httpd", "chttpd"), ("couch_httpd_auth", "chttpd_auth")];

/// The sections, in the order of CouchDB's `default.ini`.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    server::SECTIONS.iter().chain(engine::SECTIONS)
}

/// What is known of a section. `[cors:host]` has the keys of `[cors]`.
#[must_use]
pub fn section(name: &str) -> Option<&'static Section> {
    let name = if name.starts_with("cors:") { "cors" } else { name };
    sections().find(|section| section.name == name)
}

/// What is known of a key.
#[must_use]
pub fn find(section_name: &str, name: &str) -> Option<&'static Key> {
    let in_section = |wanted: &str| section(wanted)?.keys.iter().find(|key| key.name == name);
    let new_name = OLD_NAMES.iter().find(|(old, _)| *old == section_name);
    in_section(section_name).or_else(|| in_section(new_name?.1))
}

/// Whether nobody but the server should see the value.
#[must_use]
pub fn is_secret(section: &str, key: &str) -> bool {
    matches!(section, "admins" | "jwt_keys")
        || matches!(key, "secret" | "cookie")
        || key.ends_with("password")
}

/// What is set and leads to nothing, although whoever set it will not know.
pub fn warnings(values: &Values) -> Vec<Warning> {
    let all = values.iter().flat_map(|(section, keys)| {
        keys.iter().map(move |(key, value)| (section.as_str(), key.as_str(), value.as_str()))
    });
    let found = all.filter_map(|(section, key, value)| {
        let problem = problem(section, key, value)?;
        Some(Warning { section: section.to_owned(), key: key.to_owned(), problem })
    });
    found.collect()
}

fn problem(section_name: &str, key: &str, value: &str) -> Option<Problem> {
    if PROGRAMS.contains(&section_name) {
        return Some(Problem::Missing("programs beside the server"));
    }
    match find(section_name, key) {
        Some(Key { treatment: Treatment::Refused(what), default, .. }) => {
            (value != *default && !value.is_empty()).then_some(Problem::Missing(what))
        }
        Some(_) => None,
        None => {
            let closed = section(section_name).is_some_and(|s| s.others == Others::Unknown);
            closed.then_some(Problem::Unknown)
        }
    }
}
