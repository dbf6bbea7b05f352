//! The process's log: lines on stderr, from a level that can be changed while it runs.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::LogLevel;

use super::recent_log;

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Begins to log. Does nothing where the process has a log already, as in tests.
pub fn start(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = lines.with_filter(filter);
    let started = tracing_subscriber::registry().with(lines).with(recent_log::layer()).try_init();
    if started.is_ok() {
        // Nobody else sets it: there is one log.
        let _ = FILTER.set(handle);
    }
}

/// Changes the level of a log that was begun here.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        // Fails only when the log is gone.
        let _ = handle.reload(filter(level));
    }
}

/// CouchDB has more levels than there are here: each becomes the nearest that says enough. What
/// libraries log shows up from warnings on.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Debug => "warn,settee=debug",
        LogLevel::Info | LogLevel::Notice => "warn,settee=info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Critical | LogLevel::Alert | LogLevel::Emergency => "error",
        LogLevel::None => "off",
    })
}
