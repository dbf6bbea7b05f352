//! `[cors]` and `[cors:host]`: which other origins may use the server from a browser.

use std::collections::BTreeMap;

use super::reader::Reader;

const HEADERS: [&str; 19] = [
    "accept",
    "accept-language",
    "authorization",
    "content-length",
    "content-range",
    "content-type",
    "destination",
    "expires",
    "if-match",
    "last-modified",
    "origin",
    "pragma",
    "x-couch-full-commit",
    "x-couch-id",
    "x-couch-persist",
    "x-couchdb-www-authenticate",
    "x-http-method-override",
    "x-requested-with",
    "x-couchdb-vhost-path",
];
const METHODS: [&str; 9] =
    ["CONNECT", "COPY", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"];
const EXPOSED_HEADERS: [&str; 6] = [
    "accept-ranges",
    "etag",
    "server",
    "x-couch-request-id",
    "x-couch-update-newrev",
    "x-couchdb-body-time",
];

/// The rules for one host. They say nothing while `[chttpd] enable_cors` is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsPolicy {
    pub credentials: bool,
    /// Allowed origins with their scheme; `*` allows all. Empty: none.
    pub origins: Vec<String>,
    /// Request headers that may be sent, in lower case.
    pub headers: Vec<String>,
    pub methods: Vec<String>,
    /// Response headers shown to scripts besides the simple ones, in lower case.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember a preflight, in seconds.
    pub max_age_s: u64,
}

impl CorsPolicy {
    /// Whether a page from this origin may use the server. Origins compare by case.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// `[cors]` and the sections for single hosts.
#[derive(Debug, Clone)]
pub struct CorsSettings {
    default: CorsPolicy,
    hosts: BTreeMap<String, CorsPolicy>,
}

impl CorsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let names: Vec<&str> = reader.values().keys().map(String::as_str).collect();
        let hosts = names.iter().filter_map(|name| {
            let host = bare_host(name.strip_prefix("cors:")?);
            Some((host, policy(reader, &[name, "cors"])))
        });
        let hosts = hosts.collect();
        Self { default: policy(reader, &["cors"]), hosts }
    }

    /// The rules for a request to this `Host` (with or without scheme and port).
    pub fn for_host(&self, host: &str) -> &CorsPolicy {
        if self.hosts.is_empty() {
            return &self.default;
        }
        self.hosts.get(&bare_host(host)).unwrap_or(&self.default)
    }
}

fn policy(reader: &mut Reader<'_>, sections: &[&str]) -> CorsPolicy {
    let mut section = reader.section(sections);
    let lower = |list: Vec<String>| list.iter().map(|name| name.to_ascii_lowercase()).collect();
    CorsPolicy {
        credentials: section.boolean("credentials", false),
        origins: section.list("origins", &[]),
        headers: lower(section.list("headers", &HEADERS)),
        methods: section.list("methods", &METHODS),
        exposed_headers: lower(section.list("exposed_headers", &EXPOSED_HEADERS)),
        max_age_s: section.number("max_age", 600, 0..=u64::MAX),
    }
}

/// The host alone, in lower case: `http://Example.com:5984` is `example.com`.
fn bare_host(text: &str) -> String {
    let host = text.split_once("://").map_or(text, |(_, host)| host);
    let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
    let (host, _) = host.split_at(end.unwrap_or(host.len()));
    host.to_ascii_lowercase()
}
