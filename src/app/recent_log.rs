//! The last lines of the log, kept in memory for `GET /_log`.
//!
//! What functions of design documents log is kept whatever level the log has, and so are
//! warnings: who writes a couchapp can read them with no more than a server admin's account.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

use crate::http::date::http_date;

use super::clock::now_s;

/// Bytes that are kept.
const BYTES_MAX: usize = 1 << 20;
/// The target of what functions of design documents log.
const FUNCTIONS: &str = "settee::design";

static RECENT: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

/// `bytes` of the last lines, without the last `offset` bytes.
#[must_use]
pub fn read(bytes: usize, offset: usize) -> Vec<u8> {
    cut(&lock(), bytes, offset)
}

fn lock() -> MutexGuard<'static, VecDeque<u8>> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut(kept: &VecDeque<u8>, bytes: usize, offset: usize) -> Vec<u8> {
    let end = kept.len().saturating_sub(offset);
    kept.range(end.saturating_sub(bytes)..end).copied().collect()
}

/// Adds a line; the oldest lines make room.
fn push(kept: &mut VecDeque<u8>, line: &str) {
    kept.extend(line.bytes().chain([b'\n']));
    let too_many = kept.len().saturating_sub(BYTES_MAX);
    if too_many > 0 {
        let rest_of_line = kept.range(too_many..).position(|&byte| byte == b'\n');
        kept.drain(..rest_of_line.map_or(kept.len(), |at| too_many + at + 1));
    }
}

/// Keeps the lines that are worth it.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let worth = |metadata: &Metadata<'_>| {
        let logged_by_function = metadata.target() == FUNCTIONS && *metadata.level() <= Level::INFO;
        metadata.is_event() && (logged_by_function || *metadata.level() <= Level::WARN)
    };
    Keeper.with_filter(filter::filter_fn(worth).with_max_level_hint(Level::INFO))
}

struct Keeper;

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut line = Line(format!("[{}] [{level}]", http_date(now_s())));
        event.record(&mut line);
        push(&mut lock(), &line.0);
    }
}

/// The message, then the other fields with their names.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // As above.
        let _ = match field.name() {
            "message" => write!(self.0, " {value}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_the_end() {
        let mut kept = VecDeque::new();
        push(&mut kept, "one");
        push(&mut kept, "two");
        for (bytes, offset, expect) in [
            (1000, 0, "one\ntwo\n"),
            (4, 0, "two\n"),
            (4, 4, "one\n"),
            (2, 1, "wo"),
            (1000, 6, "on"),
            (1000, 8, ""),
            (0, 0, ""),
            (usize::MAX, usize::MAX, ""),
        ] {
            assert_eq!(cut(&kept, bytes, offset), expect.as_bytes(), "{bytes} {offset}");
        }
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let mut kept = VecDeque::new();
        for number in 0..3000 {
            push(&mut kept, &format!("{number} {}", "x".repeat(1000)));
        }
        assert!(kept.len() <= BYTES_MAX && kept.len() > BYTES_MAX - 2000);
        let text = String::from_utf8(cut(&kept, usize::MAX, 0)).unwrap();
        assert!(text.ends_with('\n'));
        let first: u32 = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(text.lines().count(), 3000 - first as usize);
        push(&mut kept, &"y".repeat(2 * BYTES_MAX));
        assert!(kept.is_empty());
    }

    #[test]
    fn functions_and_warnings_are_kept() {
        use tracing_subscriber::layer::SubscriberExt as _;
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "settee::design", "a message of {}", "mine");
            tracing::debug!(target: "settee::design", "too little");
            tracing::info!("server talk");
            tracing::warn!(db.name = "d", "a warning of mine");
        });
        let text = String::from_utf8(read(usize::MAX, 0)).unwrap();
        assert!(text.contains(" GMT] [info] a message of mine\n"), "{text}");
        assert!(text.contains(" GMT] [warn] a warning of mine db.name=\"d\"\n"), "{text}");
        assert!(!text.contains("server talk") && !text.contains("too little"), "{text}");
    }
}
