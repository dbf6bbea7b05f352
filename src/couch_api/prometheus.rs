//! `/_node/{name}/_prometheus`: the metrics in the text form of Prometheus, under the names that
//! CouchDB gives them there (couchdb-api.md E024).

use std::fmt::{self, Write as _};

use axum::http::header;
use axum::response::Response;

use crate::app::SharedApp;
use crate::app::process::{self, Process};
use crate::metrics::{self, Kind, Metric, Summary, Value};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::stats;

const CONTENT_TYPE: &str = "text/plain; version=2.0";

/// Metrics that are shown as one with a label: all paths that begin so, the name, the label.
const LABELLED: [(&str, &str, &str, &str); 2] = [
    ("couch_log.level.", "couch_log_requests_total", "level", "messages that were logged"),
    ("rexi.streams.timeout.", "rexi_streams_timeout_total", "stage", "timeouts of streams"),
];

/// Successes, which are shown as all attempts: the path, that of the failures, and the name.
const ATTEMPTS: [(&str, &str, &str); 6] = [
    (
        "couch_replicator.checkpoints.success",
        "couch_replicator.checkpoints.failure",
        "couch_replicator_checkpoints_total",
    ),
    (
        "couch_replicator.responses.success",
        "couch_replicator.responses.failure",
        "couch_replicator_responses_total",
    ),
    (
        "couch_replicator.stream_responses.success",
        "couch_replicator.stream_responses.failure",
        "couch_replicator_stream_responses_total",
    ),
    ("fabric.read_repairs.success", "fabric.read_repairs.failure", "fabric_read_repairs_total"),
    ("couchdb.auth_cache_hits", "couchdb.auth_cache_misses", "auth_cache_requests_total"),
    ("ddoc_cache.hit", "ddoc_cache.miss", "ddoc_cache_requests_total"),
];

/// Metrics with a name or a kind of their own.
const RENAMED: [(&str, &str, Kind); 5] = [
    ("ddoc_cache.miss", "ddoc_cache_requests_failures_total", Kind::Counter),
    ("ddoc_cache.recovery", "ddoc_cache_requests_recovery_total", Kind::Counter),
    ("couchdb.open_databases", "open_databases", Kind::Gauge),
    ("couchdb.open_os_files", "open_os_files", Kind::Gauge),
    ("couchdb.httpd.clients_requesting_changes", "httpd_clients_requesting_changes", Kind::Gauge),
];

/// `GET /_node/{name}/_prometheus`.
pub async fn prometheus(request: &Request) -> Answer {
    let text = metrics_text(request.app.clone()).await?;
    Ok(respond::with(Response::new(text.into()), header::CONTENT_TYPE, CONTENT_TYPE))
}

/// All metrics as Prometheus reads them.
///
/// # Errors
/// 500 where the process could not be looked at.
pub async fn metrics_text(app: SharedApp) -> Result<String, ApiError> {
    let process = stats::look(app).await?;
    let runtime = tokio::runtime::Handle::current().metrics();
    let mut text = Text(String::new());
    for metric in metrics::all() {
        text.metric(metric);
    }
    for (prefix, name, label, help) in LABELLED {
        text.head(name, "counter", help);
        for metric in metrics::all() {
            if let Some(value) = metric.path.strip_prefix(prefix) {
                text.line(format_args!("{name}{{{label}=\"{value}\"}}"), number(metric.value));
            }
        }
    }
    text.requests();
    text.process(&process, runtime.num_alive_tasks() as u64, runtime.global_queue_depth() as u64);
    Ok(text.0)
}

fn number(value: Value) -> u64 {
    match value {
        Value::Number(counter) => counter.get(),
        Value::Spread(histogram) => histogram.total().0,
        Value::Nothing => 0,
    }
}

fn number_of(path: &str) -> u64 {
    let metric = metrics::all().iter().find(|metric| metric.path == path);
    metric.map_or(0, |metric| number(metric.value))
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "\n# HELP couchdb_{name} {help}\n# TYPE couchdb_{name} {kind}\n");
    }

    fn line(&mut self, name: fmt::Arguments<'_>, value: impl fmt::Display) {
        // As above.
        let _ = writeln!(self.0, "couchdb_{name} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name}"), value);
    }

    fn metric(&mut self, metric: &Metric) {
        if LABELLED.iter().any(|(prefix, ..)| metric.path.starts_with(prefix)) {
            return;
        }
        if let Some((_, failures, name)) = ATTEMPTS.iter().find(|(path, ..)| *path == metric.path) {
            let attempts = number(metric.value) + number_of(failures);
            return self.one(name, "counter", "all of them", attempts);
        }
        if let Some((_, name, kind)) = RENAMED.iter().find(|(path, ..)| *path == metric.path) {
            let kind = if *kind == Kind::Gauge { "gauge" } else { "counter" };
            return self.one(name, kind, metric.description, number(metric.value));
        }
        let path = metric.path.strip_prefix("couchdb.").unwrap_or(metric.path);
        let name = path.replace('.', "_");
        match metric.kind {
            Kind::Counter => {
                let name = format!("{}_total", name.strip_suffix("_total").unwrap_or(&name));
                self.one(&name, "counter", metric.description, number(metric.value));
            }
            Kind::Gauge => self.one(&name, "gauge", metric.description, number(metric.value)),
            Kind::Histogram => self.summary(&format!("{name}_seconds"), metric),
        }
    }

    /// Quantiles of the last seconds, as in `_stats`; count and sum since the start.
    fn summary(&mut self, name: &str, metric: &Metric) {
        let (summary, (count, sum)) = match metric.value {
            Value::Spread(histogram) => (histogram.summary(), histogram.total()),
            Value::Number(_) | Value::Nothing => (Summary::default(), (0, 0.0)),
        };
        self.head(name, "summary", metric.description);
        for percentile in summary.percentiles {
            let share = f64::from(percentile.name) / if percentile.name > 100 { 1e3 } else { 1e2 };
            let value = percentile.value / 1000.0;
            self.line(format_args!("{name}{{quantile=\"{share}\"}}"), value);
        }
        self.line(format_args!("{name}_sum"), sum / 1000.0);
        self.line(format_args!("{name}_count"), count);
    }

    fn requests(&mut self) {
        let name = "httpd_request_methods";
        self.head(name, "counter", "HTTP requests by method");
        for method in metrics::METHODS {
            let number = metrics::methods(method).map_or(0, metrics::Counter::get);
            self.line(format_args!("{name}{{method=\"{method}\"}}"), number);
        }
        let name = "httpd_status_codes";
        self.head(name, "counter", "HTTP answers by status code");
        for code in metrics::STATUS_CODES {
            let number = metrics::status_codes(code).map_or(0, metrics::Counter::get);
            self.line(format_args!("{name}{{code=\"{code}\"}}"), number);
        }
    }

    fn process(&mut self, process: &Process, tasks: u64, queued: u64) {
        let uptime = process::uptime().as_secs();
        self.one("uptime_seconds", "counter", "seconds since the start", uptime);
        let name = "erlang_memory_bytes";
        self.head(name, "gauge", "memory of the process");
        let resident = process.resident_bytes;
        for (kind, bytes) in
            [("total", resident), ("processes", resident), ("code", process.code_bytes)]
        {
            self.line(format_args!("{name}{{memory_type=\"{kind}\"}}"), bytes);
        }
        let switches = process.context_switches;
        self.one("erlang_context_switches_total", "counter", "context switches", switches);
        self.one("erlang_processes", "gauge", "tasks that are alive", tasks);
        self.one("erlang_scheduler_queues", "gauge", "tasks that wait for a thread", queued);
        let (read, written) = (process.read_bytes, process.written_bytes);
        self.one("erlang_io_recv_bytes_total", "counter", "bytes that were read", read);
        self.one("erlang_io_sent_bytes_total", "counter", "bytes that were written", written);
        self.one("internal_replication_jobs", "gauge", "always 0: there is one node", 0);
        let name = "membership";
        self.head(name, "gauge", "nodes in the cluster");
        for nodes in ["cluster_nodes", "all_nodes"] {
            self.line(format_args!("{name}{{nodes=\"{nodes}\"}}"), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_couchdb() {
        let mut text = Text(String::new());
        for metric in metrics::all() {
            text.metric(metric);
        }
        text.requests();
        for name in [
            "couchdb_httpd_requests_total ",
            "couchdb_request_time_seconds{quantile=\"0.999\"} ",
            "couchdb_request_time_seconds_count ",
            "couchdb_document_purges_total ",
            "couchdb_document_purges_success_total ",
            "couchdb_auth_cache_requests_total ",
            "couchdb_auth_cache_misses_total ",
            "couchdb_open_databases ",
            "couchdb_httpd_clients_requesting_changes ",
            "couchdb_httpd_status_codes{code=\"404\"} ",
            "couchdb_httpd_request_methods{method=\"COPY\"} ",
            "couchdb_couch_replicator_jobs_running ",
            "couchdb_couch_replicator_checkpoints_total ",
            "couchdb_couch_replicator_checkpoints_failure_total ",
            "couchdb_fsync_time_seconds_sum ",
            "couchdb_ddoc_cache_requests_failures_total ",
        ] {
            let lines = text.0.lines().filter(|line| line.starts_with(name));
            assert_eq!(lines.count(), 1, "{name}");
        }
        for line in text.0.lines().filter(|line| line.starts_with("# TYPE ")) {
            assert_eq!(text.0.matches(line).count(), 1, "{line}");
        }
    }
}
