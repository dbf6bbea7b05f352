//! `/_db_updates`: a feed over the databases that were created, written to or deleted.
//!
//! Each database shows once, at its newest event.

use std::sync::Arc;

use axum::http::{Method, header};
use bytes::Bytes;
use tokio::sync::watch;

use crate::app::App;
use crate::changes::Since;
use crate::database::{Direction, EventKind, EventRow, Seq};
use crate::document::encode::write_string;

use super::changes_options::{feed_kind, since, timing};
use super::error::ApiError;
use super::feed::{self, FeedKind, Framing, Progress, Source, Timing, write_seq};
use super::query::Query;
use super::request::Request;
use super::respond::{self, Answer};

/// Rows of one page.
const PAGE_ROWS: u64 = 500;
/// Events up to which a page is read at once on the async worker.
const QUICK_EVENTS: u64 = 128;
/// The heartbeat that `heartbeat=true` means.
const HEARTBEAT_DEFAULT_MS: u64 = 60_000;

/// What the query string says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UpdatesOptions {
    kind: FeedKind,
    direction: Direction,
    since: Since,
    limit: Option<u64>,
    heartbeat_ms: Option<u64>,
    timeout_ms: Option<u64>,
}

impl UpdatesOptions {
    fn parse(query: &Query) -> Result<Self, ApiError> {
        let feed = query.get("feed").unwrap_or("normal");
        let mut options = Self {
            kind: feed_kind(feed).ok_or_else(|| {
                ApiError::bad_request(
                    "Supported `feed` types: normal, continuous, longpoll, eventsource",
                )
            })?,
            direction: Direction::Forward,
            since: Since::Beginning,
            limit: None,
            heartbeat_ms: None,
            timeout_ms: None,
        };
        for (name, value) in query.pairs() {
            match (name, value) {
                ("descending", "true") => options.direction = Direction::Backward,
                ("since", _) => options.since = since(value)?,
                ("limit", _) => options.limit = Some(unsigned(value)?),
                ("heartbeat", "true") => options.heartbeat_ms = Some(HEARTBEAT_DEFAULT_MS),
                ("heartbeat", "false") => {}
                ("heartbeat", _) => options.heartbeat_ms = Some(unsigned(value)?.max(1)),
                ("timeout", _) => options.timeout_ms = Some(unsigned(value)?),
                _ => {}
            }
        }
        Ok(options)
    }

    fn timing(&self, default_ms: Option<u64>) -> Timing {
        timing(self.heartbeat_ms, self.timeout_ms, default_ms)
    }
}

fn unsigned(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request("invalid_integer"))
}

/// `GET /_db_updates`.
pub async fn db_updates(request: Request) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let options = UpdatesOptions::parse(&request.query)?;
    let source = Updates::new(request.app.clone(), &options);
    let timing = options.timing(request.settings.chttpd.changes_timeout_ms);
    let etag = (options.kind == FeedKind::Normal).then(|| {
        let newest = source.upto.to_be_bytes();
        let question = format!("{options:?}");
        respond::content_etag(&[request.app.uuid.as_bytes(), &newest, question.as_bytes()])
    });
    if let Some(etag) = &etag
        && request.matches_etag(etag)
    {
        return Ok(respond::not_modified(etag));
    }
    let stopping = request.app.stopping.clone();
    let response = feed::respond(source, options.kind, timing, stopping).await?;
    Ok(match etag {
        Some(etag) => respond::with(response, header::ETAG, &etag),
        None => response,
    })
}

struct Updates {
    app: Arc<App>,
    visible: watch::Receiver<u64>,
    direction: Direction,
    /// The last event looked at.
    at: u64,
    /// Where `at` counts from when reading backward.
    last_seq: u64,
    upto: u64,
    remaining: u64,
}

impl Updates {
    fn new(app: Arc<App>, options: &UpdatesOptions) -> Self {
        let mut visible = app.registry.subscribe();
        let upto = *visible.borrow_and_update();
        let at = match (options.direction, options.since) {
            (Direction::Backward, _) => upto.saturating_add(1),
            (Direction::Forward, Since::Beginning) => 0,
            (Direction::Forward, Since::Now) => upto,
            (Direction::Forward, Since::Seq(seq)) => seq.number,
        };
        Self {
            app,
            visible,
            direction: options.direction,
            at,
            last_seq: at.min(upto),
            upto,
            remaining: options.limit.unwrap_or(u64::MAX),
        }
    }

    /// Events are numbered over the server's whole life, so their sequences need no incarnation.
    fn seq(number: u64) -> Seq {
        Seq { number, incarnation: 0 }
    }
}

impl Source for Updates {
    const OPERATION: &'static str = "read database events";

    fn is_quick(&self) -> bool {
        self.direction == Direction::Forward && self.upto.saturating_sub(self.at) <= QUICK_EVENTS
    }

    fn shared_page(&mut self, _: Framing) -> Result<Option<(Bytes, Progress)>, ApiError> {
        Ok(None)
    }

    fn page(&mut self, framing: &mut Framing, out: &mut Vec<u8>) -> Result<Progress, ApiError> {
        let limit = self.remaining.min(PAGE_ROWS);
        if limit == 0 {
            return Ok(Progress::Limit);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rows = self.app.registry.events(self.at, self.direction, limit)?;
        for row in &rows {
            let seq = Some(Self::seq(row.seq));
            framing.open_row(out);
            write_row(out, row);
            framing.close_row(out, seq);
            (self.at, self.last_seq) = (row.seq, row.seq);
            self.remaining -= 1;
        }
        if self.remaining == 0 {
            return Ok(Progress::Limit);
        }
        if rows.len() == limit {
            return Ok(Progress::More);
        }
        if self.direction == Direction::Backward {
            return Ok(Progress::Limit);
        }
        self.at = self.at.max(self.upto);
        self.last_seq = self.at;
        Ok(Progress::PassEnd)
    }

    fn end(&mut self, framing: Framing, out: &mut Vec<u8>) -> Result<(), ApiError> {
        framing.end(out, Self::seq(self.last_seq), None);
        Ok(())
    }

    async fn news(&mut self) -> bool {
        if self.visible.changed().await.is_err() {
            return false;
        }
        self.upto = *self.visible.borrow_and_update();
        true
    }
}

/// Appends a row as a JSON object.
fn write_row(out: &mut Vec<u8>, row: &EventRow) {
    out.extend_from_slice(b"{\"db_name\":");
    write_string(out, &row.name);
    out.extend_from_slice(b",\"type\":");
    write_string(
        out,
        match row.kind {
            EventKind::Created => "created",
            EventKind::Updated => "updated",
            EventKind::Deleted => "deleted",
        },
    );
    out.extend_from_slice(b",\"seq\":");
    write_seq(out, Some(Updates::seq(row.seq)));
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<UpdatesOptions, ApiError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        UpdatesOptions::parse(&Query::new(pairs.collect()))
    }

    #[test]
    fn parameters_are_read() {
        let options = parse(&[
            ("feed", "longpoll"),
            ("since", "now"),
            ("limit", "2"),
            ("heartbeat", "true"),
            ("timeout", "5"),
        ]);
        let expect = UpdatesOptions {
            kind: FeedKind::Longpoll,
            direction: Direction::Forward,
            since: Since::Now,
            limit: Some(2),
            heartbeat_ms: Some(60_000),
            timeout_ms: Some(5),
        };
        assert_eq!(options.unwrap(), expect);
        for (name, value) in [("limit", "-1"), ("timeout", "x"), ("feed", "live"), ("since", "3")] {
            assert_eq!(parse(&[(name, value)]).unwrap_err().describe().0.as_u16(), 400, "{name}");
        }
    }

    #[test]
    fn rows_are_couchdbs() {
        let mut out = Vec::new();
        write_row(&mut out, &EventRow { seq: 7, name: "a/b".into(), kind: EventKind::Deleted });
        let text = String::from_utf8(out).unwrap();
        let seq = Seq { number: 7, incarnation: 0 };
        assert_eq!(text, format!("{{\"db_name\":\"a/b\",\"type\":\"deleted\",\"seq\":\"{seq}\"}}"));
    }
}
