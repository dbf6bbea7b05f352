//! The way of a request through its connection: admitted or refused at once, made the same
//! whichever HTTP it came by, answered, compressed.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{self, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;

use crate::config::LimitsSettings;
use crate::couch_api::{Answered, Encrypted, Service, open_request};

use super::activity::Activity;
use super::admission::{self, Admission};
use super::compression::Wanted;
use super::handover::{self, Handover};
use super::request_body::RequestBody;
use super::request_line::Heads;

/// The requests of one connection.
#[derive(Clone)]
pub struct Requests {
    pub service: Service,
    pub peer: IpAddr,
    /// Whether the connection is TLS.
    pub encrypted: bool,
    pub admission: Arc<Admission>,
    pub http: Http,
}

/// What a connection keeps of its requests.
#[derive(Clone)]
pub enum Http {
    One(Heads, Handover),
    Two(Arc<Activity>),
}

impl tower::Service<http::Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    /// In a box, so that it leaves nothing behind once a long answer is on its way.
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Incoming>) -> Self::Future {
        let settings = self.service.app().config.snapshot();
        let (heads, handover) = match &self.http {
            Http::One(heads, handover) => {
                heads.request(request.body().is_end_stream());
                let handover = handover::is_possible(&request).then(|| handover.clone());
                (Some(heads.clone()), handover)
            }
            Http::Two(_) => {
                as_http_1(&mut request);
                (None, None)
            }
        };
        let most = admission::most(request.uri().path(), settings.limits.concurrent_requests);
        let place = self.admission.enter(most).filter(|_| !self.is_crowded(&settings.limits));
        let Some(place) = place else {
            return Box::pin(refuse(self.peer, request));
        };
        if self.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let place = Arc::new(place);
        let wanted = Wanted::of(&request);
        let request = request.map(|incoming| {
            if incoming.is_end_stream() {
                return Body::empty();
            }
            let timeout = settings.limits.body_timeout;
            Body::new(RequestBody::new(incoming, heads.clone(), place.clone(), timeout))
        });
        // At once, and the rare parts in boxes: what waits keeps room for the largest of its parts.
        let opened = open_request(&self.service, Some(self.peer), request);
        let answer = async move {
            let mut response = opened.answer().await;
            drop(place);
            if wanted.applies(&response, &settings) {
                response = Box::pin(wanted.compress(response)).await?;
            }
            Ok(match (handover, &heads) {
                (Some(handover), Some(heads)) => handover.offer(response, heads),
                _ => response,
            })
        };
        match &self.http {
            Http::One(..) => Box::pin(answer),
            Http::Two(activity) => Box::pin(answer_to_the_end(answer, activity)),
        }
    }
}

impl Requests {
    /// Whether a client of HTTP/2 resets its requests to have more worked on than it may: those
    /// that end while their answers are on their way do not come to twice as many.
    fn is_crowded(&self, limits: &LimitsSettings) -> bool {
        match &self.http {
            Http::One(..) => false,
            Http::Two(activity) => activity.open() >= 2 * limits.http2_streams as usize,
        }
    }
}

/// Says that there is no place for a request.
async fn refuse(peer: IpAddr, request: http::Request<Incoming>) -> Result<Response, Infallible> {
    let response = admission::refusal();
    let (method, path) = (request.method().as_str(), request.uri().path());
    let refused = Answered { method, path, status: response.status(), took: Duration::ZERO };
    refused.note_refusal(peer).await;
    Ok(response)
}

/// Works on, and holds the request's place, also where the client resets its stream: it costs next
/// to nothing to send requests and to reset them.
fn answer_to_the_end<F>(
    answer: F,
    activity: &Arc<Activity>,
) -> impl Future<Output = Result<Response, Infallible>> + Send + use<F>
where
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let active = activity.begin();
    let answer = tokio::spawn(async move {
        let response = answer.await?;
        Ok(response.map(|body| active.over(body)))
    });
    async move {
        answer.await.unwrap_or_else(|_panicked| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        })
    }
}

/// HTTP/2 names the host in the URI, and may spread cookies over several headers.
fn as_http_1<B>(request: &mut http::Request<B>) {
    let host = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
    let headers = request.headers_mut();
    if let Some(Ok(host)) = host {
        headers.entry(header::HOST).or_insert(host);
    }
    let cookies: Vec<_> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_looks_like_http_1() {
        let check = |host: Option<&str>, cookies: &[&str], expect: (&str, Option<&str>)| {
            let mut request = http::Request::get("https://db.example:6984/a?b");
            for (name, value) in host
                .map(|host| ("host", host))
                .into_iter()
                .chain(cookies.iter().map(|c| ("cookie", *c)))
            {
                request = request.header(name, value);
            }
            let mut request = request.body(()).unwrap();
            as_http_1(&mut request);
            let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!((header("host").unwrap(), header("cookie")), expect, "{host:?} {cookies:?}");
            assert!(request.headers().get_all("cookie").iter().count() <= 1);
        };
        check(None, &[], ("db.example:6984", None));
        check(Some("other"), &["a=1"], ("other", Some("a=1")));
        check(None, &["a=1", "AuthSession=x"], ("db.example:6984", Some("a=1; AuthSession=x")));
    }
}
