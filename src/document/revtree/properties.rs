//! The revision tree against a naive one: a map from each revision to its parent, whose every
//! answer is worked out from the definition. Paths come from one hidden history, in which every
//! revision has one parent, as on peers that hash revisions honestly; they may be cut (stemmed).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Merge, Node, Purged, RevTree};
use crate::document::{Rev, RevHash, Revisions};

/// All revisions that any peer ever made; parents stand before children.
#[derive(Debug, Clone)]
struct History(Vec<Made>);

#[derive(Debug, Clone)]
struct Made {
    rev: Rev,
    parent: Option<usize>,
    deleted: bool,
}

impl History {
    fn build(choices: Vec<(u8, Index, u8, bool)>) -> Self {
        let mut made: Vec<Made> = Vec::new();
        for (at, (kind, index, salt, deleted)) in choices.into_iter().enumerate() {
            let parent = match kind {
                _ if at == 0 => None,
                0..=4 => Some(at - 1),
                5..=8 => Some(index.index(at)),
                _ => None,
            };
            let generation = parent.map_or(1, |parent| made[parent].rev.generation + 1);
            // Distinct hashes whose order has nothing to do with that of their making.
            let name = [salt, u8::try_from(at).unwrap()];
            let hash = match salt % 4 {
                0 => RevHash::Text(format!("{salt}.{at}").into()),
                _ => RevHash::Md5(std::array::from_fn(|byte| name[byte.min(1)])),
            };
            made.push(Made { rev: Rev { generation, hash }, parent, deleted });
        }
        Self(made)
    }

    /// The path to a revision, cut to `most` ids.
    fn path(&self, at: usize, most: usize) -> Revisions {
        let start = self.0[at].rev.generation;
        let line = std::iter::successors(Some(at), |at| self.0[*at].parent);
        let ids = line.take(most).map(|at| self.0[at].rev.hash.clone()).collect();
        Revisions { start, ids }
    }

    fn merge(&self, tree: &mut RevTree, at: usize, most: usize) -> Merge {
        tree.merge(&self.path(at, most), self.0[at].deleted)
    }

    /// The tree that these revisions' paths make in this order, each cut to so many ids.
    fn tree(&self, paths: impl IntoIterator<Item = (usize, usize)>) -> RevTree {
        let mut tree = RevTree::default();
        for (at, most) in paths {
            self.merge(&mut tree, at, most);
        }
        tree
    }

    /// The tree that these revisions' whole paths make in this order.
    fn whole(&self, revs: &[usize]) -> RevTree {
        self.tree(revs.iter().map(|at| (*at, usize::MAX)))
    }

    fn leaves(&self) -> Vec<usize> {
        let parents: BTreeSet<usize> = self.0.iter().filter_map(|made| made.parent).collect();
        (0..self.0.len()).filter(|at| !parents.contains(at)).collect()
    }

    fn revs(&self) -> Vec<Rev> {
        self.0.iter().map(|made| made.rev.clone()).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    parent: Option<Rev>,
    deleted: bool,
    stored: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Naive(BTreeMap<Rev, Entry>);

impl Naive {
    fn of(tree: &RevTree) -> Self {
        let nodes = tree.nodes();
        let entry = |node: &Node| Entry {
            parent: node.parent.map(|parent| nodes[parent as usize].rev()),
            deleted: node.deleted,
            stored: node.stored,
        };
        Self(nodes.iter().map(|node| (node.rev(), entry(node))).collect())
    }

    fn is_leaf(&self, rev: &Rev) -> bool {
        self.0.contains_key(rev) && !self.0.values().any(|entry| entry.parent.as_ref() == Some(rev))
    }

    fn leaves(&self) -> Vec<Rev> {
        let mut leaves: Vec<Rev> = self.0.keys().filter(|rev| self.is_leaf(rev)).cloned().collect();
        leaves.sort_by_key(|rev| Reverse((!self.0[rev].deleted, rev.clone())));
        leaves
    }

    fn path(&self, rev: &Rev) -> Vec<Rev> {
        let known = self.0.contains_key(rev).then(|| rev.clone());
        std::iter::successors(known, |rev| self.0[rev].parent.clone()).collect()
    }

    fn merge(&mut self, path: &Revisions, deleted: bool) -> Merge {
        let revs: Vec<Rev> = (path.ids.iter().zip(0..))
            .map(|(hash, back)| Rev { generation: path.start - back, hash: hash.clone() })
            .collect();
        if self.0.contains_key(&revs[0]) {
            return Merge::Known;
        }
        let outcome = match revs.iter().find(|rev| self.0.contains_key(rev)) {
            Some(base) if self.is_leaf(base) => Merge::NewLeaf,
            None if self.0.is_empty() => Merge::NewLeaf,
            _ => Merge::NewBranch,
        };
        for (at, rev) in revs.iter().enumerate() {
            let new = Entry { parent: None, deleted: at == 0 && deleted, stored: at == 0 };
            let entry = self.0.entry(rev.clone()).or_insert(new);
            entry.parent = entry.parent.take().or(revs.get(at + 1).cloned());
        }
        outcome
    }

    fn keep(&mut self, keep: &BTreeSet<Rev>) -> Vec<Rev> {
        let gone = self.0.iter().filter(|(rev, entry)| !keep.contains(rev) && entry.stored);
        let gone = gone.map(|(rev, _)| rev.clone()).collect();
        self.0.retain(|rev, _| keep.contains(rev));
        for entry in self.0.values_mut() {
            entry.parent = entry.parent.take().filter(|parent| keep.contains(parent));
        }
        gone
    }

    fn stem(&mut self, limit: usize) -> Vec<Rev> {
        let branches = self.leaves().into_iter().map(|leaf| self.path(&leaf));
        let keep = branches.flat_map(|path| path.into_iter().take(limit)).collect();
        self.keep(&keep)
    }

    fn forget_bodies(&mut self) -> Vec<Rev> {
        let leaves = self.leaves();
        let inner = self.0.iter_mut().filter(|(rev, _)| !leaves.contains(rev));
        let stored = inner.filter(|(_, entry)| entry.stored);
        stored.map(|(rev, entry)| (entry.stored = false, rev.clone()).1).collect()
    }

    fn purge(&mut self, revs: &[Rev]) -> Purged {
        let mut leaves = self.leaves();
        leaves.sort();
        let (purged, stay): (Vec<Rev>, Vec<Rev>) =
            leaves.into_iter().partition(|leaf| revs.contains(leaf));
        let keep = stay.iter().flat_map(|leaf| self.path(leaf)).collect();
        Purged { purged, removed: self.keep(&keep) }
    }

    fn missing(&self, revs: &[Rev]) -> Vec<Rev> {
        let mut missing = Vec::new();
        for rev in revs {
            if !self.0.contains_key(rev) && !missing.contains(rev) {
                missing.push(rev.clone());
            }
        }
        missing
    }

    fn possible_ancestors(&self, missing: &[Rev]) -> Vec<Rev> {
        let older = |leaf: &Rev| missing.iter().any(|rev| leaf.generation < rev.generation);
        self.leaves().into_iter().rev().filter(older).collect()
    }

    fn leaves_from(&self, rev: &Rev) -> Vec<Rev> {
        self.leaves().into_iter().filter(|leaf| self.path(leaf).contains(rev)).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Merge(Index, usize),
    Stem(usize),
    ForgetBodies,
    Purge(Vec<Index>),
}

fn history() -> impl Strategy<Value = History> {
    let choice = (0u8..10, any::<Index>(), any::<u8>(), any::<bool>());
    prop::collection::vec(choice, 1..30).prop_map(History::build)
}

fn step() -> impl Strategy<Value = Step> {
    let revs = prop::collection::vec(any::<Index>(), 0..6);
    prop_oneof![
        8 => (any::<Index>(), 1usize..40).prop_map(|(at, most)| Step::Merge(at, most)),
        1 => (1usize..8).prop_map(Step::Stem),
        1 => Just(Step::ForgetBodies),
        1 => revs.prop_map(Step::Purge),
    ]
}

/// A history, some of its revisions, and the same in another order.
fn history_and_orders() -> impl Strategy<Value = (History, Vec<usize>, Vec<usize>)> {
    let picks = (history(), prop::collection::vec(any::<Index>(), 1..30));
    picks.prop_flat_map(|(history, picks)| {
        let picks: Vec<usize> = picks.iter().map(|pick| pick.index(history.0.len())).collect();
        (Just(history), Just(picks.clone()), Just(picks).prop_shuffle())
    })
}

/// Revisions of a history, each with the number of ids to cut its path to.
type CutPaths = Vec<(usize, usize)>;

/// A history, cut paths to all its leaves, and the same in another order.
fn history_and_leaves() -> impl Strategy<Value = (History, CutPaths, CutPaths)> {
    let cuts = (history(), prop::collection::vec(1usize..40, 40));
    cuts.prop_flat_map(|(history, cuts)| {
        let picks: CutPaths = history.leaves().into_iter().zip(cuts).collect();
        (Just(history), Just(picks.clone()), Just(picks).prop_shuffle())
    })
}

fn revs<'tree>(nodes: impl IntoIterator<Item = &'tree Node>) -> Vec<Rev> {
    nodes.into_iter().map(Node::rev).collect()
}

/// The tree without what depends on the order of merges by design: whether an inner revision was
/// seen as a leaf once, with a body or as a tombstone.
fn shape(tree: &RevTree) -> Naive {
    let mut naive = Naive::of(tree);
    let leaves = naive.leaves();
    for (_, entry) in naive.0.iter_mut().filter(|(rev, _)| !leaves.contains(rev)) {
        (entry.deleted, entry.stored) = (false, false);
    }
    naive
}

/// The tree keeps its invariants and gives the naive tree's answers about every revision.
fn check(tree: &RevTree, naive: &Naive, history: &History) -> Result<(), TestCaseError> {
    prop_assert_eq!(&Naive::of(tree), naive);
    prop_assert_eq!(tree.is_empty(), naive.0.is_empty());
    prop_assert_eq!(RevTree::from_nodes(tree.nodes().to_vec()), Ok(tree.clone()));
    prop_assert_eq!(revs(tree.leaves()), naive.leaves());
    prop_assert_eq!(tree.winner().map(Node::rev), naive.leaves().first().cloned());
    let all = history.revs();
    for rev in &all {
        prop_assert_eq!(tree.get(rev).map(Node::rev), naive.path(rev).first().cloned());
        prop_assert_eq!(tree.is_leaf(rev), naive.is_leaf(rev));
        prop_assert_eq!(revs(tree.leaves_from(rev)), naive.leaves_from(rev));
        let path = naive.path(rev).into_iter().map(|rev| rev.hash).collect::<Vec<_>>();
        let expect = (!path.is_empty()).then_some(Revisions { start: rev.generation, ids: path });
        prop_assert_eq!(tree.path(rev), expect);
        let asked = std::slice::from_ref(rev);
        prop_assert_eq!(tree.possible_ancestors(asked), naive.possible_ancestors(asked));
    }
    let twice: Vec<Rev> = all.iter().rev().chain(&all).cloned().collect();
    prop_assert_eq!(tree.missing(&twice), naive.missing(&twice));
    prop_assert_eq!(tree.possible_ancestors(&all), naive.possible_ancestors(&all));
    Ok(())
}

proptest! {
    #[test]
    fn the_tree_does_as_the_naive_tree(
        history in history(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let (mut tree, mut naive) = (RevTree::default(), Naive::default());
        let count = history.0.len();
        for step in steps {
            match step {
                Step::Merge(at, most) => {
                    let at = at.index(count);
                    let expect = naive.merge(&history.path(at, most), history.0[at].deleted);
                    prop_assert_eq!(history.merge(&mut tree, at, most), expect);
                }
                Step::Stem(limit) => prop_assert_eq!(tree.stem(limit as u64), naive.stem(limit)),
                Step::ForgetBodies => {
                    prop_assert_eq!(tree.forget_bodies(), naive.forget_bodies());
                }
                Step::Purge(picks) => {
                    let asked = picks.iter().map(|at| history.0[at.index(count)].rev.clone());
                    let asked: Vec<Rev> = asked.collect();
                    prop_assert_eq!(tree.purge(&asked), naive.purge(&asked));
                }
            }
            check(&tree, &naive, &history)?;
        }
    }

    #[test]
    fn the_order_of_whole_paths_does_not_matter((history, one, other) in history_and_orders()) {
        let (left, right) = (history.whole(&one), history.whole(&other));
        prop_assert_eq!(shape(&left), shape(&right));
        prop_assert_eq!(revs(left.leaves()), revs(right.leaves()));
        let union: BTreeSet<Rev> = one.iter()
            .flat_map(|at| std::iter::successors(Some(*at), |at| history.0[*at].parent))
            .map(|at| history.0[at].rev.clone())
            .collect();
        prop_assert_eq!(left.nodes().iter().map(Node::rev).collect::<BTreeSet<_>>(), union);
    }

    #[test]
    fn the_order_of_cut_paths_to_leaves_does_not_matter(
        (history, one, other) in history_and_leaves(),
    ) {
        let (left, right) = (history.tree(one.clone()), history.tree(other));
        prop_assert_eq!(shape(&left), shape(&right));
        prop_assert_eq!(revs(left.leaves()), revs(right.leaves()));
        for (at, most) in one {
            let path = left.path(&history.0[at].rev).unwrap();
            prop_assert!(path.ids.starts_with(&history.path(at, most).ids));
        }
    }

    #[test]
    fn merging_again_changes_nothing((history, one, other) in history_and_orders()) {
        let mut tree = history.whole(&one);
        let before = tree.clone();
        for at in other {
            prop_assert_eq!(history.merge(&mut tree, at, usize::MAX), Merge::Known);
            prop_assert_eq!(&tree, &before);
        }
    }

    /// As in CouchDB a link may stay unknown that no branch, as far as it is kept, goes over.
    #[test]
    fn stemming_between_merges_of_leaves_loses_nothing(
        (history, one, other) in history_and_leaves(),
        limit in 1usize..8,
    ) {
        let mut once = history.tree(one.iter().map(|(at, _)| (*at, usize::MAX)));
        once.stem(limit as u64);
        let mut often = RevTree::default();
        for (at, _) in other {
            history.merge(&mut often, at, usize::MAX);
            often.stem(limit as u64);
        }
        prop_assert_eq!(revs(once.nodes()), revs(often.nodes()));
        prop_assert_eq!(revs(once.leaves()), revs(often.leaves()));
        for (at, _) in one {
            let (leaf, kept) = (&history.0[at].rev, history.path(at, limit));
            prop_assert!(once.path(leaf).unwrap().ids.starts_with(&kept.ids));
            prop_assert!(often.path(leaf).unwrap().ids.starts_with(&kept.ids));
        }
        let before = once.clone();
        prop_assert_eq!(once.stem(limit as u64), Vec::new());
        prop_assert_eq!(once, before);
    }

    #[test]
    fn purging_one_by_one_in_any_order_purges_the_same(
        (history, one, other) in history_and_orders(),
    ) {
        let tree = history.whole(&history.leaves());
        let asked = |picks: &[usize]| -> Vec<Rev> {
            picks.iter().map(|at| history.0[*at].rev.clone()).collect()
        };
        let (mut left, mut right, mut single) = (tree.clone(), tree.clone(), tree);
        prop_assert_eq!(left.purge(&asked(&one)), right.purge(&asked(&other)));
        for at in other {
            single.purge(&asked(&[at]));
        }
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &single);
    }

    /// Paths of peers that lie: the same revision with one ancestry now and another then.
    #[test]
    fn inconsistent_paths_never_break_the_tree(
        paths in prop::collection::vec((0u64..9, prop::collection::vec(0u8..3, 0..9)), 1..30),
        limit in 0u64..6,
    ) {
        let mut tree = RevTree::default();
        for (start, ids) in paths {
            let ids = ids.iter().map(|id| RevHash::Md5([*id; 16])).collect();
            let path = Revisions { start, ids };
            let before = Naive::of(&tree);
            let outcome = tree.merge(&path, false);
            prop_assert_eq!(RevTree::from_nodes(tree.nodes().to_vec()), Ok(tree.clone()));
            let after = Naive::of(&tree);
            if outcome == Merge::Known {
                prop_assert_eq!(&after, &before);
            } else {
                prop_assert!(tree.is_leaf(&path.newest().unwrap()));
            }
            for (rev, entry) in before.0 {
                prop_assert!(entry.parent.is_none() || entry.parent == after.0[&rev].parent);
            }
        }
        let leaves = revs(tree.leaves());
        tree.stem(limit);
        prop_assert_eq!(revs(tree.leaves()), leaves);
        prop_assert_eq!(RevTree::from_nodes(tree.nodes().to_vec()), Ok(tree.clone()));
    }

    #[test]
    fn any_nodes_are_taken_or_refused_without_a_panic(
        nodes in prop::collection::vec((0u64..4, 0u8..3, prop::option::of(0u32..6)), 0..6),
        sorted in any::<bool>(),
    ) {
        let mut nodes: Vec<Node> = nodes.into_iter().map(|(generation, hash, parent)| Node {
            generation, hash: RevHash::Md5([hash; 16]), parent, deleted: false, stored: false,
        }).collect();
        if sorted {
            nodes.sort_by(|a, b| a.cmp_to(b.generation, &b.hash));
        }
        if let Ok(tree) = RevTree::from_nodes(nodes) {
            let naive = Naive::of(&tree);
            prop_assert_eq!(naive.0.len(), tree.nodes().len());
            prop_assert_eq!(revs(tree.leaves()), naive.leaves());
        }
    }
}
