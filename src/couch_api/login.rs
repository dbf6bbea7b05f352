//! Who sends a request (`authenticate`), sessions (`/_session`), and what a refused client is
//! told besides the error (`Refusal`). The rules are those of couchdb-api.md 1.1 and 1.5.

use std::num::NonZero;
use std::sync::{LazyLock, PoisonError};
use std::thread;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::Limited;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::{SharedApp, now_s};
use crate::auth::{
    AuthError, Authentication, Credentials, Identity, JwtError, Login, Peer, Scheme, bearer,
};
use crate::blocking;
use crate::config::{AuthenticationHandler, JwksSettings, Settings};
use crate::http::negotiate::accepts;
use crate::http::parameters::Parameters;
use crate::http::path::{encode_segment, parse_query};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// The largest body of a login.
const LOGIN_BYTES_MAX: usize = 64 << 10;
/// Passwords that are verified at once: a crowd of guesses must not take the machine.
static VERIFICATIONS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new((cores / 2).max(1))
});
/// Passwords that may wait for it. Each takes a tenth of a second and more.
const WAITING_MAX: usize = 32;
static WAITING: Semaphore = Semaphore::const_new(WAITING_MAX);

const JWT: AuthenticationHandler = AuthenticationHandler::Jwt;

const X_COUCHDB_WWW_AUTHENTICATE: HeaderName =
    HeaderName::from_static("x-couchdb-www-authenticate");

/// Recognises the user. Answers the `Set-Cookie` value of a renewed session.
///
/// # Errors
/// Wrong credentials are refused also where none are needed.
pub async fn authenticate(request: &mut Request) -> Result<Option<String>, ApiError> {
    let identity = match published_keys(request) {
        Some(jwks) => Box::pin(identify(request, &jwks)).await?,
        None => match recognise(request) {
            Ok(Authentication::Done(identity)) => identity,
            step => Box::pin(verify(&request.app, step)).await?,
        },
    };
    request.user = identity.user_ctx;
    request.authenticated_by = identity.authenticated_by.map(AuthenticationHandler::as_str);
    require_valid_user(request)?;
    Ok(identity.renewed_cookie)
}

/// Who it is, where these keys may tell.
async fn identify(request: &Request, jwks: &JwksSettings) -> Result<Identity, ApiError> {
    request.app.jwks.refresh(jwks).await;
    let mut step = recognise(request);
    if let Err(AuthError::Jwt(JwtError::UnknownKid)) = &step {
        request.app.jwks.find_newer(jwks).await;
        step = recognise(request);
    }
    verify(&request.app, step).await
}

/// Where the keys are published of which one may have signed the token that was sent.
fn published_keys(request: &Request) -> Option<JwksSettings> {
    let jwks = request.settings.jwt.jwks.as_ref()?;
    let is_asked = request.settings.chttpd.authentication_handlers.contains(&JWT);
    let token = request.header(header::AUTHORIZATION.as_str()).and_then(bearer);
    (is_asked && token.is_some()).then(|| jwks.clone())
}

fn recognise(request: &Request) -> Result<Authentication, AuthError> {
    let headers = |name: &str| request.header(name);
    let (peer, scheme) = (peer(request), scheme(request));
    let credentials = Credentials { headers: &headers, peer: &peer, scheme, now_s: now_s() };
    request.app.authenticator.authenticate_cached(&credentials)
}

/// The slow step, where one is needed.
async fn verify(
    app: &SharedApp,
    step: Result<Authentication, AuthError>,
) -> Result<Identity, ApiError> {
    let verification = match step? {
        Authentication::Done(identity) => return Ok(identity),
        Authentication::NeedsVerification(verification) => verification,
    };
    let waits = WAITING.try_acquire().map_err(|_| ApiError::Overloaded)?;
    // The semaphore is never closed.
    let one_of_few = VERIFICATIONS.acquire().await.ok();
    let app = app.clone();
    let verified = blocking::run("verify a password", move || {
        // Until the work has ended, also where its client has gone.
        let _held = (waits, one_of_few);
        app.authenticator.verify(verification)
    });
    Ok(verified.await??)
}

fn require_valid_user(request: &Request) -> Result<(), ApiError> {
    let chttpd = &request.settings.chttpd;
    let required = match request.path.as_slice() {
        // A login must be possible, or nobody could become a valid user.
        [path] if path == "_session" && request.method == "POST" => false,
        [path] if path == "_up" && chttpd.require_valid_user_except_for_up => false,
        [path] if path == "_up" => chttpd.require_valid_user,
        _ => chttpd.require_valid_user || chttpd.require_valid_user_except_for_up,
    };
    if required { Ok(request.user.require_valid_user()?) } else { Ok(()) }
}

fn scheme(request: &Request) -> Scheme {
    if request.came_over_tls() { Scheme::Https } else { Scheme::Http }
}

/// Whose wrong passwords are counted together: those of a client of a trusted proxy, which the
/// nearest one names last, or those of whoever is connected.
fn peer(request: &Request) -> Peer {
    let header = request.settings.chttpd.x_forwarded_for.as_deref();
    let forwarded = header.and_then(|name| request.headers.get_all(name).iter().next_back());
    let forwarded = forwarded.and_then(|addresses| addresses.to_str().ok()?.rsplit(',').next());
    match forwarded.map(str::trim).filter(|address| !address.is_empty()) {
        Some(address) => Peer::Forwarded(address.to_owned()),
        None => Peer::Connected(request.peer),
    }
}

/// `/_session`.
pub async fn session(request: Request) -> Answer {
    match request.method.as_str() {
        "GET" => show(&request),
        "POST" => log_in(request).await,
        "DELETE" => log_out(&request),
        _ => Err(ApiError::MethodNotAllowed("GET,HEAD,POST,DELETE")),
    }
}

fn show(request: &Request) -> Answer {
    if request.user.name.is_none() && request.query.is_true("basic") {
        return Err(AuthError::PleaseLogin.into());
    }
    let mut info = serde_json::Map::new();
    if let Some(db) = &request.settings.auth.authentication_db {
        info.insert("authentication_db".to_owned(), json!(db));
    }
    let handlers = request.settings.chttpd.authentication_handlers.iter();
    let handlers: Vec<&str> = handlers.map(|handler| handler.as_str()).collect();
    info.insert("authentication_handlers".to_owned(), json!(handlers));
    if let Some(handler) = request.authenticated_by {
        info.insert("authenticated".to_owned(), json!(handler));
    }
    respond::ok(&json!({"ok": true, "userCtx": request.user, "info": info}))
}

async fn log_in(mut request: Request) -> Answer {
    let login = read_login(&mut request).await?;
    let name = login.name.clone();
    let (peer, now_s) = (peer(&request), now_s());
    let authenticator = &request.app.authenticator;
    let step = authenticator.login_cached(login, &peer, now_s);
    match verify(&request.app, step).await {
        Ok(identity) => {
            let cookie = authenticator.session_cookie(&name, scheme(&request), now_s)?;
            let user = identity.user_ctx;
            let body = json!({"ok": true, "name": user.name, "roles": user.roles});
            answer(&request, "next", respond::json(StatusCode::OK, &body), &cookie)
        }
        Err(error @ ApiError::Auth(AuthError::IncorrectPassword)) => {
            let cookie = authenticator.clear_cookie(scheme(&request), now_s);
            answer(&request, "fail", respond::error(&error), &cookie)
        }
        Err(error) => Err(error),
    }
}

fn log_out(request: &Request) -> Answer {
    let cookie = request.app.authenticator.clear_cookie(scheme(request), now_s());
    answer(request, "next", respond::ok_true(StatusCode::OK)?, &cookie)
}

/// Sets the cookie, and sends the client on to the path that the parameter names, if any.
fn answer(request: &Request, parameter: &str, mut response: Response, cookie: &str) -> Answer {
    if let Some(path) = request.query.get(parameter) {
        // Only paths: a login must not send anybody to another host.
        if !path.starts_with('/') {
            return Err(ApiError::bad_request("path must begin with a /."));
        }
        *response.status_mut() = StatusCode::FOUND;
        let location = format!("{}{path}", request.base_url());
        response = respond::with(response, header::LOCATION, &location);
    }
    Ok(respond::with(response, header::SET_COOKIE, cookie))
}

/// What a client sends to log in.
async fn read_login(request: &mut Request) -> Result<Login, ApiError> {
    let content_type = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = Parameters::parse(content_type).item;
    if !matches!(media_type.as_str(), "application/x-www-form-urlencoded" | "application/json") {
        return Err(ApiError::BadContentType(
            "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'".into(),
        ));
    }
    let body = request.body.get_mut().unwrap_or_else(PoisonError::into_inner);
    *body = Body::new(Limited::new(std::mem::take(body), LOGIN_BYTES_MAX));
    if media_type == "application/json" {
        login_from_json(&request.json_object().await?)
    } else {
        let body = request.bytes().await?;
        login_from_form(&body)
    }
}

fn login_from_form(body: &[u8]) -> Result<Login, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| unreadable_form())?;
    let pairs = parse_query(text.trim_end()).map_err(|_| unreadable_form())?;
    let find = |wanted: &str| {
        pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    login_from_fields(find)
}

fn login_from_json(object: &serde_json::Map<String, Value>) -> Result<Login, ApiError> {
    login_from_fields(|name| object.get(name)?.as_str().map(str::to_owned))
}

fn login_from_fields(find: impl Fn(&str) -> Option<String>) -> Result<Login, ApiError> {
    let name = match (find("name"), find("username")) {
        (None, None) => {
            return Err(ApiError::bad_request("request body must contain a username"));
        }
        (Some(one), Some(other)) if one != other => {
            return Err(ApiError::bad_request("request body contains different usernames"));
        }
        (Some(name), _) | (None, Some(name)) => name,
    };
    let given = |field| find(field).unwrap_or_default();
    Ok(Login { name, password: given("password"), token: given("token") })
}

fn unreadable_form() -> ApiError {
    ApiError::bad_request("the form could not be read")
}

/// What a refused client is told besides the error, taken from its request beforehand: a browser
/// is sent to the login page, a client that asks for a challenge gets one.
#[derive(Debug)]
pub struct Refusal {
    challenge: Option<HeaderValue>,
    /// The path that a browser asked for.
    browser: Option<String>,
}

impl Refusal {
    /// Keeps what the answer to a refusal would depend on.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let is_browser = accept.is_some()
            && accepts(accept, "text/html")
            && !accepts(accept, "application/json");
        Self {
            challenge: parts.headers.get(X_COUCHDB_WWW_AUTHENTICATE).cloned(),
            browser: is_browser.then(|| parts.uri.path().to_owned()),
        }
    }

    /// Adds the challenge or the redirection to the answer to `error`.
    #[must_use]
    pub fn shape(&self, mut response: Response, error: &ApiError, settings: &Settings) -> Response {
        if response.status() != StatusCode::UNAUTHORIZED {
            return response;
        }
        let chttpd = &settings.chttpd;
        let required = chttpd.require_valid_user || chttpd.require_valid_user_except_for_up;
        let challenge = match (self.challenge.clone(), chttpd.www_authenticate.as_deref()) {
            (Some(asked), _) => Some(asked),
            (None, Some(configured)) => HeaderValue::from_str(configured).ok(),
            (None, None) if required => Some(HeaderValue::from_static("Basic realm=\"server\"")),
            (None, None) => None,
        };
        match (challenge, &self.browser) {
            (Some(challenge), _) => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            (None, Some(path)) => {
                *response.status_mut() = StatusCode::FOUND;
                let page = &settings.auth.authentication_redirect;
                let (path, reason) = (encode_segment(path), error.describe().2);
                let location = format!("{page}?return={path}&reason={}", encode_segment(&reason));
                respond::with(response, header::LOCATION, &location)
            }
            (None, None) => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::config::Values;

    #[test]
    fn logins() {
        let check = |body: &str, expect: Result<(&str, &str, &str), &str>| {
            let found = match serde_json::from_str(body) {
                Ok(Value::Object(object)) => login_from_json(&object),
                _ => login_from_form(body.as_bytes()),
            };
            let found = found.map(|login| (login.name, login.password, login.token));
            let found = found.map_err(|error| error.to_string());
            let expect = expect.map(|(n, p, t)| (n.to_owned(), p.to_owned(), t.to_owned()));
            assert_eq!(found, expect.map_err(str::to_owned), "{body}");
        };
        check("name=a+b&password=%C3%A4%26", Ok(("a b", "ä&", "")));
        check("username=bob&password=x\r\n", Ok(("bob", "x", "")));
        check("name=bob", Ok(("bob", "", "")));
        check("name=bob&username=bob&password=x", Ok(("bob", "x", "")));
        check("name=bob&password=x&token=0123", Ok(("bob", "x", "0123")));
        check(r#"{"name":"bob","password":"x","token":"1"}"#, Ok(("bob", "x", "1")));
        check(r#"{"username":"bob","password":7}"#, Ok(("bob", "", "")));
        check("name=bob&username=eve", Err("request body contains different usernames"));
        check("password=x", Err("request body must contain a username"));
        check(r#"{"name":7}"#, Err("request body must contain a username"));
        check("name=%", Err("the form could not be read"));
    }

    #[test]
    fn refusals() {
        let check = |headers: &[(&str, &str)], setting: &str, expect: (u16, &str, &str)| {
            let request = Request::builder().uri("/db/a%20b?x=1");
            let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut values = Values::new();
            let section = values.entry("chttpd".to_owned()).or_default();
            if let Some((key, value)) = setting.split_once('=') {
                section.insert(key.to_owned(), value.to_owned());
            }
            let error = ApiError::Auth(AuthError::NotServerAdmin);
            let settings = Settings::read(&values);
            let response = Refusal::of(&parts).shape(respond::error(&error), &error, &settings);
            let header = |name| response.headers().get(name).map_or("", |v| v.to_str().unwrap());
            let found = (
                response.status().as_u16(),
                header(header::WWW_AUTHENTICATE),
                header(header::LOCATION),
            );
            assert_eq!(found, expect, "{headers:?} {setting}");
        };
        let (html, basic) = (("accept", "text/html"), "Basic realm=\"server\"");
        let page = "/_utils/session.html?return=%2Fdb%2Fa%2520b&\
            reason=You%20are%20not%20a%20server%20admin.";
        check(&[], "", (401, "", ""));
        check(&[html], "", (302, "", page));
        check(&[("accept", "text/html, */*;q=0.1")], "", (401, "", ""));
        check(&[html], "require_valid_user=true", (401, basic, ""));
        check(&[], "WWW-Authenticate=Basic realm=\"x\"", (401, "Basic realm=\"x\"", ""));
        let asked = ("x-couchdb-www-authenticate", "Cookie");
        check(&[html, asked], "require_valid_user=true", (401, "Cookie", ""));
    }
}
