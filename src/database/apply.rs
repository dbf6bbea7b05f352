//! How an edit enters a revision tree: pure, the one place where its base is matched.

use crate::document::revtree::{Merge, RevTree};
use crate::document::{Attachment, Rev, RevHash, Revisions};

use super::Base;

/// Where an edit's revision goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Below this revision (or as a first one), with a hash that is computed here.
    Below(Option<Rev>),
    /// At the end of this path, which another database made.
    Path(Revisions),
    /// The tree has it already.
    Known(Rev),
    Conflict,
}

/// Finds the place of an edit. Interactive edits extend a leaf, or the winner where all leaves
/// are tombstones; replicated ones always find a place.
pub(super) fn place(tree: &RevTree, base: &Base) -> Place {
    match base {
        Base::New => match tree.winner() {
            None => Place::Below(None),
            Some(winner) if winner.deleted => Place::Below(Some(winner.rev())),
            Some(_) => Place::Conflict,
        },
        Base::On(rev) if tree.is_leaf(rev) => Place::Below(Some(rev.clone())),
        Base::On(_) => Place::Conflict,
        Base::Replicated(path) => match path.newest() {
            Some(rev) if tree.get(&rev).is_some() => Place::Known(rev),
            Some(_) => Place::Path(path.clone()),
            None => Place::Conflict,
        },
    }
}

/// The path that a new revision `hash` below `parent` takes into the tree.
pub(super) fn path_below(parent: Option<&Rev>, hash: RevHash) -> Revisions {
    match parent {
        None => Revisions { start: 1, ids: vec![hash] },
        Some(parent) => {
            let start = parent.generation.saturating_add(1);
            Revisions { start, ids: vec![hash, parent.hash.clone()] }
        }
    }
}

/// The newest ancestor on `path` whose body is stored: what stubs of a replicated revision mean.
pub(super) fn stored_ancestor(tree: &RevTree, path: &Revisions) -> Option<Rev> {
    let ancestors = (0u64..).zip(&path.ids).skip(1);
    let mut revs = ancestors.map_while(|(up, hash)| {
        Some(Rev { generation: path.start.checked_sub(up)?, hash: hash.clone() })
    });
    // From the first one that the tree knows on, the tree may know more than the path says.
    let known = tree.path(&revs.find(|rev| tree.get(rev).is_some())?)?;
    let ancestors = (0u64..).zip(known.ids);
    let mut revs = ancestors
        .map_while(|(up, hash)| Some(Rev { generation: known.start.checked_sub(up)?, hash }));
    revs.find(|rev| tree.get(rev).is_some_and(|node| node.stored))
}

/// The attachment that a stub keeps; a stub that names a generation must name the right one.
pub(super) fn stub_target<'a>(
    old: &'a [Attachment],
    name: &str,
    revpos: Option<u64>,
) -> Option<&'a Attachment> {
    let same =
        |att: &&Attachment| att.name == name && revpos.is_none_or(|revpos| revpos == att.revpos);
    old.iter().find(same)
}

/// Says what the document's counted bytes become: `(live, obsolete)`.
pub(super) fn merge_sizes(merge: Merge, leaves_before: u64, live: u64, added: u64) -> (u64, u64) {
    match merge {
        Merge::Known => (live, 0),
        Merge::NewBranch => (live.saturating_add(added), 0),
        Merge::NewLeaf => {
            // Bytes are counted for all leaves together: take this leaf's even share.
            let replaced = live.checked_div(leaves_before).unwrap_or(0);
            (live - replaced + added, replaced)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[(&str, bool)]) -> RevTree {
        let mut tree = RevTree::default();
        for (path, deleted) in paths {
            let ids: Vec<RevHash> = path.split(' ').rev().map(RevHash::parse).collect();
            tree.merge(&Revisions { start: ids.len() as u64, ids }, *deleted);
        }
        tree
    }

    fn rev(text: &str) -> Rev {
        Rev::parse(text).unwrap()
    }

    #[test]
    fn interactive_edits_extend_leaves_only() {
        let below = |text| Place::Below(Some(rev(text)));
        let live = tree(&[("a b", false), ("a c", false)]);
        let dead = tree(&[("a b", true)]);
        let half = tree(&[("a b", false), ("a c", true)]);
        for (tree, base, expected) in [
            (&RevTree::default(), Base::New, Place::Below(None)),
            (&RevTree::default(), Base::On(rev("1-a")), Place::Conflict),
            (&live, Base::New, Place::Conflict),
            (&live, Base::On(rev("2-b")), below("2-b")),
            (&live, Base::On(rev("2-c")), below("2-c")),
            (&live, Base::On(rev("1-a")), Place::Conflict),
            (&dead, Base::New, below("2-b")),
            (&dead, Base::On(rev("2-b")), below("2-b")),
            (&half, Base::New, Place::Conflict),
            (&half, Base::On(rev("2-c")), below("2-c")),
        ] {
            assert_eq!(place(tree, &base), expected, "{base:?}");
        }
    }

    #[test]
    fn replicated_edits_always_find_a_place() {
        let live = tree(&[("a b", false)]);
        let known = Revisions { start: 1, ids: vec![RevHash::parse("a")] };
        let other = Revisions { start: 1, ids: vec![RevHash::parse("z")] };
        assert_eq!(place(&live, &Base::Replicated(known)), Place::Known(rev("1-a")));
        assert_eq!(place(&live, &Base::Replicated(other.clone())), Place::Path(other));
    }
}
