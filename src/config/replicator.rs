//! `[replicator]`: how many replications run, and how each goes about its work.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Reader, Section};

/// `[replicator]`. The bounds keep the work of one replication bounded, whatever is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicatorSettings {
    /// Replications that run at one time.
    pub max_jobs: usize,
    /// How often waiting and running replications change places.
    pub interval: Duration,
    /// Running replications that make room for waiting ones at once.
    pub max_churn: usize,
    /// Events that a job remembers.
    pub max_history: usize,
    /// A job that ran for this long before it crashed was healthy.
    pub health_threshold: Duration,
    pub worker_processes: usize,
    pub worker_batch_size: usize,
    pub http_connections: usize,
    pub connection_timeout: Duration,
    pub retries_per_request: u32,
    pub use_checkpoints: bool,
    pub use_bulk_get: bool,
    pub checkpoint_interval: Duration,
    pub tls: ClientTls,
}

/// How other servers are trusted over TLS, and how this one says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// Whether a server's certificate must be one of somebody who is trusted.
    pub verify: bool,
    /// A PEM file of certificates that are trusted beside those of the system.
    pub trusted: Option<PathBuf>,
    /// PEM files of the own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self { verify: true, trusted: None, identity: None }
    }
}

impl ClientTls {
    fn read(section: &mut Section<'_>) -> Self {
        let file = |section: &mut Section<'_>, key| section.text(key).map(PathBuf::from);
        let certificate = file(section, "cert_file");
        Self {
            verify: section.boolean("verify_ssl_certificates", true),
            trusted: file(section, "ssl_trusted_certificates_file"),
            identity: certificate.zip(file(section, "key_file")),
        }
    }
}

impl ReplicatorSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["replicator"]);
        let day_ms = 86_400_000;
        let mut millis = |key: &str, otherwise: u64, least: u64| {
            Duration::from_millis(section.number(key, otherwise, least..=day_ms))
        };
        let interval = millis("interval", 60_000, 10);
        let connection_timeout = millis("connection_timeout", 30_000, 1);
        let checkpoint_interval = millis("checkpoint_interval", 30_000, 1);
        let health = section.number("health_threshold", 120, 1..=86_400);
        Self {
            max_jobs: section.number("max_jobs", 500, 0..=1_000_000),
            interval,
            max_churn: section.number("max_churn", 20, 0..=1_000_000),
            max_history: section.number("max_history", 20, 1..=1000),
            health_threshold: Duration::from_secs(health),
            worker_processes: section.number("worker_processes", 4, 1..=64),
            worker_batch_size: section.number("worker_batch_size", 500, 1..=10_000),
            http_connections: section.number("http_connections", 20, 1..=200),
            connection_timeout,
            retries_per_request: section.number("retries_per_request", 5, 0..=100),
            use_checkpoints: section.boolean("use_checkpoints", true),
            use_bulk_get: section.boolean("use_bulk_get", true),
            checkpoint_interval,
            tls: ClientTls::read(&mut section),
        }
    }
}
