//! What is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    /// Headers for the server of `url` alone, wherever it redirects to.
    pub private_headers: Vec<(String, String)>,
    pub body: Body,
    /// How long nothing may move.
    pub patience: Duration,
    /// How often a redirect is followed; after that it is the answer.
    pub redirects_max: usize,
}

/// The body of a request.
#[derive(Clone)]
pub enum Body {
    Empty,
    /// Pieces that are sent one after the other.
    Pieces(Vec<Bytes>),
    /// A body that is made while it is sent. `length` must be what comes, where it is known.
    Stream {
        length: Option<u64>,
        open: Arc<dyn Fn() -> BodyStream + Send + Sync>,
    },
}

pub type BodyStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// The source of a body failed, so the request is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be sent to its end")]
pub struct BodyError;

impl Body {
    /// A body that is in memory.
    #[must_use]
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self::Pieces(vec![bytes.into()])
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Pieces(pieces) => write!(f, "Pieces({})", pieces.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length:?})"),
        }
    }
}
