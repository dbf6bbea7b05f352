//! What all of a simulation shares: time, faults, and the trace; and whose turn it is.
//!
//! Invariant: two actors never act in the same millisecond. Who wakes first among those that wait
//! for the same thing is not in our hand, but it does not matter then.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use tokio::time::Instant;

/// Milliseconds after which an actor's turn comes again.
const ROUND_MS: u64 = 32;
/// Calls of peers after which a simulation is taken to run in circles.
const CALLS_MAX: u64 = 500_000;

/// One simulation.
pub struct Stage {
    seed: u64,
    begun: Instant,
    faults_per_mille: AtomicU32,
    over: AtomicBool,
    calls: AtomicU64,
    trace: Mutex<DefaultHasher>,
    shown: bool,
}

impl Stage {
    pub fn new(seed: u64, shown: bool) -> Arc<Self> {
        Arc::new(Self {
            seed,
            begun: Instant::now(),
            faults_per_mille: AtomicU32::new(0),
            over: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            trace: Mutex::new(DefaultHasher::new()),
            shown,
        })
    }

    pub fn set_faults(&self, per_mille: u32) {
        self.faults_per_mille.store(per_mille, Ordering::SeqCst);
    }

    /// Nothing goes wrong any more, or has ever.
    pub fn is_calm(&self) -> bool {
        self.faults_per_mille.load(Ordering::SeqCst) == 0
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// What has happened, in short.
    pub fn hash(&self) -> u64 {
        self.trace.lock().unwrap().finish()
    }

    /// Somebody who acts at times of its own. Each has another `slot`.
    pub fn actor(self: &Arc<Self>, slot: u64, name: impl Into<String>) -> Arc<Actor> {
        assert!(slot < ROUND_MS, "too many actors");
        let dice = StdRng::seed_from_u64(self.seed * ROUND_MS + slot);
        Arc::new(Actor { stage: self.clone(), slot, name: name.into(), dice: Mutex::new(dice) })
    }
}

/// Somebody with dice and turns.
pub struct Actor {
    stage: Arc<Stage>,
    slot: u64,
    name: String,
    dice: Mutex<StdRng>,
}

impl Actor {
    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        self.dice.lock().unwrap().random_range(0..end)
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn percent(&self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.dice.lock().unwrap().fill_bytes(&mut bytes);
        bytes
    }

    /// Whether the next thing fails.
    pub fn fails(&self) -> bool {
        let faults = self.stage.faults_per_mille.load(Ordering::SeqCst);
        faults > 0 && self.below(1000) < faults as usize
    }

    /// Waits up to so long, and for this actor's turn.
    pub async fn pause(&self, up_to_ms: u64) {
        let now = u64::try_from(self.stage.begun.elapsed().as_millis()).unwrap();
        let least = now + 1 + self.dice.lock().unwrap().random_range(0..=up_to_ms);
        let turn = least + (ROUND_MS + self.slot - least % ROUND_MS) % ROUND_MS;
        tokio::time::sleep_until(self.stage.begun + Duration::from_millis(turn)).await;
    }

    /// One more call of a peer.
    pub fn count_call(&self) {
        let calls = self.stage.calls.fetch_add(1, Ordering::SeqCst);
        assert!(calls < CALLS_MAX, "it runs in circles");
    }

    /// Writes down what happens.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let at = self.stage.begun.elapsed().as_millis();
        let line = format!("{at} {} {what}", self.name);
        if self.stage.shown {
            println!("{line}");
        }
        line.hash(&mut *self.stage.trace.lock().unwrap());
    }
}
