//! The programs that a thread of the pool has ready.
//!
//! Each thread has its own, so that nothing of a program is ever shared between threads. Bounded
//! in number and in memory; what was not called for a while is dropped, and so is an instance that
//! broke a limit or that panicked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::instance::{self, Instance, Setup};
use super::program::{CallError, Program};

/// Programs that one thread keeps ready.
const INSTANCES_MAX: usize = 32;

/// What one thread keeps in memory, in programs: as much as this many may take at most. The one
/// used last is kept in any case.
const FULL_INSTANCES_MAX: usize = 1;

/// An instance is measured whenever it has run for so long: measuring takes a hundredth of it.
const MEASURED_EVERY: Duration = Duration::from_millis(20);

/// How many instances all threads of a sandbox have together, and how many they keep. Each keeps
/// the one that it used last in any case.
#[derive(Debug)]
pub(super) struct Kept {
    count: AtomicUsize,
    max: AtomicUsize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), max: AtomicUsize::new(usize::MAX) }
    }
}

impl Kept {
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    fn surplus(&self) -> usize {
        self.count.load(Relaxed).saturating_sub(self.max.load(Relaxed))
    }
}

/// An instance among those that are counted.
struct Counted(Arc<Kept>);

impl Counted {
    fn new(kept: &Arc<Kept>) -> Self {
        kept.count.fetch_add(1, Relaxed);
        Self(Arc::clone(kept))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Relaxed);
    }
}

thread_local! {
    static INSTANCES: RefCell<Instances> = RefCell::default();
}

/// Lately used ones last.
#[derive(Default)]
struct Instances {
    ready: VecDeque<Ready>,
}

struct Ready {
    key: [u8; 32],
    instance: Box<dyn Instance>,
    used: Instant,
    memory_bytes: usize,
    ran_since_measured: Duration,
    counted: Counted,
}

/// Uses a program's instance on this thread, which is made where there is none. One that ran out
/// of memory though it was not new gets a second chance as a new one: what its globals piled up
/// in earlier calls is gone then.
pub(super) fn with_instance<T>(
    program: &Program,
    setup: &Setup,
    clock: &Rc<Clock>,
    mut use_it: impl FnMut(&mut dyn Instance) -> Result<T, CallError>,
) -> Result<T, CallError> {
    if let Some(ready) = take(&program.key) {
        match use_once(ready, setup, &mut use_it) {
            Err(CallError::OutOfMemory) => clock.restart(),
            answer => return answer,
        }
    }
    let begun = Instant::now();
    let ready = Ready {
        key: program.key,
        instance: instance::create(&program.code, setup, clock)?,
        used: begun,
        memory_bytes: 0,
        ran_since_measured: MEASURED_EVERY,
        counted: Counted::new(&setup.kept),
    };
    use_once(ready, setup, &mut use_it)
}

fn use_once<T>(
    mut ready: Ready,
    setup: &Setup,
    use_it: &mut impl FnMut(&mut dyn Instance) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let begun = Instant::now();
    let answer = use_it(&mut *ready.instance);
    if ready.instance.is_sound() {
        ready.used = Instant::now();
        ready.ran_since_measured += begun.elapsed();
        if ready.ran_since_measured >= MEASURED_EVERY {
            ready.memory_bytes = ready.instance.memory_bytes();
            ready.ran_since_measured = Duration::ZERO;
        }
        put(ready, setup.limits.memory_bytes.saturating_mul(FULL_INSTANCES_MAX));
    }
    answer
}

/// Drops what this thread has not used for `idle_max`.
pub(super) fn drop_idle(idle_max: Duration) {
    let idle: Vec<Ready> = INSTANCES.with_borrow_mut(|instances| {
        let fresh = instances.ready.iter().position(|ready| ready.used.elapsed() < idle_max);
        let idle = fresh.unwrap_or(instances.ready.len());
        instances.ready.drain(..idle).collect()
    });
    drop(idle);
}

/// Takes an instance out while it is used, so that one that panics is never seen again.
fn take(key: &[u8; 32]) -> Option<Ready> {
    INSTANCES.with_borrow_mut(|instances| {
        let at = instances.ready.iter().position(|ready| ready.key == *key)?;
        instances.ready.remove(at)
    })
}

fn put(ready: Ready, bytes_max: usize) {
    let too_many = ready.counted.0.surplus();
    let dropped: Vec<Ready> = INSTANCES.with_borrow_mut(|instances| {
        instances.ready.push_back(ready);
        let mut bytes: usize = instances.ready.iter().map(|ready| ready.memory_bytes).sum();
        let mut surplus = 0;
        for ready in instances.ready.iter().take(instances.ready.len() - 1) {
            let few = instances.ready.len() - surplus <= INSTANCES_MAX && surplus >= too_many;
            if few && bytes <= bytes_max {
                break;
            }
            surplus += 1;
            bytes -= ready.memory_bytes;
        }
        instances.ready.drain(..surplus).collect()
    });
    drop(dropped);
}
