//! The operating system threads that user code runs on.
//!
//! A fixed number of threads takes jobs from one bounded queue. The engine stops nearly every
//! runaway program by itself; what it cannot interrupt (its parser, a search in a huge string)
//! costs its caller no more than the time limit: the caller gives the thread up, and the pool
//! starts another in its place, up to a limit of its own.
//!
//! Invariants: a caller waits for a bounded time; a job that was answered for its caller does not
//! begin afterwards; a job that panics takes nobody else with it; the number of threads never
//! exceeds [`PoolOptions::threads`] and [`PoolOptions::overruns_max`] together.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use super::clock::Progress;
use super::instances::drop_idle;

/// How a pool is set up.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Threads that take jobs.
    pub threads: usize,
    /// Jobs that may wait for a thread.
    pub queue_max: usize,
    /// How long a job may wait for a thread.
    pub wait: Duration,
    /// Threads that may be busy with jobs whose callers gave them up, beside `threads`.
    pub overruns_max: usize,
    /// Stack of each thread; the engine's limit must fit in with room to spare.
    pub stack_bytes: usize,
    /// How long a thread keeps what it has ready without using it.
    pub idle: Duration,
}

impl Default for PoolOptions {
    /// As many threads as the machine has processors.
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(2, usize::from),
            queue_max: 256,
            wait: Duration::from_secs(10),
            overruns_max: 4,
            // Boa's parser recurses; what is not used takes no memory.
            stack_bytes: if cfg!(any(test, feature = "boa")) { 256 << 20 } else { 4 << 20 },
            idle: Duration::from_mins(5),
        }
    }
}

/// Why the pool gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Too many jobs wait already, or this one has waited for too long.
    #[error("too many functions are waiting to be run")]
    Busy,
    /// The job did not end within its time.
    #[error("the function did not end in time")]
    Overrun,
    /// The job panicked.
    #[error("the function's engine failed")]
    Crashed,
}

/// A fixed number of threads; they end when the pool is dropped and their jobs are done.
pub struct Pool {
    shared: Arc<Shared>,
    /// How long a job may wait for a thread.
    wait: Duration,
}

/// Told that an answer is there.
pub type Told = Arc<dyn Fn() + Send + Sync>;

/// What a job is found to be like.
pub enum Asked<T> {
    /// It has ended.
    Answer(T),
    /// It has not; ask again after this time, or when told.
    Wait(Duration),
}

/// A job that was handed to a pool. Whoever has it asks until there is an answer: only so is a job
/// given up that does not end in time.
pub struct Begun<T> {
    shared: Arc<Shared>,
    ticket: Arc<Ticket<T>>,
    come: Instant,
    queue_wait: Duration,
    time_max: Duration,
}

struct Shared {
    options: PoolOptions,
    /// How long a thread keeps what it has ready without using it.
    idle_ms: AtomicU64,
    /// Grows when all that is ready is to be forgotten.
    generation: AtomicU64,
    state: Mutex<State>,
    job_came: Condvar,
}

struct State {
    queue: VecDeque<Box<dyn Job>>,
    /// Jobs at work for callers who wait for them, and how many there may be.
    running: usize,
    running_max: usize,
    /// Threads that are busy with jobs that nobody waits for any more.
    overruns: usize,
    closed: bool,
}

impl Pool {
    /// Starts the threads; an error is the operating system's.
    pub fn new(options: PoolOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            idle_ms: AtomicU64::default(),
            generation: AtomicU64::default(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                running: 0,
                running_max: usize::MAX,
                overruns: 0,
                closed: false,
            }),
            job_came: Condvar::new(),
        });
        let pool = Self { shared, wait: options.wait };
        pool.set_idle_limit(options.idle);
        for _ in 0..options.threads.max(1) {
            pool.shared.start_thread()?;
        }
        Ok(pool)
    }

    /// Changes [`PoolOptions::idle`].
    pub(super) fn set_idle_limit(&self, idle: Duration) {
        let milliseconds = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.shared.idle_ms.store(milliseconds, Relaxed);
    }

    /// Lets no more than this many jobs run at once; the others wait as for a thread.
    pub(super) fn set_running_max(&self, most: usize) {
        self.shared.lock().running_max = most.max(1);
        self.shared.job_came.notify_all();
    }

    /// Has each thread drop what it has ready before its next job.
    pub(super) fn forget(&self) {
        self.shared.generation.fetch_add(1, Relaxed);
    }

    /// Runs `work` on a thread of the pool and waits for it: in the queue for at most
    /// [`PoolOptions::wait`], then for at most `time_max`.
    pub fn run<T: Send + 'static>(
        &self,
        time_max: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        self.run_in_steps(time_max, |_| work())
    }

    /// Runs `work`, which goes in steps that it tells to what it is given: each may take
    /// `time_max`.
    pub(super) fn run_in_steps<T: Send + 'static>(
        &self,
        time_max: Duration,
        work: impl FnOnce(Arc<dyn Progress>) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        self.begin(time_max, None, work)?.wait()
    }

    /// Hands over `work` as [`Self::run_in_steps`] does and waits for nothing; `told` is called
    /// once there is an answer.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        time_max: Duration,
        told: Option<Told>,
        work: impl FnOnce(Arc<dyn Progress>) -> T + Send + 'static,
    ) -> Result<Begun<T>, PoolError> {
        let (phase, moved) = (Mutex::new(Phase::Waiting), Condvar::new());
        let ticket = Arc::new(Ticket { phase, moved, told });
        let (shared, come) = (Arc::clone(&self.shared), Instant::now());
        shared.enqueue(Box::new(Task { work, ticket: Arc::clone(&ticket) }))?;
        Ok(Begun { shared, ticket, come, queue_wait: self.wait, time_max })
    }
}

impl Drop for Pool {
    /// Does not wait for the threads: a job may take long, and nobody is left to see its answer.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.job_came.notify_all();
    }
}

impl<T> Begun<T> {
    /// Asks for the answer, which is given once. Gives up a job that is out of time.
    pub fn ask(&self) -> Asked<Result<T, PoolError>> {
        let look = self.look(&mut self.ticket.lock());
        match look {
            Look::Left(left) => Asked::Wait(left),
            Look::Ended(answer) => Asked::Answer(answer),
            Look::Late => Asked::Answer(self.shared.give_up(&self.ticket)),
        }
    }

    /// Waits for the answer.
    pub fn wait(self) -> Result<T, PoolError> {
        let mut phase = self.ticket.lock();
        loop {
            let left = match self.look(&mut phase) {
                Look::Left(left) => left,
                Look::Ended(answer) => return answer,
                Look::Late => break,
            };
            let waited = self.ticket.moved.wait_timeout(phase, left);
            phase = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(phase);
        self.shared.give_up(&self.ticket)
    }

    fn look(&self, phase: &mut Phase<T>) -> Look<T> {
        let time_max = self.time_max;
        let left = match phase {
            // Nobody tells when the job begins; it cannot be out of time before.
            Phase::Waiting => self.queue_wait.saturating_sub(self.come.elapsed()).min(time_max),
            Phase::Running(None) => time_max,
            Phase::Running(Some(since)) => time_max.saturating_sub(since.elapsed()),
            Phase::Done(_) | Phase::Abandoned => Duration::ZERO,
        };
        if left.is_zero() && !matches!(phase, Phase::Running(_)) {
            return take(phase).map_or(Look::Late, Look::Ended);
        }
        if left.is_zero() { Look::Late } else { Look::Left(left) }
    }
}

/// How a job stands.
enum Look<T> {
    /// It may go on for so long.
    Left(Duration),
    Ended(Result<T, PoolError>),
    /// It runs for longer than it may.
    Late,
}

impl Shared {
    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), PoolError> {
        let mut state = self.lock();
        if state.queue.len() >= self.options.queue_max {
            return Err(PoolError::Busy);
        }
        state.queue.push_back(job);
        self.job_came.notify_one();
        Ok(())
    }

    /// Leaves a job that is out of time to its thread and starts another thread in its place.
    /// Both happen under the lock, so that the thread, once done, finds itself replaced.
    fn give_up<T>(self: &Arc<Self>, ticket: &Ticket<T>) -> Result<T, PoolError> {
        let mut state = self.lock();
        if let Some(answer) = ticket.abandon() {
            return answer;
        }
        if state.overruns < self.options.overruns_max && self.start_thread().is_ok() {
            state.overruns += 1;
        }
        self.ended(&mut state);
        Err(PoolError::Overrun)
    }

    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name("sandbox".to_owned())
            .stack_size(self.options.stack_bytes)
            .spawn(move || shared.work())?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life. What it has ready goes before an engine's own data of the thread does.
    fn work(&self) {
        self.do_jobs();
        drop_idle(Duration::ZERO);
    }

    fn do_jobs(&self) {
        let mut generation = self.generation.load(Relaxed);
        loop {
            let idle = Duration::from_millis(self.idle_ms.load(Relaxed));
            match self.next_job(idle) {
                Next::Job(job) => {
                    let newest = self.generation.load(Relaxed);
                    if mem::replace(&mut generation, newest) != newest {
                        drop_idle(Duration::ZERO);
                    }
                    match job.run() {
                        Ended::Answered => self.ended(&mut self.lock()),
                        Ended::Abandoned if self.is_replaced() => return,
                        Ended::Abandoned => {}
                    }
                }
                Next::Idle => drop_idle(idle),
                Next::Closed => return,
            }
        }
    }

    fn next_job(&self, idle: Duration) -> Next {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Next::Closed;
            }
            if state.running < state.running_max
                && let Some(job) = state.queue.pop_front()
            {
                state.running += 1;
                return Next::Job(job);
            }
            let waited = self.job_came.wait_timeout(state, idle / 4);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && woken.queue.is_empty() && !woken.closed {
                return Next::Idle;
            }
            state = woken;
        }
    }

    /// A job has ended, or nobody waits for it any more: another may run.
    fn ended(&self, state: &mut State) {
        state.running -= 1;
        self.job_came.notify_one();
    }

    fn is_replaced(&self) -> bool {
        let mut state = self.lock();
        let replaced = state.overruns > 0;
        state.overruns = state.overruns.saturating_sub(1);
        replaced
    }
}

/// What a thread is to do next.
enum Next {
    Job(Box<dyn Job>),
    /// Nothing, for a while.
    Idle,
    Closed,
}

/// How a job ended, as its thread sees it.
#[derive(PartialEq, Eq)]
enum Ended {
    Answered,
    /// Its caller had given it up.
    Abandoned,
}

trait Job: Send {
    fn run(self: Box<Self>) -> Ended;
}

struct Task<T, W> {
    work: W,
    ticket: Arc<Ticket<T>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send + 'static,
    W: FnOnce(Arc<dyn Progress>) -> T + Send,
{
    fn run(self: Box<Self>) -> Ended {
        let Self { work, ticket } = *self;
        if !ticket.begin() {
            return Ended::Answered;
        }
        let progress = Arc::clone(&ticket) as Arc<dyn Progress>;
        let work = AssertUnwindSafe(|| work(progress));
        let answer = catch_unwind(work).map_err(|_| PoolError::Crashed);
        ticket.finish(answer)
    }
}

/// What a caller and the thread that does its job share.
struct Ticket<T> {
    phase: Mutex<Phase<T>>,
    moved: Condvar,
    told: Option<Told>,
}

enum Phase<T> {
    Waiting,
    /// Since when the present step runs; none while it waits for something outside.
    Running(Option<Instant>),
    Done(Result<T, PoolError>),
    /// The caller has gone.
    Abandoned,
}

impl<T> Ticket<T> {
    fn lock(&self) -> MutexGuard<'_, Phase<T>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the job alone, unless its answer has just come.
    fn abandon(&self) -> Option<Result<T, PoolError>> {
        take(&mut self.lock()).filter(|answer| !matches!(answer, Err(PoolError::Busy)))
    }

    /// False when the caller has gone.
    fn begin(&self) -> bool {
        let mut phase = self.lock();
        let wanted = matches!(*phase, Phase::Waiting);
        if wanted {
            *phase = Phase::Running(Some(Instant::now()));
        }
        wanted
    }

    fn finish(&self, answer: Result<T, PoolError>) -> Ended {
        let mut phase = self.lock();
        if matches!(*phase, Phase::Abandoned) {
            return Ended::Abandoned;
        }
        *phase = Phase::Done(answer);
        drop(phase);
        self.moved.notify_one();
        if let Some(told) = &self.told {
            told();
        }
        Ended::Answered
    }
}

impl<T: Send> Progress for Ticket<T> {
    fn restart(&self) {
        self.note(Some(Instant::now()));
    }

    fn pause(&self) {
        self.note(None);
    }
}

impl<T> Ticket<T> {
    /// The caller is not woken: it looks again when the time of the step before is over.
    fn note(&self, since: Option<Instant>) {
        let mut phase = self.lock();
        if matches!(*phase, Phase::Running(_)) {
            *phase = Phase::Running(since);
        }
    }
}

/// Ends the caller's part: the answer if there is one, [`PoolError::Busy`] if nothing has begun.
fn take<T>(phase: &mut Phase<T>) -> Option<Result<T, PoolError>> {
    match mem::replace(phase, Phase::Abandoned) {
        Phase::Done(answer) => Some(answer),
        Phase::Waiting => Some(Err(PoolError::Busy)),
        Phase::Running(_) | Phase::Abandoned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_mins(1);

    fn one_thread(queue_max: usize, wait: Duration, overruns_max: usize) -> Pool {
        let options =
            PoolOptions { threads: 1, queue_max, wait, overruns_max, ..Default::default() };
        Pool::new(options).unwrap()
    }

    #[test]
    fn work_is_done_by_another_thread() {
        let pool = one_thread(1, LONG, 0);
        let here = thread::current().id();
        assert_eq!(pool.run(LONG, move || thread::current().id() == here), Ok(false));
    }

    #[test]
    fn a_job_that_panics_leaves_the_thread_to_the_next() {
        let pool = one_thread(1, LONG, 0);
        assert_eq!(pool.run(LONG, || panic!("on purpose")), Err::<(), _>(PoolError::Crashed));
        assert_eq!(pool.run(LONG, || 7), Ok(7));
    }

    /// Blocks the pool's thread until the sender is dropped.
    fn block(pool: &Pool, time_max: Duration) -> (mpsc::Sender<()>, Result<(), PoolError>) {
        let (hold, released) = mpsc::channel::<()>();
        let answer = pool.run(time_max, move || {
            let _ = released.recv();
        });
        (hold, answer)
    }

    #[test]
    fn an_overrun_is_given_up_and_its_thread_replaced() {
        let pool = one_thread(1, LONG, 1);
        let (hold, answer) = block(&pool, Duration::from_millis(1));
        assert_eq!(answer, Err(PoolError::Overrun));
        assert_eq!(pool.run(LONG, || 7), Ok(7));
        assert_eq!(pool.shared.lock().overruns, 1);
        drop(hold);
        while pool.shared.lock().overruns > 0 {
            thread::yield_now();
        }
        assert_eq!(pool.run(LONG, || 8), Ok(8));
    }

    #[test]
    fn no_more_jobs_run_at_once_than_may() {
        let pool = Pool::new(PoolOptions { threads: 4, wait: LONG, ..Default::default() }).unwrap();
        pool.set_running_max(2);
        let (running, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        thread::scope(|scope| {
            for _ in 0..8 {
                let (pool, running, most) = (&pool, Arc::clone(&running), Arc::clone(&most));
                scope.spawn(move || {
                    let work = move || {
                        most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
                        thread::yield_now();
                        running.fetch_sub(1, Relaxed);
                    };
                    pool.run(LONG, work).unwrap();
                });
            }
        });
        assert!((1..=2).contains(&most.load(Relaxed)), "{}", most.load(Relaxed));
        // Who is given up makes room.
        pool.set_running_max(1);
        let (hold, answer) = block(&pool, Duration::from_millis(1));
        assert_eq!(answer, Err(PoolError::Overrun));
        assert_eq!(pool.run(LONG, || 7), Ok(7));
        drop(hold);
    }

    #[test]
    fn waiting_in_the_queue_is_bounded_in_time_and_number() {
        let mut pool = one_thread(1, LONG, 0);
        let (hold, answer) = block(&pool, Duration::from_millis(1));
        assert_eq!(answer, Err(PoolError::Overrun));
        pool.wait = Duration::from_millis(1);
        let (ran, whether_ran) = mpsc::channel();
        let refused = pool.run(LONG, move || ran.send(()).unwrap());
        assert_eq!(refused, Err(PoolError::Busy), "waited for too long");
        assert_eq!(pool.run(LONG, || ()), Err(PoolError::Busy), "the queue is full");
        drop(hold);
        while !pool.shared.lock().queue.is_empty() {
            thread::yield_now();
        }
        pool.wait = LONG;
        assert_eq!(pool.run(LONG, || 7), Ok(7));
        assert!(whether_ran.recv().is_err(), "a job that was refused must not run");
    }

    #[test]
    fn whoever_begins_a_job_is_told_of_its_answer() {
        let pool = one_thread(4, LONG, 0);
        let (tell, answers) = mpsc::channel();
        let told = Arc::new(move || tell.send(()).unwrap());
        let (go, wait) = mpsc::channel::<()>();
        let work = move |_| wait.recv().map(|()| 7);
        let begun = pool.begin(LONG, Some(told), work).unwrap();
        assert!(matches!(begun.ask(), Asked::Wait(left) if left <= LONG));
        go.send(()).unwrap();
        answers.recv().unwrap();
        assert!(matches!(begun.ask(), Asked::Answer(Ok(Ok(7)))));
    }

    #[test]
    fn a_job_is_given_up_by_who_asks() {
        let pool = one_thread(4, LONG, 1);
        let (go, wait) = mpsc::channel::<()>();
        let work = move |_| wait.recv().is_ok();
        let begun = pool.begin(Duration::from_millis(1), None, work).unwrap();
        while matches!(begun.ask(), Asked::Wait(_)) {
            thread::yield_now();
        }
        assert_eq!(pool.run(LONG, || 8), Ok(8), "another thread has taken its place");
        go.send(()).unwrap();
    }
}
