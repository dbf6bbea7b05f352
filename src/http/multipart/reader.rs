//! The parser over a stream of chunks.
//!
//! Every call may be dropped half-way and made again: nothing is lost.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use thiserror::Error;

use super::boundary::Boundary;
use super::head::PartHead;
use super::parser::{Event, Limits, ParseError, Parser};

/// Why a multipart body cannot be read. `E` is the error of the stream below.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum MultipartError<E> {
    #[error("the multipart body could not be read: {0}")]
    Source(E),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("a part is longer than {max_bytes} bytes")]
    PartTooLong { max_bytes: usize },
}

/// Reads the parts of a body one after another. For a part that is multipart itself put another
/// reader on `part_chunks`.
#[derive(Debug)]
pub struct MultipartReader<S> {
    source: S,
    parser: Parser,
    in_part: bool,
}

impl<S, E> MultipartReader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// A reader with the usual limits.
    #[must_use]
    pub fn new(source: S, boundary: &Boundary) -> Self {
        Self::with_limits(source, boundary, Limits::default())
    }

    #[must_use]
    pub fn with_limits(source: S, boundary: &Boundary, limits: Limits) -> Self {
        Self { source, parser: Parser::new(boundary, limits), in_part: false }
    }

    /// Goes to the next part, past what is unread of this one. `None` after the last part.
    ///
    /// # Errors
    /// The source's error, or what is wrong with the body.
    pub async fn next_part(&mut self) -> Result<Option<PartHead>, MultipartError<E>> {
        poll_fn(|context| self.poll_next_part(context)).await
    }

    /// The next bytes of the current part. `None` at its end, and outside of parts.
    ///
    /// # Errors
    /// The source's error, or what is wrong with the body.
    pub async fn read_part_chunk(&mut self) -> Result<Option<Bytes>, MultipartError<E>> {
        poll_fn(|context| self.poll_part_chunk(context)).await
    }

    /// The rest of the current part in one piece of at most `max_bytes`.
    ///
    /// # Errors
    /// As `read_part_chunk`, and `PartTooLong`.
    pub async fn read_part(&mut self, max_bytes: usize) -> Result<Bytes, MultipartError<E>> {
        let mut body = match self.read_part_chunk().await? {
            Some(first) => BytesMut::from(first),
            None => return Ok(Bytes::new()),
        };
        while body.len() <= max_bytes {
            match self.read_part_chunk().await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body.freeze()),
            }
        }
        Err(MultipartError::PartTooLong { max_bytes })
    }

    /// The rest of the current part as a stream.
    pub fn part_chunks(&mut self) -> PartChunks<'_, S> {
        PartChunks { reader: self }
    }

    fn poll_next_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<PartHead>, MultipartError<E>>> {
        loop {
            match ready!(self.poll_event(context))? {
                Event::Part(head) => {
                    self.in_part = true;
                    return Poll::Ready(Ok(Some(head)));
                }
                Event::End => return Poll::Ready(Ok(None)),
                Event::PartEnd => self.in_part = false,
                Event::Chunk(_) | Event::NeedInput => {}
            }
        }
    }

    fn poll_part_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, MultipartError<E>>> {
        while self.in_part {
            match ready!(self.poll_event(context))? {
                Event::Chunk(chunk) => return Poll::Ready(Ok(Some(chunk))),
                Event::PartEnd | Event::Part(_) | Event::End => self.in_part = false,
                Event::NeedInput => {}
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The parser's next event. Where it needs input, a chunk is fetched and `NeedInput` returned.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, MultipartError<E>>> {
        let event = self.parser.next_event()?;
        if event == Event::NeedInput {
            match ready!(Pin::new(&mut self.source).poll_next(context)) {
                Some(Ok(chunk)) => self.parser.push(chunk),
                Some(Err(error)) => return Poll::Ready(Err(MultipartError::Source(error))),
                None => self.parser.finish(),
            }
        }
        Poll::Ready(Ok(event))
    }
}

/// The chunks of one part.
#[derive(Debug)]
pub struct PartChunks<'a, S> {
    reader: &'a mut MultipartReader<S>,
}

impl<S, E> Stream for PartChunks<'_, S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, MultipartError<E>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().reader.poll_part_chunk(context).map(Result::transpose)
    }
}
