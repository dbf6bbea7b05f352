//! Where a database is: an address, or a name at a server.

use clap::Args;
use serde_json::json;

use crate::http::path::{Plus, decode, encode_segment};
use crate::replicator::{Endpoint, Remote};

use super::MoveError;

/// The server of databases that are given by name.
#[derive(Debug, Args)]
pub struct Server {
    /// The server of databases given by name, with the account to use:
    /// `http://NAME:PASSWORD@HOST:PORT`
    #[arg(
        long,
        value_name = "URL",
        env = "SETTEE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:5984"
    )]
    url: String,
}

/// A database at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub remote: Remote,
}

impl Server {
    /// Where the database is that `given` names.
    ///
    /// # Errors
    /// What is no address, or one without a database.
    pub fn database(&self, given: &str) -> Result<Address, MoveError> {
        if is_address(given) {
            return Address::parse(given, "the address");
        }
        let server = self.url.trim_end_matches('/');
        Address::parse(&format!("{server}/{}", encode_segment(given)), "--url")
    }
}

/// Whether it is an address, not a name or a file.
pub fn is_address(given: &str) -> bool {
    given.contains("://")
}

impl Address {
    fn parse(text: &str, what: &'static str) -> Result<Self, MoveError> {
        match Endpoint::parse(&json!(text), None) {
            Ok(Endpoint::Remote(remote)) if remote.path == "/" => {
                Err(MoveError::NoDatabase(remote.address()))
            }
            Ok(Endpoint::Remote(remote)) => Ok(Self { remote }),
            Ok(Endpoint::Local(_)) | Err(_) => Err(MoveError::Address(what)),
        }
    }

    pub fn has_credentials(&self) -> bool {
        self.remote.credentials.is_some()
    }

    /// The database's name.
    pub fn name(&self) -> String {
        let last = self.remote.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        decode(last, Plus::Literal).unwrap_or_else(|_| last.to_owned())
    }

    /// As it is shown: without credentials.
    pub fn shown(&self) -> String {
        self.remote.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_or_addressed() {
        let server = |url: &str| Server { url: url.to_owned() };
        for (url, given, shown, name) in [
            ("http://127.0.0.1:5984", "db", "http://127.0.0.1:5984/db/", "db"),
            ("http://a:secret@h:1/", "a/b", "http://h:1/a%2Fb/", "a/b"),
            ("https://h/couch", "_users", "https://h/couch/_users/", "_users"),
            ("no matter", "http://a:secret@h/x%2Fy/", "http://h/x%2Fy/", "x/y"),
        ] {
            let address = server(url).database(given).unwrap();
            assert_eq!((address.shown().as_str(), address.name().as_str()), (shown, name));
        }
        for (url, given) in [
            ("h:5984", "db"),
            ("ftp://a:secret@h", "db"),
            ("x", "http://a:secret@h:port/db"),
            ("x", "http://a:secret@h/"),
            ("x", "http://a:secret@h"),
        ] {
            let error = server(url).database(given).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
