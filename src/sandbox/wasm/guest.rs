//! One instance of a module, and calling its functions under limits.
//!
//! A call goes like this: `alloc` makes room for the input, the input is written there, the
//! function is called with its place, and what it returns is the place of its answer. Nothing the
//! module says is trusted: places are checked against its memory, and answers are UTF-8 or none.

use std::time::{Duration, Instant};

use wasmtime::{
    Instance, Memory, ResourceLimiter, Store, Trap, TypedFunc, UpdateDeadline, WasmParams,
    WasmResults,
};

use super::compiled::{ALLOC, Compiled, MEMORY, tick};
use super::ticker::Ticking;
use crate::sandbox::clock::Clock;
use crate::sandbox::engine::Limits;
use crate::sandbox::host::LogLines;

/// The longest answer of a function.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// A function that is called once an instance is made, where it is exported.
const INITIALIZE: &str = "_initialize";

/// Why a call gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TimedOut,
    OutOfMemory,
    /// The module gave up, or did what none may; the words for it.
    Trapped(String),
    /// It answered with what is no answer; the words for it.
    Invalid(String),
}

/// A design function of an instance.
pub(super) type Function = TypedFunc<(u32, u32), u64>;

/// What the server keeps for an instance.
pub(super) struct Guest {
    deadline: Instant,
    room: Room,
    lines: LogLines,
}

impl Guest {
    pub fn log(&mut self, line: &[u8]) {
        self.lines.log(&String::from_utf8_lossy(line));
    }
}

/// The memory that an instance may take.
struct Room {
    memory_bytes: usize,
    /// It asked for more.
    refused: bool,
}

impl ResourceLimiter for Room {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_bytes;
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= TABLE_ELEMENTS_MAX;
        self.refused |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        4
    }

    fn memories(&self) -> usize {
        1
    }
}

/// An instance that runs.
pub(super) struct Running {
    store: Store<Guest>,
    instance: Instance,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    time: Duration,
    _ticking: Option<Ticking>,
}

impl Running {
    /// Makes an instance, which may run code of the module already.
    pub fn new(compiled: &Compiled, limits: &Limits) -> Result<Self, Fault> {
        let ticking = tick();
        let guest = Guest {
            deadline: Instant::now() + limits.time,
            room: Room { memory_bytes: limits.memory_bytes, refused: false },
            lines: LogLines::default(),
        };
        let mut store = Store::new(compiled.instance.module().engine(), guest);
        store.limiter(|guest| &mut guest.room);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let over = Instant::now() >= store.data().deadline;
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        let instance = compiled.instance.instantiate(&mut store);
        let instance = instance.map_err(|error| fault(&store, &error))?;
        let memory = instance.get_memory(&mut store, MEMORY);
        let alloc = instance.get_typed_func(&mut store, ALLOC);
        let (Some(memory), Ok(alloc)) = (memory, alloc) else {
            return Err(Fault::Invalid("The module has other exports than it had.".to_owned()));
        };
        let time = limits.time;
        let mut made = Self { store, instance, memory, alloc, time, _ticking: ticking };
        if let Ok(initialize) = made.instance.get_typed_func(&mut made.store, INITIALIZE) {
            made.run::<(), ()>(&initialize, ())?;
        }
        Ok(made)
    }

    /// An export that can be called.
    pub fn function(&mut self, name: &str) -> Result<Function, Fault> {
        let found = self.instance.get_typed_func(&mut self.store, name);
        found.map_err(|_| Fault::Invalid(format!("The module has no function `{name}`.")))
    }

    /// Begins another step of the call, with the whole time limit.
    pub fn restart(&mut self, clock: &Clock) {
        clock.restart();
        let guest = self.store.data_mut();
        guest.deadline = Instant::now() + self.time;
        guest.lines = LogLines::default();
    }

    /// Calls a function with JSON and adds what it answers, which is UTF-8, to `answers`.
    pub fn call(
        &mut self,
        function: &Function,
        input: &str,
        answers: &mut String,
    ) -> Result<(), Fault> {
        let length = u32::try_from(input.len()).map_err(|_| Fault::OutOfMemory)?;
        let pointer = self.run(&self.alloc.clone(), length)?;
        if pointer == 0 {
            return Err(Fault::OutOfMemory);
        }
        let room = self.memory.data_mut(&mut self.store).get_mut(pointer as usize..);
        let room = room.and_then(|room| room.get_mut(..input.len()));
        let outside = || "`alloc` returned a place outside of the memory.".to_owned();
        room.ok_or_else(|| Fault::Invalid(outside()))?.copy_from_slice(input.as_bytes());
        let place = self.run(function, (pointer, length))?;
        answers.push_str(self.text_at(place)?);
        Ok(())
    }

    fn text_at(&self, place: u64) -> Result<&str, Fault> {
        let invalid = |what: &str| Fault::Invalid(format!("The function's answer {what}."));
        let (pointer, length) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        let rest = self.memory.data(&self.store).get(pointer..);
        let bytes = rest.and_then(|rest| rest.get(..length));
        let bytes = bytes.ok_or_else(|| invalid("lies outside of the memory"))?;
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(invalid(&format!("is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))
    }

    fn run<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        parameters: P,
    ) -> Result<R, Fault> {
        function.call(&mut self.store, parameters).map_err(|error| fault(&self.store, &error))
    }
}

fn fault(store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
    if error.downcast_ref() == Some(&Trap::Interrupt) {
        return Fault::TimedOut;
    }
    // Whoever is refused memory has nothing left but to give up.
    if store.data().room.refused {
        return Fault::OutOfMemory;
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Fault::Trapped(trap.to_string()),
        None => Fault::Trapped(error.to_string()),
    }
}
