//! `settee serve`: starts the server, says where it listens, runs until a signal.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, SharedApp, StartError, Started, control, log};
use crate::auth::NewAdmin;
use crate::config::LogLevel;
use crate::server;

use super::arguments::Serve;

/// How long work on other threads may go on once the store is closed.
const LAST_WORK_TIME_MAX: Duration = Duration::from_secs(1);

/// Why the server could not run, or did not end as it should.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot listen at {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs the server until SIGINT or SIGTERM.
pub fn run(arguments: &Serve) -> Result<(), ServeError> {
    log::start(arguments.log_level.as_ref().map_or(LogLevel::Info, |given| given.level));
    // Every listener is a file: take as many as the system lets this process have.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let Started { app, new_admin } = app::start(&arguments.start_options())?;
    if let Some(admin) = new_admin {
        // At once: the password is stored nowhere, and what follows may fail.
        introduce(&admin)?;
    }
    let runtime = Runtime::new()?;
    let served = runtime.block_on(serve(app, arguments.data_dir.clone()));
    runtime.shutdown_timeout(LAST_WORK_TIME_MAX);
    served
}

async fn serve(app: SharedApp, data_dir: PathBuf) -> Result<(), ServeError> {
    let chttpd = app.config.snapshot().chttpd.clone();
    let address = SocketAddr::new(chttpd.bind_address, chttpd.port);
    let listener =
        server::bind(address).map_err(|source| ServeError::Listen { address, source })?;
    let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    tokio::spawn(control::listen(app.clone(), data_dir));
    say(&format!("settee is ready at http://{}/\n", listener.local_addr()?))?;
    Ok(server::serve(app, listener, stopped(signals)).await?)
}

async fn stopped([mut interrupt, mut terminate]: [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
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
