//! How long the server waits for a client: for its next request, for the rest of a request's head,
//! and for room to send what was answered. What a request's body may take is its own affair.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::request_line::Heads;

/// The rest of a request's head did not come.
#[derive(Debug, Error)]
#[error("the request's head took too long")]
pub struct HeadTooSlow;

/// The longest waits for a client.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// For the rest of a head of which bytes have come.
    pub header: Duration,
    /// For the next request.
    pub idle: Duration,
    /// For room to send.
    pub write: Duration,
}

/// Wakes a task by some time. It may ring early, which costs less than to move it with each
/// request.
#[derive(Debug, Default)]
struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    rings: Option<Instant>,
}

impl Alarm {
    /// Wakes the task of `context`, which is the only one to ask, at `time` or before.
    fn wake_by(&mut self, time: Instant, now: Instant, context: &mut Context<'_>) {
        if self.rings.is_some_and(|rings| rings > now && rings <= time) {
            return;
        }
        self.rings = Some(time);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(time)));
        timer.as_mut().reset(time);
        if timer.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }
}

/// A connection on which nothing is waited for without end.
#[derive(Debug)]
pub struct PatientIo<T> {
    inner: T,
    heads: Heads,
    waits: Waits,
    /// How many requests there had been when bytes of another head came.
    head_after: Option<u32>,
    /// Since when the next request, or the rest of its head, is waited for.
    since: Option<Instant>,
    alarm: Alarm,
    /// Runs while there is no room to send.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> PatientIo<T> {
    /// `begun`: bytes of the first head have come.
    pub fn new(inner: T, heads: Heads, begun: bool, waits: Waits) -> Self {
        let head_after = begun.then_some(0);
        let alarm = Alarm::default();
        Self { inner, heads, waits, head_after, since: None, alarm, write_timer: None }
    }

    /// Gives up what is only needed to wait for requests.
    pub fn rest(&mut self) {
        self.alarm = Alarm::default();
    }

    /// Bytes have come.
    fn come(&mut self) {
        let head_after = self.heads.awaited().then(|| self.heads.seen());
        if head_after.is_none() || self.head_after != head_after {
            self.head_after = head_after;
            self.since = None;
        }
    }

    /// Ready when the next request, or the rest of its head, was waited for too long.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let in_head = self.head_after == Some(self.heads.seen());
        if !in_head && self.head_after.take().is_some() {
            self.since = None;
        }
        if self.heads.is_paced() {
            self.since = None;
            return Poll::Pending;
        }
        let now = Instant::now();
        let most = if in_head { self.waits.header } else { self.waits.idle };
        let end = *self.since.get_or_insert(now) + most;
        if now < end {
            self.alarm.wake_by(end, now, context);
            return Poll::Pending;
        }
        if in_head {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, HeadTooSlow)));
        }
        // To end where nothing was asked is no failure.
        Poll::Ready(Ok(()))
    }

    /// Passes on what a write came to, unless it has waited for too long.
    fn write_polled<R>(
        &mut self,
        polled: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        self.heads.written(polled.is_pending());
        if polled.is_ready() {
            self.write_timer = None;
            return polled;
        }
        let most = self.waits.write;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(most)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> PatientIo<T> {
    /// Reads what comes while no request is waited for, as long as that takes.
    pub fn poll_ahead(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.come();
        Poll::Ready(Ok(()))
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
        if polled.is_pending() {
            return this.poll_wait(context);
        }
        this.come();
        polled
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
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const WAITS: Waits = Waits {
        header: Duration::from_secs(30),
        idle: Duration::from_mins(10),
        write: Duration::from_mins(1),
    };

    fn patient() -> (DuplexStream, PatientIo<DuplexStream>, Heads) {
        let heads = Heads::new();
        let (client, server) = duplex(1000);
        (client, PatientIo::new(server, heads.clone(), false, WAITS), heads)
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

    /// What a read came to, and after how many seconds.
    async fn read(server: &mut PatientIo<DuplexStream>) -> (Result<usize, io::ErrorKind>, u64) {
        let (started, mut buffer) = (Instant::now(), [0; 100]);
        let read = server.read(&mut buffer).await.map_err(|error| error.kind());
        (read, started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_end() {
        let (mut client, mut server, _heads) = patient();
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(read(&mut server).await, (Ok(8), 0));
        let feed = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(10)).await;
                // Fails once the server has given up.
                let _ = client.write_all(b"x").await;
            }
        };
        let started = Instant::now();
        let read = async {
            while let (Ok(count), _) = read(&mut server).await {
                assert_eq!(count, 1);
            }
            assert_eq!(started.elapsed().as_secs(), 30);
        };
        tokio::join!(read, feed);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_waited_for_from_one_to_the_next() {
        let (mut client, mut server, heads) = patient();
        for pause in [0, 599, 1, 599] {
            let (came, ()) = tokio::join!(read(&mut server), async {
                sleep(Duration::from_secs(pause)).await;
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            });
            assert_eq!(came, (Ok(18), pause));
            // The request is there: it may take its time.
            heads.request(true);
            sleep(Duration::from_secs(1000)).await;
        }
        // To say nothing is no failure, and the end.
        assert_eq!(read(&mut server).await, (Ok(0), 600));
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_and_what_comes_ahead_have_their_own_time() {
        let (mut client, mut server, heads) = patient();
        client.write_all(b"PUT / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut server).await, (Ok(18), 0));
        heads.request(false);
        heads.body_wanted(true);
        let (came, ()) = tokio::join!(read(&mut server), async {
            sleep(Duration::from_hours(1)).await;
            client.write_all(b"body").await.unwrap();
        });
        assert_eq!(came, (Ok(4), 3600));
        heads.body_ended();
        let mut ahead = async || {
            let mut room = [0; 100];
            let mut buffer = ReadBuf::new(&mut room);
            poll_fn(|context| server.poll_ahead(context, &mut buffer)).await.unwrap();
            buffer.filled().len()
        };
        let silence = tokio::time::timeout(Duration::from_hours(1), ahead());
        assert!(silence.await.is_err());
        // The begin of a head, in which the client has to go on once somebody waits for it.
        client.write_all(b"GET").await.unwrap();
        assert_eq!(ahead().await, 3);
        sleep(Duration::from_hours(1)).await;
        assert_eq!(read(&mut server).await, (Err(io::ErrorKind::TimedOut), 30));
    }
}
