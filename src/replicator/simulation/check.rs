//! What must hold: of checkpoints always, of databases once everything is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde_json::Value;

use crate::database::{Database, Direction, Seq};
use crate::document::DocId;
use crate::storage::{Engine, Table, keys};

use super::site::{Leaf, Site};
use super::world::World;

/// Knows what a checkpoint of a replication of everything promises: whatever the source had up to
/// there, the target has.
pub struct Oracle {
    pub source: Site,
    pub target: Site,
}

impl Oracle {
    pub fn look(&self, recorded: &Value) {
        let (Some(source), Some(target)) = (self.source.find(), self.target.find()) else { return };
        let seq = recorded.as_str().and_then(|text| Seq::parse(text).ok());
        let Some(through) = seq.map(|seq| source.number_of(seq)) else { return };
        source
            .scan_changes(1, through, Direction::Forward, &mut |seq, change| {
                for (rev, _) in &change.leaves {
                    let known = knows(&target, &change.id, rev);
                    let (id, from, to) = (&change.id, source.name(), target.name());
                    assert!(
                        known,
                        "a checkpoint at {through} from {from} to {to} lacks {id} {rev} of {seq}"
                    );
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    }
}

fn knows(db: &Database, id: &DocId, rev: &crate::document::Rev) -> bool {
    db.head(id).unwrap().is_some_and(|head| head.tree.get(rev).is_some())
}

/// All databases hold the same.
pub fn converged(world: &World) {
    let contents: Vec<_> = world.sites.iter().map(Site::contents).collect();
    let purged = world.purged.lock().unwrap();
    let ids: BTreeSet<&String> = contents.iter().flat_map(BTreeMap::keys).collect();
    for id in ids.into_iter().filter(|id| !purged.contains(*id)) {
        for (one, site) in contents.iter().zip(&world.sites) {
            for (two, other) in contents.iter().zip(&world.sites) {
                let (one, two) = (one.get(id), two.get(id));
                let where_it_is = format!("{id} in {} and {}", site.name, other.name);
                if world.stems {
                    assert_eq!(newest(one), newest(two), "{where_it_is}");
                } else {
                    assert_eq!(one, two, "{where_it_is}");
                }
            }
        }
    }
}

/// Where databases forget old revisions, one's leaf may be an inner revision of another, or be
/// forgotten there. What nothing can be newer than is a leaf everywhere.
fn newest(leaves: Option<&Vec<Leaf>>) -> Option<&Leaf> {
    leaves?.iter().max_by_key(|leaf| leaf.rev.clone())
}

/// The counters of a database say what is in it, and nothing is left of uploads and databases
/// that are gone.
pub fn clean(world: &World) {
    for site in &world.sites {
        let (db, contents) = (site.db(), site.contents());
        let deleted = contents.values().filter(|leaves| leaves[0].deleted).count() as u64;
        let state = db.state();
        let counted = (contents.len() as u64 - deleted, deleted);
        assert_eq!((state.doc_count, state.doc_del_count), counted, "{}", site.name);
    }
    for engine in &world.engines {
        let mut left = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            left.push(key.to_vec());
            ControlFlow::Continue(())
        };
        let snapshot = engine.snapshot();
        let uploads = keys::uploads();
        snapshot.scan(Table::Catalogue, &uploads, Direction::Forward, &mut visit).unwrap();
        assert_eq!(left.len(), 0, "uploads were left behind");
    }
}
