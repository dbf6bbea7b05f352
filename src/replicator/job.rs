//! A replication that the scheduler knows: who asked for it, what became of it so far.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::UserCtx;

use super::{Progress, ReplicationError, ReplicationId, Snapshot, Specification};

/// What a crash costs in time before the next start, doubled from crash to crash, and how often
/// it is doubled: half a minute to eight hours and a half.
const BACKOFF: Duration = Duration::from_secs(30);
const BACKOFF_DOUBLINGS: u32 = 10;

/// Who asked for a replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `POST /_replicate`: it is gone when it crashes, and with the server.
    Request,
    /// A document of a replicator database: it is tried again until the document is gone.
    Document { database: String, doc_id: String },
}

/// A replication to be run.
#[derive(Debug)]
pub struct Job {
    pub id: ReplicationId,
    pub specification: Arc<Specification>,
    pub user: UserCtx,
    pub origin: Origin,
    /// Seconds since 1970.
    pub added_s: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    Completed(Box<Completed>),
    Failed(ReplicationError),
    /// It was removed.
    Cancelled,
}

/// What a job did that came to its end.
#[derive(Debug, Clone)]
pub struct Completed {
    /// Nothing was there to be done.
    pub no_changes: bool,
    /// The members of the newest checkpoint.
    pub checkpoint: Map<String, Value>,
    pub known: Snapshot,
}

impl Job {
    #[must_use]
    pub fn new(
        id: ReplicationId,
        specification: Arc<Specification>,
        user: UserCtx,
        origin: Origin,
        added_s: u64,
    ) -> Self {
        let outcome = watch::Sender::new(None);
        Self { id, specification, user, origin, added_s, outcome }
    }

    /// Waits for its end.
    pub async fn outcome(&self) -> Outcome {
        let mut receiver = self.outcome.subscribe();
        // The sender is ours, so it lives as long as we wait.
        match receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Cancelled),
            Err(_) => Outcome::Cancelled,
        }
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    Added,
    Started,
    Stopped,
    Crashed(String),
}

/// An entry of a job's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Seconds since 1970.
    pub at_s: u64,
    pub happened: Happened,
}

/// A run that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub stop: CancellationToken,
    pub since: Instant,
}

/// A job in the scheduler's table.
#[derive(Debug)]
pub(super) struct Entry {
    pub job: Arc<Job>,
    /// Newest first.
    pub history: VecDeque<Event>,
    pub running: Option<Running>,
    /// Of all runs.
    pub progress: Arc<Progress>,
    /// How far back it stands among those that wait.
    pub priority: f64,
    /// When it last ran; among equals what waits longest is started first.
    pub last_start: Option<Instant>,
    /// Crashes without a healthy run in between.
    pub crashes: u32,
    /// After a crash it is not started earlier.
    pub not_before: Option<Instant>,
}

impl Entry {
    pub fn new(job: Arc<Job>) -> Self {
        let added = Event { at_s: job.added_s, happened: Happened::Added };
        Self {
            job,
            history: VecDeque::from([added]),
            running: None,
            progress: Arc::default(),
            priority: 0.0,
            last_start: None,
            crashes: 0,
            not_before: None,
        }
    }

    pub fn note(&mut self, at_s: u64, happened: Happened, most: usize) {
        self.history.push_front(Event { at_s, happened });
        self.history.truncate(most.max(1));
    }

    /// Takes note of a crash; `ran` is how long it had run.
    pub fn crash(&mut self, ran: Duration, health_threshold: Duration) {
        self.crashes = if ran >= health_threshold { 1 } else { self.crashes.saturating_add(1) };
        let doublings = self.crashes.saturating_sub(1).min(BACKOFF_DOUBLINGS);
        self.not_before = Some(Instant::now() + BACKOFF * 2_u32.pow(doublings));
    }

    pub fn may_start(&self, now: Instant) -> bool {
        self.running.is_none() && self.not_before.is_none_or(|moment| moment <= now)
    }

    pub fn view(&self) -> JobView {
        JobView {
            job: self.job.clone(),
            history: self.history.iter().cloned().collect(),
            is_running: self.running.is_some(),
            crashes: self.crashes,
            known: self.progress.snapshot(),
        }
    }
}

/// A job as it is shown.
#[derive(Debug, Clone)]
pub struct JobView {
    pub job: Arc<Job>,
    /// Newest first; never empty.
    pub history: Vec<Event>,
    pub is_running: bool,
    pub crashes: u32,
    pub known: Snapshot,
}

impl JobView {
    /// CouchDB's name of the state: `running`, `crashing` or `pending`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.is_running, self.crash()) {
            (true, _) => "running",
            (false, Some(_)) => "crashing",
            (false, None) => "pending",
        }
    }

    /// Why it crashed, where that was the last thing that happened.
    #[must_use]
    pub fn crash(&self) -> Option<&str> {
        match self.history.first()?.happened {
            Happened::Crashed(ref reason) => Some(reason),
            _ => None,
        }
    }
}
