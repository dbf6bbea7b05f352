//! Which answers are compressed (gzip, zstd) for clients that take it. CouchDB compresses none.
//!
//! Only what gains: lists and documents of some size. Never attachments, which are stored
//! compressed where that pays and whose length clients rely on; never parts of anything; never
//! feeds, whose every row must go out at once. `[chttpd] compress_responses` turns it off.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{self, Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use tower::Service as _;
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

use crate::config::Settings;
use crate::http::negotiate::accepts_gzip;

/// Smaller bodies are not worth it.
const BYTES_MIN: u64 = 1024;

/// How the answer to a request may be compressed, as far as the request tells: its
/// `Accept-Encoding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Option<HeaderValue>);

impl Wanted {
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let Some(encodings) = request.headers().get(header::ACCEPT_ENCODING) else {
            return Self(None);
        };
        let text = encodings.to_str().ok();
        let taken = accepts_gzip(text) || text.is_some_and(|text| text.contains("zstd"));
        let query = request.uri().query().unwrap_or_default();
        let wanted = taken && request.method() != Method::HEAD && !is_feed(query);
        Self(wanted.then(|| encodings.clone()))
    }

    /// Whether this answer is to be compressed.
    pub fn applies(&self, response: &Response, settings: &Settings) -> bool {
        self.0.is_some() && settings.chttpd.compress_responses && is_worth_it(response)
    }

    /// Compresses an answer.
    ///
    /// # Errors
    /// None.
    pub async fn compress(self, response: Response) -> Result<Response, Infallible> {
        let mut request = http::Request::new(());
        if let Some(encodings) = self.0 {
            request.headers_mut().insert(header::ACCEPT_ENCODING, encodings);
        }
        let always = |_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true;
        let level = CompressionLevel::Fastest;
        let mut compression =
            Compression::new(Answered(response)).quality(level).compress_when(always);
        Ok(compression.call(request).await?.map(Body::new))
    }
}

/// Answers with what has been answered, as what compresses wants to call something.
struct Answered(Response);

impl tower::Service<http::Request<()>> for Answered {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0)))
    }
}

fn is_feed(query: &str) -> bool {
    let mut feeds = query.split(['&', ';']).filter_map(|pair| pair.strip_prefix("feed="));
    feeds.any(|feed| feed != "normal")
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let is_attachment =
        headers.contains_key(header::ACCEPT_RANGES) || headers.contains_key("content-md5");
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let is_text = content_type.starts_with("application/json")
        || content_type.starts_with("text/") && !content_type.starts_with("text/event-stream");
    let large = response.body().size_hint().exact().is_none_or(|bytes| bytes >= BYTES_MIN);
    let whole = !matches!(
        response.status(),
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT
    );
    large && is_text && whole && !is_attachment
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_large_lists_and_documents() {
        let check = |query: &str, encoding: &str, answer: (u16, &str, usize), expect: bool| {
            let request = http::Request::get(format!("/db/_changes?{query}"));
            let request = match encoding {
                "" => request,
                encoding => request.header("accept-encoding", encoding),
            };
            let (status, content_type, bytes) = answer;
            let mut response = Response::new(Body::from("x".repeat(bytes)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in
                content_type.split("; ").enumerate().map(|(at, text)| match text.split_once(": ") {
                    _ if at == 0 => ("content-type", text),
                    Some((name, value)) => (name, value),
                    None => ("x", text),
                })
            {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            let wanted = Wanted::of(&request.body(()).unwrap());
            let found = wanted.applies(&response, &Settings::default());
            assert_eq!(found, expect, "{query} {encoding} {answer:?}");
        };
        let json = (200, "application/json", 1024);
        check("", "gzip", json, true);
        check("feed=normal", "gzip, zstd", json, true);
        check("include_docs=true&feed=continuous", "gzip", json, false);
        check("feed=longpoll", "gzip", json, false);
        check("", "", json, false);
        check("", "zstd", json, true);
        check("", "identity", json, false);
        check("", "br, gzip;q=0", json, false);
        check("", "gzip", (200, "application/json", 1023), false);
        check("", "gzip", (200, "image/png", 5000), false);
        check("", "gzip", (200, "text/event-stream", 5000), false);
        check("", "gzip", (200, "text/plain; accept-ranges: none", 5000), false);
        check("", "gzip", (206, "text/plain", 5000), false);
    }
}
