//! What makes a tree smaller: stemming old ancestors, dropping bodies, purging leaves.

use std::collections::HashSet;
use std::mem;

use super::{Node, RevTree, node_index};
use crate::document::Rev;

/// What a purge took out of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// The leaves that were asked for and are gone, ascending by generation, then hash bytes.
    pub purged: Vec<Rev>,
    /// Every revision that is gone and whose body was in storage, in the same order.
    pub removed: Vec<Rev>,
}

impl RevTree {
    /// Keeps what is among the last `limit` revisions of some branch, counted from its leaf, and
    /// returns what it removed of which the body was in storage, ascending. Leaves always stay.
    pub fn stem(&mut self, limit: u64) -> Vec<Rev> {
        let (Some(oldest), Some(newest)) = (self.nodes.first(), self.nodes.last()) else {
            return Vec::new();
        };
        if newest.generation - oldest.generation < limit {
            return Vec::new();
        }
        // How many generations the nearest leaf is away. Children stand behind their parents, so
        // going backwards a node's distance is known before it is handed to its parent.
        let mut distance: Vec<Option<u64>> = vec![None; self.nodes.len()];
        let mut keep = vec![true; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let own = distance[at].unwrap_or(0);
            keep[at] = own < limit.max(1);
            if let Some(parent) = node.parent_index() {
                let nearest = distance[parent].map_or(own + 1, |other| other.min(own + 1));
                distance[parent] = Some(nearest);
            }
        }
        self.retain(&keep)
    }

    /// Marks the bodies of all revisions that are no leaves as gone from storage (compaction), and
    /// returns those that were there, ascending.
    pub fn forget_bodies(&mut self) -> Vec<Rev> {
        let inner = self.inner();
        let mut forgotten = Vec::new();
        for (node, inner) in self.nodes.iter_mut().zip(inner) {
            if inner && node.stored {
                node.stored = false;
                forgotten.push(node.rev());
            }
        }
        forgotten
    }

    /// Removes those of `revs` that are leaves, each with the ancestors that no other leaf has,
    /// down to the next branching (`_purge`). Other revisions in `revs` count for nothing, even
    /// where they go as such ancestors; so neither order nor grouping of purges matters.
    pub fn purge(&mut self, revs: &[Rev]) -> Purged {
        let wanted: HashSet<usize> = revs.iter().filter_map(|rev| self.index_of(rev)).collect();
        let inner = self.inner();
        let mut keep = vec![false; self.nodes.len()];
        let mut purged = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if !inner[at] {
                keep[at] = !wanted.contains(&at);
                if !keep[at] {
                    purged.push(node.rev());
                }
            }
        }
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if let Some(parent) = node.parent_index() {
                keep[parent] |= keep[at];
            }
        }
        Purged { purged, removed: self.retain(&keep) }
    }

    /// Removes all other nodes; what follows on a removed one has no parent then. Returns those
    /// removed of which the body was in storage.
    fn retain(&mut self, keep: &[bool]) -> Vec<Rev> {
        let mut removed = Vec::new();
        if keep.iter().all(|keep| *keep) {
            return removed;
        }
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(keep.len());
        for (mut node, keep) in mem::take(&mut self.nodes).into_iter().zip(keep) {
            if *keep {
                node.parent = node.parent_index().and_then(|parent| moved[parent]);
                moved.push(Some(node_index(self.nodes.len())));
                self.nodes.push(node);
            } else {
                moved.push(None);
                if node.stored {
                    let Node { generation, hash, .. } = node;
                    removed.push(Rev { generation, hash });
                }
            }
        }
        removed
    }
}
