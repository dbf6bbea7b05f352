//! `_global_changes`: a document for each kind of thing that happened to each database, with a
//! new revision each time. `_db_updates` does not read it: it has a log of its own.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::database::{
    Admitted, Base, DatabaseError, DatabaseName, Edit, EventKind, GLOBAL_CHANGES, Registry,
};
use crate::document::DocId;
use crate::document::incoming::{self, Limits};
use crate::document::revtree::Node;
use crate::metrics;

use super::App;

/// Documents of one batch.
const BATCH: usize = 1000;

impl App {
    /// Writes events down, where there is the database for them, until `stop`.
    pub(super) async fn write_global_changes(&self, stop: CancellationToken) {
        let write = async {
            let mut news = self.registry.subscribe();
            while news.changed().await.is_ok() {
                if !self.registry.has_untold_events() {
                    continue;
                }
                let settings = self.config.snapshot().global_changes;
                tokio::time::sleep(settings.max_event_delay + settings.max_write_delay).await;
                let registry = self.registry.clone();
                let written = blocking::run("write global changes", move || write(&registry)).await;
                if let Ok(Err(error)) = written {
                    tracing::error!(%error, "global changes were not written");
                }
            }
        };
        stop.run_until_cancelled(write).await;
    }
}

fn write(registry: &Registry) -> Result<(), DatabaseError> {
    let events = registry.take_untold_events();
    let Ok(name) = DatabaseName::parse(GLOBAL_CHANGES) else { return Ok(()) };
    if events.is_empty() || !registry.exists(&name)? {
        return Ok(());
    }
    let db = registry.get(&name)?;
    for ids in ids(&events).chunks(BATCH) {
        let heads = db.heads(ids)?;
        let known = heads.iter().map(|head| head.as_ref()?.tree.winner().map(Node::rev));
        let edits = ids.iter().zip(known).filter_map(|(id, rev)| {
            let body = incoming::parse(b"{}", &Limits::default()).ok()?;
            Some(Edit {
                id: id.clone(),
                base: rev.map_or(Base::New, Base::On),
                deleted: false,
                body: body.body,
                body_term: body.body_term,
                attachments: Vec::new(),
            })
        });
        db.edit(Admitted::by_server(edits.collect()))?.wait()?;
        metrics::GLOBAL_CHANGES_WRITES.add(1);
    }
    Ok(())
}

fn ids(events: &BTreeSet<(EventKind, String)>) -> Vec<DocId> {
    let id = |(kind, name): &(EventKind, String)| {
        let kind = match kind {
            EventKind::Created => "created",
            EventKind::Updated => "updated",
            EventKind::Deleted => "deleted",
        };
        DocId::parse(&format!("{kind}:{name}")).ok()
    };
    events.iter().filter_map(id).collect()
}
