//! Turning a page of changes into edits on several threads, and handing these on in their order.
//!
//! Threads take chunks of changes one after the other. What they make waits for its turn; how many
//! chunks and bytes may wait is bounded. A panic on a thread fails the build and nothing else.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::super::ViewsError;
use super::changes::Changed;
use super::edits::{Chunk, Maker};

/// Changes that are turned into edits together.
pub(super) const CHUNK_CHANGES: usize = 128;
/// Chunks that may be made or wait, for each thread.
const CHUNKS_AHEAD: usize = 3;
/// Bytes of edits that may wait.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Bytes of edits after which they are handed on.
const HANDED_BYTES: usize = 1 << 20;

type Commit<'a> = dyn FnMut(Vec<Chunk>) -> Result<(), ViewsError> + 'a;

/// Hands the edits of `changes` to `commit`, in order.
///
/// # Errors
/// The first failure; what came before it was handed on.
pub(super) fn run(
    maker: &Maker<'_>,
    changes: &[Changed],
    fresh_until: u64,
    commit: &mut Commit<'_>,
) -> Result<(), ViewsError> {
    if changes.len() <= CHUNK_CHANGES {
        return if changes.is_empty() {
            Ok(())
        } else {
            commit(vec![maker.edits(changes, fresh_until)?])
        };
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let line = Line {
        chunks: changes.chunks(CHUNK_CHANGES).collect(),
        ahead: threads * CHUNKS_AHEAD,
        state: Mutex::default(),
        moved: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(line.chunks.len()) {
            scope.spawn(|| line.work(maker, fresh_until));
        }
        let _stop = Stop(&line);
        line.hand_on(commit)
    })
}

/// Lets the threads end, however the one that hands on has ended.
struct Stop<'a>(&'a Line<'a>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.moved.notify_all();
    }
}

/// Chunks on their way through the threads.
struct Line<'a> {
    chunks: Vec<&'a [Changed]>,
    ahead: usize,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// The next chunk that nobody has taken.
    next: usize,
    /// Chunks that were handed on.
    handed: usize,
    made: BTreeMap<usize, Result<Chunk, ViewsError>>,
    /// Bytes of what is made.
    bytes: usize,
    stopped: bool,
}

impl Line<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'l>(&'l self, state: MutexGuard<'l, State>) -> MutexGuard<'l, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's work. It waits only before it takes a chunk, so the one whose turn it is gets
    /// made.
    fn work(&self, maker: &Maker<'_>, fresh_until: u64) {
        while let Some(at) = self.take() {
            let Some(changes) = self.chunks.get(at) else { return };
            let made = catch_unwind(AssertUnwindSafe(|| maker.edits(changes, fresh_until)));
            let made = made.unwrap_or(Err(ViewsError::Interrupted));
            let mut state = self.lock();
            state.bytes += made.as_ref().map_or(0, |chunk| chunk.bytes);
            state.made.insert(at, made);
            drop(state);
            self.moved.notify_all();
        }
    }

    fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next == self.chunks.len() {
                return None;
            }
            let far = state.next >= state.handed + self.ahead;
            if !far && state.bytes < WAITING_BYTES_MAX {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.wait(state);
        }
    }

    fn hand_on(&self, commit: &mut Commit<'_>) -> Result<(), ViewsError> {
        loop {
            let (chunks, failure) = self.next_chunks();
            if !chunks.is_empty() {
                commit(chunks)?;
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
            if self.lock().handed == self.chunks.len() {
                return Ok(());
            }
        }
    }

    /// Waits for the chunk whose turn it is; with it come those after it that are made already, as
    /// far as they go together.
    fn next_chunks(&self) -> (Vec<Chunk>, Option<ViewsError>) {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        let mut state = self.lock();
        loop {
            let turn = state.handed;
            match state.made.remove(&turn) {
                Some(Ok(chunk)) => {
                    state.handed += 1;
                    bytes += chunk.bytes;
                    chunks.push(chunk);
                    if bytes >= HANDED_BYTES {
                        break;
                    }
                }
                Some(Err(failure)) => return (chunks, Some(failure)),
                None if chunks.is_empty() && turn < self.chunks.len() => state = self.wait(state),
                None => break,
            }
        }
        state.bytes -= bytes;
        drop(state);
        self.moved.notify_all();
        (chunks, None)
    }
}
