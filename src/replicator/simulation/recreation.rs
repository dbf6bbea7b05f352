//! A database that is deleted and created anew while it is replicated.

use std::sync::Arc;

use serde_json::Map;

use crate::database::NoFunctions;
use crate::replicator::Peer as _;

use super::simulate;
use super::site::{self, Site};

#[test]
fn a_checkpoint_is_for_the_database_that_was_told_of() {
    simulate(async {
        let server = site::server(Arc::default(), Arc::new(NoFunctions));
        let site = Site::new(&server, "db");
        site.create();
        let (peer, other) = (site.peer(), site.peer());
        let before = peer.info().await.unwrap().instance_start_time;
        assert_eq!(peer.ensure_full_commit().await, Ok(before.clone()));

        site.delete().await;
        site.create();
        assert_ne!(peer.ensure_full_commit().await.unwrap(), before, "in the same second");
        peer.write_local("x", Map::new()).await.unwrap_err();
        assert_eq!(other.local("x").await, Ok(None));

        peer.info().await.unwrap();
        peer.write_local("x", Map::new()).await.unwrap();
        assert_eq!(other.local("x").await, Ok(Some(Map::new())));
    });
}
