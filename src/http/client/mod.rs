//! The HTTP client: requests to other servers, for the replicator.
//!
//! One pool of connections serves all requests that go the same way out ([`HttpClients`]), so a
//! thousand replications do not own a thousand pools. A request never has a total time limit; it
//! fails when nothing was sent or received for its `patience`. Redirects are followed with method
//! and body, but what says who asks goes to no other server than the one that was asked.
//! Bodies go both ways as they come; nothing is unpacked.

mod error;
mod outgoing;
mod pools;
mod progress;
mod redirect;
mod request;
mod response;
#[cfg(test)]
pub mod scripted;
#[cfg(test)]
mod tests;
mod tls;

pub use error::ClientError;
pub use pools::HttpClients;
pub use request::{Body, BodyError, BodyStream, Method, Request};
pub use response::Response;

use std::sync::Arc;

use outgoing::Hop;

/// A way out: a pool of connections, straight or through a proxy.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<reqwest::Client>);

impl HttpClient {
    /// Sends a request, and follows where it is redirected to.
    ///
    /// # Errors
    /// Where no answer begins. Any status is an answer.
    pub async fn send(&self, request: &Request) -> Result<Response, ClientError> {
        let mut hop = Hop::first(request)?;
        for _ in 0..request.redirects_max {
            let response = hop.send(&self.0, request).await?;
            match redirect::next(&hop, &response)? {
                None => return Ok(response),
                Some(next) => hop = next,
            }
        }
        hop.send(&self.0, request).await
    }
}
