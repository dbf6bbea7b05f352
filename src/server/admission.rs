//! How many requests and connections are taken at one time, and what the others are told.
//!
//! A refusal costs next to nothing: it is made before anything of the request is looked at but its
//! path. A request counts until its answer begins, but not while it waits for its client to send
//! its body: slow clients hold no places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Places beyond the limit for `/_up` and `/_node`, through which an operator looks at a loaded
/// server and changes its limits.
const RESERVED: usize = 32;
/// Seconds until a refused client should try again, in turn: those who were refused together
/// should not come back together.
const RETRY_AFTER: [&str; 3] = ["1", "2", "3"];
/// CouchDB's words.
const REFUSAL: &str = "{\"error\":\"service unavailable\",\"reason\":\"Nodes are unable to service \
    this request due to overloading or maintenance mode.\"}\n";

/// Counts what is taken.
#[derive(Debug, Default)]
pub struct Admission {
    taken: AtomicUsize,
}

impl Admission {
    /// A place, unless `most` are taken.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place { admission: self.clone(), counts: AtomicBool::new(true) })
    }
}

/// What is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    counts: AtomicBool,
}

impl Place {
    /// Lets others have the place while this one waits for its client.
    pub fn lend(&self) {
        if self.counts.swap(false, Ordering::Relaxed) {
            self.admission.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes the place again, even where there is none by now: what has begun is to end.
    pub fn take_back(&self) {
        if !self.counts.swap(true, Ordering::Relaxed) {
            self.admission.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lend();
    }
}

/// How many requests may be there for one more of this path to be taken.
pub fn most(path: &str, limit: usize) -> usize {
    let reserved = path == "/_up" || path.starts_with("/_node/");
    if reserved { limit.saturating_add(RESERVED) } else { limit }
}

/// How long the next client that is refused should wait.
fn retry_after() -> &'static str {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % RETRY_AFTER.len();
    RETRY_AFTER.get(turn).copied().unwrap_or("1")
}

/// 503 for a request.
pub fn refusal() -> Response {
    let mut response = Response::new(Body::from(REFUSAL));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after()));
    response
}

/// 503 for a connection, of which no request has been read.
pub fn connection_refusal() -> String {
    let (length, seconds) = (REFUSAL.len(), retry_after());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {seconds}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{REFUSAL}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lent_while_a_client_is_waited_for() {
        let admission = Arc::new(Admission::default());
        let first = admission.enter(2).unwrap();
        let second = admission.enter(2).unwrap();
        assert!(admission.enter(2).is_none());
        first.lend();
        first.lend();
        let third = admission.enter(2).unwrap();
        assert!(admission.enter(2).is_none());
        first.take_back();
        first.take_back();
        drop(second);
        assert!(admission.enter(2).is_none());
        drop((first, third));
        assert_eq!(admission.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn refused_clients_do_not_come_back_together() {
        let told = || refusal().headers()[header::RETRY_AFTER].to_str().unwrap().to_owned();
        let mut told: Vec<String> = (0..30).map(|_| told()).collect();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told, RETRY_AFTER);
    }

    #[test]
    fn operators_have_places_of_their_own() {
        for (path, expect) in
            [("/_up", 34), ("/_node/_local/_config", 34), ("/db/_up", 2), ("/_session", 2)]
        {
            assert_eq!(most(path, 2), expect, "{path}");
        }
    }
}
