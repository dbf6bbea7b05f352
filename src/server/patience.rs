//! How long the server waits for a client: for the rest of a request's head, and for room to send
//! what was answered. A timer is only made when the server has to wait.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::request_line::Heads;

/// The rest of a request's head did not come.
#[derive(Debug, Error)]
#[error("the request's head took too long")]
pub struct HeadTooSlow;

/// A timer that runs while something is waited for.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when it was waited for `most` without a [`Self::stop`].
    fn poll(&mut self, most: Duration, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(most))).as_mut().poll(context)
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

/// A connection on which nothing is waited for without end.
#[derive(Debug)]
pub struct PatientIo<T> {
    inner: T,
    heads: Heads,
    header_timeout: Duration,
    write_timeout: Duration,
    /// How many requests there had been when bytes of another head came.
    head_after: Option<u32>,
    head_timer: Timer,
    write_timer: Timer,
}

impl<T> PatientIo<T> {
    /// `begun`: bytes of the first head have come.
    pub fn new(inner: T, heads: Heads, begun: bool, [header, write]: [Duration; 2]) -> Self {
        Self {
            inner,
            heads,
            header_timeout: header,
            write_timeout: write,
            head_after: begun.then_some(0),
            head_timer: Timer::default(),
            write_timer: Timer::default(),
        }
    }

    /// Passes on what a write came to, unless it has waited for too long.
    fn write_polled<R>(
        &mut self,
        polled: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        self.heads.written(polled.is_pending());
        if polled.is_ready() {
            self.write_timer.stop();
            return polled;
        }
        ready!(self.write_timer.poll(self.write_timeout, context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PatientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_read(context, buffer);
        if polled.is_ready() {
            if this.head_after.is_none() && this.heads.awaited() {
                this.head_after = Some(this.heads.seen());
            }
            return polled;
        }
        if this.head_after == Some(this.heads.seen()) {
            ready!(this.head_timer.poll(this.header_timeout, context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, HeadTooSlow)));
        }
        this.head_after = None;
        this.head_timer.stop();
        Poll::Pending
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PatientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.write_polled(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.write_polled(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.write_polled(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.write_polled(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    const TIMES: [Duration; 2] = [Duration::from_secs(30), Duration::from_mins(1)];

    fn patient() -> (DuplexStream, PatientIo<DuplexStream>, Heads) {
        let heads = Heads::new();
        let (client, server) = duplex(1000);
        (client, PatientIo::new(server, heads.clone(), false, TIMES), heads)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut() {
        let (mut client, mut server, _heads) = patient();
        let started = Instant::now();
        let write = server.write_all(&[b'x'; 3000]);
        let read = async {
            // Slow, but not too slow.
            sleep(Duration::from_secs(50)).await;
            client.read_exact(&mut [0; 1000]).await.unwrap();
        };
        let (written, ()) = tokio::join!(write, read);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_end_but_silence_is_no_head() {
        let (mut client, mut server, heads) = patient();
        let mut buffer = [0; 100];
        let silence = tokio::time::timeout(Duration::from_hours(1), server.read(&mut buffer));
        assert!(silence.await.is_err(), "a silent client is not late");
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 8);
        let feed = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(10)).await;
                // Fails once the server has given up.
                let _ = client.write_all(b"x").await;
            }
        };
        let started = Instant::now();
        let read = async {
            loop {
                if let Err(error) = server.read(&mut buffer).await {
                    assert_eq!(started.elapsed().as_secs(), 30);
                    return error.kind();
                }
            }
        };
        let (kind, ()) = tokio::join!(read, feed);
        assert_eq!(kind, io::ErrorKind::TimedOut);
        // A request that has begun ends the wait for its head.
        let (mut client, mut server, other) = patient();
        drop(heads);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 18);
        other.request(true);
        let silence = tokio::time::timeout(Duration::from_hours(1), server.read(&mut buffer));
        assert!(silence.await.is_err());
    }
}
