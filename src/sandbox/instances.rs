//! The programs that a thread of the pool has ready.
//!
//! Each thread has its own, so that nothing of a program is ever shared between threads. Bounded
//! in number; what was not called for a while is dropped, and so is an instance that broke a
//! limit or that panicked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::engine::Limits;
use super::instance::{self, Instance};
use super::program::{CallError, Program};

/// Programs that one thread keeps ready.
const INSTANCES_MAX: usize = 32;

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
}

/// Uses a program's instance on this thread, which is made where there is none.
pub(super) fn with_instance<T>(
    program: &Program,
    limits: &Limits,
    clock: &Rc<Clock>,
    use_it: impl FnOnce(&mut dyn Instance) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let mut instance = match take(&program.key) {
        Some(instance) => instance,
        None => instance::create(&program.code, limits, clock)?,
    };
    let answer = use_it(&mut *instance);
    if instance.is_sound() {
        put(program.key, instance);
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
fn take(key: &[u8; 32]) -> Option<Box<dyn Instance>> {
    INSTANCES.with_borrow_mut(|instances| {
        let at = instances.ready.iter().position(|ready| ready.key == *key)?;
        instances.ready.remove(at).map(|ready| ready.instance)
    })
}

fn put(key: [u8; 32], instance: Box<dyn Instance>) {
    let ready = Ready { key, instance, used: Instant::now() };
    let dropped = INSTANCES.with_borrow_mut(|instances| {
        instances.ready.push_back(ready);
        (instances.ready.len() > INSTANCES_MAX).then(|| instances.ready.pop_front())
    });
    drop(dropped);
}
