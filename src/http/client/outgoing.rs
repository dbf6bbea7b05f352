//! One request to one server.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::Url;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use super::progress::Progress;
use super::{Body, BodyError, BodyStream, ClientError, Method, Request, Response};

/// Of a larger piece, one part after the other is sent, so that progress is seen.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Where a request goes, which is elsewhere after a redirect.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) url: Url,
    pub(super) method: Method,
    /// Without the body where a redirect says so.
    pub(super) with_body: bool,
    /// Whether this is the server that was meant to be asked.
    pub(super) is_home: bool,
}

impl Hop {
    pub(super) fn first(request: &Request) -> Result<Self, ClientError> {
        let url = Url::parse(&request.url);
        let url = url.map_err(|error| ClientError::Invalid(error.to_string()))?;
        let slashes = |text: &str| {
            let path = text.split_once('?').map_or(text, |(path, _)| path);
            path.bytes().filter(|byte| *byte == b'/').count()
        };
        // Segments of dots would lead to something else than what is asked for.
        if slashes(url.as_str()) != slashes(&request.url) {
            return Err(ClientError::Invalid("the address is ambiguous".to_owned()));
        }
        Ok(Self { url, method: request.method, with_body: true, is_home: true })
    }

    pub(super) async fn send(
        &self,
        client: &reqwest::Client,
        request: &Request,
    ) -> Result<Response, ClientError> {
        let method = match self.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let progress = Progress::default();
        let mut outgoing = client.request(method, self.url.clone()).headers(self.headers(request)?);
        if self.with_body {
            outgoing = attach(outgoing, &request.body, &progress);
        }
        let answer = progress.watch(request.patience, outgoing.send()).await??;
        Ok(Response::new(answer, request.patience, self.is_home))
    }

    fn headers(&self, request: &Request) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(*name, text(value)?);
        }
        let private = request.private_headers.iter().filter(|_| self.is_home);
        for (name, value) in private {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|error| ClientError::Invalid(error.to_string()))?;
            let mut value = text(value)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

fn text(value: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(value).map_err(|error| ClientError::Invalid(error.to_string()))
}

fn attach(
    outgoing: reqwest::RequestBuilder,
    body: &Body,
    progress: &Progress,
) -> reqwest::RequestBuilder {
    let (length, source) = match body {
        Body::Empty => return outgoing,
        Body::Pieces(pieces) => {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            (Some(length as u64), small_pieces(pieces))
        }
        Body::Stream { length, open } => (*length, open()),
    };
    let outgoing = match length {
        Some(length) => outgoing.header(CONTENT_LENGTH, length),
        None => outgoing,
    };
    let progress = progress.clone();
    outgoing.body(reqwest::Body::wrap_stream(source.inspect(move |_| progress.moved())))
}

fn small_pieces(pieces: &[Bytes]) -> BodyStream {
    let small = |piece: Bytes| {
        let starts = (0..piece.len()).step_by(PIECE_BYTES_MAX);
        starts.map(move |start| {
            let end = piece.len().min(start + PIECE_BYTES_MAX);
            Ok::<_, BodyError>(piece.slice(start..end))
        })
    };
    stream::iter(pieces.to_vec()).flat_map(move |piece| stream::iter(small(piece))).boxed()
}

/// Waits for what is to come from a server that is answering.
pub(super) async fn patiently<T>(
    patience: Duration,
    future: impl Future<Output = T>,
) -> Result<T, ClientError> {
    let ended = tokio::time::timeout(patience, future).await;
    ended.map_err(|_| ClientError::Silent(patience))
}
