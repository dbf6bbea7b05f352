//! `[chttpd] authentication_handlers`: who is asked who sends a request, and in which order.
//!
//! The value is a list of Erlang pairs, `{module, function}`. Only the function matters here:
//! modules have changed their names from release to release.

use super::reader::Reader;

const KEY: &str = "authentication_handlers";
const SUFFIXES: [&str; 2] = ["_authentication_handler", "_authentification_handler"];

/// One way of finding out who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationHandler {
    /// The session cookie.
    Cookie,
    /// Basic.
    Default,
    /// Headers that a trusted proxy sets.
    Proxy,
    /// JSON web tokens.
    Jwt,
    /// Everybody is a server admin.
    Null,
}

impl AuthenticationHandler {
    /// Its name in `_session`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Default => "default",
            Self::Proxy => "proxy",
            Self::Jwt => "jwt",
            Self::Null => "null",
        }
    }

    /// Not from `[httpd]`, which configured the old port of a node for itself.
    pub(super) fn read_all(reader: &mut Reader<'_>) -> Vec<Self> {
        let mut section = reader.section(&["chttpd"]);
        let Some(text) = section.text(KEY) else { return vec![Self::Cookie, Self::Default] };
        let found: Vec<Option<Self>> = functions(text).map(Self::of_function).collect();
        if found.iter().any(Option::is_none) {
            section.warn("chttpd", KEY, "a list of handlers that are known here");
        }
        found.into_iter().flatten().collect()
    }

    fn of_function(function: &str) -> Option<Self> {
        let name = SUFFIXES.iter().find_map(|suffix| function.strip_suffix(suffix))?;
        let all = [Self::Cookie, Self::Default, Self::Proxy, Self::Jwt, Self::Null];
        all.into_iter().find(|handler| handler.as_str() == name)
    }
}

/// The functions of the pairs; of what is no pair, all of it.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let pairs = text.split('}').map(|pair| pair.trim_matches(&[',', ' ', '\t', '\n', '{'][..]));
    let pairs = pairs.filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.rsplit_once(',').map_or(pair, |(_, function)| function).trim())
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Values};
    use super::*;

    #[test]
    fn lists_of_handlers() {
        use AuthenticationHandler::{Cookie, Default, Jwt, Null, Proxy};
        let check = |text: &str, expect: &[AuthenticationHandler], warnings: usize| {
            let mut values = Values::new();
            values.entry("chttpd".to_owned()).or_default().insert(KEY.to_owned(), text.to_owned());
            let settings = Settings::read(&values);
            assert_eq!(settings.chttpd.authentication_handlers, expect, "{text}");
            assert_eq!(settings.warnings.len(), warnings, "{text}");
        };
        check("", &[Cookie, Default], 0);
        let usual = "{chttpd_auth, cookie_authentication_handler}, \
                     {chttpd_auth, default_authentication_handler}";
        check(usual, &[Cookie, Default], 0);
        let other = "{chttpd_auth,jwt_authentication_handler},\
                     {couch_httpd_auth , proxy_authentification_handler},\t\
                     {couch_httpd_auth, null_authentication_handler}";
        check(other, &[Jwt, Proxy, Null], 0);
        check("{chttpd_auth, default_authentication_handler}", &[Default], 0);
        check("{my_auth, my_handler}, {chttpd_auth, cookie_authentication_handler}", &[Cookie], 1);
        check("nonsense", &[], 1);
    }

    #[test]
    fn the_old_port_does_not_count() {
        let mut values = Values::new();
        let null = "{couch_httpd_auth, null_authentication_handler}".to_owned();
        values.entry("httpd".to_owned()).or_default().insert(KEY.to_owned(), null);
        let handlers = Settings::read(&values).chttpd.authentication_handlers;
        assert_eq!(handlers, [AuthenticationHandler::Cookie, AuthenticationHandler::Default]);
    }
}
