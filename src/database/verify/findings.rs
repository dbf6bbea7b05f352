//! What a check of a store has found so far.

use std::fmt::Display;

/// Problems that are told one by one; more are only counted.
const TOLD_MAX: usize = 1000;

/// What has been looked at, and what is wrong with it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    pub databases: u64,
    pub documents: u64,
    /// Bodies of revisions.
    pub bodies: u64,
    pub attachments: u64,
    pub indexes: u64,
    /// Rows of views.
    pub rows: u64,
    /// The first problems, each with the name of its database.
    pub problems: Vec<String>,
    /// All problems.
    pub problem_count: u64,
}

impl Findings {
    /// Tells of a problem in `place`, mostly a database's name.
    pub fn problem(&mut self, place: &str, what: impl Display) {
        self.problem_count += 1;
        if self.problems.len() < TOLD_MAX {
            self.problems.push(format!("{place}: {what}"));
        }
    }

    /// Tells of a problem where what was counted is not what should be there.
    pub fn compare(&mut self, place: &str, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.problem(place, format_args!("{what}: {found}, where {expected} are recorded"));
        }
    }
}
