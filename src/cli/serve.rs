//! `settee serve`: starts the server, says where it listens, runs until a signal.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, SharedApp, StartError, Started, control, log};
use crate::auth::NewAdmin;
use crate::server::{self, Listeners, Tls, TlsError};

use super::arguments::Serve;
use super::systemd::Systemd;

/// How long work on other threads may go on once the store is closed.
const LAST_WORK_TIME_MAX: Duration = Duration::from_secs(1);

/// Why the server could not run, or did not end as it should.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot listen at {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs the server until SIGINT or SIGTERM.
pub fn run(arguments: &Serve) -> Result<(), ServeError> {
    log::start(&arguments.log_settings());
    // Every listener is a file: take as many as the system lets this process have.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let options = arguments.start_options().map_err(StartError::from)?;
    let Started { app, new_admin } = app::start(&options)?;
    if let Some(admin) = new_admin {
        // At once: the password is stored nowhere, and what follows may fail.
        introduce(&admin)?;
    }
    let runtime = Runtime::new()?;
    let served = runtime.block_on(serve(app, options.data_dir));
    runtime.shutdown_timeout(LAST_WORK_TIME_MAX);
    served
}

async fn serve(app: SharedApp, data_dir: PathBuf) -> Result<(), ServeError> {
    let settings = app.config.snapshot();
    let bind = |port| {
        let address = SocketAddr::new(settings.chttpd.bind_address, port);
        server::bind(address).map_err(|source| ServeError::Listen { address, source })
    };
    let http = bind(settings.chttpd.port)?;
    let https = if settings.ssl.enable {
        let tls = Tls::load(app.config.clone())?;
        Some((bind(settings.ssl.port)?, Arc::new(tls)))
    } else {
        None
    };
    drop(settings);
    let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    tokio::spawn(control::listen(app.clone(), data_dir));
    let systemd = Systemd::from_environment();
    if let Some((listener, _)) = &https {
        say(&format!("settee is ready at https://{}/\n", listener.local_addr()?))?;
    }
    say(&format!("settee is ready at http://{}/\n", http.local_addr()?))?;
    systemd.notify("READY=1");
    let watched = tokio::spawn(systemd.clone().keep_watchdog());
    let stopped = async {
        stopped(signals).await;
        systemd.notify("STOPPING=1");
    };
    let served = server::serve(app, Listeners { http, https }, stopped).await;
    watched.abort();
    Ok(served?)
}

/// Ends with the first signal. A second one ends the process at once: everything acknowledged is
/// on disk.
async fn stopped([mut interrupt, mut terminate]: [Signal; 2]) {
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    tracing::info!("stopping");
    tokio::spawn(async move {
        next().await;
        tracing::warn!("stopped at once");
        process::exit(1);
    });
}

fn introduce(admin: &NewAdmin) -> io::Result<()> {
    let NewAdmin { name, password } = admin;
    say(&format!(
        "This is the first start: log in as {name} with password {password}\n\
         It is not shown again. To choose another: settee serve --admin {name}:PASSWORD\n"
    ))
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
