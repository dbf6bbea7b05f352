//! Where an answer sends a request on to.

use reqwest::Url;

use super::outgoing::Hop;
use super::{ClientError, Method, Response};

/// The next hop, where the answer is a redirect.
pub(super) fn next(hop: &Hop, response: &Response) -> Result<Option<Hop>, ClientError> {
    let status = response.status();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.header("location") else { return Ok(None) };
    let bad = || ClientError::Invalid("a redirect leads nowhere".to_owned());
    let mut url = hop.url.join(location).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad());
    }
    // Nobody else says who we are.
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| bad())?;
    let see_other = status == 303;
    Ok(Some(Hop {
        method: if see_other { Method::Get } else { hop.method },
        with_body: hop.with_body && !see_other,
        is_home: hop.is_home && is_same_server(&hop.url, &url),
        url,
    }))
}

/// Whether what was meant for `from` may be sent to `to`: the same origin, or the same name where
/// only encryption is new.
fn is_same_server(from: &Url, to: &Url) -> bool {
    let port = |url: &Url| url.port_or_known_default();
    let same = from.scheme() == to.scheme() && port(from) == port(to);
    let encrypted = (from.scheme(), port(from)) == ("http", Some(80))
        && (to.scheme(), port(to)) == ("https", Some(443));
    from.host_str() == to.host_str() && (same || encrypted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart() {
        for (from, to, expect) in [
            ("http://a/x", "http://a/y", true),
            ("http://a:5984/x", "http://a:5984/", true),
            ("http://a/x", "https://a/x", true),
            ("http://a:5984/x", "https://a/x", false),
            ("https://a/x", "http://a/x", false),
            ("http://a/x", "http://a:81/x", false),
            ("http://a/x", "http://b/x", false),
            ("http://a/x", "http://a.b/x", false),
        ] {
            let url = |text| Url::parse(text).unwrap();
            assert_eq!(is_same_server(&url(from), &url(to)), expect, "{from} {to}");
        }
    }
}
