//! Accepting connections until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::app::SharedApp;
use crate::blocking;
use crate::couch_api::Service;

use super::connection::Connections;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Connections at one time; more wait in the backlog.
const CONNECTIONS_MAX: usize = 65_536;
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long running requests may take to end once the server stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Listens at `address`; port 0 is any free port. Call it inside of a tokio runtime.
///
/// # Errors
/// Those of the system, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart must not wait for connections of the server before to fade away.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `app` until `shutdown` ends, then ends feeds, waits for running requests, and closes
/// the store.
///
/// # Errors
/// Where the store could not be closed; everything acknowledged is safe all the same.
pub async fn serve(
    app: SharedApp,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new(Service::new(app.clone()), app.stopping.clone());
    let running = TaskTracker::new();
    let replicating = app.clone();
    running.spawn(async move { replicating.replicator.drive(replicating.stopping.clone()).await });
    tokio::select! {
        () = shutdown => {}
        () = accept(&listener, connections, &running) => {}
    }
    drop(listener);
    app.stopping.cancel();
    running.close();
    if tokio::time::timeout(STOP_TIME_MAX, running.wait()).await.is_err() {
        tracing::warn!(connections = running.len(), "requests were cut off by the server's stop");
    }
    let closed = blocking::run("close the store", move || app.registry.close()).await;
    closed.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, connections: Connections, running: &TaskTracker) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connections.serve(stream, peer.ip());
                running.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
