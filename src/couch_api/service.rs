//! What every request goes through: its path, its user, its route, its headers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::app::SharedApp;
use crate::blocking::RequestContext;
use crate::config::{FrameOptions, Settings};
use crate::http::path;

use super::body_memory::BodyMemory;
use super::body_time::BodyTime;
use super::error::ApiError;
use super::functions::Rewrite;
use super::query::Query;
use super::request::{Known, Request};
use super::request_log::{Answered, new_id};
use super::wishes::Wishes;
use super::{cors, functions, login, respond, router, vhosts};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-couch-request-id");
const BODY_TIME: HeaderName = HeaderName::from_static("x-couchdb-body-time");
const METHOD_OVERRIDE: &str = "x-http-method-override";

/// Stands in the extensions of a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted;

/// Serves requests for one app; cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    app: SharedApp,
}

impl Service {
    #[must_use]
    pub fn new(app: SharedApp) -> Self {
        Self { app }
    }

    #[must_use]
    pub fn app(&self) -> &SharedApp {
        &self.app
    }
}

/// A request whose answer is begun: what needs no waiting is done.
pub struct Opened {
    context: Arc<RequestContext>,
    before: Box<Before>,
    /// The request, unless it has its answer.
    asked: Result<Request, Box<Response>>,
}

/// What the answer to a request depends on besides what is asked.
struct Before {
    started: Instant,
    settings: Arc<Settings>,
    method: Method,
    path: String,
    origin: cors::Origin,
    refusal: login::Refusal,
    wishes: Wishes,
    frame_options: Option<HeaderValue>,
    time: BodyTime,
}

/// Begins to answer a request.
#[must_use]
pub fn open_request(
    service: &Service,
    peer: Option<IpAddr>,
    request: http::Request<Body>,
) -> Opened {
    let context = RequestContext::new(request_id(request.headers()), peer);
    let (before, asked) = context.clone().sync_scope(|| open(service, peer, request));
    Opened { context, before, asked }
}

fn open(
    service: &Service,
    peer: Option<IpAddr>,
    request: http::Request<Body>,
) -> (Box<Before>, Result<Request, Box<Response>>) {
    let (parts, body) = request.into_parts();
    let settings = service.app.config.snapshot();
    let (wishes, refused) = match Wishes::of(&parts, &settings) {
        Ok(wishes) => (wishes, None),
        Err(error) => (Wishes::default(), Some(respond::error(&error))),
    };
    let before = Box::new(Before {
        started: Instant::now(),
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        origin: cors::Origin::of(&parts),
        refusal: login::Refusal::of(&parts),
        wishes,
        frame_options: frame_options(&parts, &settings),
        time: BodyTime::default(),
        settings,
    });
    let settings = &before.settings;
    let asked = match before.origin.preflight(&parts, settings).or(refused) {
        Some(response) => Err(Box::new(response)),
        None => known(&service.app, settings, peer, parts, before.time.of(body))
            .map_err(|error| Box::new(before.refuse(&error))),
    };
    (before, asked)
}

impl Before {
    fn refuse(&self, error: &ApiError) -> Response {
        self.refusal.shape(respond::error(error), error, &self.settings)
    }
}

impl Opened {
    /// The answer; every error has become one.
    pub async fn answer(self) -> Response {
        let Self { context, before, asked } = self;
        let id = context.clone();
        context.scope(answer(id, before, asked)).await
    }
}

async fn answer(
    context: Arc<RequestContext>,
    before: Box<Before>,
    asked: Result<Request, Box<Response>>,
) -> Response {
    let mut response = match asked {
        Err(response) => *response,
        Ok(request) => dispatch(request).await.unwrap_or_else(|error| before.refuse(&error)),
    };
    before.finish(&mut response, context.id());
    if !before.wishes.is_empty() {
        response = Box::pin(before.wishes.shape(response, &before.settings)).await;
    }
    if before.method == Method::HEAD {
        drop_body(&mut response);
    }
    let (method, status) = (before.method.as_str(), response.status());
    Answered { method, path: &before.path, status, took: before.started.elapsed() }
        .note(before.settings.log.slow_request_ms);
    response
}

impl Before {
    /// Adds the headers that every answer has, or nearly every.
    fn finish(&self, response: &mut Response, id: &str) {
        self.origin.allow(response, &self.settings);
        finish(response, &self.settings);
        let headers = response.headers_mut();
        if let Some(frame_options) = &self.frame_options {
            headers.insert(header::X_FRAME_OPTIONS, frame_options.clone());
        }
        if matches!(self.path.as_str(), "/" | "/_session" | "/_membership") {
            return;
        }
        headers.insert(BODY_TIME, HeaderValue::from(self.time.ms()));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(REQUEST_ID, id);
        }
    }
}

fn frame_options(parts: &Parts, settings: &Settings) -> Option<HeaderValue> {
    if settings.frame_options == FrameOptions::Off {
        return None;
    }
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = format!("http://{}", host.unwrap_or_default());
    HeaderValue::from_str(&settings.frame_options.header(&host)?).ok()
}

/// The client's own id where it is short and harmless, else ten hexadecimal digits.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        id.len() <= 36 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    match given.filter(harmless) {
        Some(id) => id.to_owned(),
        None => new_id(),
    }
}

/// What is known of a request before it is asked who sends it.
fn known(
    app: &SharedApp,
    settings: &Arc<Settings>,
    peer: Option<IpAddr>,
    mut parts: Parts,
    body: Body,
) -> Result<Request, ApiError> {
    let uri = parts.uri.path_and_query().map_or(0, |uri| uri.as_str().len() as u64);
    if uri > settings.chttpd.max_uri_length {
        return Err(ApiError::UriTooLong);
    }
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let raw_path = match vhosts::resolve(settings, &mut parts.headers, target) {
        Some(raw_path) => raw_path,
        None => target.to_owned(),
    };
    Ok(Request::from(Known {
        method: method(&parts.method, &parts.headers),
        raw_path,
        rewrites: 0,
        path: Vec::new(),
        query: Query::default(),
        headers: parts.headers,
        user: crate::auth::UserCtx::default(),
        authenticated_by: None,
        peer,
        encrypted: parts.extensions.get::<Encrypted>().is_some(),
        body: Mutex::new(body),
        memory: BodyMemory::default(),
        settings: settings.clone(),
        app: app.clone(),
    }))
}

/// Answers a request of which `raw_path`, method, headers and body are known. A rewrite makes
/// another one of it, which is answered as if it had been sent.
async fn dispatch(mut request: Request) -> respond::Answer {
    let mut renewed = None;
    let response = loop {
        let (path, query) = request.raw_path.split_once('?').unwrap_or((&request.raw_path, ""));
        let path = path::split_path(path, request.plus())?;
        let query = Query::new(path::parse_query(query)?);
        (request.path, request.query) = (path, query);
        request.user = crate::auth::UserCtx::default();
        renewed = login::authenticate(&mut request).await?.or(renewed);
        if let Some(name) = &request.user.name {
            RequestContext::set_user(name);
        }
        if !functions::is_rewrite(&request.path) {
            break router::route(request)?.await?;
        }
        request = match Box::pin(functions::rewrite(request)).await? {
            Rewrite::Answer(response) => break response,
            Rewrite::Again(request) => *request,
        };
        request.rewrites += 1;
        request.method = method(&request.method, &request.headers);
    };
    Ok(match renewed {
        Some(cookie) if !response.headers().contains_key(header::SET_COOKIE) => {
            respond::with(response, header::SET_COOKIE, &cookie)
        }
        _ => response,
    })
}

fn method(sent: &Method, headers: &HeaderMap) -> Method {
    let named = if *sent == Method::POST { headers.get(METHOD_OVERRIDE) } else { None };
    let named = named.and_then(|name| Method::from_bytes(name.as_bytes()).ok());
    match named.unwrap_or_else(|| sent.clone()) {
        // Answered as the GET of it; the body is dropped at the end.
        Method::HEAD => Method::GET,
        method => method,
    }
}

/// Keeps the length that the GET would have had.
fn drop_body(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    let exact = axum::body::HttpBody::size_hint(&body).exact();
    if let (Some(length), false) = (exact, response.headers().contains_key(header::CONTENT_LENGTH))
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn finish(response: &mut Response, settings: &Settings) {
    let server = if settings.chttpd.server_header_versions {
        HeaderValue::from_static(concat!("settee/", env!("CARGO_PKG_VERSION"), " (CouchDB/3.5.0)"))
    } else {
        HeaderValue::from_static("settee")
    };
    response.headers_mut().insert(header::SERVER, server);
    let phrase = match response.status() {
        StatusCode::NOT_FOUND => b"Object Not Found".as_slice(),
        StatusCode::RANGE_NOT_SATISFIABLE => b"Requested Range Not Satisfiable",
        _ => return,
    };
    let phrase = hyper::ext::ReasonPhrase::from_static(phrase);
    response.extensions_mut().insert(phrase);
}
