//! Feeds over HTTP: the one loop behind `_changes` and `_db_updates`, and how rows are framed.
//!
//! What is read comes from a [`Source`]; the kinds of feed differ in their framing and in when
//! they stop. A feed that waits holds its state and a timer, no thread, and reads nothing.

use std::future::Future;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::database::Seq;
use crate::document::encode::write_unsigned;
use crate::metrics;

use super::error::ApiError;
use super::respond::{self, Answer};

/// The kinds of feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    Normal,
    Longpoll,
    Continuous,
    EventSource,
}

/// Stands in the extensions of an answer that goes on when there is news.
#[derive(Debug, Clone, Copy)]
pub struct Waits;

/// How long a feed stays silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// A sign of life after so much silence.
    pub heartbeat: Option<Duration>,
    /// The end after waiting so long, where there is no heartbeat.
    pub timeout: Option<Duration>,
}

/// How far a page came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is another page.
    More,
    /// All there is for now.
    PassEnd,
    /// All that was asked for.
    Limit,
}

/// Where rows come from.
pub trait Source: Send + 'static {
    /// What slow pages are logged as.
    const OPERATION: &'static str;

    /// Whether the next page is so small that it is read at once on the async worker.
    fn is_quick(&self) -> bool;

    /// The next page where it is shared with other readers, ready framed.
    fn shared_page(&mut self, framing: Framing) -> Result<Option<(Bytes, Progress)>, ApiError>;

    /// Appends the next rows.
    fn page(&mut self, framing: &mut Framing, out: &mut Vec<u8>) -> Result<Progress, ApiError>;

    /// Appends what a feed ends with.
    fn end(&mut self, framing: Framing, out: &mut Vec<u8>) -> Result<(), ApiError>;

    /// Waits until there is more, which is true, or until nothing will ever come.
    fn news(&mut self) -> impl Future<Output = bool> + Send;
}

/// Writes what stands around rows, byte for byte as CouchDB does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    pub kind: FeedKind,
    is_first: bool,
}

impl Framing {
    #[must_use]
    pub fn new(kind: FeedKind) -> Self {
        Self { kind, is_first: true }
    }

    fn start(self, out: &mut Vec<u8>) {
        if let FeedKind::Normal | FeedKind::Longpoll = self.kind {
            out.extend_from_slice(b"{\"results\":[\n");
        }
    }

    /// What stands before a row.
    pub fn open_row(&mut self, out: &mut Vec<u8>) {
        match self.kind {
            FeedKind::Normal | FeedKind::Longpoll if self.is_first => {}
            FeedKind::Normal | FeedKind::Longpoll => out.extend_from_slice(b",\r\n"),
            FeedKind::Continuous => {}
            FeedKind::EventSource => out.extend_from_slice(b"data: "),
        }
        self.is_first = false;
    }

    /// What stands after a row of this sequence.
    pub fn close_row(self, out: &mut Vec<u8>, seq: Option<Seq>) {
        match self.kind {
            FeedKind::Normal | FeedKind::Longpoll => {}
            FeedKind::Continuous => out.push(b'\n'),
            FeedKind::EventSource => {
                out.extend_from_slice(b"\nid: ");
                write_seq(out, seq);
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    /// The end of a feed; `_db_updates` does not say what is pending.
    pub fn end(self, out: &mut Vec<u8>, last_seq: Seq, pending: Option<u64>) {
        match self.kind {
            FeedKind::Normal | FeedKind::Longpoll => {
                out.extend_from_slice(b"\n],\n\"last_seq\":");
            }
            FeedKind::Continuous => out.extend_from_slice(b"{\"last_seq\":"),
            FeedKind::EventSource => return out.push(b'\n'),
        }
        write_seq(out, Some(last_seq));
        if let Some(pending) = pending {
            out.extend_from_slice(b",\"pending\":");
            write_unsigned(out, pending);
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn heartbeat(self) -> &'static [u8] {
        match self.kind {
            FeedKind::EventSource => b"event: heartbeat\ndata: \n\n",
            FeedKind::Normal | FeedKind::Longpoll | FeedKind::Continuous => b"\n",
        }
    }
}

/// Appends a sequence as a JSON string, or null.
pub fn write_seq(out: &mut Vec<u8>, seq: Option<Seq>) {
    let Some(seq) = seq else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    write_unsigned(out, seq.number);
    out.push(b'-');
    out.extend_from_slice(&seq.opaque());
    out.push(b'"');
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Waiting { since: Instant },
    Ending,
    Done,
}

/// What ended a wait.
enum Woken {
    News,
    Silence,
    End,
}

struct Running<S> {
    source: S,
    framing: Framing,
    timing: Timing,
    stopping: CancellationToken,
    phase: Phase,
    rows_sent: bool,
    /// When rows or a sign of life were last sent.
    sent: Option<Instant>,
    /// One who waits for changes is counted.
    _counted: Option<metrics::Held>,
}

/// Answers with a feed. The first page is read before the headers are sent, so its errors have
/// their status; a feed that ends with it is sent in one piece.
///
/// # Errors
/// Those of the first page.
pub async fn respond<S: Source>(
    source: S,
    kind: FeedKind,
    timing: Timing,
    stopping: CancellationToken,
) -> Answer {
    let running = Box::new(Running {
        source,
        framing: Framing::new(kind),
        timing,
        stopping,
        phase: Phase::Reading,
        rows_sent: false,
        sent: None,
        _counted: (kind != FeedKind::Normal).then(|| metrics::CLIENTS_REQUESTING_CHANGES.hold()),
    });
    let mut out = Vec::new();
    running.framing.start(&mut out);
    let (mut running, out) = running.read(out).await?;
    if running.phase == Phase::Done {
        return Ok(with_headers(respond::json_bytes(StatusCode::OK, out), kind));
    }
    if running.rows_sent {
        running.sent = Some(Instant::now());
    }
    let first = stream::iter((!out.is_empty()).then_some(Ok(out)));
    let rest = stream::try_unfold(running, Running::next);
    let mut response = respond::json_stream(futures_util::StreamExt::chain(first, rest));
    if kind != FeedKind::Normal {
        response.extensions_mut().insert(Waits);
    }
    Ok(with_headers(response, kind))
}

fn with_headers(mut response: Response, kind: FeedKind) -> Response {
    if kind == FeedKind::EventSource {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

impl<S: Source> Running<S> {
    /// The next chunk to send.
    async fn next(mut self: Box<Self>) -> Result<Option<(Bytes, Box<Self>)>, ApiError> {
        loop {
            match self.phase {
                Phase::Reading => {
                    let (running, page) = self.read(Vec::new()).await?;
                    self = running;
                    if !page.is_empty() {
                        return Ok(Some(self.sending(page)));
                    }
                    if self.silence_ends().is_some_and(|end| end <= Instant::now()) {
                        return Ok(Some(self.heartbeat()));
                    }
                }
                // CouchDB's sign that the client waits now.
                Phase::Waiting { .. } if self.sent.is_none() => {
                    return Ok(Some(self.sending(Bytes::from_static(b"\n"))));
                }
                Phase::Waiting { since } => match self.wait(since).await {
                    Woken::News => self.phase = Phase::Reading,
                    Woken::Silence => return Ok(Some(self.heartbeat())),
                    Woken::End => self.phase = Phase::Ending,
                },
                Phase::Ending => {
                    let ended = blocking::run(S::OPERATION, move || {
                        let mut out = Vec::new();
                        let ended = self.source.end(self.framing, &mut out);
                        ended.map(|()| (Bytes::from(out), self))
                    });
                    let (out, mut running) = ended.await??;
                    running.phase = Phase::Done;
                    return Ok(Some((out, running)));
                }
                Phase::Done => return Ok(None),
            }
        }
    }

    fn sending(mut self: Box<Self>, chunk: Bytes) -> (Bytes, Box<Self>) {
        self.sent = Some(Instant::now());
        (chunk, self)
    }

    fn heartbeat(self: Box<Self>) -> (Bytes, Box<Self>) {
        let chunk = Bytes::from_static(self.framing.heartbeat());
        self.sending(chunk)
    }

    /// When a heartbeat is due.
    fn silence_ends(&self) -> Option<Instant> {
        self.sent.unwrap_or_else(Instant::now).checked_add(self.timing.heartbeat?)
    }

    async fn wait(&mut self, since: Instant) -> Woken {
        let silence_ends = self.silence_ends();
        let end = match self.timing.heartbeat {
            Some(_) => None,
            None => self.timing.timeout.and_then(|timeout| since.checked_add(timeout)),
        };
        let timer = async {
            match silence_ends.or(end) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            news = self.source.news() => if news { Woken::News } else { Woken::End },
            () = self.stopping.cancelled() => Woken::End,
            () = timer => if silence_ends.is_some() { Woken::Silence } else { Woken::End },
        }
    }

    /// Reads a page behind what `out` has already.
    async fn read(mut self: Box<Self>, mut out: Vec<u8>) -> Result<(Box<Self>, Bytes), ApiError> {
        if out.is_empty()
            && let Some((page, progress)) = self.source.shared_page(self.framing)?
        {
            self.note(progress, !page.is_empty());
            return Ok((self, page));
        }
        if self.source.is_quick() {
            self.read_now(&mut out)?;
            return Ok((self, out.into()));
        }
        let read = blocking::run(S::OPERATION, move || {
            self.read_now(&mut out)?;
            Ok((self, Bytes::from(out)))
        });
        read.await?
    }

    fn read_now(&mut self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let before = out.len();
        let progress = self.source.page(&mut self.framing, out)?;
        self.note(progress, out.len() > before);
        if self.phase == Phase::Ending {
            self.source.end(self.framing, out)?;
            self.phase = Phase::Done;
        }
        Ok(())
    }

    /// The stop rule: what follows a page.
    fn note(&mut self, progress: Progress, has_rows: bool) {
        self.rows_sent |= has_rows;
        self.phase = match (progress, self.framing.kind) {
            (Progress::More, _) => Phase::Reading,
            (_, FeedKind::Normal) => Phase::Ending,
            // A poll with a limit of no rows waits for its timeout, as in CouchDB.
            (_, FeedKind::Longpoll) if self.rows_sent => Phase::Ending,
            (Progress::Limit, FeedKind::Continuous | FeedKind::EventSource) => Phase::Ending,
            (Progress::Limit | Progress::PassEnd, _) => Phase::Waiting { since: Instant::now() },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_couchdbs_to_the_byte() {
        let seq = |number| Seq { number, incarnation: 0 };
        let (one, two) = (seq(1).to_string(), seq(2).to_string());
        let check = |kind, rows: u64, expect: String| {
            let (mut framing, mut out) = (Framing::new(kind), Vec::new());
            framing.start(&mut out);
            for row in 1..=rows {
                framing.open_row(&mut out);
                out.extend_from_slice(b"{}");
                framing.close_row(&mut out, (row == 1).then(|| seq(row)));
            }
            framing.end(&mut out, seq(2), Some(3));
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{kind:?}");
        };
        let end = format!("\n],\n\"last_seq\":\"{two}\",\"pending\":3}}\n\n");
        check(FeedKind::Normal, 0, format!("{{\"results\":[\n{end}"));
        check(FeedKind::Longpoll, 2, format!("{{\"results\":[\n{{}},\r\n{{}}{end}"));
        let end = format!("{{\"last_seq\":\"{two}\",\"pending\":3}}\n\n");
        check(FeedKind::Continuous, 2, format!("{{}}\n{{}}\n{end}"));
        let events = format!("data: {{}}\nid: \"{one}\"\n\ndata: {{}}\nid: null\n\n\n");
        check(FeedKind::EventSource, 2, events);
    }
}
