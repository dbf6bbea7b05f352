//! Which replications run: at most `max_jobs` at a time, the others wait their turn; what crashes
//! waits longer from crash to crash.
//!
//! Invariant: a job in the table is running, or started as soon as there is room for it; one that
//! was removed does nothing more once its run has noticed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ReplicatorSettings;
use crate::metrics;

use super::job::{Completed, Entry, Happened, Job, JobView, Origin, Outcome, Running};
use super::shares::Shares;
use super::{Ended, PeerError, Progress, ReplicationError};

/// Runs jobs; in tests something else than replications.
pub trait Runner: Send + Sync {
    /// Runs a job until it has ended or `stop` is cancelled.
    fn run<'a>(
        &'a self,
        job: &'a Job,
        progress: &'a Progress,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Ended, ReplicationError>>;

    /// The settings of now.
    fn settings(&self) -> ReplicatorSettings;

    /// Seconds since 1970.
    fn now_s(&self) -> u64;
}

/// The table of all jobs.
pub struct Scheduler {
    runner: Arc<dyn Runner>,
    jobs: Mutex<BTreeMap<String, Entry>>,
    /// Locked after the jobs.
    shares: Mutex<Shares>,
    wake: Notify,
}

impl Scheduler {
    #[must_use]
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner, jobs: Mutex::default(), shares: Mutex::default(), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The job that has its id already; it goes on.
    pub fn add(&self, job: Job) -> Result<Arc<Job>, Arc<Job>> {
        let mut jobs = self.lock();
        let id = job.id.to_string();
        if let Some(known) = jobs.get(&id) {
            return Err(known.job.clone());
        }
        let job = Arc::new(job);
        let mut entry = Entry::new(job.clone());
        entry.priority = self.shares().add(&job, &self.runner.settings().shares);
        jobs.insert(id, entry);
        metrics::REPLICATOR_JOBS_ADDED.add(1);
        drop(jobs);
        self.wake.notify_one();
        Ok(job)
    }

    /// Removes a job, which stops after a last checkpoint. `None` where there is none.
    pub fn remove(&self, id: &str) -> Option<Arc<Job>> {
        let entry = self.lock().remove(id)?;
        self.shares().remove(&entry.job);
        metrics::REPLICATOR_JOBS_REMOVED.add(1);
        if let Some(running) = entry.running {
            running.stop.cancel();
        }
        entry.job.end(Outcome::Cancelled);
        self.wake.notify_one();
        Some(entry.job)
    }

    /// A job as it is now.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<JobView> {
        self.lock().get(id).map(Entry::view)
    }

    /// All jobs in the order of their ids.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        self.lock().values().map(Entry::view).collect()
    }

    /// Runs the jobs until `stop`, then lets them write their last checkpoints.
    pub async fn drive(self: Arc<Self>, stop: CancellationToken) {
        let mut next_turn = Instant::now() + self.runner.settings().interval;
        while !stop.is_cancelled() {
            let settings = self.runner.settings();
            let now = Instant::now();
            if now >= next_turn {
                self.end_turn(&settings);
                self.make_room(&settings);
                next_turn = now + settings.interval;
            }
            let earliest = self.start_waiting(&settings, &stop);
            let until = earliest.map_or(next_turn, |moment| moment.min(next_turn));
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {}
                () = stop.cancelled() => {}
            }
        }
        while self.lock().values().any(|entry| entry.running.is_some()) {
            self.wake.notified().await;
        }
    }

    /// Charges what has run, and puts it back in the queue.
    fn end_turn(&self, settings: &ReplicatorSettings) {
        let (mut jobs, mut shares) = (self.lock(), self.shares());
        for entry in jobs.values() {
            if let Some(running) = &entry.running {
                shares.charge(&entry.job, running.since.elapsed().min(settings.interval));
            }
        }
        shares.turn(&settings.shares);
        for entry in jobs.values_mut() {
            entry.priority *= settings.shares.priority_coeff;
            if entry.running.is_some() {
                entry.priority += shares.step(&entry.job, &settings.shares);
            }
        }
    }

    /// Starts what stands first in the queue while there is room. Returns when the next job that
    /// crashed may start again.
    fn start_waiting(
        self: &Arc<Self>,
        settings: &ReplicatorSettings,
        stop: &CancellationToken,
    ) -> Option<Instant> {
        let mut jobs = self.lock();
        let now = Instant::now();
        let running = jobs.values().filter(|entry| entry.running.is_some()).count();
        let mut waiting: Vec<&mut Entry> =
            jobs.values_mut().filter(|entry| entry.may_start(now)).collect();
        waiting.sort_by(|one, other| {
            let priorities = one.priority.total_cmp(&other.priority);
            priorities.then(one.last_start.cmp(&other.last_start))
        });
        for entry in waiting.into_iter().take(settings.max_jobs.saturating_sub(running)) {
            self.start(entry, settings, stop);
        }
        let resting = jobs.values().filter(|entry| entry.running.is_none());
        resting.filter_map(|entry| entry.not_before).filter(|moment| *moment > now).min()
    }

    fn start(
        self: &Arc<Self>,
        entry: &mut Entry,
        settings: &ReplicatorSettings,
        stop: &CancellationToken,
    ) {
        metrics::REPLICATOR_JOBS_STARTED.add(1);
        let stop = stop.child_token();
        let now = Instant::now();
        entry.note(self.runner.now_s(), Happened::Started, settings.max_history);
        entry.running = Some(Running { stop: stop.clone(), since: now });
        entry.last_start = Some(now);
        entry.not_before = None;
        // What a job has counted does not fall from run to run.
        let progress = entry.progress.clone();
        let (scheduler, job) = (self.clone(), entry.job.clone());
        tokio::spawn(async move {
            let (runner, running) = (scheduler.runner.clone(), job.clone());
            let run = tokio::spawn(async move { runner.run(&running, &progress, &stop).await });
            let ended = run.await.unwrap_or_else(|error| {
                let reason = format!("the replication was interrupted: {error}");
                Err(ReplicationError::Peer(PeerError::Local(reason)))
            });
            scheduler.ended(&job, ended);
        });
    }

    fn ended(&self, job: &Arc<Job>, ended: Result<Ended, ReplicationError>) {
        let settings = self.runner.settings();
        let mut jobs = self.lock();
        let id = job.id.to_string();
        // One that was removed has said so, and another may have its id by now.
        let Some(entry) = jobs.get_mut(&id).filter(|entry| Arc::ptr_eq(&entry.job, job)) else {
            drop(jobs);
            return self.wake.notify_one();
        };
        let running = entry.running.take();
        let ran = running.map(|running| running.since.elapsed()).unwrap_or_default();
        self.shares().charge(job, ran.min(settings.interval));
        let now_s = self.runner.now_s();
        let outcome = match ended {
            Ok(Ended::Stopped) => {
                metrics::REPLICATOR_JOBS_STOPPED.add(1);
                entry.note(now_s, Happened::Stopped, settings.max_history);
                None
            }
            Ok(Ended::Completed(checkpoint)) => Some(completed(entry, false, checkpoint)),
            Ok(Ended::NoChanges(checkpoint)) => Some(completed(entry, true, checkpoint)),
            Err(error) => {
                metrics::REPLICATOR_JOBS_CRASHES.add(1);
                tracing::warn!(replication = id, %error, "a replication crashed");
                entry.crash(ran, settings.health_threshold);
                let crashed = Happened::Crashed(format!("{}: {error}", error.name()));
                entry.note(now_s, crashed, settings.max_history);
                (job.origin == Origin::Request).then_some(Outcome::Failed(error))
            }
        };
        if outcome.is_some() {
            jobs.remove(&id);
            self.shares().remove(job);
            metrics::REPLICATOR_JOBS_REMOVED.add(1);
        }
        drop(jobs);
        if let Some(outcome) = outcome {
            job.end(outcome);
        }
        self.wake.notify_one();
    }

    /// Stops the continuous jobs that have run longest where others wait, and whatever is too
    /// much since the settings changed.
    fn make_room(&self, settings: &ReplicatorSettings) {
        let jobs = self.lock();
        let now = Instant::now();
        let waiting = jobs.values().filter(|entry| entry.may_start(now)).count();
        let mut running: Vec<(&Running, bool)> = jobs
            .values()
            .filter_map(|entry| Some((entry.running.as_ref()?, entry)))
            .map(|(running, entry)| (running, entry.job.specification.continuous))
            .collect();
        running.sort_by_key(|(running, _)| running.since);
        let excess = running.len().saturating_sub(settings.max_jobs);
        let free = settings.max_jobs.saturating_sub(running.len());
        let turn = waiting.saturating_sub(free).min(settings.max_churn);
        let continuous = running.iter().filter(|(_, continuous)| *continuous);
        for (running, _) in continuous.take(excess.max(turn)) {
            running.stop.cancel();
        }
    }
}

fn completed(entry: &Entry, no_changes: bool, checkpoint: Map<String, Value>) -> Outcome {
    let known = entry.progress.snapshot();
    Outcome::Completed(Box::new(Completed { no_changes, checkpoint, known }))
}
