//! Cross-origin requests from browsers (couchdb-api.md 1.20): preflights are answered before
//! anybody asks who the user is, other answers tell the browser what a script may see.
//!
//! All of it is off unless `[chttpd] enable_cors` is on; `[cors:host]` rules stand before `[cors]`.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::config::{CorsPolicy, Settings};

/// Response headers that a script sees without being told.
const SIMPLE_HEADERS: [&str; 6] =
    ["cache-control", "content-language", "content-type", "expires", "last-modified", "pragma"];
/// Bodies of these types need no `content-type` among the exposed headers.
const SIMPLE_CONTENT_TYPES: [&str; 3] =
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Where a request comes from: the page's origin, and the host that the request was sent to.
#[derive(Debug)]
pub struct Origin(Option<Sent>);

#[derive(Debug)]
struct Sent {
    origin: HeaderValue,
    headers: HeaderMap,
}

impl Origin {
    /// Keeps what the answer to this request will depend on.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let origin = parts.headers.get(header::ORIGIN).cloned();
        Self(origin.map(|origin| Sent { origin, headers: parts.headers.clone() }))
    }

    /// The answer to a preflight that asks for nothing but what is allowed. Any other request
    /// goes its ordinary way.
    #[must_use]
    pub fn preflight(&self, parts: &Parts, settings: &Settings) -> Option<Response> {
        if parts.method != Method::OPTIONS {
            return None;
        }
        let (sent, policy) = self.allowed(settings)?;
        let method = text(&parts.headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if !policy.methods.iter().any(|allowed| allowed == method) {
            return None;
        }
        let wanted = text(&parts.headers, &header::ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted = wanted.filter(|names| !names.trim().is_empty());
        if !wanted.is_none_or(|names| allows_headers(policy, names)) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        allow_origin(headers, sent, policy);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(policy.max_age_s));
        insert(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &policy.methods.join(", "));
        if let Some(names) = wanted {
            insert(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        Some(response)
    }

    /// Tells the browser that the page may see this answer, if it may.
    pub fn allow(&self, response: &mut Response, settings: &Settings) {
        let Some((sent, policy)) = self.allowed(settings) else { return };
        let headers = response.headers_mut();
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let exposed = exposed_headers(headers, policy);
        allow_origin(headers, sent, policy);
        insert(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &exposed);
    }

    fn allowed<'a>(&'a self, settings: &'a Settings) -> Option<(&'a Sent, &'a CorsPolicy)> {
        let sent = self.0.as_ref().filter(|_| settings.chttpd.enable_cors)?;
        let forwarded = sent.headers.get(&settings.chttpd.x_forwarded_host);
        let host = forwarded.or_else(|| sent.headers.get(header::HOST));
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let policy = settings.cors.for_host(host);
        policy.allows_origin(sent.origin.to_str().ok()?).then_some((sent, policy))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What can be no header value is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn allows_headers(policy: &CorsPolicy, names: &str) -> bool {
    let mut names = names.split(',').map(|name| name.trim().to_ascii_lowercase());
    names.all(|name| policy.headers.contains(&name))
}

fn allow_origin(headers: &mut HeaderMap, sent: &Sent, policy: &CorsPolicy) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, sent.origin.clone());
    if policy.credentials && sent.origin != "*" {
        let allowed = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
    }
}

/// The simple headers that this answer has, and those that the policy names.
fn exposed_headers(headers: &HeaderMap, policy: &CorsPolicy) -> String {
    let content_type = text(headers, &header::CONTENT_TYPE).map(str::to_ascii_lowercase);
    let simple = content_type.is_some_and(|name| SIMPLE_CONTENT_TYPES.contains(&name.as_str()));
    let mut exposed = if simple { Vec::new() } else { vec!["content-type"] };
    let present = headers.keys().map(HeaderName::as_str);
    let present = present.filter(|name| SIMPLE_HEADERS.contains(name));
    exposed.extend(present.filter(|name| simple || *name != "content-type"));
    exposed.extend(policy.exposed_headers.iter().map(String::as_str));
    exposed.join(", ")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::config::Values;

    const COUCH_HEADERS: &str = "accept-ranges, etag, server, x-couch-request-id, \
        x-couch-update-newrev, x-couchdb-body-time";

    fn settings(pairs: &[(&str, &str, &str)]) -> Settings {
        let mut values = Values::new();
        for (section, key, value) in pairs {
            let section = values.entry((*section).to_owned()).or_default();
            section.insert((*key).to_owned(), (*value).to_owned());
        }
        Settings::read(&values)
    }

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri("/");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn shown(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let cors = headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control"));
        cors.map(|(name, value)| {
            (name.as_str().trim_start_matches("access-control-"), value.to_str().unwrap())
        })
        .collect()
    }

    const ON: (&str, &str, &str) = ("chttpd", "enable_cors", "true");
    const ANY: (&str, &str, &str) = ("cors", "origins", "*");
    const ORIGIN: (&str, &str) = ("origin", "https://a.example");
    const PUT: (&str, &str) = ("access-control-request-method", "PUT");

    #[test]
    fn preflights_that_are_answered() {
        let methods = "CONNECT, COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT, TRACE";
        let check = |pairs: &[_], headers: &[_], expect: &[(&str, &str)]| {
            let (settings, parts) = (settings(pairs), parts("OPTIONS", headers));
            let response = Origin::of(&parts).preflight(&parts, &settings).unwrap();
            assert_eq!(response.status(), StatusCode::NO_CONTENT);
            assert_eq!(shown(response.headers()), expect);
        };
        let plain = [("allow-origin", ORIGIN.1), ("max-age", "600"), ("allow-methods", methods)];
        check(&[ON, ANY], &[ORIGIN, PUT], &plain);
        check(&[ON, ("cors", "origins", "https://a.example, b")], &[ORIGIN, PUT], &plain);
        let names = "Content-Type,  if-match";
        check(
            &[ON, ANY, ("cors", "credentials", "true"), ("cors", "max_age", "7")],
            &[ORIGIN, PUT, ("access-control-request-headers", names)],
            &[
                ("allow-origin", ORIGIN.1),
                ("allow-credentials", "true"),
                ("max-age", "7"),
                ("allow-methods", methods),
                ("allow-headers", names),
            ],
        );
    }

    #[test]
    fn preflights_that_go_the_ordinary_way() {
        let check = |pairs: &[_], method, headers: &[_]| {
            let (settings, parts) = (settings(pairs), parts(method, headers));
            assert!(Origin::of(&parts).preflight(&parts, &settings).is_none(), "{headers:?}");
        };
        check(&[ANY], "OPTIONS", &[ORIGIN, PUT]);
        check(&[ON], "OPTIONS", &[ORIGIN, PUT]);
        check(&[ON, ANY], "GET", &[ORIGIN, PUT]);
        check(&[ON, ANY], "OPTIONS", &[PUT]);
        check(&[ON, ANY], "OPTIONS", &[ORIGIN]);
        check(&[ON, ("cors", "origins", "https://A.example")], "OPTIONS", &[ORIGIN, PUT]);
        check(&[ON, ANY], "OPTIONS", &[ORIGIN, ("access-control-request-method", "PATCH")]);
        let unknown = ("access-control-request-headers", "content-type, x-mine");
        check(&[ON, ANY], "OPTIONS", &[ORIGIN, PUT, unknown]);
        let (host, own) = (("host", "B.example:5984"), ("cors:b.example", "origins", "x"));
        check(&[ON, ANY, own], "OPTIONS", &[ORIGIN, PUT, host]);
        let forwarded = ("x-forwarded-host", "b.example");
        check(&[ON, ANY, own], "OPTIONS", &[ORIGIN, PUT, ("host", "c"), forwarded]);
    }

    #[test]
    fn other_answers() {
        let check = |pairs: &[_], content_type: &'static str, expect: &[(&str, &str)]| {
            let parts = parts("GET", &[ORIGIN]);
            let mut response = Response::new(Body::empty());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(header::ETAG, HeaderValue::from_static("\"x\""));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            Origin::of(&parts).allow(&mut response, &settings(pairs));
            assert_eq!(shown(response.headers()), expect);
        };
        let exposed = format!("content-type, cache-control, {COUCH_HEADERS}");
        let expect = [("allow-origin", ORIGIN.1), ("expose-headers", &exposed)];
        check(&[ON, ANY], "application/json", &expect);
        check(&[ON, ANY], "text/plain", &expect);
        let own = ("cors", "exposed_headers", "X-Own");
        let expect =
            [("allow-origin", ORIGIN.1), ("expose-headers", "content-type, cache-control, x-own")];
        check(&[ON, ANY, own], "application/json", &expect);
        check(&[ON, ("cors", "origins", "https://b.example")], "application/json", &[]);
        check(&[ANY], "application/json", &[]);
    }
}
