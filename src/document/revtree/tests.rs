//! Revision trees written by hand: conflicts, stemming, tombstones, purges, hostile input.

use super::{Merge, Node, Purged, RevTree, RevTreeError};
use crate::document::{Rev, RevHash, Revisions};

fn rev(text: &str) -> Rev {
    Rev::parse(text).unwrap()
}

fn revs(texts: &str) -> Vec<Rev> {
    texts.split_whitespace().map(rev).collect()
}

/// `3-c b a` is `3-c` with its parent `2-b` and that one's parent `1-a`.
fn path(text: &str) -> Revisions {
    let mut parts = text.split(' ');
    let newest = rev(parts.next().unwrap());
    let older = parts.map(RevHash::parse);
    Revisions {
        start: newest.generation,
        ids: std::iter::once(newest.hash.clone()).chain(older).collect(),
    }
}

/// Merges paths, tombstones marked by a `!` before them.
fn tree(paths: &[&str]) -> RevTree {
    let mut tree = RevTree::default();
    for text in paths {
        let (text, deleted) = text.strip_prefix('!').map_or((*text, false), |text| (text, true));
        tree.merge(&path(text), deleted);
    }
    tree
}

/// All nodes as `revision<parent`, with `!` before tombstones and `*` behind stored ones.
fn show(tree: &RevTree) -> String {
    let show = |node: &Node| {
        let parent = node.parent.map(|at| format!("<{}", tree.nodes()[at as usize].hash));
        let mark = |set, mark| if set { mark } else { "" };
        let (deleted, stored) = (mark(node.deleted, "!"), mark(node.stored, "*"));
        format!("{deleted}{}{}{stored}", node.rev(), parent.unwrap_or_default())
    };
    tree.nodes().iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show_all<'node>(nodes: impl IntoIterator<Item = &'node Node>) -> String {
    nodes.into_iter().map(|node| node.rev().to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn paths_merge() {
    let check = |before: &[&str], merged: &str, outcome: Merge, after: &str| {
        let mut tree = tree(before);
        assert_eq!(tree.merge(&path(merged), false), outcome, "{before:?} {merged}");
        assert_eq!(show(&tree), after, "{before:?} {merged}");
    };
    check(&[], "1-a", Merge::NewLeaf, "1-a*");
    check(&[], "3-c b a", Merge::NewLeaf, "1-a 2-b<a 3-c<b*");
    check(&["1-a"], "2-b a", Merge::NewLeaf, "1-a* 2-b<a*");
    check(&["1-a"], "4-d c b a", Merge::NewLeaf, "1-a* 2-b<a 3-c<b 4-d<c*");
    check(&["2-b a"], "2-c a", Merge::NewBranch, "1-a 2-b<a* 2-c<a*");
    check(&["2-c a"], "2-b a", Merge::NewBranch, "1-a 2-b<a* 2-c<a*");
    check(&["1-a"], "1-b", Merge::NewBranch, "1-a* 1-b*");
    check(&["3-m k a"], "3-l j a", Merge::NewBranch, "1-a 2-j<a 2-k<a 3-l<j* 3-m<k*");
    // Known, as a leaf or not: neither body nor ancestry is taken.
    check(&["2-b a"], "2-b a", Merge::Known, "1-a 2-b<a*");
    check(&["2-b a"], "1-a", Merge::Known, "1-a 2-b<a*");
    check(&["2-b"], "2-b a", Merge::Known, "2-b*");
    // A stemmed root gets ancestors, also where the path joins above it.
    check(&["3-c"], "4-d c b a", Merge::NewLeaf, "1-a 2-b<a 3-c<b* 4-d<c*");
    check(&["5-e d c"], "5-f d c b a", Merge::NewBranch, "1-a 2-b<a 3-c<b 4-d<c 5-e<d* 5-f<d*");
    check(&["4-d", "2-b"], "5-e d c b a", Merge::NewLeaf, "1-a 2-b<a* 3-c<b 4-d<c* 5-e<d*");
    check(&["4-d", "3-c"], "5-e d c b", Merge::NewLeaf, "2-b 3-c<b* 4-d<c* 5-e<d*");
    // What has a parent keeps it.
    check(&["3-c b a"], "4-d c x y", Merge::NewLeaf, "1-a 2-b<a 3-c<b* 4-d<c*");
    check(&["3-c b"], "4-d c x y", Merge::NewLeaf, "2-b 3-c<b* 4-d<c*");
    // Too many ids for the generation.
    check(&[], "2-b a x y", Merge::NewLeaf, "1-a 2-b<a*");
    check(&["1-a"], "2-b a x y", Merge::NewLeaf, "1-a* 2-b<a*");
    check(&["1-a"], "0-b a", Merge::Known, "1-a*");
}

#[test]
fn an_empty_path_changes_nothing() {
    let mut tree = tree(&["1-a"]);
    assert_eq!(tree.merge(&Revisions { start: 2, ids: Vec::new() }, false), Merge::Known);
    assert_eq!(show(&tree), "1-a*");
}

#[test]
fn the_highest_generation_is_no_trouble() {
    let mut tree = RevTree::default();
    let ids = vec![RevHash::Md5([2; 16]), RevHash::Md5([1; 16])];
    let newest = Revisions { start: u64::MAX, ids };
    assert_eq!(tree.merge(&newest, false), Merge::NewLeaf);
    assert_eq!(tree.winner().map(|node| node.generation), Some(u64::MAX));
    assert!(tree.is_leaf(&newest.newest().unwrap()));
    assert_eq!(tree.merge(&path("1-a"), false), Merge::NewBranch);
    assert_eq!(tree.stem(1).len(), 0);
    assert_eq!(tree.nodes().len(), 2);
}

#[test]
fn leaves_stand_best_first() {
    let check = |paths: &[&str], expect: &str| {
        let tree = tree(paths);
        assert_eq!(show_all(tree.leaves()), expect, "{paths:?}");
        assert_eq!(show_all(tree.winner()), expect.split(' ').next().unwrap(), "{paths:?}");
    };
    check(&[], "");
    check(&["2-b a", "2-c a", "3-a b a"], "3-a 2-c");
    check(&["2-b a", "!3-c b a"], "3-c");
    check(&["2-b a", "!3-x y a", "2-c a", "!2-z a"], "2-c 2-b 3-x 2-z");
    // By bytes: an md5 counts with its 16, a text with its characters.
    let md5 = "1-ff000000000000000000000000000000";
    check(&["1-zz", md5], &format!("{md5} 1-zz"));
}

#[test]
fn a_tombstone_can_be_followed() {
    let mut tree = tree(&["1-a", "!2-b a"]);
    assert!(tree.winner().unwrap().deleted);
    assert_eq!(tree.merge(&path("3-c b a"), false), Merge::NewLeaf);
    assert_eq!(show(&tree), "1-a* !2-b<a* 3-c<b*");
    assert_eq!(show_all(tree.leaves()), "3-c");
}

#[test]
fn questions_about_revisions() {
    let tree = tree(&["3-c b a", "!3-d b a", "2-e a", "7-z y"]);
    assert_eq!(tree.path(&rev("3-c")), Some(path("3-c b a")));
    assert_eq!(tree.path(&rev("7-z")), Some(path("7-z y")));
    assert_eq!(tree.path(&rev("3-x")), None);
    assert!(tree.is_leaf(&rev("2-e")) && !tree.is_leaf(&rev("2-b")) && !tree.is_leaf(&rev("2-x")));
    assert_eq!(tree.missing(&revs("9-x 2-b 1-x 9-x 7-z 1-x")), revs("9-x 1-x"));
    assert_eq!(tree.missing(&[]), []);
    let ancestors = |missing: &str| tree.possible_ancestors(&revs(missing));
    assert_eq!(ancestors("2-x"), []);
    assert_eq!(ancestors("1-x 3-x"), revs("2-e"));
    assert_eq!(ancestors("8-x 3-x"), revs("3-d 2-e 3-c 7-z"));
    assert_eq!(show_all(tree.leaves_from(&rev("1-a"))), "3-c 2-e 3-d");
    assert_eq!(show_all(tree.leaves_from(&rev("2-b"))), "3-c 3-d");
    assert_eq!(show_all(tree.leaves_from(&rev("2-e"))), "2-e");
    assert_eq!(show_all(tree.leaves_from(&rev("6-y"))), "7-z");
    assert_eq!(show_all(tree.leaves_from(&rev("6-x"))), "");
}

#[test]
fn branches_are_stemmed_each_from_its_leaf() {
    let check = |paths: &[&str], limit: u64, removed: &str, after: &str| {
        let mut tree = tree(paths);
        assert_eq!(tree.stem(limit), revs(removed), "{paths:?} {limit}");
        assert_eq!(show(&tree), after, "{paths:?} {limit}");
    };
    check(&[], 1, "", "");
    check(&["1-a", "2-b a", "3-c b a"], 3, "", "1-a* 2-b<a* 3-c<b*");
    check(&["1-a", "2-b a", "3-c b a"], 2, "1-a", "2-b* 3-c<b*");
    check(&["1-a", "3-c b a"], 1, "1-a", "3-c*");
    check(&["1-a", "3-c b a"], 0, "1-a", "3-c*");
    check(&["!2-b a", "3-c b a"], 1, "2-b", "3-c*");
    // The short branch holds on to the root; in the long one a gap opens.
    check(&["2-b a", "5-f e d a"], 2, "", "1-a 2-b<a* 4-e 5-f<e*");
    check(&["3-c b a", "3-d b a"], 2, "", "2-b 3-c<b* 3-d<b*");
    check(&["9-z y x", "1-a"], 2, "", "1-a* 8-y 9-z<y*");
}

#[test]
fn compaction_keeps_the_bodies_of_leaves() {
    let mut tree = tree(&["1-a", "2-b a", "!2-c a", "3-d c a", "4-f e b a"]);
    assert_eq!(tree.forget_bodies(), revs("1-a 2-b 2-c"));
    assert_eq!(show(&tree), "1-a 2-b<a !2-c<a 3-d<c* 3-e<b 4-f<e*");
    assert_eq!(tree.forget_bodies(), []);
}

#[test]
fn leaves_are_purged_down_to_the_branching() {
    let check = |asked: &str, purged: &str, removed: &str, after: &str| {
        let mut tree = tree(&["1-a", "2-b a", "3-c b a", "3-d b a", "4-f e b a", "2-z y"]);
        let expect = Purged { purged: revs(purged), removed: revs(removed) };
        assert_eq!(tree.purge(&revs(asked)), expect, "{asked}");
        assert_eq!(show(&tree), after, "{asked}");
    };
    let all = "1-a* 1-y 2-b<a* 2-z<y* 3-c<b* 3-d<b* 3-e<b 4-f<e*";
    check("", "", "", all);
    check("1-a 2-b 3-e 1-y 9-x 3-x", "", "", all);
    check("4-f", "4-f", "4-f", "1-a* 1-y 2-b<a* 2-z<y* 3-c<b* 3-d<b*");
    check("2-z 2-z", "2-z", "2-z", "1-a* 2-b<a* 3-c<b* 3-d<b* 3-e<b 4-f<e*");
    check("3-d 2-b 3-c", "3-c 3-d", "3-c 3-d", "1-a* 1-y 2-b<a* 2-z<y* 3-e<b 4-f<e*");
    // An inner revision that is asked for goes with the last leaf above it, but is not purged.
    check("2-b 4-f 3-d 3-c", "3-c 3-d 4-f", "1-a 2-b 3-c 3-d 4-f", "1-y 2-z<y*");
    check("2-z 4-f 3-d 3-c", "2-z 3-c 3-d 4-f", "1-a 2-b 2-z 3-c 3-d 4-f", "");
}

#[test]
fn stored_nodes_are_checked() {
    let check = |nodes: &[(u64, &str, Option<u32>)], expect: Result<(), RevTreeError>| {
        let node = |(generation, hash, parent): &(u64, &str, Option<u32>)| Node {
            generation: *generation,
            hash: RevHash::parse(hash),
            parent: *parent,
            deleted: false,
            stored: true,
        };
        let tree = RevTree::from_nodes(nodes.iter().map(node).collect());
        assert_eq!(tree.map(|_| ()), expect, "{nodes:?}");
    };
    check(&[], Ok(()));
    check(&[(1, "a", None), (2, "b", Some(0)), (2, "c", Some(0)), (7, "a", None)], Ok(()));
    check(&[(0, "a", None)], Err(RevTreeError::Generation));
    check(&[(2, "a", None), (0, "b", None)], Err(RevTreeError::Order));
    check(&[(1, "b", None), (1, "a", None)], Err(RevTreeError::Order));
    check(&[(1, "a", None), (1, "a", None)], Err(RevTreeError::Order));
    check(&[(1, "a", Some(0))], Err(RevTreeError::Parent));
    check(&[(1, "a", None), (2, "b", Some(1))], Err(RevTreeError::Parent));
    check(&[(1, "a", None), (2, "b", Some(2))], Err(RevTreeError::Parent));
    check(&[(1, "a", None), (2, "b", Some(u32::MAX))], Err(RevTreeError::Parent));
    check(&[(1, "a", None), (3, "b", Some(0))], Err(RevTreeError::Parent));
    check(&[(1, "a", None), (2, "b", None), (2, "c", Some(1))], Err(RevTreeError::Parent));
}

/// A million ids are merged, extended, branched and stemmed without recursion and in time that
/// grows with their number, not with its square (which would be hours).
#[test]
fn a_million_ids_are_no_trouble() {
    let count = 1_000_000u64;
    let id = |at: u64| RevHash::Md5(u128::from(at).to_be_bytes());
    let line = |from: u64, to: u64| (to..=from).rev().map(id).collect::<Vec<_>>();
    let mut tree = RevTree::default();
    let middle = Revisions { start: count / 2, ids: line(count / 2, count / 2) };
    assert_eq!(tree.merge(&middle, false), Merge::NewLeaf);
    let whole = Revisions { start: count, ids: line(count, 1) };
    assert_eq!(tree.merge(&whole, false), Merge::NewLeaf);
    assert_eq!(tree.nodes().len() as u64, count);
    let branch = Revisions { start: count, ids: [vec![id(0)], line(count - 1, 1)].concat() };
    assert_eq!(tree.merge(&branch, false), Merge::NewBranch);
    assert_eq!(tree.path(&whole.newest().unwrap()), Some(whole));
    assert_eq!(tree.leaves().len(), 2);
    assert_eq!(tree.stem(1000).len(), 1);
    assert_eq!(tree.nodes().len(), 1001);
}
