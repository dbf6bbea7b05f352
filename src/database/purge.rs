//! What a purge did. The work itself is part of a group of writes.

use crate::document::{DocId, Rev};

/// The revisions of one document that a purge removed: those asked for that were leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeOutcome {
    pub id: DocId,
    pub purged: Vec<Rev>,
}
