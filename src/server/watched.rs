//! A connection of HTTP/1 that two look at: the HTTP library, and, while the library reads nothing,
//! who wants to know whether the client is still there.
//!
//! The library could look itself, but to do that it gets another buffer of 8 KiB for each request
//! that is not answered at once.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::PatientIo;
use super::request_line::LenientIo;

/// The stream of a connection.
#[derive(Debug)]
pub struct Watched<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    stream: LenientIo<PatientIo<T>>,
    /// The library waits for bytes.
    read: bool,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Watched<T> {
    pub fn new(stream: LenientIo<PatientIo<T>>) -> Self {
        Self(Arc::new(Mutex::new(State { stream, read: false })))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The library has done its part: what it has read beyond that comes again, before all else.
    /// Keeps nothing that is only needed to wait for requests.
    pub fn take_back(&self, ahead: &[u8]) {
        let mut state = self.lock();
        state.stream.put_back(ahead);
        state.stream.rest();
        state.read = false;
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// Ready when the client has gone while the library read nothing; what it sends ahead of the
    /// time is kept for the library.
    pub fn poll_gone(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.read { Poll::Pending } else { state.stream.poll_gone(context) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let polled = Pin::new(&mut state.stream).poll_read(context, buffer);
        state.read = polled.is_pending();
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(context)
    }
}
