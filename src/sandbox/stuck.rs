//! Remembers what runs on although nobody waits for it any more.
//!
//! Each program that the engine cannot interrupt costs a thread until it ends by itself. While it
//! does, the program is refused, so that it costs no second one.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The programs, by the hash of their content.
#[derive(Default)]
pub(super) struct Stuck {
    programs: Mutex<HashSet<[u8; 32]>>,
}

/// One run of a program, as its caller sees it.
pub(super) struct Run(Arc<State>);

/// The same run, as its thread sees it; the run ends when this is dropped.
pub(super) struct Running(Arc<State>);

struct State {
    stuck: Arc<Stuck>,
    key: [u8; 32],
    /// Changed under the lock of the programs alone.
    ended: AtomicBool,
}

impl Stuck {
    /// None while the program is stuck.
    pub fn begin(self: &Arc<Self>, key: [u8; 32]) -> Option<(Run, Running)> {
        if self.lock().contains(&key) {
            return None;
        }
        let state = State { stuck: Arc::clone(self), key, ended: AtomicBool::new(false) };
        let state = Arc::new(state);
        Some((Run(Arc::clone(&state)), Running(state)))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// The caller gives up, unless the run has just ended.
    pub fn give_up(&self) {
        let mut programs = self.0.stuck.lock();
        if !self.0.ended.load(Relaxed) {
            programs.insert(self.0.key);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut programs = self.0.stuck.lock();
        self.0.ended.store(true, Relaxed);
        programs.remove(&self.0.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [1; 32];

    #[test]
    fn a_program_is_refused_for_as_long_as_it_runs_on() {
        let stuck = Arc::new(Stuck::default());
        let (run, running) = stuck.begin(KEY).unwrap();
        assert!(stuck.begin(KEY).is_some(), "it may run on several threads");
        run.give_up();
        assert!(stuck.begin(KEY).is_none());
        assert!(stuck.begin([2; 32]).is_some());
        drop(running);
        assert!(stuck.begin(KEY).is_some());
    }

    #[test]
    fn a_run_that_has_just_ended_is_not_stuck() {
        let stuck = Arc::new(Stuck::default());
        let (run, running) = stuck.begin(KEY).unwrap();
        drop(running);
        run.give_up();
        assert!(stuck.begin(KEY).is_some());
    }
}
