//! Databases, the replications between them, and the play: edits and faults, then quiet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::blocking;
use crate::database::NoFunctions;
use crate::storage::MemoryEngine;

use super::check;
use super::edits::Writer;
use super::link::{self, Link, Way};
use super::site::{self, Site};
use super::stage::{Actor, Stage};

/// Everything that can be done between edits is done in this time, unless it is never.
const QUIET: Duration = Duration::from_mins(10);
const QUIET_PERIODS_MAX: usize = 30;
/// Replications that have no part in making databases equal.
const EXTRA_MAX: usize = 3;

pub struct World {
    editor: Arc<Actor>,
    pub engines: Vec<Arc<MemoryEngine>>,
    pub sites: Vec<Site>,
    links: Vec<Arc<Link>>,
    /// Some databases remember few revisions.
    pub stems: bool,
    purges: bool,
    recreates: bool,
    /// Documents that may be in some databases and not in others.
    pub purged: Mutex<BTreeSet<String>>,
}

/// Plays the world of a seed. Returns what happened, in short.
pub async fn play(seed: u64, shown: bool) -> u64 {
    let stage = Stage::new(seed, shown);
    let world = World::new(&stage).await;
    let running: Vec<JoinHandle<()>> =
        world.links.iter().map(|link| tokio::spawn(link.clone().keep_running())).collect();
    world.edit().await;
    stage.set_faults(0);
    world.wait_until_quiet().await;
    let alive = running.iter().all(|running| !running.is_finished());
    assert!(alive, "a replication failed a check");
    check::converged(&world);
    let before = world.update_seqs();
    stage.end();
    for link in &world.links {
        link.is_up_to_date();
        link.stop();
    }
    for running in running {
        link::join(running).await;
    }
    for link in &world.links {
        link.has_nothing_left().await;
    }
    assert_eq!(world.update_seqs(), before, "what was equal was written again");
    check::clean(&world);
    stage.hash()
}

impl World {
    async fn new(stage: &Arc<Stage>) -> Self {
        let editor = stage.actor(0, "editor");
        stage.set_faults(*editor.pick(&[0, 10, 30, 100]));
        let count = 2 + editor.below(4);
        let servers = if editor.percent(50) { 1 } else { count };
        let engines: Vec<Arc<MemoryEngine>> = (0..servers).map(|_| Arc::default()).collect();
        let servers =
            engines.iter().map(|engine| site::server(engine.clone(), Arc::new(NoFunctions)));
        let servers: Vec<_> = servers.collect();
        let sites: Vec<Site> = (0..count)
            .map(|number| Site::new(&servers[number % servers.len()], &format!("db{number}")))
            .collect();
        let (stems, purges) = (editor.percent(20), editor.percent(15));
        let recreates = editor.percent(25);
        let mut links = Vec::new();
        let extra = (0..editor.below(EXTRA_MAX)).map(|_| {
            let source = editor.below(count);
            (source, (source + 1 + editor.below(count - 1)) % count)
        });
        let extra: Vec<Way> = extra.collect();
        for (ways, is_extra) in [(ways(&editor, count), false), (extra, true)] {
            for (source, target) in ways {
                let slot = links.len() as u64 + 1;
                let actor = stage.actor(slot, format!("db{source}>db{target}"));
                let (source, target) = (&sites[source], &sites[target]);
                links.push(Arc::new(if is_extra && actor.percent(70) {
                    Link::partial(source, target, &actor)
                } else {
                    Link::new(source, target, &actor, !stems && !purges)
                }));
            }
        }
        for site in &sites {
            site.create();
            if stems && editor.percent(70) {
                let limited = site.db().set_revs_limit(1 + editor.below(4) as u64).unwrap();
                blocking::settle(limited).await.unwrap();
            }
        }
        let purged = Mutex::default();
        Self { editor, engines, sites, links, stems, purges, recreates, purged }
    }

    /// Edits, and what else people do.
    async fn edit(&self) {
        let (editor, writer) = (&self.editor, Writer::new(&self.editor));
        for _ in 0..20 + editor.below(40) {
            editor.pause(*editor.pick(&[10, 1000, 10_000])).await;
            let site = editor.pick(&self.sites);
            match editor.below(20) {
                0 => editor.pick(&self.links).stop(),
                1 if self.recreates => self.recreate(site).await,
                2 if self.purges => {
                    let id = writer.purge(&self.sites).await;
                    self.purged.lock().unwrap().insert(id);
                }
                3 => self.compact(site),
                _ => writer.change(site).await,
            }
        }
    }

    async fn recreate(&self, site: &Site) {
        site.delete().await;
        self.editor.note(format_args!("deleted {}", site.name));
        if self.editor.percent(50) {
            self.editor.pause(10_000).await;
        }
        site.create();
        self.editor.note(format_args!("created {}", site.name));
    }

    fn compact(&self, site: &Site) {
        let Some(db) = site.find() else { return };
        if db.is_idle() {
            // It blocks, which the thread of the simulation may not.
            let compact = || assert!(db.compact().unwrap());
            std::thread::scope(|scope| scope.spawn(compact).join()).unwrap();
            self.editor.note(format_args!("compacted {}", site.name));
        }
    }

    fn update_seqs(&self) -> Vec<u64> {
        self.sites.iter().map(|site| site.db().state().update_seq).collect()
    }

    async fn wait_until_quiet(&self) {
        for _ in 0..QUIET_PERIODS_MAX {
            let before = self.update_seqs();
            tokio::time::sleep(QUIET).await;
            self.editor.note(format_args!("quiet from {before:?} to {:?}", self.update_seqs()));
            if self.update_seqs() == before {
                return;
            }
        }
        panic!("it never becomes quiet");
    }
}

/// Ways by which each database reaches every other.
fn ways(editor: &Actor, count: usize) -> Vec<Way> {
    let both = |ways: Vec<Way>| ways.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
    let ring = || (0..count).map(|one| (one, (one + 1) % count));
    match editor.below(5) {
        0 => both((1..count).map(|leaf| (0, leaf)).collect()),
        1 => ring().collect(),
        2 => both(ring().collect()),
        3 => both((1..count).map(|next| (next - 1, next)).collect()),
        _ => (0..count)
            .flat_map(|one| (0..count).map(move |two| (one, two)))
            .filter(|(one, two)| one != two)
            .collect(),
    }
}
