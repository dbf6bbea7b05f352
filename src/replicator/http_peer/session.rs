//! Who a peer is told that asks: a cookie of a session, as CouchDB's replicator does it, because
//! checking a password is slow; or the password with every request, where there are no sessions.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::client::{Body, ClientError, HttpClient, Method, Request, Response};
use crate::http::path::quote_plus;
use crate::replicator::{Credentials, Remote, Tuning};

/// A cookie that is refused at this age was never good for anything.
const AGE_MIN: Duration = Duration::from_secs(5);
/// CouchDB's `session_refresh_interval_sec`: its sessions last for 600 seconds.
const AGE_MAX: Duration = Duration::from_secs(550);

/// What a request says about who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) header: Option<(String, String)>,
}

/// A session at the server of a remote database.
pub(super) struct Session {
    credentials: Option<Credentials>,
    login: Request,
    /// Held while somebody logs in, so that others wait for the same cookie.
    state: Mutex<State>,
}

enum State {
    New,
    Cookie(Cookie),
    /// The server has no sessions.
    Basic,
}

struct Cookie {
    value: String,
    since: Instant,
    until: Instant,
}

impl Session {
    pub(super) fn new(remote: &Remote, tuning: &Tuning) -> Self {
        let headers = &remote.headers;
        let said = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        // Who says who they are by other means needs no password.
        let credentials = remote.credentials.clone().filter(|_| !said("authorization"));
        let body = credentials.as_ref().map_or(String::new(), |credentials| {
            let (name, password) = (&credentials.name, &credentials.password);
            format!("name={}&password={}", quote_plus(name), quote_plus(password))
        });
        let login = Request {
            method: Method::Post,
            url: format!("{}_session", root(remote)),
            headers: vec![
                ("accept", "application/json".to_owned()),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ],
            private_headers: headers.clone(),
            body: Body::of(body),
            patience: tuning.connection_timeout,
            // The password goes to no other place.
            redirects_max: 0,
        };
        let cookies = tuning.sessions && !said("cookie");
        let state = if cookies { State::New } else { State::Basic };
        Self { credentials, login, state: Mutex::new(state) }
    }

    /// How the next request says who asks; logs in where that is due.
    pub(super) async fn identity(&self, client: &HttpClient) -> Result<Identity, ClientError> {
        let Some(credentials) = &self.credentials else { return Ok(Identity::default()) };
        let mut state = self.state.lock().await;
        let is_due = match &*state {
            State::New => true,
            State::Cookie(cookie) => cookie.until <= Instant::now(),
            State::Basic => false,
        };
        if is_due {
            let answer = client.send(&self.login).await?;
            *state = match (Cookie::of(&answer), answer.status()) {
                (Some(cookie), _) => State::Cookie(cookie),
                // The server may have sessions when it has time.
                (None, 429 | 502..=504) => State::New,
                (None, _) => State::Basic,
            };
        }
        let header = match &*state {
            State::Cookie(cookie) => ("cookie".to_owned(), cookie.header()),
            State::New | State::Basic => ("authorization".to_owned(), basic(credentials)),
        };
        Ok(Identity { header: Some(header) })
    }

    /// Takes a cookie that an answer renews.
    pub(super) async fn learn(&self, answer: &Response) {
        if let Some(renewed) = Cookie::of(answer).filter(|_| answer.is_home()) {
            let mut state = self.state.lock().await;
            if let State::Cookie(cookie) = &mut *state {
                *cookie = renewed;
            }
        }
    }

    /// Whether a request that was refused may be allowed to ask again under another identity.
    pub(super) async fn renew(&self, refused: &Identity, status: u16) -> bool {
        let mut state = self.state.lock().await;
        let State::Cookie(cookie) = &*state else { return false };
        let used = refused.header.as_ref().map(|(_, value)| value.as_str());
        if used != Some(&cookie.header()) {
            return true;
        }
        if cookie.since.elapsed() >= AGE_MIN {
            *state = State::New;
            return true;
        }
        // Whoever sits before the server may know nothing of its cookies.
        let unknown = status == 401;
        if unknown {
            *state = State::Basic;
        }
        unknown
    }
}

impl Cookie {
    /// The cookie that an answer sets.
    fn of(answer: &Response) -> Option<Self> {
        let cookies = answer.headers("set-cookie").filter_map(Self::parse);
        let (value, max_age) = cookies.last()?;
        let since = Instant::now();
        let age = max_age.map_or(AGE_MAX, |age| (age * 9 / 10).min(AGE_MAX));
        (answer.status() < 300).then_some(Self { value, since, until: since + age })
    }

    fn parse(header: &str) -> Option<(String, Option<Duration>)> {
        let mut parts = header.split(';').map(str::trim);
        let value = parts.next()?.strip_prefix("AuthSession=")?;
        let max_age = parts.find_map(|part| {
            let (name, seconds) = part.split_once('=')?;
            let seconds = name.eq_ignore_ascii_case("max-age").then(|| seconds.parse().ok());
            seconds.flatten().map(Duration::from_secs)
        });
        (!value.is_empty()).then(|| (value.to_owned(), max_age))
    }

    fn header(&self) -> String {
        format!("AuthSession={}", self.value)
    }
}

fn basic(Credentials { name, password }: &Credentials) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The address of the server that has the database.
fn root(remote: &Remote) -> String {
    let mut address = remote.address();
    let database = remote.path.trim_end_matches('/');
    let above = database.rfind('/').map_or(0, |slash| slash + 1);
    address.truncate(address.len() - remote.path.len() + above.max(1));
    address
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::replicator::Endpoint;

    #[test]
    fn cookies_are_read() {
        let age = |seconds| Some(Duration::from_secs(seconds));
        for (header, expect) in [
            ("AuthSession=abc; Version=1; Path=/; HttpOnly", Some(("abc", None))),
            ("AuthSession=abc; max-age=600; Path=/", Some(("abc", age(600)))),
            ("AuthSession=; Version=1", None),
            ("Other=abc", None),
        ] {
            let expect = expect.map(|(value, age)| (value.to_owned(), age));
            assert_eq!(Cookie::parse(header), expect, "{header}");
        }
    }

    #[test]
    fn the_server_is_above_the_database() {
        for (address, expect) in [
            ("http://host/db/", "http://host/"),
            ("http://host:5984/a%2Fb", "http://host:5984/"),
            ("https://host/couch/db/", "https://host/couch/"),
            ("https://host", "https://host/"),
        ] {
            let Endpoint::Remote(remote) = Endpoint::parse(&json!(address), None).unwrap() else {
                panic!("{address} is no address")
            };
            assert_eq!(root(&remote), expect);
        }
    }
}
