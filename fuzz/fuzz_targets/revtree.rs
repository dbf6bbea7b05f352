//! Peers that learn the same paths of one history in any order have the same tree, and a tree that
//! is stored, stemmed or purged stays one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use settee_fuzz::document::revtree::{Merge, RevTree};
use settee_fuzz::document::{Rev, RevHash, Revisions};
use settee_fuzz::storage::values::Head;

struct Made {
    rev: Rev,
    parent: Option<usize>,
    deleted: bool,
}

/// Two bytes a revision: what it follows on; the rest of its hash, and whether it is a tombstone.
fn history(data: &[u8]) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (at, pair) in data.chunks_exact(2).take(64).enumerate() {
        let parent = (pair[0] % 8 > 0 && at > 0).then(|| usize::from(pair[0] / 8) % at);
        let generation = parent.map_or(1, |parent| made[parent].rev.generation + 1);
        let mut hash = [pair[1]; 16];
        hash[1] = at as u8;
        let rev = Rev { generation, hash: RevHash::Md5(hash) };
        made.push(Made { rev, parent, deleted: pair[1] % 4 == 0 });
    }
    made
}

fn path(made: &[Made], at: usize) -> Revisions {
    let line = std::iter::successors(Some(at), |at| made[*at].parent);
    let ids = line.map(|at| made[at].rev.hash.clone()).collect();
    Revisions { start: made[at].rev.generation, ids }
}

fn check(tree: &RevTree) {
    let nodes = tree.nodes().to_vec();
    assert_eq!(RevTree::from_nodes(nodes).as_ref(), Ok(tree));
    if !tree.is_empty() {
        let head = Head { seq: 7, external_bytes: 9, tree: tree.clone() };
        let read = Head::decode(&head.encode()).expect("what is stored can be read");
        assert_eq!(read.tree, *tree);
        let leaves = tree.leaves();
        assert_eq!(tree.winner(), leaves.first().copied());
    }
}

fuzz_target!(|data: &[u8]| {
    let made = history(data);
    // Whole paths: leaves last, or first.
    let (mut up, mut down) = (RevTree::default(), RevTree::default());
    for at in 0..made.len() {
        up.merge(&path(&made, at), made[at].deleted);
        assert_eq!(up.merge(&path(&made, at), made[at].deleted), Merge::Known);
        check(&up);
    }
    for at in (0..made.len()).rev() {
        down.merge(&path(&made, at), made[at].deleted);
    }
    let leaves = |tree: &RevTree| -> Vec<Rev> { tree.leaves().iter().map(|l| l.rev()).collect() };
    let all = |tree: &RevTree| -> Vec<Rev> { tree.nodes().iter().map(|n| n.rev()).collect() };
    assert_eq!(all(&up), all(&down));
    assert_eq!(leaves(&up).len(), leaves(&down).len());
    let limit = u64::from(data.first().copied().unwrap_or(0) % 8) + 1;
    up.stem(limit);
    check(&up);
    let some: Vec<Rev> = leaves(&up).into_iter().step_by(2).collect();
    let purged = up.purge(&some);
    assert_eq!(purged.purged.len(), some.len());
    check(&up);
});
