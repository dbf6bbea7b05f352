//! Accepting connections until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;

use crate::app::SharedApp;
use crate::blocking;
use crate::couch_api::Service;

use super::connection::Connections;
use super::prometheus;
use super::tls::Tls;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

/// Where the server listens. All listeners share limits and everything behind them.
pub struct Listeners {
    pub http: TcpListener,
    pub https: Option<(TcpListener, Arc<Tls>)>,
}

/// Serves `app` until `shutdown` ends, then ends feeds, waits for running requests, and closes
/// the store.
///
/// # Errors
/// Where the store could not be closed; everything acknowledged is safe all the same.
pub async fn serve(
    app: SharedApp,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new(Service::new(app.clone()), app.stopping.clone());
    let connections = Arc::new(connections);
    let running = TaskTracker::new();
    let serving = app.clone();
    running.spawn(async move { serving.run_services().await });
    let Listeners { http, https } = listeners;
    let accept_https = async {
        match &https {
            Some((listener, tls)) => accept(listener, Some(tls), &connections, &running).await,
            None => std::future::pending().await,
        }
    };
    running.spawn(prometheus::serve(app.clone()));
    tokio::select! {
        () = shutdown => {}
        () = accept(&http, None, &connections, &running) => {}
        () = accept_https => {}
    }
    drop((http, https));
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
async fn accept(
    listener: &TcpListener,
    tls: Option<&Arc<Tls>>,
    connections: &Arc<Connections>,
    running: &TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                running.spawn(connections.clone().serve(stream, peer.ip(), tls.cloned()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
