//! A replication of a simulation, which is run again and again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::replicator::{
    CreateTarget, Ended, Endpoint, Progress, Remote, Replication, ReplicationError, ReplicationId,
    Scheme, Selection, Specification, Tuning,
};

use super::check::Oracle;
use super::faulty_peer::{FaultyPeer, Watch};
use super::site::{Site, now_s};
use super::stage::Actor;

/// Between two runs.
const AGAIN_MS: u64 = 10_000;
const AGAIN_CALM_MS: u64 = 60_000;
/// A run that is told to stop does so within this time.
const STOPS_WITHIN: Duration = Duration::from_mins(10);

pub struct Link {
    replication: Replication,
    actor: Arc<Actor>,
    watch: Arc<Watch>,
    source: Site,
    stop: Mutex<CancellationToken>,
}

/// A way between two databases by number.
pub type Way = (usize, usize);

impl Link {
    /// A replication of everything; `watched` where its checkpoints must keep what they promise.
    pub fn new(source: &Site, target: &Site, actor: &Arc<Actor>, watched: bool) -> Self {
        let oracle =
            watched.then(|| Arc::new(Oracle { source: source.clone(), target: target.clone() }));
        Self::of(source, target, actor, Selection::Everything, oracle)
    }

    /// A replication of a part, beside those that make databases equal.
    pub fn partial(source: &Site, target: &Site, actor: &Arc<Actor>) -> Self {
        let selection = match actor.below(3) {
            0 => Selection::DocIds(vec!["a".to_owned(), "none".to_owned()]),
            1 => Selection::Selector(json!({"kind": "odd"})),
            _ => Selection::Everything,
        };
        let mut link = Self::of(source, target, actor, selection, None);
        let specification = Arc::get_mut(&mut link.replication.specification).unwrap();
        specification.winning_revs_only = actor.percent(50);
        specification.tuning.use_checkpoints = actor.percent(50);
        specification.since_seq = actor.percent(20).then(|| json!(0));
        link.replication.id = id(specification);
        link
    }

    fn of(
        source: &Site,
        target: &Site,
        actor: &Arc<Actor>,
        selection: Selection,
        oracle: Option<Arc<Oracle>>,
    ) -> Self {
        let specification = Specification {
            source: Endpoint::Local(source.name.clone()),
            target: Endpoint::Local(target.name.clone()),
            continuous: actor.percent(60),
            create_target: actor.percent(30).then(CreateTarget::default),
            selection,
            since_seq: None,
            winning_revs_only: false,
            tuning: Tuning {
                checkpoint_interval: Duration::from_secs(*actor.pick(&[1, 5, 30])),
                worker_processes: *actor.pick(&[1, 2, 4]),
                worker_batch_size: *actor.pick(&[1, 2, 5, 500]),
                retries_per_request: *actor.pick(&[0, 1, 5]),
                ..Tuning::of(&Settings::default().replicator)
            },
        };
        let watch = Watch::new(Arc::new(Progress::default()));
        let peer = |site: &Site, oracle| {
            let (actor, watch) = (actor.clone(), watch.clone());
            Arc::new(FaultyPeer { inner: site.peer(), actor, watch, oracle })
        };
        let replication = Replication {
            id: id(&specification),
            specification: Arc::new(specification),
            source: peer(source, None),
            target: peer(target, oracle),
            now_s,
        };
        let (actor, source) = (actor.clone(), source.clone());
        Self { replication, actor, watch, source, stop: Mutex::default() }
    }

    /// Runs it, as a scheduler would, until the simulation is over.
    pub async fn keep_running(self: Arc<Self>) {
        while !self.actor.stage().is_over() {
            self.run_once().await;
            let calm = self.actor.stage().is_calm();
            self.actor.pause(if calm { AGAIN_CALM_MS } else { AGAIN_MS }).await;
        }
    }

    async fn run_once(&self) {
        let stop = CancellationToken::new();
        *self.stop.lock().unwrap() = stop.clone();
        self.actor.note(format_args!("run"));
        let run = self.replication.run(&self.watch.progress, &stop);
        let result = if self.actor.fails() {
            // It ends as in a crash, wherever it is.
            let later = Duration::from_millis(self.actor.below(20_000) as u64);
            tokio::time::timeout(later, run).await.ok()
        } else {
            Some(run.await)
        };
        self.watch.look();
        let shown = match &result {
            None => "crashed".to_owned(),
            Some(Ok(Ended::NoChanges(_))) => "no changes".to_owned(),
            Some(Ok(Ended::Completed(_))) => "completed".to_owned(),
            Some(Ok(Ended::Stopped)) => "stopped".to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        self.actor.note(format_args!("{shown}"));
        if let (true, Some(result)) = (self.replication.specification.continuous, result) {
            let ended = matches!(result, Ok(Ended::Completed(_) | Ended::NoChanges(_)));
            assert!(!ended, "a continuous replication ended by itself");
        }
    }

    /// Tells the present run to stop.
    pub fn stop(&self) {
        self.stop.lock().unwrap().cancel();
    }

    /// A continuous replication that nobody stops has read everything and said so.
    pub fn is_up_to_date(&self) {
        let specification = &self.replication.specification;
        let db = self.source.db();
        let update_seq = db.state().update_seq;
        if !specification.continuous || update_seq == 0 {
            return;
        }
        let now = self.watch.progress.snapshot();
        let newest = json!(db.seq(update_seq).to_string());
        assert_eq!(now.through_seq, newest, "{}", self.replication.id);
        assert_eq!(now.checkpointed_seq, newest, "{}", self.replication.id);
        if specification.selection == Selection::Everything {
            // Where there is a filter, as in CouchDB, what did not pass it counts too.
            assert_eq!(now.changes_pending, Some(0), "{}", self.replication.id);
        }
    }

    /// Runs once more, to the end of the source's changes.
    pub async fn run_to_the_end(&self) -> Result<Ended, ReplicationError> {
        let Replication { id, specification, source, target, now_s } = &self.replication;
        let specification =
            Specification { continuous: false, ..Specification::clone(specification) };
        let replication = Replication {
            id: id.clone(),
            specification: Arc::new(specification),
            source: source.clone(),
            target: target.clone(),
            now_s: *now_s,
        };
        replication.run(&self.watch.progress, &CancellationToken::new()).await
    }

    /// Nothing is left to do, and its checkpoints say so.
    pub async fn has_nothing_left(&self) {
        // Another replication may have written checkpoints of the same name.
        self.run_to_the_end().await.unwrap();
        let ended = self.run_to_the_end().await.unwrap();
        let Specification { tuning, since_seq, .. } = &*self.replication.specification;
        if tuning.use_checkpoints && since_seq.is_none() {
            assert!(matches!(ended, Ended::NoChanges(_)), "{ended:?}");
        }
    }
}

/// A replication without faults.
pub fn plain(source: &Site, target: &Site) -> Replication {
    let specification = Specification {
        source: Endpoint::Local(source.name.clone()),
        target: Endpoint::Local(target.name.clone()),
        continuous: false,
        create_target: None,
        selection: Selection::Everything,
        since_seq: None,
        winning_revs_only: false,
        tuning: Tuning::of(&Settings::default().replicator),
    };
    Replication {
        id: id(&specification),
        specification: Arc::new(specification),
        source: Arc::new(source.peer()),
        target: Arc::new(target.peer()),
        now_s,
    }
}

/// Waits for a replication that has been told to stop.
pub async fn join(running: tokio::task::JoinHandle<()>) {
    tokio::time::timeout(STOPS_WITHIN, running).await.expect("it does not stop").unwrap();
}

fn id(specification: &Specification) -> ReplicationId {
    let local = Remote {
        scheme: Scheme::Http,
        host: "localhost".to_owned(),
        port: 5984,
        path: "/".to_owned(),
        credentials: None,
        headers: Vec::new(),
        proxy: None,
    };
    ReplicationId::of(specification, "uuid", None, &local)
}
