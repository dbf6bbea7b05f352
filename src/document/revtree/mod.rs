//! The revision tree of a document: which revisions are known, what descends from what, which wins.
//!
//! Pure values, no I/O. Rules are CouchDB's (`couch_key_tree`), laid out flat: a document has a few
//! revisions or one long chain, and both are cheap to store, to search and to walk as one vector.
//!
//! Invariants of [`RevTree`], kept by every method and checked by [`RevTree::from_nodes`]:
//! nodes ascend strictly by generation, then hash bytes, so a revision stands in the tree once; no
//! generation is 0; a parent is an index of a node that is one generation older (so it stands
//! before its child, and no walk can run in circles). A node without parent is the start of the
//! history or was stemmed. Nothing here recurses: a chain may be as long as memory allows.

mod merge;
#[cfg(test)]
mod properties;
mod prune;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashSet;

use thiserror::Error;

use crate::document::{Rev, RevHash, Revisions};

pub use merge::Merge;
pub use prune::Purged;

/// Why a list of nodes is no revision tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RevTreeError {
    #[error("a revision of generation 0 in a revision tree")]
    Generation,
    #[error("revisions out of order in a revision tree")]
    Order,
    #[error("a revision whose parent is not one generation older")]
    Parent,
}

/// A revision that the tree knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// 1 for a document's first revision, never 0.
    pub generation: u64,
    pub hash: RevHash,
    /// The parent's index in [`RevTree::nodes`]; `None` where no parent is known.
    pub parent: Option<u32>,
    /// This revision is a tombstone.
    pub deleted: bool,
    /// The revision's body is in storage.
    pub stored: bool,
}

impl Node {
    /// The revision that this node stands for.
    #[must_use]
    pub fn rev(&self) -> Rev {
        Rev { generation: self.generation, hash: self.hash.clone() }
    }

    fn parent_index(&self) -> Option<usize> {
        self.parent.map(|parent| parent as usize)
    }

    fn cmp_to(&self, generation: u64, hash: &RevHash) -> Ordering {
        self.generation.cmp(&generation).then_with(|| self.hash.cmp(hash))
    }
}

/// All revisions of a document that are known, with or without their bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevTree {
    nodes: Vec<Node>,
}

impl RevTree {
    /// Takes nodes as they were stored.
    ///
    /// # Errors
    /// Where they break an invariant of the tree (see the head of this file).
    pub fn from_nodes(nodes: Vec<Node>) -> Result<Self, RevTreeError> {
        if nodes.first().is_some_and(|node| node.generation == 0) {
            return Err(RevTreeError::Generation);
        }
        let ascending = |pair: &[Node]| pair[0].cmp_to(pair[1].generation, &pair[1].hash).is_lt();
        if !nodes.windows(2).all(ascending) {
            return Err(RevTreeError::Order);
        }
        let parent_fits = |node: &Node| {
            node.parent_index().is_none_or(|parent| {
                nodes.get(parent).is_some_and(|parent| parent.generation == node.generation - 1)
            })
        };
        if !nodes.iter().all(parent_fits) {
            return Err(RevTreeError::Parent);
        }
        Ok(Self { nodes })
    }

    /// All revisions, ascending by generation, then hash bytes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether no revision is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node of a revision, leaf or not.
    #[must_use]
    pub fn get(&self, rev: &Rev) -> Option<&Node> {
        self.index_of(rev).map(|at| &self.nodes[at])
    }

    /// Whether `rev` is known and nothing descends from it.
    #[must_use]
    pub fn is_leaf(&self, rev: &Rev) -> bool {
        self.index_of(rev).is_some_and(|at| self.is_leaf_at(at))
    }

    /// The leaves, best first: not deleted, then generation, then hash bytes, all descending.
    #[must_use]
    pub fn leaves(&self) -> Vec<&Node> {
        let inner = self.inner();
        self.best_first(|at| !inner[at])
    }

    /// The best leaf: what a reader who names no revision gets. `None` only in an empty tree.
    #[must_use]
    pub fn winner(&self) -> Option<&Node> {
        match self.nodes.last() {
            // Nothing stands behind the last node, so it is a leaf, and the highest of them.
            Some(last) if !last.deleted => Some(last),
            _ => self.leaves().into_iter().next(),
        }
    }

    /// A known revision and its known ancestors, newest first.
    #[must_use]
    pub fn path(&self, rev: &Rev) -> Option<Revisions> {
        let mut node = self.get(rev)?;
        let mut ids = vec![node.hash.clone()];
        while let Some(parent) = node.parent_index() {
            node = &self.nodes[parent];
            ids.push(node.hash.clone());
        }
        Some(Revisions { start: rev.generation, ids })
    }

    /// Those of `revs` that are not known, in the given order, each once (`_revs_diff`).
    #[must_use]
    pub fn missing(&self, revs: &[Rev]) -> Vec<Rev> {
        let mut seen = HashSet::new();
        let unknown = revs.iter().filter(|rev| self.index_of(rev).is_none());
        unknown.filter(|rev| seen.insert(*rev)).cloned().collect()
    }

    /// The leaves of a lower generation than some revision in `missing`, worst first, which is
    /// CouchDB's order: what a peer may take as base for sending those revisions.
    #[must_use]
    pub fn possible_ancestors(&self, missing: &[Rev]) -> Vec<Rev> {
        let newest = missing.iter().map(|rev| rev.generation).max().unwrap_or(0);
        let older = self.leaves().into_iter().rev().filter(|leaf| leaf.generation < newest);
        older.map(Node::rev).collect()
    }

    /// The leaves that descend from `rev` (itself where it is one), best first. Empty where `rev`
    /// is not known.
    #[must_use]
    pub fn leaves_from(&self, rev: &Rev) -> Vec<&Node> {
        let Some(start) = self.index_of(rev) else { return Vec::new() };
        let mut descends = vec![false; self.nodes.len()];
        descends[start] = true;
        for (at, node) in self.nodes.iter().enumerate().skip(start + 1) {
            descends[at] = node.parent_index().is_some_and(|parent| descends[parent]);
        }
        let inner = self.inner();
        self.best_first(|at| descends[at] && !inner[at])
    }

    /// Where a revision stands, or `Err` with the place where it would have to be put.
    fn find(&self, generation: u64, hash: &RevHash) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.cmp_to(generation, hash))
    }

    fn index_of(&self, rev: &Rev) -> Option<usize> {
        self.find(rev.generation, &rev.hash).ok()
    }

    fn is_leaf_at(&self, at: usize) -> bool {
        let generation = self.nodes[at].generation;
        // Children can only stand in the next generation, which follows at once.
        let near = self.nodes[at + 1..].iter().take_while(|node| node.generation - generation <= 1);
        !near.into_iter().any(|node| node.parent_index() == Some(at))
    }

    /// For every node whether it has children.
    fn inner(&self) -> Vec<bool> {
        let mut inner = vec![false; self.nodes.len()];
        for parent in self.nodes.iter().filter_map(Node::parent_index) {
            inner[parent] = true;
        }
        inner
    }

    /// The chosen nodes in the order in which leaves win.
    fn best_first(&self, chosen: impl Fn(usize) -> bool) -> Vec<&Node> {
        let descending = self.nodes.iter().enumerate().rev();
        let chosen = descending.filter(|(at, _)| chosen(*at)).map(|(_, node)| node);
        let (mut best, deleted): (Vec<_>, Vec<_>) = chosen.partition(|node| !node.deleted);
        best.extend(deleted);
        best
    }
}

/// A place in the vector as a parent index. 2^32 nodes would take 200 GB, far above the limits on
/// requests and on stored records, so the bound is never met.
fn node_index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
