//! `[replicator]`: how many replications run, and how each goes about its work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Reader, Section, split_list};

const SHARES: &str = "replicator.shares";
const USUAL_SHARES: u16 = 100;
const ENDPOINT_PROTOCOLS: [&str; 2] = ["http", "https"];
const PROXY_PROTOCOLS: [&str; 3] = ["http", "https", "socks5"];

/// `[replicator]`. The bounds keep the work of one replication bounded, whatever is asked for.
#[derive(Debug, Clone, PartialEq)]
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
    /// Whether a user logs in for a cookie, where the other server has sessions; else the password
    /// goes with every request. `auth_plugins`: the first that is known here.
    pub sessions: bool,
    pub protocols: ValidProtocols,
    pub shares: SharesSettings,
    /// How long, at most, a replication that a document asks for waits when the server starts:
    /// not all of them begin at once.
    pub startup_jitter: Duration,
}

/// `[replicator.shares]`, and how soon what was used is forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct SharesSettings {
    /// Databases that have other shares than usual.
    unusual: BTreeMap<String, u16>,
    /// What is left of the use of a turn after the next one.
    pub usage_coeff: f64,
    /// What is left of a job's distance from the front after a turn.
    pub priority_coeff: f64,
}

impl SharesSettings {
    fn read(reader: &mut Reader<'_>) -> Self {
        let databases = reader.values().get(SHARES).cloned().unwrap_or_default();
        let mut section = reader.section(&[SHARES]);
        let mut unusual = BTreeMap::new();
        for database in databases.into_keys() {
            let shares = section.number(&database, USUAL_SHARES, 1..=1000);
            if shares != USUAL_SHARES {
                unusual.insert(database, shares);
            }
        }
        let mut section = reader.section(&["replicator"]);
        Self {
            unusual,
            usage_coeff: section.number("usage_coeff", 0.5, 0.0..=1.0),
            priority_coeff: section.number("priority_coeff", 0.98, 0.0..=1.0),
        }
    }

    /// The shares of a replicator database.
    #[must_use]
    pub fn of(&self, database: &str) -> u16 {
        self.unusual.get(database).copied().unwrap_or(USUAL_SHARES)
    }
}

/// `valid_endpoint_protocols` and `valid_proxy_protocols`: what addresses may begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidProtocols {
    pub endpoint: Vec<String>,
    pub proxy: Vec<String>,
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
        let shares = SharesSettings::read(reader);
        let mut section = reader.section(&["replicator"]);
        let day_ms = 86_400_000;
        let mut millis = |key: &str, otherwise: u64, least: u64| {
            Duration::from_millis(section.number(key, otherwise, least..=day_ms))
        };
        let interval = millis("interval", 60_000, 10);
        let connection_timeout = millis("connection_timeout", 30_000, 1);
        let checkpoint_interval = millis("checkpoint_interval", 30_000, 1);
        let startup_jitter = millis("startup_jitter", 5000, 0);
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
            startup_jitter,
            tls: ClientTls::read(&mut section),
            shares,
            sessions: section.parsed(
                "auth_plugins",
                true,
                "a list with couch_replicator_auth_session or couch_replicator_auth_noop",
                first_is_session,
            ),
            protocols: ValidProtocols {
                endpoint: section.list("valid_endpoint_protocols", &ENDPOINT_PROTOCOLS),
                proxy: section.list("valid_proxy_protocols", &PROXY_PROTOCOLS),
            },
        }
    }
}

/// Whether sessions come before passwords in a list of plugins.
fn first_is_session(text: &str) -> Option<bool> {
    split_list(text).iter().find_map(|plugin| match plugin.as_str() {
        "couch_replicator_auth_session" => Some(true),
        "couch_replicator_auth_noop" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Values};

    #[test]
    fn plugins_are_asked_in_their_order() {
        for (text, expect) in [
            ("couch_replicator_auth_session,couch_replicator_auth_noop", Some(true)),
            ("couch_replicator_auth_noop, couch_replicator_auth_session", Some(false)),
            ("my_plugin,couch_replicator_auth_noop", Some(false)),
            ("my_plugin", None),
        ] {
            assert_eq!(first_is_session(text), expect, "{text}");
        }
    }

    #[test]
    fn databases_have_shares() {
        let mut values = Values::new();
        let section = values.entry(SHARES.to_owned()).or_default();
        for (database, shares) in [("a/_replicator", "200"), ("_replicator", "7"), ("b", "1001")] {
            section.insert(database.to_owned(), shares.to_owned());
        }
        let settings = Settings::read(&values);
        let of = |database| settings.replicator.shares.of(database);
        let found = [of("a/_replicator"), of("_replicator"), of("b"), of("c")];
        assert_eq!(found, [200, 7, 100, 100]);
        assert_eq!(settings.warnings.len(), 1);
    }
}
