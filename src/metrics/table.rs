//! Every metric that is shown, by CouchDB's names.

use super::{
    AUTH_CACHE_HITS, AUTH_CACHE_MISSES, BULK_DOCS, BULK_REQUESTS, CLIENTS_REQUESTING_CHANGES,
    COALESCED_INTERACTIVE, COALESCED_REPLICATED, COMMITS, Counter, DATABASE_PURGES, DATABASE_READS,
    DATABASE_WRITES, DB_OPEN_TIME, DDOC_CACHE_HITS, DDOC_CACHE_MISSES, DOCUMENT_INSERTS,
    DOCUMENT_PURGES_FAILURE, DOCUMENT_PURGES_SUCCESS, DOCUMENT_PURGES_TOTAL, DOCUMENT_WRITES,
    EMITS, FILTER_CALLS, FILTER_TIME_US, FSYNC_TIME, FSYNCS, GLOBAL_CHANGES_WRITES, Histogram,
    LOCAL_DOCUMENT_WRITES, LOGGED_DEBUG, LOGGED_ERROR, LOGGED_INFO, LOGGED_WARNING,
    MANGO_DOCS_EXAMINED, MANGO_EVALUATE_SELECTOR, MANGO_INVALID_INDEX, MANGO_KEYS_EXAMINED,
    MANGO_QUERY_TIME, MANGO_RESULTS_RETURNED, MANGO_TOO_MANY_DOCS_SCANNED, MANGO_UNINDEXED_QUERIES,
    MAP_CALLS, MAP_TIME_US, MAPPED_DOCUMENTS, OPEN_DATABASES, OPEN_OS_FILES, OTHER_CALLS,
    OTHER_TIME_US, PARTITION_ALL_DOCS_REQUESTS, PARTITION_EXPLAIN_REQUESTS,
    PARTITION_FIND_REQUESTS, PARTITION_VIEW_REQUESTS, PROGRAM_ERRORS, PURGE_REQUESTS, REDUCE_CALLS,
    REDUCE_TIME_US, REPLICATOR_CHANGES_FAILURES, REPLICATOR_CHECKPOINTS_FAILURE,
    REPLICATOR_CHECKPOINTS_SUCCESS, REPLICATOR_JOBS_ADDED, REPLICATOR_JOBS_CRASHED,
    REPLICATOR_JOBS_CRASHES, REPLICATOR_JOBS_PENDING, REPLICATOR_JOBS_REMOVED,
    REPLICATOR_JOBS_RUNNING, REPLICATOR_JOBS_STARTED, REPLICATOR_JOBS_STOPPED,
    REPLICATOR_JOBS_TOTAL, REPLICATOR_REQUESTS, REPLICATOR_RESPONSES_FAILURE,
    REPLICATOR_RESPONSES_SUCCESS, REQUEST_TIME, REQUESTS, VALIDATE_CALLS, VALIDATE_REJECTS,
    VALIDATE_TIME, VALIDATE_TIME_US, VIEW_READS,
};

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Where a metric's value is.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    Number(&'static Counter),
    Spread(&'static Histogram),
    /// There is nothing to count here: always 0.
    Nothing,
}

/// A metric by its path.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its names from the outermost on, with dots between them.
    pub path: &'static str,
    pub kind: Kind,
    pub description: &'static str,
    pub value: Value,
}

/// The methods that are counted.
pub const METHODS: [&str; 7] = ["COPY", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
/// The status codes that are counted.
pub const STATUS_CODES: [u16; 30] = [
    200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413,
    414, 415, 416, 417, 429, 500, 501, 502, 503, 504, 507,
];

static BY_METHOD: [Counter; METHODS.len()] = [const { Counter::new() }; METHODS.len()];
static BY_STATUS: [Counter; STATUS_CODES.len()] = [const { Counter::new() }; STATUS_CODES.len()];

/// The counter of a method.
#[must_use]
pub fn methods(method: &str) -> Option<&'static Counter> {
    BY_METHOD.get(METHODS.iter().position(|known| *known == method)?)
}

/// The counter of a status code.
#[must_use]
pub fn status_codes(status: u16) -> Option<&'static Counter> {
    BY_STATUS.get(STATUS_CODES.binary_search(&status).ok()?)
}

const fn counter(
    path: &'static str,
    description: &'static str,
    counter: &'static Counter,
) -> Metric {
    Metric { path, kind: Kind::Counter, description, value: Value::Number(counter) }
}

const fn gauge(path: &'static str, description: &'static str, gauge: &'static Counter) -> Metric {
    Metric { path, kind: Kind::Gauge, description, value: Value::Number(gauge) }
}

const fn histogram(
    path: &'static str,
    description: &'static str,
    histogram: &'static Histogram,
) -> Metric {
    Metric { path, kind: Kind::Histogram, description, value: Value::Spread(histogram) }
}

const fn nothing(path: &'static str, kind: Kind) -> Metric {
    let description = "always 0: there is no such thing in this server";
    Metric { path, kind, description, value: Value::Nothing }
}

/// All but those by method and status code.
#[must_use]
pub fn all() -> &'static [Metric] {
    METRICS
}

const METRICS: &[Metric] = &[
    counter("couchdb.auth_cache_hits", "passwords that were known to be right", &AUTH_CACHE_HITS),
    counter("couchdb.auth_cache_misses", "passwords that had to be verified", &AUTH_CACHE_MISSES),
    nothing("couchdb.collect_results_time", Kind::Histogram),
    counter("couchdb.database_writes", "commits that changed a database", &DATABASE_WRITES),
    counter("couchdb.database_reads", "documents that were read from a database", &DATABASE_READS),
    counter("couchdb.database_purges", "commits that purged documents", &DATABASE_PURGES),
    histogram("couchdb.db_open_time", "milliseconds to open a database", &DB_OPEN_TIME),
    counter("couchdb.document_inserts", "documents that were written", &DOCUMENT_INSERTS),
    counter("couchdb.document_writes", "attempts to write a document", &DOCUMENT_WRITES),
    counter(
        "couchdb.document_purges.total",
        "documents that were to be purged",
        &DOCUMENT_PURGES_TOTAL,
    ),
    counter(
        "couchdb.document_purges.success",
        "documents that were purged",
        &DOCUMENT_PURGES_SUCCESS,
    ),
    counter(
        "couchdb.document_purges.failure",
        "documents that were not there to be purged",
        &DOCUMENT_PURGES_FAILURE,
    ),
    counter("couchdb.local_document_writes", "writes of _local documents", &LOCAL_DOCUMENT_WRITES),
    nothing("couchdb.dbinfo", Kind::Histogram),
    histogram("couchdb.httpd.bulk_docs", "documents in a _bulk_docs request", &BULK_DOCS),
    counter("couchdb.httpd.bulk_requests", "requests with many documents", &BULK_REQUESTS),
    counter("couchdb.httpd.requests", "HTTP requests", &REQUESTS),
    nothing("couchdb.httpd.view_timeouts", Kind::Counter),
    nothing("couchdb.httpd.find_timeouts", Kind::Counter),
    nothing("couchdb.httpd.explain_timeouts", Kind::Counter),
    nothing("couchdb.httpd.all_docs_timeouts", Kind::Counter),
    counter(
        "couchdb.httpd.partition_view_requests",
        "requests for views of one partition",
        &PARTITION_VIEW_REQUESTS,
    ),
    counter(
        "couchdb.httpd.partition_find_requests",
        "_find requests in one partition",
        &PARTITION_FIND_REQUESTS,
    ),
    counter(
        "couchdb.httpd.partition_explain_requests",
        "_explain requests in one partition",
        &PARTITION_EXPLAIN_REQUESTS,
    ),
    counter(
        "couchdb.httpd.partition_all_docs_requests",
        "_all_docs requests in one partition",
        &PARTITION_ALL_DOCS_REQUESTS,
    ),
    nothing("couchdb.httpd.partition_view_timeouts", Kind::Counter),
    nothing("couchdb.httpd.partition_find_timeouts", Kind::Counter),
    nothing("couchdb.httpd.partition_explain_timeouts", Kind::Counter),
    nothing("couchdb.httpd.partition_all_docs_timeouts", Kind::Counter),
    nothing("couchdb.httpd.temporary_view_reads", Kind::Counter),
    counter("couchdb.httpd.view_reads", "queries of views", &VIEW_READS),
    counter(
        "couchdb.httpd.clients_requesting_changes",
        "open _changes feeds that wait for changes",
        &CLIENTS_REQUESTING_CHANGES,
    ),
    counter("couchdb.httpd.purge_requests", "purge requests", &PURGE_REQUESTS),
    nothing("couchdb.httpd.abandoned_requests", Kind::Counter),
    nothing("couchdb.httpd.abandoned_streaming_requests", Kind::Counter),
    counter("couchdb.open_databases", "databases with an open handle", &OPEN_DATABASES),
    counter("couchdb.open_os_files", "files and sockets that the process has open", &OPEN_OS_FILES),
    histogram(
        "couchdb.request_time",
        "milliseconds from a request to the head of its answer",
        &REQUEST_TIME,
    ),
    counter("couchdb.commits", "commits", &COMMITS),
    counter(
        "couchdb.coalesced_updates.interactive",
        "edits that shared a commit",
        &COALESCED_INTERACTIVE,
    ),
    counter(
        "couchdb.coalesced_updates.replicated",
        "replicated edits that shared a commit",
        &COALESCED_REPLICATED,
    ),
    nothing("couchdb.couch_server.lru_skip", Kind::Counter),
    nothing("couchdb.couch_server.open", Kind::Counter),
    counter("couchdb.mrview.map_doc", "documents that were mapped", &MAPPED_DOCUMENTS),
    counter("couchdb.mrview.emits", "rows that map functions emitted", &EMITS),
    counter(
        "couchdb.query_server.vdu_rejects",
        "edits that a validation function refused",
        &VALIDATE_REJECTS,
    ),
    histogram(
        "couchdb.query_server.vdu_process_time",
        "milliseconds to judge a group of edits",
        &VALIDATE_TIME,
    ),
    nothing("couchdb.query_server.acquired_processes", Kind::Counter),
    nothing("couchdb.query_server.process_starts", Kind::Counter),
    nothing("couchdb.query_server.process_exits", Kind::Counter),
    nothing("couchdb.query_server.process_error_exits", Kind::Counter),
    counter(
        "couchdb.query_server.process_errors",
        "calls of functions that broke off",
        &PROGRAM_ERRORS,
    ),
    nothing("couchdb.query_server.process_prompts", Kind::Counter),
    nothing("couchdb.query_server.process_prompt_errors", Kind::Counter),
    nothing("couchdb.query_server.time.spawn_proc", Kind::Counter),
    counter("couchdb.query_server.time.map", "microseconds in map functions", &MAP_TIME_US),
    counter(
        "couchdb.query_server.time.reduce",
        "microseconds in reduce functions",
        &REDUCE_TIME_US,
    ),
    nothing("couchdb.query_server.time.reset", Kind::Counter),
    nothing("couchdb.query_server.time.add_fun", Kind::Counter),
    nothing("couchdb.query_server.time.ddoc_new", Kind::Counter),
    counter(
        "couchdb.query_server.time.ddoc_vdu",
        "microseconds in validation functions",
        &VALIDATE_TIME_US,
    ),
    counter(
        "couchdb.query_server.time.ddoc_filter",
        "microseconds in filter functions",
        &FILTER_TIME_US,
    ),
    counter(
        "couchdb.query_server.time.ddoc_other",
        "microseconds in other functions of design documents",
        &OTHER_TIME_US,
    ),
    nothing("couchdb.query_server.time.other", Kind::Counter),
    nothing("couchdb.query_server.calls.spawn_proc", Kind::Counter),
    counter(
        "couchdb.query_server.calls.map",
        "calls into the sandbox to map documents",
        &MAP_CALLS,
    ),
    counter(
        "couchdb.query_server.calls.reduce",
        "calls into the sandbox to reduce rows",
        &REDUCE_CALLS,
    ),
    nothing("couchdb.query_server.calls.reset", Kind::Counter),
    nothing("couchdb.query_server.calls.add_fun", Kind::Counter),
    nothing("couchdb.query_server.calls.ddoc_new", Kind::Counter),
    counter(
        "couchdb.query_server.calls.ddoc_vdu",
        "calls of validation functions",
        &VALIDATE_CALLS,
    ),
    counter("couchdb.query_server.calls.ddoc_filter", "calls of filter functions", &FILTER_CALLS),
    counter(
        "couchdb.query_server.calls.ddoc_other",
        "calls of other functions of design documents",
        &OTHER_CALLS,
    ),
    nothing("couchdb.query_server.calls.other", Kind::Counter),
    nothing("couchdb.legacy_checksums", Kind::Counter),
    nothing("couchdb.btree.folds", Kind::Counter),
    nothing("couchdb.btree.kp_node", Kind::Counter),
    nothing("couchdb.btree.kv_node", Kind::Counter),
    nothing("couchdb.io_queue.search", Kind::Counter),
    nothing("couch_log.level.alert", Kind::Counter),
    nothing("couch_log.level.critical", Kind::Counter),
    counter("couch_log.level.debug", "debug messages that were logged", &LOGGED_DEBUG),
    nothing("couch_log.level.emergency", Kind::Counter),
    counter("couch_log.level.error", "errors that were logged", &LOGGED_ERROR),
    counter("couch_log.level.info", "messages that were logged", &LOGGED_INFO),
    nothing("couch_log.level.notice", Kind::Counter),
    counter("couch_log.level.warning", "warnings that were logged", &LOGGED_WARNING),
    counter(
        "couch_replicator.changes_read_failures",
        "changes of a source that could not be read",
        &REPLICATOR_CHANGES_FAILURES,
    ),
    nothing("couch_replicator.changes_reader_deaths", Kind::Counter),
    nothing("couch_replicator.changes_manager_deaths", Kind::Counter),
    nothing("couch_replicator.changes_queue_deaths", Kind::Counter),
    counter(
        "couch_replicator.checkpoints.success",
        "checkpoints that were saved",
        &REPLICATOR_CHECKPOINTS_SUCCESS,
    ),
    counter(
        "couch_replicator.checkpoints.failure",
        "checkpoints that could not be saved",
        &REPLICATOR_CHECKPOINTS_FAILURE,
    ),
    nothing("couch_replicator.failed_starts", Kind::Counter),
    counter("couch_replicator.requests", "requests that replications sent", &REPLICATOR_REQUESTS),
    counter(
        "couch_replicator.responses.failure",
        "requests that failed or got no answer",
        &REPLICATOR_RESPONSES_FAILURE,
    ),
    counter(
        "couch_replicator.responses.success",
        "requests that were answered",
        &REPLICATOR_RESPONSES_SUCCESS,
    ),
    nothing("couch_replicator.stream_responses.failure", Kind::Counter),
    nothing("couch_replicator.stream_responses.success", Kind::Counter),
    nothing("couch_replicator.worker_deaths", Kind::Counter),
    nothing("couch_replicator.workers_started", Kind::Counter),
    nothing("couch_replicator.cluster_is_stable", Kind::Gauge),
    nothing("couch_replicator.db_scans", Kind::Counter),
    nothing("couch_replicator.docs.dbs_created", Kind::Counter),
    nothing("couch_replicator.docs.dbs_deleted", Kind::Counter),
    nothing("couch_replicator.docs.dbs_found", Kind::Counter),
    nothing("couch_replicator.docs.db_changes", Kind::Counter),
    nothing("couch_replicator.docs.failed_state_updates", Kind::Counter),
    nothing("couch_replicator.docs.completed_state_updates", Kind::Counter),
    counter("couch_replicator.jobs.adds", "jobs that were added", &REPLICATOR_JOBS_ADDED),
    nothing("couch_replicator.jobs.duplicate_adds", Kind::Counter),
    counter("couch_replicator.jobs.removes", "jobs that were removed", &REPLICATOR_JOBS_REMOVED),
    counter("couch_replicator.jobs.starts", "starts of jobs", &REPLICATOR_JOBS_STARTED),
    counter("couch_replicator.jobs.stops", "stops of jobs", &REPLICATOR_JOBS_STOPPED),
    counter("couch_replicator.jobs.crashes", "crashes of jobs", &REPLICATOR_JOBS_CRASHES),
    gauge("couch_replicator.jobs.running", "jobs that run", &REPLICATOR_JOBS_RUNNING),
    gauge(
        "couch_replicator.jobs.pending",
        "jobs that wait for their turn",
        &REPLICATOR_JOBS_PENDING,
    ),
    gauge(
        "couch_replicator.jobs.crashed",
        "jobs that wait after a crash",
        &REPLICATOR_JOBS_CRASHED,
    ),
    gauge("couch_replicator.jobs.total", "jobs", &REPLICATOR_JOBS_TOTAL),
    nothing("couch_replicator.connection.acquires", Kind::Counter),
    nothing("couch_replicator.connection.creates", Kind::Counter),
    nothing("couch_replicator.connection.releases", Kind::Counter),
    nothing("couch_replicator.connection.owner_crashes", Kind::Counter),
    nothing("couch_replicator.connection.worker_crashes", Kind::Counter),
    nothing("couch_replicator.connection.closes", Kind::Counter),
    counter("ddoc_cache.hit", "design documents that were found loaded", &DDOC_CACHE_HITS),
    counter("ddoc_cache.miss", "design documents that had to be loaded", &DDOC_CACHE_MISSES),
    nothing("ddoc_cache.recovery", Kind::Counter),
    nothing("dreyfus.httpd.search", Kind::Histogram),
    nothing("dreyfus.rpc.search", Kind::Histogram),
    nothing("dreyfus.rpc.group1", Kind::Histogram),
    nothing("dreyfus.rpc.group2", Kind::Histogram),
    nothing("dreyfus.rpc.info", Kind::Histogram),
    nothing("dreyfus.index.await", Kind::Histogram),
    nothing("dreyfus.index.search", Kind::Histogram),
    nothing("dreyfus.index.group1", Kind::Histogram),
    nothing("dreyfus.index.group2", Kind::Histogram),
    nothing("dreyfus.index.info", Kind::Histogram),
    nothing("fabric.worker.timeouts", Kind::Counter),
    nothing("fabric.open_shard.timeouts", Kind::Counter),
    nothing("fabric.read_repairs.success", Kind::Counter),
    nothing("fabric.read_repairs.failure", Kind::Counter),
    nothing("fabric.doc_update.errors", Kind::Counter),
    nothing("fabric.doc_update.mismatched_errors", Kind::Counter),
    nothing("fabric.doc_update.write_quorum_errors", Kind::Counter),
    histogram("fsync.time", "microseconds of a synced write", &FSYNC_TIME),
    counter("fsync.count", "synced writes", &FSYNCS),
    counter(
        "global_changes.db_writes",
        "writes of what happened to databases",
        &GLOBAL_CHANGES_WRITES,
    ),
    nothing("global_changes.event_doc_conflict", Kind::Counter),
    nothing("global_changes.listener_pending_updates", Kind::Gauge),
    nothing("global_changes.rpcs", Kind::Counter),
    nothing("global_changes.server_pending_updates", Kind::Gauge),
    counter(
        "mango.unindexed_queries",
        "queries that no index could serve",
        &MANGO_UNINDEXED_QUERIES,
    ),
    counter(
        "mango.query_invalid_index",
        "queries that named an index that could not serve them",
        &MANGO_INVALID_INDEX,
    ),
    counter(
        "mango.too_many_docs_scanned",
        "queries that looked at many documents for each result",
        &MANGO_TOO_MANY_DOCS_SCANNED,
    ),
    counter("mango.keys_examined", "keys that queries looked at", &MANGO_KEYS_EXAMINED),
    counter("mango.docs_examined", "documents that queries looked at", &MANGO_DOCS_EXAMINED),
    nothing("mango.quorum_docs_examined", Kind::Counter),
    counter("mango.results_returned", "documents that queries answered", &MANGO_RESULTS_RETURNED),
    histogram("mango.query_time", "milliseconds of a query", &MANGO_QUERY_TIME),
    counter(
        "mango.evaluate_selector",
        "documents that were matched against a selector",
        &MANGO_EVALUATE_SELECTOR,
    ),
    nothing("mem3.shard_cache.eviction", Kind::Counter),
    nothing("mem3.shard_cache.hit", Kind::Counter),
    nothing("mem3.shard_cache.miss", Kind::Counter),
    nothing("nouveau.search_latency", Kind::Histogram),
    nothing("nouveau.active_searches", Kind::Counter),
    nothing("pread.exceed_eof", Kind::Counter),
    nothing("pread.exceed_limit", Kind::Counter),
    nothing("rexi.buffered", Kind::Counter),
    nothing("rexi.down", Kind::Counter),
    nothing("rexi.dropped", Kind::Counter),
    nothing("rexi.streams.timeout.init_stream", Kind::Counter),
    nothing("rexi.streams.timeout.stream", Kind::Counter),
    nothing("rexi.streams.timeout.wait_for_ack", Kind::Counter),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_stands_once_and_is_no_part_of_another() {
        for metric in METRICS {
            let inside = format!("{}.", metric.path);
            let same = METRICS
                .iter()
                .filter(|other| other.path == metric.path || other.path.starts_with(&inside));
            assert_eq!(same.count(), 1, "{}", metric.path);
        }
        assert!(STATUS_CODES.is_sorted());
    }

    #[test]
    fn answers_are_counted() {
        let counted = || {
            let numbers = [methods("PUT"), status_codes(201), Some(&REQUESTS)];
            let times = REQUEST_TIME.total().0;
            (numbers.map(|counter| counter.unwrap().get()), times)
        };
        let (before, times_before) = counted();
        super::super::answered("PUT", 201, std::time::Duration::from_millis(3));
        super::super::answered("BREW", 418, std::time::Duration::from_millis(3));
        let (after, times_after) = counted();
        assert!(after[0] > before[0] && after[1] > before[1] && after[2] >= before[2] + 2);
        assert!(times_after >= times_before + 2);
    }
}
