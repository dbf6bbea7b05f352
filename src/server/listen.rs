//! Accepting connections until told to stop.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::app::SharedApp;
use crate::blocking;
use crate::couch_api::Service;

use super::connection::Connections;
use super::listeners::Listeners;
use super::prometheus;

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `app` until `shutdown` ends, then ends feeds, waits for running requests, and closes
/// the store.
///
/// # Errors
/// Where the store could not be closed; everything acknowledged is safe all the same.
pub async fn serve(
    app: SharedApp,
    mut listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new(Service::new(app.clone()), app.stopping.clone());
    let connections = Arc::new(connections);
    let running = TaskTracker::new();
    let serving = app.clone();
    running.spawn(async move { serving.run_services().await });
    running.spawn(prometheus::serve(app.clone()));
    let mut restarted = app.restarted.subscribe();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = accept(&listeners, &connections, &running) => {}
            // The app has the sender.
            Ok(()) = restarted.changed() => listeners.renew(&app.config),
        }
    }
    drop(listeners);
    app.stopping.cancel();
    running.close();
    let stop_time_max = app.config.snapshot().limits.shutdown_timeout;
    if tokio::time::timeout(stop_time_max, running.wait()).await.is_err() {
        tracing::warn!(connections = running.len(), "requests were cut off by the server's stop");
    }
    let closed = blocking::run("close the store", move || app.registry.close()).await;
    closed.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// Accepts connections for ever.
async fn accept(listeners: &Listeners, connections: &Arc<Connections>, running: &TaskTracker) {
    loop {
        match listeners.accept().await {
            Ok((stream, peer, tls)) => {
                running.spawn(connections.clone().serve(stream, peer.ip(), tls));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
