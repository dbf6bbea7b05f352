//! What one client, and all of them together, may take: keys of `[chttpd]` that CouchDB, but for
//! `server_options`, does not have.

use std::time::Duration;

use super::reader::{Reader, Section};

const CONNECTIONS_MAX: usize = 65_536;
const TIME_MAX_MS: u64 = 24 * 3600 * 1000;

/// Limits of connections and requests. All are taken up at once, by new connections and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsSettings {
    /// `max_connections`, or the `max` of `server_options`.
    pub connections: usize,
    /// `max_concurrent_requests`: requests that are worked on until their answer begins. Those
    /// that wait for their body do not count.
    pub concurrent_requests: usize,
    /// `max_request_memory`: bytes of bodies that are held in memory, of all requests together.
    pub request_memory_bytes: u64,
    /// `max_http2_streams`: requests at one time of one HTTP/2 connection.
    pub http2_streams: u32,
    /// `header_timeout`: from the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// `idle_timeout`: how long a connection stays open without a request.
    pub idle_timeout: Duration,
    /// `body_timeout`: how long the server waits for a few kilobytes of a body.
    pub body_timeout: Duration,
    /// `write_timeout`: how long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// `shutdown_timeout`: how long running requests may take to end once the server stops.
    pub shutdown_timeout: Duration,
}

impl LimitsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["chttpd"]);
        let connections = section.text("server_options").and_then(max_option);
        Self {
            connections: section.number(
                "max_connections",
                connections.unwrap_or(CONNECTIONS_MAX),
                1..=usize::MAX,
            ),
            concurrent_requests: section.number("max_concurrent_requests", 2048, 1..=usize::MAX),
            request_memory_bytes: section.number("max_request_memory", 1 << 30, 1..=u64::MAX),
            http2_streams: section.number("max_http2_streams", 128, 1..=u32::MAX),
            header_timeout: time(&mut section, "header_timeout", 30_000),
            idle_timeout: time(&mut section, "idle_timeout", 75_000),
            body_timeout: time(&mut section, "body_timeout", 60_000),
            write_timeout: time(&mut section, "write_timeout", 60_000),
            shutdown_timeout: time(&mut section, "shutdown_timeout", 10_000),
        }
    }
}

/// Milliseconds, as all of CouchDB's times.
fn time(section: &mut Section<'_>, key: &str, default_ms: u64) -> Duration {
    Duration::from_millis(section.number(key, default_ms, 1..=TIME_MAX_MS))
}

/// The N of `{max, N}` in a list of Erlang's options.
fn max_option(text: &str) -> Option<usize> {
    text.split('{').find_map(|option| {
        let (name, rest) = option.split_once(',')?;
        let number = rest.split('}').next().unwrap_or_default().trim();
        (name.trim() == "max").then(|| number.parse().ok().filter(|&number| number > 0)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, Values};

    #[test]
    fn connections_have_two_names() {
        let check = |settings: &[(&str, &str)], expect: usize| {
            let mut values = Values::new();
            let section = values.entry("chttpd".to_owned()).or_default();
            for (key, value) in settings {
                section.insert((*key).to_owned(), (*value).to_owned());
            }
            assert_eq!(Settings::read(&values).limits.connections, expect, "{settings:?}");
        };
        let options = ("server_options", "[{recbuf, undefined}, {max, 17}, {nodelay, true}]");
        check(&[], 65_536);
        check(&[options], 17);
        check(&[("server_options", "[{max,3}]")], 3);
        check(&[("server_options", "[{acceptor_pool_size, 32}]")], 65_536);
        check(&[("server_options", "[{max, 0}]")], 65_536);
        check(&[options, ("max_connections", "5")], 5);
        check(&[options, ("max_connections", "none")], 17);
    }
}
