//! Merging a path of revisions into the tree: the step of every edit, interactive or replicated.
//!
//! The tree's own ancestry stands: a path adds revisions and gives a parent to revisions that had
//! none, and never moves or removes anything. So for paths of one consistent history the order of
//! merges does not matter, except that a path whose newest revision is known already adds nothing,
//! not even older ancestors (CouchDB drops such an edit before it reaches the tree).

use super::{Node, RevTree, node_index};
use crate::document::{RevHash, Revisions};

/// What a merge made of the path's newest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// It was in the tree already, as a leaf or not; the tree has not changed.
    Known,
    /// It follows on what was a leaf, or is the first leaf of an empty tree.
    NewLeaf,
    /// It branches off an inner revision or begins a history of its own.
    NewBranch,
}

/// A revision of a path that is being merged.
struct Step {
    /// Its place in the path.
    id: usize,
    /// Its index if it is known, else the index that it must be inserted at.
    at: usize,
    known: bool,
}

/// A node to insert before the node that now has the index `at`.
struct Insertion {
    at: usize,
    node: Node,
}

impl RevTree {
    /// Merges `path`. Its newest revision becomes a stored leaf, a tombstone where `deleted`; its
    /// ancestors that are new come without body. Ids that would have a generation below 1 are
    /// cut off; a path of which nothing is left then is [`Merge::Known`].
    pub fn merge(&mut self, path: &Revisions, deleted: bool) -> Merge {
        let steps = self.walk(path);
        if steps.first().is_none_or(|newest| newest.known) {
            return Merge::Known;
        }
        let outcome = match steps.iter().find(|step| step.known) {
            Some(base) if self.is_leaf_at(base.at) => Merge::NewLeaf,
            None if self.nodes.is_empty() => Merge::NewLeaf,
            _ => Merge::NewBranch,
        };
        self.insert(insertions(path, &steps, deleted));
        self.link(&steps);
        outcome
    }

    /// Finds the revisions of `path` that have a part in the merge, newest first: the new ones,
    /// the known ones that they follow on, and stemmed roots that the path has ancestors for.
    /// Stops after one step if the newest revision is known.
    fn walk(&self, path: &Revisions) -> Vec<Step> {
        let ids = usable_ids(path);
        let mut steps = Vec::new();
        let mut next = 0;
        while let Some(hash) = ids.get(next) {
            let found = self.find(path.start - next as u64, hash);
            let (Ok(at) | Err(at)) = found;
            steps.push(Step { id: next, at, known: found.is_ok() });
            next += 1;
            if found.is_ok() {
                if steps.len() == 1 || next == ids.len() {
                    break;
                }
                let root = self.root_of(at);
                let depth = path.start - self.nodes[root].generation;
                let below = usize::try_from(depth).unwrap_or(usize::MAX);
                if ids.get(below) != Some(&self.nodes[root].hash) {
                    break;
                }
                if root != at {
                    steps.push(Step { id: below, at: root, known: true });
                }
                next = below + 1;
            }
        }
        steps
    }

    /// The oldest known ancestor.
    fn root_of(&self, mut at: usize) -> usize {
        while let Some(parent) = self.nodes[at].parent_index() {
            at = parent;
        }
        at
    }

    /// Puts new nodes, which ascend, into their places, all in one pass.
    fn insert(&mut self, fresh: Vec<Insertion>) {
        let Some(first) = fresh.first().map(|insertion| insertion.at) else { return };
        let tail = self.nodes.split_off(first);
        let mut moved = Vec::with_capacity(tail.len());
        let mut fresh = fresh.into_iter().peekable();
        for (offset, mut node) in tail.into_iter().enumerate() {
            while let Some(new) = fresh.next_if(|new| new.at <= first + offset) {
                self.nodes.push(new.node);
            }
            let parent_offset = node.parent_index().and_then(|parent| parent.checked_sub(first));
            if let Some(parent_offset) = parent_offset {
                node.parent = Some(moved[parent_offset]);
            }
            moved.push(node_index(self.nodes.len()));
            self.nodes.push(node);
        }
        self.nodes.extend(fresh.map(|new| new.node));
    }

    /// Links the steps, whose new ones stand in the tree by now, where a parent is lacking.
    fn link(&mut self, steps: &[Step]) {
        let mut older = None;
        let mut inserted = 0;
        for step in steps.iter().rev() {
            // What was inserted before this one is what the path has below it.
            let at = step.at + inserted;
            let node = &mut self.nodes[at];
            node.parent = node.parent.or(older);
            older = Some(node_index(at));
            inserted += usize::from(!step.known);
        }
    }
}

/// The ids of a path down to generation 1.
fn usable_ids(path: &Revisions) -> &[RevHash] {
    let most = usize::try_from(path.start).unwrap_or(usize::MAX);
    &path.ids[..path.ids.len().min(most)]
}

/// The nodes for the steps that are new, oldest first, which is ascending. Not linked yet.
fn insertions(path: &Revisions, steps: &[Step], deleted: bool) -> Vec<Insertion> {
    let fresh = steps.iter().rev().filter(|step| !step.known);
    let insertion = |step: &Step| {
        let newest = step.id == 0;
        let node = Node {
            generation: path.start - step.id as u64,
            hash: path.ids[step.id].clone(),
            parent: None,
            deleted: newest && deleted,
            stored: newest,
        };
        Insertion { at: step.at, node }
    };
    fresh.map(insertion).collect()
}
