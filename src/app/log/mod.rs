//! The process's log: from a level, in a format and to a writer that can be changed while it runs.
//!
//! A line tells what happened, and on whose behalf: the request's id, user and peer. Never in it:
//! bodies, queries, headers; credentials in addresses are hidden.

mod line;
mod writer;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::blocking::RequestContext;
use crate::config::{LogLevel, LogSettings};
use crate::metrics;

use super::clock::now_us;
use super::recent_log;

use line::Line;
use writer::Writer;

/// How often, at least, it is looked whether lines have waited for long enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Where lines go, as it was set last.
struct Sink {
    settings: LogSettings,
    writer: Writer,
}

/// Begins to log. Does nothing where the process has a log already, as in tests.
pub fn start(settings: &LogSettings) {
    let (filter, handle) = reload::Layer::new(filter(settings.level));
    let lines = Lines.with_filter(filter);
    let started = tracing_subscriber::registry().with(lines).with(recent_log::layer()).try_init();
    if started.is_ok() {
        // Nobody else sets it: there is one log.
        let _ = FILTER.set(handle);
        set(settings);
    }
}

/// Changes a log that was begun here.
pub fn set(settings: &LogSettings) {
    let Some(handle) = FILTER.get() else { return };
    let mut sink = sink();
    if sink.as_ref().is_some_and(|sink| sink.settings == *settings) {
        return;
    }
    let (writer, failure) = Writer::new(settings);
    if let Some(before) = &mut *sink {
        before.writer.flush();
    }
    *sink = Some(Sink { settings: settings.clone(), writer });
    drop(sink);
    // Fails only when the log is gone.
    let _ = handle.reload(filter(settings.level));
    if let Some(reason) = failure {
        tracing::error!("{reason}; this goes to stderr");
    }
}

/// Writes what waits for other lines.
pub fn flush() {
    if let Some(sink) = &mut *sink() {
        sink.writer.flush();
    }
}

/// Writes lines that nobody follows when they have waited for long enough, until `stop`.
pub async fn keep_flushed(stop: CancellationToken) {
    loop {
        let mut delay = LOOK_EVERY;
        if let Some(Sink { settings, writer }) = &mut *sink() {
            writer.flush_what_is_due();
            delay = settings.buffer.delay.clamp(LOOK_EVERY / 100, LOOK_EVERY);
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn sink() -> MutexGuard<'static, Option<Sink>> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Writes each event.
struct Lines;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let counter = match *event.metadata().level() {
            Level::ERROR => &metrics::LOGGED_ERROR,
            Level::WARN => &metrics::LOGGED_WARNING,
            Level::INFO => &metrics::LOGGED_INFO,
            Level::DEBUG | Level::TRACE => &metrics::LOGGED_DEBUG,
        };
        counter.add(1);
        let line = RequestContext::with(|request| Line::of(event, request, now_us()));
        if let Some(Sink { settings, writer }) = &mut *sink() {
            writer.write(&line, settings);
        }
    }
}
