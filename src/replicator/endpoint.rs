//! One side of a replication: a database of this server, or one at an address.
//!
//! Credentials are kept apart from the address, so that what is shown never has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::database::DatabaseName;
use crate::http::path::{Plus, decode};

use super::SpecificationError;

/// A database that is replicated from or to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Local(DatabaseName),
    Remote(Remote),
}

/// A database at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub scheme: Scheme,
    /// As it was written, in lower case.
    pub host: String,
    pub port: u16,
    /// With a slash at both ends, as it was written.
    pub path: String,
    pub credentials: Option<Credentials>,
    /// Headers of every request, without `Authorization: Basic`.
    pub headers: Vec<(String, String)>,
    /// Where requests go through; CouchDB's `proxy`.
    pub proxy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Who asks the other server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub name: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scheme {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Endpoint {
    /// Reads a name, an address, or an object with `url`, `headers` and `auth`.
    ///
    /// # Errors
    /// What is none of these.
    pub fn parse(value: &Value, proxy: Option<&str>) -> Result<Self, SpecificationError> {
        match value {
            Value::String(text) => Self::of_text(text, &Map::new(), proxy),
            Value::Object(members) => {
                let url = members.get("url").and_then(Value::as_str);
                let url = url.ok_or(SpecificationError::Address("endpoint"))?;
                Self::of_text(url, members, proxy)
            }
            _ => Err(SpecificationError::NoEndpoint),
        }
    }

    fn of_text(
        text: &str,
        members: &Map<String, Value>,
        proxy: Option<&str>,
    ) -> Result<Self, SpecificationError> {
        let scheme = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(_) => return Err(SpecificationError::Address("endpoint")),
            None => {
                let name = DatabaseName::parse(text);
                return Ok(Self::Local(name.map_err(|_| SpecificationError::Address("endpoint"))?));
            }
        };
        let mut remote = Remote::of_address(scheme, text)?;
        remote.proxy = proxy.map(str::to_owned);
        remote.take_headers(members.get("headers"))?;
        remote.take_auth(members.get("auth"));
        Ok(Self::Remote(remote))
    }

    /// The protocol of an address.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote.scheme),
        }
    }

    /// As it is shown to people: an address has no password in it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Local(name) => name.as_str().to_owned(),
            Self::Remote(remote) => remote.address(),
        }
    }
}

impl Remote {
    fn of_address(scheme: Scheme, text: &str) -> Result<Self, SpecificationError> {
        let bad = || SpecificationError::Address("endpoint");
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split_once(['?', '#']).map_or(rest, |(rest, _)| rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.rsplit_once(':') {
            // The last colon of an IPv6 address stands inside its brackets.
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().map_err(|_| bad())?),
            _ => (host, scheme.port()),
        };
        if host.is_empty() {
            return Err(bad());
        }
        let path = format!("/{}/", path.trim_matches('/')).replace("//", "/");
        let credentials = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let text = |part: &str| decode(part, Plus::Literal).unwrap_or_else(|_| part.to_owned());
            Credentials { name: text(name), password: text(password) }
        });
        let host = host.to_ascii_lowercase();
        Ok(Self { scheme, host, port, path, credentials, headers: Vec::new(), proxy: None })
    }

    fn take_headers(&mut self, headers: Option<&Value>) -> Result<(), SpecificationError> {
        let Some(headers) = headers else { return Ok(()) };
        let wrong = || SpecificationError::Parameter("headers must be texts".to_owned());
        for (name, value) in headers.as_object().ok_or_else(wrong)? {
            let value = value.as_str().ok_or_else(wrong)?;
            let basic = name
                .eq_ignore_ascii_case("authorization")
                .then(|| basic_credentials(value))
                .flatten();
            match basic {
                Some(credentials) => {
                    self.credentials.get_or_insert(credentials);
                }
                None => self.headers.push((name.clone(), value.to_owned())),
            }
        }
        // As they stand in replication ids.
        self.headers.sort();
        Ok(())
    }

    /// `{"basic": {"username": ..., "password": ...}}` wins over what the address says.
    fn take_auth(&mut self, auth: Option<&Value>) {
        let Some(basic) = auth.and_then(|auth| auth.get("basic")) else { return };
        let text = |name| basic.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(name), Some(password)) = (text("username"), text("password")) {
            self.credentials = Some(Credentials { name, password });
        }
    }

    /// The address without credentials, a slash at its end.
    #[must_use]
    pub fn address(&self) -> String {
        let scheme = self.scheme.name();
        if self.port == self.scheme.port() {
            return format!("{scheme}://{}{}", self.host, self.path);
        }
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }

    /// The port, unless it is one that CouchDB takes for granted.
    #[must_use]
    pub fn unusual_port(&self) -> Option<u16> {
        let usual = match self.scheme {
            Scheme::Http => self.port == 80 || self.port == 5984,
            Scheme::Https => self.port == 443,
        };
        (!usual).then_some(self.port)
    }
}

fn basic_credentials(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some(Credentials { name: name.to_owned(), password: password.to_owned() })
}

/// An address of any kind without the password in it, for messages and documents that are shown.
#[must_use]
pub fn strip_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        None => address.to_owned(),
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:*****@{host}{tail}"),
            None => address.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn remote(value: &Value) -> Remote {
        match Endpoint::parse(value, None).unwrap() {
            Endpoint::Remote(remote) => remote,
            Endpoint::Local(name) => panic!("{name} is local"),
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (text, address, user) in [
            ("http://host/db", "http://host/db/", None),
            ("HTTP://Host:5984/db/", "http://host:5984/db/", None),
            ("https://a:b@host:443/x/db", "https://host/x/db/", Some(("a", "b"))),
            (
                "http://a%40b:p%3Aq@[::1]:5984/a%2Fb",
                "http://[::1]:5984/a%2Fb/",
                Some(("a@b", "p:q")),
            ),
            ("http://me@host:80/db?x=1", "http://host/db/", Some(("me", ""))),
        ] {
            let found = remote(&json!(text));
            let credentials = found.credentials.as_ref();
            let credentials = credentials.map(|found| (&*found.name, &*found.password));
            assert_eq!((found.address().as_str(), credentials), (address, user), "{text}");
        }
        assert!(matches!(Endpoint::parse(&json!("a/b"), None), Ok(Endpoint::Local(_))));
        for bad in [json!(5), json!(null), json!([])] {
            let error = Endpoint::parse(&bad, None).unwrap_err();
            assert_eq!(error, SpecificationError::NoEndpoint, "{bad}");
        }
        for bad in [json!({}), json!({"url": 5}), json!(""), json!("UPPER")] {
            let error = Endpoint::parse(&bad, None).unwrap_err();
            assert_eq!(error, SpecificationError::Address("endpoint"), "{bad}");
        }
        for bad in ["ftp://host/db", "http://", "http://host:port/db", "http://:80/db"] {
            assert!(Endpoint::parse(&json!(bad), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_come_from_three_places() {
        let basic = "Basic YmVydDpzZWNyZXQ=";
        let headers = json!({"Authorization": basic, "X-A": "b"});
        let found = remote(&json!({"url": "http://host/db", "headers": headers}));
        assert_eq!(found.credentials.unwrap().name, "bert");
        assert_eq!(found.headers, [("X-A".to_owned(), "b".to_owned())]);
        let auth = json!({"basic": {"username": "u", "password": "p"}});
        let found = remote(&json!({"url": "http://a:b@host/db", "auth": auth}));
        assert_eq!(found.credentials.unwrap().name, "u");
        let bearer = json!({"authorization": "Bearer x"});
        let found = remote(&json!({"url": "http://host/db", "headers": bearer}));
        assert_eq!((found.credentials, found.headers.len()), (None, 1));
    }

    #[test]
    fn passwords_are_not_shown() {
        for (address, shown) in [
            ("http://a:b@host/db", "http://a:*****@host/db"),
            ("https://a:b:c@host:1/x@y", "https://a:*****@host:1/x@y"),
            ("http://a@host/db", "http://a@host/db"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("db", "db"),
        ] {
            assert_eq!(strip_password(address), shown);
        }
        let endpoint = Endpoint::parse(&json!("http://a:secret@host/db"), None).unwrap();
        assert!(!format!("{endpoint:?} {}", endpoint.shown()).contains("secret"));
    }
}
