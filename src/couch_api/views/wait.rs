//! Waiting for an index to have what its database has.
//!
//! Whoever finds that nobody updates the index starts an update; it goes on when its client has
//! gone. Waiting costs no thread and ends with the client's connection and with the server.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::app::App;
use crate::blocking;
use crate::couch_api::error::ApiError;
use crate::database::{Database, DatabaseError};
use crate::design::has_views;
use crate::document::DocId;
use crate::views::{Index, Reached, Updater, ViewsError};

/// Updates at a time; a further one waits its turn without a thread.
static UPDATES: Semaphore = Semaphore::const_new(64);

/// Indexes that are built at a time without anybody waiting for them.
static AHEAD: Semaphore = Semaphore::const_new(2);

/// Waits until the index has everything that was committed when this was called.
///
/// # Errors
/// Why an update failed; 503 where the server stops.
pub async fn wait_until_current(
    app: &Arc<App>,
    db: &Database,
    index: &Arc<Index>,
) -> Result<(), ApiError> {
    let state = db.state();
    let has_all = |now: &Reached| now.seq >= state.update_seq && now.purge_seq >= state.purge_seq;
    let mut reached = index.subscribe();
    let mut updates = reached.borrow().updates;
    // An update that was under way may fail for what has been mended since: one more is waited for.
    let mut is_ours = false;
    let mut has_seen_failure = false;
    loop {
        let now = reached.borrow_and_update().clone();
        if has_all(&now) {
            return Ok(());
        }
        if now.updates != updates {
            updates = now.updates;
            if let Some(failure) = now.failure {
                if is_ours || has_seen_failure {
                    return Err(failure_of(db, failure));
                }
                has_seen_failure = true;
            }
        }
        if let Some(updater) = index.update() {
            is_ours = true;
            start(updater);
        }
        tokio::select! {
            changed = reached.changed() => changed.map_err(|_| DatabaseError::NotFound)?,
            () = app.stopping.cancelled() => return Err(DatabaseError::Overloaded.into()),
        }
    }
}

/// Builds the views of a design document that was just saved, so that they are there when they
/// are asked for; `"autoupdate": false` keeps it from being done.
pub fn build_ahead(app: &Arc<App>, db: &Arc<Database>, id: &DocId) {
    if !id.is_design() || app.registry.limits().disk_full_for_builds_ahead() {
        return;
    }
    let (app, db, id) = (app.clone(), db.clone(), id.clone());
    tokio::spawn(async move {
        let Ok(permit) = AHEAD.acquire().await else { return };
        let index = blocking::run("open an index", move || {
            let ddoc = db.design(&id).ok().flatten()?;
            let wanted = ddoc.body.get("autoupdate") != Some(&serde_json::Value::Bool(false));
            let index = wanted && has_views(&ddoc.body);
            index.then(|| app.views.index(&db, &ddoc).ok()).flatten()
        });
        let updater = index.await.ok().flatten().and_then(|index| index.update());
        if let Some(updater) = updater {
            // Whoever asks the views is told how it ended.
            let _ = blocking::run("build a view index", || updater.run()).await;
        }
        drop(permit);
    });
}

fn failure_of(db: &Database, failure: ViewsError) -> ApiError {
    if db.is_deleted() { DatabaseError::NotFound.into() } else { failure.into() }
}

/// Whether an index has everything that is committed.
pub fn is_current(db: &Database, index: &Index) -> bool {
    let state = db.state();
    let reached = index.subscribe();
    let now = reached.borrow();
    now.seq >= state.update_seq && now.purge_seq >= state.purge_seq
}

/// Updates the index without anybody waiting for it, where it lacks something.
pub fn update_later(db: &Database, index: &Arc<Index>) {
    if !is_current(db, index)
        && let Some(updater) = index.update()
    {
        start(updater);
    }
}

fn start(updater: Updater) {
    tokio::spawn(async move {
        let Ok(_permit) = UPDATES.acquire().await else { return };
        // A panic is logged by `run`; who waits is told when the updater is dropped.
        let _ = blocking::run("update index", move || updater.run()).await;
    });
}
