//! The clock tick that makes running modules look at the time.
//!
//! Compiled code asks at every loop and function whether the engine's epoch has moved. A thread
//! moves it while calls run, and sleeps while none does.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How much longer than its time limit a call may run.
const TICK: Duration = Duration::from_millis(10);

/// The thread that ticks.
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    running: Mutex<usize>,
    begun: Condvar,
}

/// A call runs: the epoch moves as long as this lives.
pub(super) struct Ticking {
    shared: Arc<Shared>,
}

impl Ticker {
    /// Starts the thread, which lives as long as the process.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, seen) = (engine.clone(), Arc::clone(&shared));
        thread::Builder::new().name("wasm clock".to_owned()).spawn(move || {
            loop {
                seen.wait_until_running();
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared })
    }

    pub fn begin(&self) -> Ticking {
        let mut running = self.shared.lock();
        *running += 1;
        if *running == 1 {
            self.shared.begun.notify_one();
        }
        drop(running);
        Ticking { shared: Arc::clone(&self.shared) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_running(&self) {
        let running = self.begun.wait_while(self.lock(), |running| *running == 0);
        drop(running.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        *self.shared.lock() -= 1;
    }
}
