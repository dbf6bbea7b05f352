//! The scheduler with jobs that do nothing: time is tokio's and stands still until all wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::auth::UserCtx;
use crate::config::{ReplicatorSettings, Settings, Values};

use super::job::{Happened, Job, JobView, Origin, Outcome};
use super::scheduler::{Runner, Scheduler};
use super::{Ended, PeerError, Progress, ReplicationError, ReplicationId, Specification, Tuning};

/// What a run of a job does.
#[derive(Clone, Copy)]
enum Plan {
    Forever,
    Complete(Duration),
    Crash(Duration),
    Panic,
}

struct Fake {
    settings: ReplicatorSettings,
    plans: Mutex<HashMap<String, Plan>>,
    running: AtomicUsize,
    most: AtomicUsize,
    starts: Mutex<Vec<(String, tokio::time::Instant)>>,
}

/// Counts itself while it lives, whether it ends or is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Runner for Fake {
    fn run<'a>(
        &'a self,
        job: &'a Job,
        _: &'a Progress,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Ended, ReplicationError>> {
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            let _counted = Counted(&self.running);
            self.most.fetch_max(running, Ordering::SeqCst);
            let now = tokio::time::Instant::now();
            self.starts.lock().unwrap().push((job.id.base.clone(), now));
            let plan = self.plans.lock().unwrap().get(&job.id.base).copied();
            let work = async {
                match plan.unwrap_or(Plan::Forever) {
                    Plan::Forever => std::future::pending().await,
                    Plan::Complete(after) => {
                        tokio::time::sleep(after).await;
                        Ok(Ended::Completed(Map::new()))
                    }
                    Plan::Crash(after) => {
                        tokio::time::sleep(after).await;
                        Err(PeerError::Unreachable("the peer is down".to_owned()).into())
                    }
                    Plan::Panic => panic!("a bug"),
                }
            };
            tokio::select! {
                ended = work => ended,
                () = stop.cancelled() => Ok(Ended::Stopped),
            }
        })
    }

    fn settings(&self) -> ReplicatorSettings {
        self.settings.clone()
    }

    fn now_s(&self) -> u64 {
        7
    }
}

struct Stage {
    fake: Arc<Fake>,
    scheduler: Arc<Scheduler>,
    stop: CancellationToken,
    driving: tokio::task::JoinHandle<()>,
}

impl Stage {
    fn new(change: impl FnOnce(&mut ReplicatorSettings)) -> Self {
        let mut settings = Settings::default().replicator;
        change(&mut settings);
        let fake = Arc::new(Fake {
            settings,
            plans: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            starts: Mutex::default(),
        });
        let scheduler = Arc::new(Scheduler::new(fake.clone()));
        let stop = CancellationToken::new();
        let driving = tokio::spawn(scheduler.clone().drive(stop.clone()));
        Self { fake, scheduler, stop, driving }
    }

    fn add(&self, id: &str, plan: Plan, origin: Origin) -> Result<Arc<Job>, Arc<Job>> {
        let body = json!({"source": "a", "target": "b", "continuous": true});
        let tuning = Tuning::of(&self.fake.settings);
        let specification = Specification::parse(body.as_object().unwrap(), &tuning).unwrap();
        let named = ReplicationId { base: id.to_owned(), extension: String::new() };
        let user = UserCtx::anonymous();
        let job = Job::new(named, Arc::new(specification), user, origin, 1);
        let added = self.scheduler.add(job)?;
        // Nothing starts before the test waits, and a job that is known keeps its plan.
        self.fake.plans.lock().unwrap().insert(id.to_owned(), plan);
        Ok(added)
    }

    fn starts_of(&self, id: &str) -> usize {
        self.fake.starts.lock().unwrap().iter().filter(|(base, _)| base == id).count()
    }
}

fn document(id: &str) -> Origin {
    Origin::Document { database: "_replicator".to_owned(), doc_id: id.to_owned() }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What a crash by plan is told as.
const CRASH: &str = "http_request_failed: the peer is down";

#[tokio::test(start_paused = true)]
async fn no_more_run_than_may_and_all_have_their_turn() {
    let stage = Stage::new(|settings| (settings.max_jobs, settings.max_churn) = (3, 2));
    for id in 0..7 {
        stage.add(&id.to_string(), Plan::Forever, document("x")).unwrap();
    }
    pass(1).await;
    assert_eq!(stage.fake.running.load(Ordering::SeqCst), 3);
    pass(300).await;
    assert_eq!(stage.fake.most.load(Ordering::SeqCst), 3);
    for id in 0..7 {
        assert!(stage.starts_of(&id.to_string()) > 0, "{id} never ran");
    }
    let states: Vec<&str> = stage.scheduler.jobs().iter().map(JobView::state).collect();
    assert_eq!(states.iter().filter(|state| **state == "running").count(), 3);
    assert_eq!(states.iter().filter(|state| **state == "pending").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_room_where_nobody_waits() {
    let stage = Stage::new(|settings| settings.max_jobs = 3);
    for id in ["a", "b", "c"] {
        stage.add(id, Plan::Forever, document("x")).unwrap();
    }
    pass(600).await;
    assert_eq!(stage.fake.starts.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn crashes_are_tried_again_later_and_later() {
    let stage = Stage::new(|_| {});
    stage.add("a", Plan::Crash(Duration::ZERO), document("x")).unwrap();
    pass(1).await;
    let view = stage.scheduler.job("a").unwrap();
    assert_eq!((view.state(), view.crash()), ("crashing", Some(CRASH)));
    // Half a minute, one minute, two: then the fourth start.
    pass(29 + 60 + 120 + 1).await;
    assert_eq!((stage.starts_of("a"), stage.scheduler.job("a").unwrap().crashes), (4, 4));
    let starts = stage.fake.starts.lock().unwrap().clone();
    let waits: Vec<u64> = starts.windows(2).map(|two| (two[1].1 - two[0].1).as_secs()).collect();
    assert_eq!(waits, [30, 60, 120]);
    // The longest wait is eight hours and a half.
    pass(30 << 14).await;
    let before = stage.starts_of("a");
    pass((30 << 10) + 1).await;
    assert_eq!(stage.starts_of("a"), before + 1);
    let history = stage.scheduler.job("a").unwrap().history;
    assert_eq!(history.len(), 20);
    assert_eq!(history.first().unwrap().happened, Happened::Crashed(CRASH.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_healthy_run_forgets_earlier_crashes() {
    let stage = Stage::new(|_| {});
    stage.add("a", Plan::Crash(Duration::from_secs(121)), document("x")).unwrap();
    pass(121 + 30 + 121 + 30 + 1).await;
    assert_eq!((stage.starts_of("a"), stage.scheduler.job("a").unwrap().crashes), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_requests_replication_is_gone_when_it_ends() {
    let stage = Stage::new(|_| {});
    let failing = stage.add("a", Plan::Crash(Duration::from_secs(5)), Origin::Request).unwrap();
    let fine = stage.add("b", Plan::Complete(Duration::from_secs(5)), Origin::Request).unwrap();
    let broken = stage.add("c", Plan::Panic, Origin::Request).unwrap();
    assert!(
        stage
            .add("b", Plan::Forever, Origin::Request)
            .is_err_and(|known| Arc::ptr_eq(&known, &fine))
    );
    assert!(matches!(failing.outcome().await, Outcome::Failed(_)));
    assert!(matches!(broken.outcome().await, Outcome::Failed(_)));
    assert!(matches!(fine.outcome().await, Outcome::Completed(_)));
    assert_eq!(stage.fake.running.load(Ordering::SeqCst), stage.scheduler.jobs().len());
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_stops_and_may_come_again() {
    let stage = Stage::new(|_| {});
    let job = stage.add("a", Plan::Forever, document("x")).unwrap();
    pass(1).await;
    assert!(stage.scheduler.remove("a").is_some());
    assert!(matches!(job.outcome().await, Outcome::Cancelled));
    stage.add("a", Plan::Forever, document("x")).unwrap();
    pass(1).await;
    assert_eq!((stage.fake.running.load(Ordering::SeqCst), stage.starts_of("a")), (1, 2));
    assert_eq!(stage.scheduler.job("a").unwrap().state(), "running");
    assert!(stage.scheduler.remove("b").is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_the_runs() {
    let stage = Stage::new(|_| {});
    for id in ["a", "b"] {
        stage.add(id, Plan::Forever, document("x")).unwrap();
    }
    pass(1).await;
    stage.stop.cancel();
    stage.driving.await.unwrap();
    assert_eq!(stage.fake.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn databases_run_as_much_as_their_shares_say() {
    let stage = Stage::new(|settings| {
        (settings.max_jobs, settings.max_churn) = (4, 4);
        let values = [("replicator.shares", "rich", "400")];
        settings.shares = settings_of(&values).replicator.shares;
    });
    for id in 0..8 {
        for database in ["rich", "poor"] {
            let origin = Origin::Document { database: database.to_owned(), doc_id: id.to_string() };
            stage.add(&format!("{database}{id}"), Plan::Forever, origin).unwrap();
        }
    }
    pass(6 * 3600).await;
    let starts = |database: &str| {
        (0..8).map(|id| stage.starts_of(&format!("{database}{id}"))).collect::<Vec<_>>()
    };
    let (rich, poor) = (starts("rich"), starts("poor"));
    let [all_rich, all_poor] = [&rich, &poor].map(|starts| starts.iter().sum::<usize>());
    assert!(all_rich > 2 * all_poor, "{rich:?} {poor:?}");
    assert!(poor.iter().all(|starts| *starts > 1), "nobody starves: {poor:?}");
}

fn settings_of(values: &[(&str, &str, &str)]) -> Settings {
    let mut found = Values::new();
    for (section, key, value) in values {
        found.entry((*section).to_owned()).or_default().insert((*key).into(), (*value).into());
    }
    Settings::read(&found)
}
