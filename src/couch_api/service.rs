//! What every request goes through: its path, its user, its route, its headers.

use std::convert::Infallible;
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
use super::request::Request;
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

/// Answers one request; every error has become a response.
///
/// # Errors
/// None.
pub async fn serve_request(
    service: Service,
    peer: Option<IpAddr>,
    request: http::Request<Body>,
) -> Result<Response, Infallible> {
    let context = RequestContext::new(request_id(request.headers()), peer);
    // In a box: it is large, and moved into the scope.
    let answer = Box::pin(serve(service, peer, request, context.clone()));
    Ok(context.scope(answer).await)
}

async fn serve(
    service: Service,
    peer: Option<IpAddr>,
    request: http::Request<Body>,
    context: Arc<RequestContext>,
) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let settings = service.app.config.snapshot();
    let short_headers = matches!(parts.uri.path(), "/" | "/_session" | "/_membership");
    let log = (parts.method.clone(), parts.uri.path().to_owned());
    let head = parts.method == Method::HEAD;
    let origin = cors::Origin::of(&parts);
    let refusal = login::Refusal::of(&parts);
    let wishes = Wishes::of(&parts, &settings);
    let frame_options = frame_options(&parts, &settings);
    let time = BodyTime::default();
    let mut response = match (origin.preflight(&parts, &settings), &wishes) {
        (Some(response), _) => response,
        (None, Err(error)) => respond::error(error),
        (None, Ok(_)) => match answer(service.app, &settings, peer, parts, time.of(body)).await {
            Ok(response) => response,
            Err(error) => refusal.shape(respond::error(&error), &error, &settings),
        },
    };
    origin.allow(&mut response, &settings);
    finish(&mut response, &settings);
    if let Some(frame_options) = frame_options {
        response.headers_mut().insert(header::X_FRAME_OPTIONS, frame_options);
    }
    if !short_headers {
        let headers = response.headers_mut();
        headers.insert(BODY_TIME, HeaderValue::from(time.ms()));
        if let Ok(id) = HeaderValue::from_str(context.id()) {
            headers.insert(REQUEST_ID, id);
        }
    }
    response = wishes.unwrap_or_default().shape(response, &settings).await;
    if head {
        drop_body(&mut response);
    }
    let (method, path) = log;
    let (status, took) = (response.status(), started.elapsed());
    Answered { method: method.as_str(), path: &path, status, took }
        .note(settings.log.slow_request_ms);
    response
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

async fn answer(
    app: SharedApp,
    settings: &Arc<Settings>,
    peer: Option<IpAddr>,
    mut parts: Parts,
    body: Body,
) -> respond::Answer {
    let uri = parts.uri.path_and_query().map_or(0, |uri| uri.as_str().len() as u64);
    if uri > settings.chttpd.max_uri_length {
        return Err(ApiError::UriTooLong);
    }
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let raw_path = match vhosts::resolve(settings, &mut parts.headers, target) {
        Some(raw_path) => raw_path,
        None => target.to_owned(),
    };
    let request = Request {
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
        app,
    };
    dispatch(request).await
}

/// Answers a request of which `raw_path`, method, headers and body are known. A rewrite makes
/// another one of it, which is answered as if it had been sent.
async fn dispatch(mut request: Request) -> respond::Answer {
    let mut renewed = None;
    let response = loop {
        let (path, query) = request.raw_path.split_once('?').unwrap_or((&request.raw_path, ""));
        request.path = path::split_path(path, request.plus())?;
        request.query = Query::new(path::parse_query(query)?);
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
