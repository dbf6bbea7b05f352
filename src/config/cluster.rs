//! `[cluster]`: what databases and the setup say of shards and copies. There is always one of each.

use super::reader::Reader;

/// `[cluster]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The number of shards that new databases show.
    pub q: u64,
    /// The copies of each shard that a cluster would have.
    pub n: u64,
}

impl ClusterSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["cluster"]);
        Self { q: section.number("q", 1, 1..=1024), n: section.number("n", 1, 1..=1024) }
    }
}
