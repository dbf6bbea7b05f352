//! Reads the changes of a remote database: first all there are, then, for a continuous reader, each
//! as it happens. A feed that is cut is taken up again behind its last whole row.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::client::Response;
use crate::http::path::quote_plus;
use crate::metrics;
use crate::replicator::{
    Answer, Attempts, ChangesBatch, ChangesQuery, ChangesReader, PeerError, Selection,
};

use super::connection::{Call, Connection, Failed};
use super::rows::{End, Framing, Row, Rows};

/// A reader of a remote database's changes.
pub(super) struct HttpChanges {
    connection: Arc<Connection>,
    query: ChangesQuery,
    /// The sequence of the last row that was given.
    since: Value,
    stage: Stage,
    /// A request under way, which outlives a call of `next` that is dropped.
    opening: Option<BoxFuture<'static, Result<Response, Failed>>>,
    feed: Option<Feed>,
    attempts: Attempts,
    /// Nothing is asked before.
    pause_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What there is already.
    Normal,
    /// What is yet to come.
    Continuous,
    Ended,
}

/// A feed that is being read.
struct Feed {
    response: Response,
    reader: Rows,
    rows: VecDeque<Row>,
    end: Option<End>,
    /// The body has ended, or was cut.
    is_over: bool,
    since: Instant,
}

impl ChangesReader for HttpChanges {
    fn next(&mut self) -> Answer<'_, Option<ChangesBatch>> {
        self.batch().boxed()
    }
}

impl HttpChanges {
    pub(super) fn new(connection: Arc<Connection>, query: ChangesQuery) -> Self {
        let attempts = connection.retries.attempts();
        let since = query.since.clone();
        let stage = Stage::Normal;
        Self {
            connection,
            query,
            since,
            stage,
            opening: None,
            feed: None,
            attempts,
            pause_until: None,
        }
    }

    async fn batch(&mut self) -> Result<Option<ChangesBatch>, PeerError> {
        while self.stage != Stage::Ended {
            if let Some(until) = self.pause_until {
                tokio::time::sleep_until(until).await;
                self.pause_until = None;
            }
            match self.attempt().await {
                Ok(Some(batch)) => return Ok(Some(batch)),
                Ok(None) => {}
                Err(failed) => self.pause(failed)?,
            }
        }
        Ok(None)
    }

    /// Leaves the source alone for a while, if it makes sense to ask it again.
    fn pause(&mut self, Failed { error, retry_after }: Failed) -> Result<(), PeerError> {
        metrics::REPLICATOR_CHANGES_FAILURES.add(1);
        let patience = self.connection.patience;
        let lasted = self.feed.take().is_some_and(|feed| feed.since.elapsed() >= patience);
        if lasted {
            self.attempts = self.connection.retries.attempts();
        }
        match self.attempts.pause(retry_after, error) {
            Ok(pause) => {
                self.pause_until = Some(Instant::now() + pause);
                Ok(())
            }
            Err(error) => {
                self.attempts = self.connection.retries.attempts();
                Err(error)
            }
        }
    }

    /// Reads on; nothing where the feed ended without news.
    async fn attempt(&mut self) -> Result<Option<ChangesBatch>, Failed> {
        self.open().await?;
        let Some(feed) = &mut self.feed else { return Ok(None) };
        while feed.rows.is_empty() && !feed.is_over {
            feed.read(&self.connection).await?;
        }
        // What has arrived already goes along, but nobody waits for more.
        while feed.rows.len() < self.query.batch && !feed.is_over {
            match feed.read(&self.connection).now_or_never() {
                Some(read) => read?,
                None => break,
            }
        }
        if feed.rows.is_empty() { self.ended() } else { Ok(Some(self.take())) }
    }

    async fn open(&mut self) -> Result<(), Failed> {
        if self.feed.is_some() {
            return Ok(());
        }
        let opening = match &mut self.opening {
            Some(opening) => opening,
            None => {
                let (connection, call) = (self.connection.clone(), self.call());
                let opening = async move { connection.feed(&call).await };
                self.opening.insert(opening.boxed())
            }
        };
        let response = opening.await;
        self.opening = None;
        self.feed = Some(Feed::new(response?, self.stage));
        Ok(())
    }

    /// The rows that have arrived.
    fn take(&mut self) -> ChangesBatch {
        let mut batch = ChangesBatch::default();
        self.attempts = self.connection.retries.attempts();
        if let Some(feed) = &mut self.feed {
            let count = feed.rows.len().min(self.query.batch);
            for row in feed.rows.drain(..count) {
                self.since = row.seq.unwrap_or_else(|| self.since.take());
                batch.changed.push(row.changed);
            }
            if feed.rows.is_empty()
                && let Some(End { last_seq, pending }) = feed.end.take()
            {
                self.since = last_seq;
                batch.pending = pending;
                self.feed = None;
                self.stage = Stage::after(&self.query);
            }
        }
        batch.last_seq = self.since.clone();
        batch
    }

    /// The feed is over and all its rows are given: its end, or a cut.
    fn ended(&mut self) -> Result<Option<ChangesBatch>, Failed> {
        let end = self.feed.take().and_then(|feed| feed.end);
        let Some(End { last_seq, pending }) = end else {
            let reason = format!("{}: the changes feed was cut", self.connection.address);
            return Err(PeerError::Unreachable(reason).into());
        };
        let ended = self.stage;
        self.stage = Stage::after(&self.query);
        if last_seq == self.since {
            if ended == Stage::Continuous {
                // The server would rather be asked again from time to time.
                self.pause_until = Some(Instant::now() + self.connection.retries.wait);
            }
            return Ok(None);
        }
        self.since = last_seq;
        let last_seq = self.since.clone();
        Ok(Some(ChangesBatch { changed: Vec::new(), last_seq, pending }))
    }

    fn call(&self) -> Call {
        let feed = if self.stage == Stage::Continuous { "continuous" } else { "normal" };
        let style = if self.query.winning_revs_only { "main_only" } else { "all_docs" };
        let heartbeat = heartbeat(self.connection.patience).as_millis();
        let since = quote_plus(&seq_text(&self.since));
        let path =
            format!("_changes?feed={feed}&style={style}&since={since}&heartbeat={heartbeat}");
        match &self.query.selection {
            Selection::Everything => Call::get(path),
            Selection::DocIds(ids) => {
                let body = json!({ "doc_ids": ids }).to_string();
                Call::post(format!("{path}&filter=_doc_ids"), body)
            }
            Selection::Selector(selector) => {
                let body = json!({ "selector": selector }).to_string();
                Call::post(format!("{path}&filter=_selector"), body)
            }
            Selection::Filter { name, query_params } => {
                let mut path = format!("{path}&filter={}", quote_plus(name));
                for (name, value) in query_params {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    path.extend(["&", &quote_plus(name), "=", &quote_plus(&value)]);
                }
                Call::get(path)
            }
        }
    }
}

impl Stage {
    /// What comes when a feed has ended.
    fn after(query: &ChangesQuery) -> Self {
        if query.continuous { Self::Continuous } else { Self::Ended }
    }
}

impl Feed {
    fn new(response: Response, stage: Stage) -> Self {
        let framing = if stage == Stage::Continuous { Framing::Lines } else { Framing::Results };
        let (reader, rows) = (Rows::new(framing), VecDeque::new());
        Self { response, reader, rows, end: None, is_over: false, since: Instant::now() }
    }

    /// Takes the next bytes. May be dropped: it takes them or it does not. Where there is no more
    /// to come, the rows before are still good.
    async fn read(&mut self, connection: &Connection) -> Result<(), PeerError> {
        let read = match self.response.chunk().await {
            Ok(Some(bytes)) => match self.reader.push(&bytes, &mut self.rows) {
                Ok(end) => {
                    self.end = end.or(self.end.take());
                    Ok(())
                }
                Err(bad) => Err(connection.garbage(&bad.to_string())),
            },
            Ok(None) => {
                self.is_over = true;
                Ok(())
            }
            Err(error) => Err(connection.broken(&error)),
        };
        if read.is_err() && !self.rows.is_empty() {
            self.is_over = true;
            return Ok(());
        }
        read
    }
}

/// Often enough that a heartbeat or two may get lost.
fn heartbeat(patience: Duration) -> Duration {
    (patience / 3).max(Duration::from_millis(1))
}

/// A sequence as it is sent back to the server that gave it.
pub(super) fn seq_text(seq: &Value) -> String {
    match seq {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
