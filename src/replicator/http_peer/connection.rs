//! Calls to the server of a remote database: who asks, how many at once, how often again, and what
//! an answer that is not the wanted one means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::client::{Body, ClientError, HttpClient, HttpClients, Method, Request, Response};
use crate::metrics;
use crate::replicator::{PeerError, Remote, Retries, Tuning};

use super::session::{Identity, Session};

const USER_AGENT: &str = concat!("CouchDB-Replicator/settee-", env!("CARGO_PKG_VERSION"));
const REDIRECTS_MAX: usize = 3;
/// The most of an answer that only tells of itself or of an error.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A remote database and the ways to it.
pub(super) struct Connection {
    /// Without credentials, a slash at its end.
    pub(super) address: String,
    client: HttpClient,
    headers: Vec<(String, String)>,
    session: Session,
    /// Requests that may be under way at once; feeds are not counted.
    permits: Arc<Semaphore>,
    pub(super) retries: Retries,
    /// The server knows that attachments may be packed, unless it is known not to.
    takes_packed: AtomicBool,
    /// How long nothing may move on a connection.
    pub(super) patience: Duration,
}

/// One request, which may be made again.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    /// What follows the address of the database: path and query, encoded.
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

/// An answer of the wanted kind, whose body has yet to be read.
pub(super) struct Reply {
    pub(super) response: Response,
    /// Given back when all has been read.
    permit: Option<OwnedSemaphorePermit>,
}

/// Why an attempt failed, and how long the server wants to be left alone.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: PeerError,
    pub(super) retry_after: Duration,
}

impl From<PeerError> for Failed {
    fn from(error: PeerError) -> Self {
        Self { error, retry_after: Duration::ZERO }
    }
}

impl Call {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path.into(), Body::Empty)
    }

    pub(super) fn post(path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        Self::new(Method::Post, path.into(), Body::of(json)).typed("application/json")
    }

    pub(super) fn put(path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        Self::new(Method::Put, path.into(), Body::of(json)).typed("application/json")
    }

    pub(super) fn new(method: Method, path: String, body: Body) -> Self {
        let headers = vec![
            ("accept", "application/json".to_owned()),
            ("accept-encoding", "identity".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
        ];
        Self { method, path, headers, body }
    }

    pub(super) fn typed(self, content_type: impl Into<String>) -> Self {
        self.with("content-type", content_type)
    }

    /// With a header, which replaces one of the same name.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Connection {
    pub(super) fn new(
        clients: &HttpClients,
        remote: &Remote,
        tuning: &Tuning,
    ) -> Result<Self, PeerError> {
        let address = remote.address();
        let client = clients
            .client(remote.proxy.as_deref(), &tuning.tls)
            .map_err(|error| PeerError::Invalid(format!("{address}: {error}")))?;
        let patience = tuning.connection_timeout;
        Ok(Self {
            client,
            session: Session::new(remote, tuning),
            headers: remote.headers.clone(),
            permits: Arc::new(Semaphore::new(tuning.http_connections)),
            retries: Retries::new(tuning.retries_per_request),
            takes_packed: AtomicBool::new(true),
            patience,
            address,
        })
    }

    /// Learns from what the database tells of itself: those that know packed attachments tell their
    /// disk format as CouchDB does; others, pouchdb-server among them, would keep the packed bytes
    /// as if they were the attachment.
    pub(super) fn learn(&self, info: &Map<String, Value>) {
        let is_couchdb = info.contains_key("disk_format_version");
        self.takes_packed.store(is_couchdb, Ordering::Relaxed);
    }

    pub(super) fn takes_packed(&self) -> bool {
        self.takes_packed.load(Ordering::Relaxed)
    }

    /// A call whose answer is JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, PeerError> {
        self.json_up_to(call, ANSWER_BYTES_MAX).await
    }

    /// As [`Self::json`], of an answer that may have `most` bytes.
    pub(super) async fn json_up_to<T: DeserializeOwned>(
        &self,
        call: &Call,
        most: usize,
    ) -> Result<T, PeerError> {
        self.retried(|| async {
            let body = self.bytes(call, most).await?;
            Ok(self.parse(&body)?)
        })
        .await
    }

    /// Makes an attempt after the other, as long as that makes sense.
    pub(super) async fn retried<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, PeerError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut attempts = self.retries.attempts();
        loop {
            match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(Failed { error, retry_after }) => {
                    attempts.wait_at_least(retry_after, error).await?;
                }
            }
        }
    }

    /// One attempt; the whole body of the answer.
    pub(super) async fn bytes(&self, call: &Call, most: usize) -> Result<Bytes, Failed> {
        let mut reply = self.reply(call).await?;
        Ok(reply.response.read(most).await.map_err(|error| self.broken(&error))?)
    }

    /// One attempt; an answer with a status of success.
    pub(super) async fn reply(&self, call: &Call) -> Result<Reply, Failed> {
        let permit = self.permits.clone().acquire_owned().await.ok();
        let response = self.success(call).await?;
        Ok(Reply { response, permit })
    }

    /// As [`Self::reply`], for an answer that does not end soon.
    pub(super) async fn feed(&self, call: &Call) -> Result<Response, Failed> {
        self.success(call).await
    }

    async fn success(&self, call: &Call) -> Result<Response, Failed> {
        let response = self.send(call).await.map_err(|error| self.broken(&error))?;
        match response.status() {
            200..=299 => Ok(response),
            _ => Err(self.refused(response).await),
        }
    }

    /// Sends a call as whoever the server knows.
    async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        loop {
            let identity = self.session.identity(&self.client).await?;
            let response = self.client.send(&self.request(call, &identity)).await;
            count(&response);
            let response = response?;
            self.session.learn(&response).await;
            let status = response.status();
            let is_refused = matches!(status, 401 | 403) && response.is_home();
            if !is_refused || !self.session.renew(&identity, status).await {
                return Ok(response);
            }
        }
    }

    fn request(&self, call: &Call, identity: &Identity) -> Request {
        let mut private_headers = self.headers.clone();
        private_headers.extend(identity.header.clone());
        Request {
            method: call.method,
            url: format!("{}{}", self.address, call.path),
            headers: call.headers.clone(),
            private_headers,
            body: call.body.clone(),
            patience: self.patience,
            redirects_max: REDIRECTS_MAX,
        }
    }

    /// What an answer that is no success says.
    async fn refused(&self, mut response: Response) -> Failed {
        let status = response.status();
        let retry_after = response.header("retry-after").and_then(|seconds| seconds.parse().ok());
        let retry_after = retry_after.map_or(Duration::ZERO, Duration::from_secs);
        let body = response.read(ERROR_BYTES_MAX).await.unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Failed { error: self.meaning(status, refusal), retry_after }
    }

    fn meaning(&self, status: u16, Refusal { error, reason }: Refusal) -> PeerError {
        let name = self.address.clone();
        let is_gone = matches!(&*reason, "Database does not exist." | "no_db_file");
        match (status, &*error) {
            (401, _) => PeerError::Unauthorized(name),
            (404, _) if is_gone => PeerError::NotFound(name),
            (412, "missing_stub") => PeerError::MissingStub,
            (413, _) => PeerError::TooLarge(name),
            _ => PeerError::Status { name, status, error, reason },
        }
    }

    pub(super) fn parse<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, PeerError> {
        serde_json::from_slice(body)
            .map_err(|error| PeerError::Garbage(format!("{}: {error}", self.address)))
    }

    pub(super) fn garbage(&self, what: &str) -> PeerError {
        PeerError::Garbage(format!("{}: {what}", self.address))
    }

    /// What it means that there is no answer, or not all of it.
    pub(super) fn broken(&self, error: &ClientError) -> PeerError {
        let text = format!("{}: {error}", self.address);
        match error {
            ClientError::Connection(_) | ClientError::Silent(_) => PeerError::Unreachable(text),
            ClientError::TooLarge(_) => PeerError::TooLarge(text),
            ClientError::Invalid(_) => PeerError::Invalid(text),
        }
    }
}

impl Reply {
    /// The body as it comes.
    pub(super) fn into_stream(
        self,
        connection: Arc<Connection>,
    ) -> BoxStream<'static, Result<Bytes, PeerError>> {
        let Self { response, permit } = self;
        let body = response.into_stream().map_err(move |error| {
            // The permit is given back with the stream.
            let _under_way = &permit;
            connection.broken(&error)
        });
        Box::pin(body)
    }
}

/// The body of an error, which any server may word as it likes.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default, deserialize_with = "as_text")]
    error: String,
    #[serde(default, deserialize_with = "as_text")]
    reason: String,
}

fn count(response: &Result<Response, ClientError>) {
    metrics::REPLICATOR_REQUESTS.add(1);
    let answered = response.as_ref().is_ok_and(|response| response.status() < 400);
    let outcomes = [&metrics::REPLICATOR_RESPONSES_FAILURE, &metrics::REPLICATOR_RESPONSES_SUCCESS];
    outcomes[usize::from(answered)].add(1);
}

fn as_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}
