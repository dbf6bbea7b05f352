//! Simulations of replication: databases in one process, peers that fail, edits on all sides.
//!
//! A seed decides everything: who is connected with whom, what is written, what fails. Time is
//! simulated and all work is done on one thread, so a seed that fails does so again:
//! `SETTEE_SIMULATION_SEED=N cargo test --release simulation -- --nocapture` plays it alone and
//! shows what happens.

mod check;
pub mod edits;
mod faulty_peer;
mod link;
mod recreation;
mod refusals;
pub mod site;
pub mod stage;
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::blocking;

const SEEDS: u64 = 1000;
/// Failing seeds after which no more are played.
const FAILURES_MAX: usize = 3;

/// Runs what a test awaits with simulated time, on this thread alone.
pub fn simulate<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    blocking::inline(|| runtime.block_on(test))
}

fn play(seed: u64, shown: bool) -> u64 {
    simulate(world::play(seed, shown))
}

#[test]
fn databases_agree_when_edits_and_faults_have_ended() {
    if let Ok(seed) = std::env::var("SETTEE_SIMULATION_SEED") {
        play(seed.parse().unwrap(), true);
        return;
    }
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= SEEDS || failed.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    if catch_unwind(|| play(seed, false)).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "play these seeds with SETTEE_SIMULATION_SEED: {failed:?}");
}

#[test]
fn a_seed_replays_exactly() {
    let played: Vec<u64> = (0..20).map(|seed| play(seed, false)).collect();
    let again: Vec<u64> = (0..20).map(|seed| play(seed, false)).collect();
    assert_eq!(played, again);
    assert!(played.windows(2).all(|pair| pair[0] != pair[1]), "seeds differ");
}
