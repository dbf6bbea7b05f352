//! The sandbox: the pools of threads that user code runs on, and what they are for.
//!
//! There are three pools, so that no kind of work starves another: builds of indexes, which wait
//! for as long as it takes; lists, whose readers may be slow; and all other calls, for which
//! requests wait.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::clock::Clock;
use super::compile::{CompileError, check, check_length};
use super::engine::{Engine, Limits, engine};
use super::host::Collate;
use super::instance::{Instance, Setup};
use super::instances::{Kept, with_instance};
use super::native::NativeFunction;
use super::pool::{Asked, Begun, Pool, PoolError, PoolOptions, Told};
use super::program::{CallError, Program};
use super::stuck::{Run, Stuck};
use super::verdicts::{Key, Verdicts};
use super::wasm::{self, WasmModule};

/// How a sandbox is set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub limits: Limits,
    /// What `localeCompare` means.
    pub collate: Collate,
    /// Threads that build indexes.
    pub builders: PoolOptions,
    /// Threads that run lists.
    pub lists: PoolOptions,
    /// Threads that run everything else.
    pub callers: PoolOptions,
    /// What a step is granted beyond its time limit before its thread is given up: the engine's
    /// own limit should strike first, for only it gives the thread back.
    pub grace: Duration,
}

impl Default for Options {
    /// Strings in the order of their code points; as many builders as there are processors;
    /// some more threads for requests, so that a function that runs until its time is over does
    /// not hold up the others.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(2, usize::from);
        let callers = (2 * processors).max(4);
        Self {
            limits: Limits::default(),
            collate: str::cmp,
            builders: PoolOptions {
                threads: processors,
                // Builds are batches of one another's size: whoever waits comes to its turn.
                queue_max: usize::MAX,
                wait: Duration::MAX,
                ..PoolOptions::default()
            },
            lists: PoolOptions { threads: callers / 2, ..PoolOptions::default() },
            callers: PoolOptions { threads: callers, ..PoolOptions::default() },
            grace: Duration::from_millis(500),
        }
    }
}

/// What a call is for, which decides where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Build,
    List,
    Request,
}

/// Compiles and runs user code; one for the whole server.
pub struct Sandbox {
    engine: &'static dyn Engine,
    limits: Limits,
    collate: Collate,
    time_limit_ms: AtomicU64,
    builders: Pool,
    lists: Pool,
    callers: Pool,
    grace: Duration,
    kept: Arc<Kept>,
    stuck: Arc<Stuck>,
    verdicts: Mutex<Verdicts>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("limits", &self.limits()).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the threads; an error is the operating system's.
    pub fn new(options: Options) -> io::Result<Self> {
        Self::with_engine(options, engine())
    }

    /// As [`Self::new`], with an engine of one's choice.
    pub(super) fn with_engine(options: Options, engine: &'static dyn Engine) -> io::Result<Self> {
        let sandbox = Self {
            engine,
            limits: options.limits,
            collate: options.collate,
            time_limit_ms: AtomicU64::default(),
            builders: Pool::new(options.builders)?,
            lists: Pool::new(options.lists)?,
            callers: Pool::new(options.callers)?,
            grace: options.grace,
            kept: Arc::default(),
            stuck: Arc::default(),
            verdicts: Mutex::default(),
        };
        sandbox.set_time_limit(options.limits.time);
        Ok(sandbox)
    }

    /// Changes how long a function may run, from the next call on.
    pub fn set_time_limit(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.time_limit_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Changes how long a thread keeps a program ready that nobody calls.
    pub fn set_idle_limit(&self, idle: Duration) {
        for pool in [&self.builders, &self.lists, &self.callers] {
            pool.set_idle_limit(idle);
        }
    }

    /// Lets each pool run no more than `running` calls at once; the others wait. Of programs that
    /// are ready all threads together keep no more than `kept`, but each the one it used last.
    pub fn set_instance_limits(&self, running: usize, kept: usize) {
        for pool in [&self.builders, &self.lists, &self.callers] {
            pool.set_running_max(running);
        }
        self.kept.set_max(kept);
    }

    /// Forgets every program that is ready: each is made anew from its source.
    pub fn forget_programs(&self) {
        for pool in [&self.builders, &self.lists, &self.callers] {
            pool.forget();
        }
    }

    fn limits(&self) -> Limits {
        let time = Duration::from_millis(self.time_limit_ms.load(Ordering::Relaxed));
        Limits { time, ..self.limits }
    }

    /// Whether `source` is a function by CouchDB's rules. Blocks for at most the time limit and
    /// the pool's waiting time.
    pub fn check_function(&self, source: &str) -> Result<(), CompileError> {
        check_length(source)?;
        let key = Key::of(source);
        if let Some(verdict) = self.verdicts(|verdicts| verdicts.get(key)) {
            return verdict;
        }
        let verdict = self.compile(key, source.to_owned());
        if verdict.as_ref().err().is_none_or(CompileError::is_about_the_source) {
            self.verdicts(|verdicts| verdicts.insert(key, verdict.clone()));
        }
        verdict
    }

    fn compile(&self, key: Key, source: String) -> Result<(), CompileError> {
        let (engine, limits) = (self.engine, self.limits());
        let Some((run, running)) = self.stuck.begin(key.0) else {
            return Err(CompileError::TimedOut);
        };
        let answer = self.callers.run(limits.time.saturating_add(self.grace), move || {
            let _running = running;
            check(engine, &source, &limits)
        });
        match answer {
            Err(PoolError::Overrun) => {
                run.give_up();
                Err(CompileError::TimedOut)
            }
            answer => answer?,
        }
    }

    /// Whether a WebAssembly module can be used, and has a function that is exported as `export`.
    /// Blocks as [`Self::check_function`] does.
    pub fn check_module(
        &self,
        module: &WasmModule,
        export: Option<&str>,
    ) -> Result<(), CompileError> {
        let time = self.limits().time;
        let (module, export) = (module.clone(), export.map(str::to_owned));
        let answer = self.callers.run_in_steps(time.saturating_add(self.grace), move |progress| {
            wasm::check(&module, export.as_deref(), &Clock::new(time, progress))
        });
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(CallError::Compilation(reason))) => Err(CompileError::Module { reason }),
            Ok(Err(_)) | Err(PoolError::Overrun) => Err(CompileError::TimedOut),
            Err(error) => Err(error.into()),
        }
    }

    fn verdicts<T>(&self, use_them: impl FnOnce(&mut Verdicts) -> T) -> T {
        use_them(&mut self.verdicts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A function as it runs without an engine; none where it does not. Blocks as
    /// [`Self::check_function`] does.
    ///
    /// # Errors
    /// Where that cannot be told now.
    pub fn native_function(&self, source: &str) -> Result<Option<NativeFunction>, CompileError> {
        let (given, time) = (source.to_owned(), self.limits().time);
        let native = self
            .callers
            .run(time.saturating_add(self.grace), move || NativeFunction::new(&given))?;
        match native {
            None => Ok(None),
            Some(native) => match self.check_function(source) {
                Ok(()) => Ok(Some(native)),
                Err(error) if error.is_about_the_source() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Does something that needs much stack but no engine.
    pub(super) fn run_on_builder<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        self.builders.run(self.limits().time.saturating_add(self.grace), work)
    }

    /// Calls a program's instance on a thread of the pool that is for `purpose`.
    pub(super) fn with_instance<T, W>(
        &self,
        purpose: Purpose,
        program: &Program,
        work: W,
    ) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Instance, &Rc<Clock>) -> Result<T, CallError> + Send + 'static,
    {
        self.begin_with_instance(purpose, program, None, work)?.wait()
    }

    /// The same without waiting; `told` is called once there is an answer.
    pub(super) fn begin_with_instance<T, W>(
        &self,
        purpose: Purpose,
        program: &Program,
        told: Option<Told>,
        mut work: W,
    ) -> Result<Call<T>, CallError>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Instance, &Rc<Clock>) -> Result<T, CallError> + Send + 'static,
    {
        let pool = match purpose {
            Purpose::Build => &self.builders,
            Purpose::List => &self.lists,
            Purpose::Request => &self.callers,
        };
        let setup = Setup {
            engine: self.engine,
            limits: self.limits(),
            collate: self.collate,
            kept: Arc::clone(&self.kept),
        };
        let limit = setup.limits.time;
        let program = program.clone();
        let Some((run, running)) = self.stuck.begin(program.key) else {
            return Err(CallError::TimedOut);
        };
        let begun = pool.begin(limit.saturating_add(self.grace), told, move |progress| {
            let clock = Rc::new(Clock::new(limit, progress));
            let _running = running;
            with_instance(&program, &setup, &clock, |instance| work(instance, &clock))
        })?;
        Ok(Call { begun, run })
    }
}

/// A call that was begun. Whoever has it asks until there is an answer, or waits for it: only so
/// is a call given up that does not end in time.
pub struct Call<T> {
    begun: Begun<Result<T, CallError>>,
    run: Run,
}

impl<T> Call<T> {
    /// Asks for the answer, which is given once.
    pub fn ask(&self) -> Asked<Result<T, CallError>> {
        match self.begun.ask() {
            Asked::Answer(answer) => Asked::Answer(of_pool(answer, &self.run)),
            Asked::Wait(left) => Asked::Wait(left),
        }
    }

    /// Waits for the answer. Blocks.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn wait(self) -> Result<T, CallError> {
        of_pool(self.begun.wait(), &self.run)
    }
}

fn of_pool<T>(answer: Result<Result<T, CallError>, PoolError>, run: &Run) -> Result<T, CallError> {
    match answer {
        Err(PoolError::Overrun) => {
            run.give_up();
            Err(CallError::TimedOut)
        }
        answer => answer?,
    }
}
