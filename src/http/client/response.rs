//! What is answered: a status, headers, and a body that is read as it comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, try_unfold};

use super::ClientError;
use super::outgoing::patiently;

/// Memory that an answer gets for saying that it is long.
const CAPACITY_MAX: usize = 4 << 20;

/// An answer whose body has yet to be read.
#[derive(Debug)]
pub struct Response {
    answer: reqwest::Response,
    patience: Duration,
    is_home: bool,
}

impl Response {
    pub(super) fn new(answer: reqwest::Response, patience: Duration, is_home: bool) -> Self {
        Self { answer, patience, is_home }
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// Whether the server that was asked answers, not one that it redirected to.
    #[must_use]
    pub fn is_home(&self) -> bool {
        self.is_home
    }

    /// The first header of a name that is a text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of a name that are texts.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.answer.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// The next bytes of the body. May be dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// Where the connection is cut, or nothing comes for the request's `patience`.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        Ok(patiently(self.patience, self.answer.chunk()).await??)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`], and for a body of more than `most` bytes.
    pub async fn read(&mut self, most: usize) -> Result<Bytes, ClientError> {
        let announced = self.answer.content_length().unwrap_or(0);
        if announced > most as u64 {
            return Err(ClientError::TooLarge(most));
        }
        let announced = usize::try_from(announced).unwrap_or(0);
        let mut body = BytesMut::with_capacity(announced.min(CAPACITY_MAX));
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > most {
                return Err(ClientError::TooLarge(most));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The body as it comes.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, ClientError>> {
        let chunks = try_unfold(self, |mut response| async move {
            Ok(response.chunk().await?.map(|chunk| (chunk, response)))
        });
        chunks.boxed()
    }
}
