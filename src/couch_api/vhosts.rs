//! Virtual hosts: requests to some host names go to other paths (couchdb-api.md 1.21).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::config::Settings;

use super::request_object::VHOST_PATH;

/// The path and query that a request really means, where its host is a virtual one; the path that
/// was asked for goes into the headers then. `target` is what the client sent.
#[must_use]
pub fn resolve(settings: &Settings, headers: &mut HeaderMap, target: &str) -> Option<String> {
    if settings.vhosts.is_empty() {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(&settings.chttpd.x_forwarded_host).or(text(header::HOST.as_str()))?;
    let found = settings.vhosts.find(host, path)?;
    if is_global(settings, path) {
        return None;
    }
    let with_query = |path: &str| match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let asked = with_query(&found.path);
    // What a client says about it counts for nothing.
    match HeaderValue::from_str(&asked) {
        Ok(asked) => headers.insert(VHOST_PATH, asked),
        Err(_) => headers.remove(VHOST_PATH),
    };
    Some(format!("{}{asked}", found.target))
}

/// Whether a path means the same on every host; `/` stands for the root alone.
fn is_global(settings: &Settings, path: &str) -> bool {
    let first = path.split('/').find(|segment| !segment.is_empty()).unwrap_or("/");
    settings.chttpd.vhost_global_handlers.iter().any(|global| global == first)
}
