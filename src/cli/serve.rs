//! `settee serve`: starts the server, says where it listens, runs until a signal.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, SharedApp, StartError, Started, control, log};
use crate::auth::NewAdmin;
use crate::server::{self, ListenError, Listeners};

use super::arguments::Serve;
use super::systemd::Systemd;

/// How long work on other threads may go on once the store is closed.
const LAST_WORK_TIME_MAX: Duration = Duration::from_secs(1);

/// Why the server could not run, or did not end as it should.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Listen(#[from] ListenError),
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
    log::flush();
    served
}

async fn serve(app: SharedApp, data_dir: PathBuf) -> Result<(), ServeError> {
    let listeners = Listeners::open(&app.config)?;
    let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    tokio::spawn(control::listen(app.clone(), data_dir));
    let systemd = Systemd::from_environment();
    if let Some(address) = listeners.https_address()? {
        say(&format!("settee is ready at https://{address}/\n"))?;
    }
    say(&format!("settee is ready at http://{}/\n", listeners.http_address()?))?;
    systemd.notify("READY=1");
    let watched = tokio::spawn(systemd.clone().keep_watchdog());
    let stopped = async {
        stopped(signals).await;
        systemd.notify("STOPPING=1");
    };
    let served = server::serve(app, listeners, stopped).await;
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
        log::flush();
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
