//! What the server counts: atomics that every layer may touch, under CouchDB's names.
//!
//! Counting costs a few nanoseconds and never waits. The counters belong to the process, so that
//! no layer has to be handed them. `table` has every metric that is shown; those without a counter
//! are CouchDB's alone and stay 0, as clients read their names.

mod counter;
mod histogram;
mod table;

use std::time::{Duration, Instant};

pub use counter::{Counter, Held};
pub use histogram::{Histogram, Percentile, Summary, set_interval};
pub use table::{Kind, METHODS, Metric, STATUS_CODES, Value, all, methods, status_codes};

/// Declares counters.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* pub static $name: Counter = Counter::new();)+
    };
}

counters! {
    /// Requests of all kinds.
    REQUESTS,
    /// Requests with an array of documents.
    BULK_REQUESTS,
    VIEW_READS,
    PURGE_REQUESTS,
    /// Feeds that are open now.
    CLIENTS_REQUESTING_CHANGES,
    PARTITION_VIEW_REQUESTS,
    PARTITION_FIND_REQUESTS,
    PARTITION_EXPLAIN_REQUESTS,
    PARTITION_ALL_DOCS_REQUESTS,
    AUTH_CACHE_HITS,
    AUTH_CACHE_MISSES,
    DATABASE_READS,
    /// Batches that changed a database.
    DATABASE_WRITES,
    DATABASE_PURGES,
    DOCUMENT_INSERTS,
    DOCUMENT_WRITES,
    LOCAL_DOCUMENT_WRITES,
    DOCUMENT_PURGES_TOTAL,
    DOCUMENT_PURGES_SUCCESS,
    DOCUMENT_PURGES_FAILURE,
    OPEN_DATABASES,
    OPEN_OS_FILES,
    COMMITS,
    /// Edits that shared their commit with others.
    COALESCED_INTERACTIVE,
    COALESCED_REPLICATED,
    FSYNCS,
    /// Batches of documents about what happened to databases.
    GLOBAL_CHANGES_WRITES,
    DDOC_CACHE_HITS,
    DDOC_CACHE_MISSES,
    MAPPED_DOCUMENTS,
    EMITS,
    MAP_CALLS,
    MAP_TIME_US,
    REDUCE_CALLS,
    REDUCE_TIME_US,
    VALIDATE_CALLS,
    VALIDATE_TIME_US,
    VALIDATE_REJECTS,
    FILTER_CALLS,
    FILTER_TIME_US,
    OTHER_CALLS,
    OTHER_TIME_US,
    PROGRAM_ERRORS,
    MANGO_UNINDEXED_QUERIES,
    MANGO_INVALID_INDEX,
    MANGO_TOO_MANY_DOCS_SCANNED,
    MANGO_KEYS_EXAMINED,
    MANGO_DOCS_EXAMINED,
    MANGO_RESULTS_RETURNED,
    MANGO_EVALUATE_SELECTOR,
    LOGGED_DEBUG,
    LOGGED_INFO,
    LOGGED_WARNING,
    LOGGED_ERROR,
    REPLICATOR_REQUESTS,
    REPLICATOR_RESPONSES_SUCCESS,
    REPLICATOR_RESPONSES_FAILURE,
    REPLICATOR_CHECKPOINTS_SUCCESS,
    REPLICATOR_CHECKPOINTS_FAILURE,
    REPLICATOR_CHANGES_FAILURES,
    REPLICATOR_JOBS_ADDED,
    REPLICATOR_JOBS_REMOVED,
    REPLICATOR_JOBS_STARTED,
    REPLICATOR_JOBS_STOPPED,
    REPLICATOR_JOBS_CRASHES,
    REPLICATOR_JOBS_RUNNING,
    REPLICATOR_JOBS_PENDING,
    REPLICATOR_JOBS_CRASHED,
    REPLICATOR_JOBS_TOTAL,
}

/// Milliseconds from a request's head to the head of its answer.
pub static REQUEST_TIME: Histogram = Histogram::new();
/// Documents in requests of many.
pub static BULK_DOCS: Histogram = Histogram::new();
/// Microseconds that a synced write took.
pub static FSYNC_TIME: Histogram = Histogram::new();
/// Milliseconds to open a database.
pub static DB_OPEN_TIME: Histogram = Histogram::new();
/// Milliseconds to judge a group of edits.
pub static VALIDATE_TIME: Histogram = Histogram::new();
/// Milliseconds of a Mango query.
pub static MANGO_QUERY_TIME: Histogram = Histogram::new();

/// Counts a call of functions and the time it takes.
pub fn timed<T>(calls: &Counter, time_us: &Counter, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    called(calls, time_us, started);
    result
}

/// The same for a call that has ended now.
pub fn called(calls: &Counter, time_us: &Counter, started: Instant) {
    calls.add(1);
    time_us.add(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
}

/// Counts a request once its answer is known.
pub fn answered(method: &str, status: u16, took: Duration) {
    REQUESTS.add(1);
    if let Some(counter) = methods(method) {
        counter.add(1);
    }
    if let Some(counter) = status_codes(status) {
        counter.add(1);
    }
    REQUEST_TIME.update(took.as_secs_f64() * 1000.0);
}
