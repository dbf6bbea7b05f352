//! Compiled modules by the digest of their bytes, for all threads.
//!
//! Invariants: a module is compiled by one thread at a time, and few modules at once, for each
//! takes memory; whoever waits does so within the time of its own call. Of the modules that were
//! not used lately only so many are kept, by number and by bytes; one that is in use stays alive
//! until its calls end. What fails is forgotten: to find the mistake again is quick.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::compiled::Compiled;
use crate::sandbox::clock::Clock;
use crate::sandbox::program::CallError;

const MODULES_MAX: usize = 64;
const BYTES_MAX: usize = 64 << 20;
/// Modules that are compiled at the same time.
const COMPILING_MAX: usize = 2;
/// How often whoever waits looks at its clock.
const LOOK: Duration = Duration::from_millis(20);

type Digest = [u8; 32];

#[derive(Default)]
pub(super) struct Cache {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: HashMap<Digest, Ready>,
    compiling: Vec<Digest>,
    /// Counts uses.
    uses: u64,
}

struct Ready {
    compiled: Arc<Compiled>,
    used: u64,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The module of that digest, which `compile` makes where there is none.
    ///
    /// # Errors
    /// Those of `compile`; [`CallError::TimedOut`] where others compile for too long.
    pub fn get(
        &self,
        digest: &Digest,
        clock: &Clock,
        compile: impl FnOnce() -> Result<Compiled, CallError>,
    ) -> Result<Arc<Compiled>, CallError> {
        let mut state = self.lock();
        loop {
            if let Some(compiled) = state.find(digest) {
                return Ok(compiled);
            }
            if state.compiling.len() < COMPILING_MAX && !state.compiling.contains(digest) {
                break;
            }
            if clock.is_over() {
                return Err(CallError::TimedOut);
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.compiling.push(*digest);
        drop(state);
        let turn = Turn { cache: self, digest };
        let compiled = Arc::new(compile()?);
        self.lock().keep(*digest, &compiled);
        drop(turn);
        Ok(compiled)
    }
}

/// Being at compiling a module; ends even where the compiler panics.
struct Turn<'a> {
    cache: &'a Cache,
    digest: &'a Digest,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.cache.lock().compiling.retain(|digest| digest != self.digest);
        self.cache.changed.notify_all();
    }
}

impl State {
    fn find(&mut self, digest: &Digest) -> Option<Arc<Compiled>> {
        self.uses += 1;
        let ready = self.ready.get_mut(digest)?;
        ready.used = self.uses;
        Some(Arc::clone(&ready.compiled))
    }

    fn keep(&mut self, digest: Digest, compiled: &Arc<Compiled>) {
        self.uses += 1;
        let ready = Ready { compiled: Arc::clone(compiled), used: self.uses };
        self.ready.insert(digest, ready);
        while self.ready.len() > MODULES_MAX || self.bytes() > BYTES_MAX {
            let oldest = self.ready.iter().min_by_key(|(_, ready)| ready.used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else { return };
            self.ready.remove(&oldest);
        }
    }

    fn bytes(&self) -> usize {
        self.ready.values().map(|ready| ready.compiled.bytes()).sum()
    }
}
