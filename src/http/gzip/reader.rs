//! Unpacking in bounded memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::Stream;
use thiserror::Error;

use super::GzipError;

const WINDOW_BITS: u8 = 15;
/// The greatest piece of output that is made at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where a reader stands between two calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    /// Before the first byte of the data.
    Start,
    /// Inside a member.
    Member,
    /// After a member, where another one may follow.
    MemberEnd,
    /// In the zeros that some writers append after the last member.
    Padding,
}

/// Unpacks gzip data piece by piece.
pub struct GzipReader {
    inflate: Decompress,
    state: ReaderState,
    /// Whether zlib may hold output that found no room in the last chunk.
    more_pending: bool,
}

impl Default for GzipReader {
    fn default() -> Self {
        Self::new()
    }
}

impl GzipReader {
    #[must_use]
    pub fn new() -> Self {
        Self {
            inflate: Decompress::new_gzip(WINDOW_BITS),
            state: ReaderState::Start,
            more_pending: false,
        }
    }

    /// The next piece of output (64 KiB at most), made from the front of `input`. `None` once the
    /// input is used up: then come back with more input, or `finish`.
    ///
    /// # Errors
    /// `Corrupt`, when the data is not gzip or fails its checksum.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, GzipError> {
        let mut rest: &[u8] = input;
        let chunk = self.read_slice(&mut rest)?;
        let left = rest.len();
        drop(input.split_to(input.len() - left));
        Ok(chunk)
    }

    /// Checks that the data ended where a member ends.
    ///
    /// # Errors
    /// `Truncated` otherwise.
    pub fn finish(&self) -> Result<(), GzipError> {
        match self.state {
            ReaderState::MemberEnd | ReaderState::Padding => Ok(()),
            ReaderState::Start | ReaderState::Member => Err(GzipError::Truncated),
        }
    }

    /// As `read`, for a borrowed input.
    pub(super) fn read_slice(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, GzipError> {
        loop {
            match (self.state, input.first()) {
                (ReaderState::Member, None) if self.more_pending => {}
                (_, None) => return Ok(None),
                (ReaderState::MemberEnd | ReaderState::Padding, Some(0)) => {
                    let zeros = input.iter().take_while(|&&byte| byte == 0).count();
                    *input = input.get(zeros..).unwrap_or_default();
                    self.state = ReaderState::Padding;
                    continue;
                }
                (ReaderState::Padding, Some(_)) => return Err(GzipError::Corrupt),
                (ReaderState::MemberEnd, Some(_)) => {
                    self.inflate = Decompress::new_gzip(WINDOW_BITS);
                    self.state = ReaderState::Member;
                }
                (ReaderState::Start | ReaderState::Member, Some(_)) => {
                    self.state = ReaderState::Member;
                }
            }
            let chunk = self.inflate(input)?;
            if !chunk.is_empty() {
                return Ok(Some(Bytes::from(chunk)));
            }
        }
    }

    /// One call of zlib.
    fn inflate(&mut self, input: &mut &[u8]) -> Result<Vec<u8>, GzipError> {
        let mut chunk = Vec::with_capacity(chunk_capacity(input.len()));
        let taken_before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(input, &mut chunk, FlushDecompress::None)
            .map_err(|_| GzipError::Corrupt)?;
        let taken = usize::try_from(self.inflate.total_in() - taken_before).unwrap_or(0);
        *input = input.get(taken..).unwrap_or_default();
        self.more_pending = chunk.len() == chunk.capacity();
        if status == Status::StreamEnd {
            self.state = ReaderState::MemberEnd;
        } else if taken == 0 && chunk.is_empty() && !input.is_empty() {
            return Err(GzipError::Corrupt);
        }
        Ok(chunk)
    }
}

/// Room for a usual ratio, so that short input does not cost a long buffer.
fn chunk_capacity(input_bytes: usize) -> usize {
    input_bytes.saturating_mul(4).clamp(1024, CHUNK_BYTES)
}

/// Why an unpacked stream ended early.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum GunzipError<E> {
    /// The stream below failed.
    #[error("the compressed data could not be read: {0}")]
    Source(E),
    #[error(transparent)]
    Gzip(#[from] GzipError),
}

/// The unpacked bytes of a stream of gzip data. Holds one chunk of the source at most.
pub struct Gunzip<S> {
    source: S,
    reader: GzipReader,
    input: Bytes,
    ended: bool,
}

impl<S> Gunzip<S> {
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { source, reader: GzipReader::new(), input: Bytes::new(), ended: false }
    }
}

impl<S, E> Stream for Gunzip<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, GunzipError<E>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.ended {
            match this.reader.read(&mut this.input) {
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Ok(None) => {}
                Err(error) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            match ready!(Pin::new(&mut this.source).poll_next(context)) {
                Some(Ok(chunk)) => this.input = chunk,
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(GunzipError::Source(error))));
                }
                None => {
                    this.ended = true;
                    if let Err(error) = this.reader.finish() {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}
