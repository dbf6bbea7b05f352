//! What user code may ask of the server while it runs: to log a line, to compare two
//! strings, to read the next row of a
//! list, and to send pieces of an answer.
//!
//! Nothing here knows an engine. Lines are bounded in length and number, so that a function that
//! logs in a loop fills no disk.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;

use super::clock::Clock;
use super::program::{ChunkSink, RowSource};
use super::surrogates::well_formed;

/// The longest line that a function may log, in characters; CouchDB's `[log] max_message_size`.
const LINE_CHARACTERS_MAX: usize = 16_000;

/// Lines that one step of a call may log.
const LINES_MAX: u32 = 100;

/// An order of strings.
pub(super) type Collate = fn(&str, &str) -> Ordering;

/// What a list reads from and writes to.
pub(super) struct Streams {
    pub rows: Box<dyn RowSource>,
    pub sink: Box<dyn ChunkSink>,
}

/// The lines that one step has logged.
#[derive(Default)]
pub(super) struct LogLines {
    count: Cell<u32>,
}

impl LogLines {
    /// Another step begins.
    pub fn restart(&self) {
        self.count.set(0);
    }

    /// Writes a line to the server's log.
    pub fn log(&self, line: &str) {
        let count = self.count.get();
        self.count.set(count.saturating_add(1));
        if count < LINES_MAX {
            let end = line.char_indices().nth(LINE_CHARACTERS_MAX).map_or(line.len(), |(at, _)| at);
            tracing::info!(target: "settee::design", "{}", line.get(..end).unwrap_or_default());
        } else if count == LINES_MAX {
            tracing::info!(target: "settee::design", "a function logs too much: lines are left out");
        }
    }
}

/// The server's side of a call. One for each realm; what it holds changes with every call.
pub(super) struct Host {
    collate: Collate,
    clock: RefCell<Option<Rc<Clock>>>,
    streams: RefCell<Option<Streams>>,
    lines: LogLines,
    aborted: RefCell<Option<String>>,
}

impl Host {
    pub fn new(collate: Collate) -> Self {
        Self {
            collate,
            clock: RefCell::default(),
            streams: RefCell::default(),
            lines: LogLines::default(),
            aborted: RefCell::default(),
        }
    }

    /// Prepares for a call.
    pub fn begin(&self, clock: &Rc<Clock>, streams: Option<Streams>) {
        self.clock.replace(Some(Rc::clone(clock)));
        self.streams.replace(streams);
        self.aborted.replace(None);
        self.lines.restart();
    }

    /// Lets go of what the call was given.
    pub fn end(&self) {
        self.clock.replace(None);
        self.streams.replace(None);
    }

    /// Begins another step of the call.
    pub fn restart(&self) {
        self.lines.restart();
        if let Some(clock) = &*self.clock.borrow() {
            clock.restart();
        }
    }

    /// Whether the engine must stop: the time is over, or the call is not wanted any more.
    pub fn must_stop(&self) -> bool {
        self.is_out_of_time() || self.aborted.borrow().is_some()
    }

    /// Whether the step has taken its time.
    pub fn is_out_of_time(&self) -> bool {
        self.clock.borrow().as_ref().is_some_and(|clock| clock.is_over())
    }

    /// Why the call is not wanted any more.
    pub fn abort_reason(&self) -> Option<String> {
        self.aborted.borrow().clone()
    }

    /// What `localeCompare` answers: a number below, at or above 0.
    pub fn compare(&self, a: &str, b: &str) -> i32 {
        (self.collate)(a, b) as i32
    }

    /// Writes a line to the server's log.
    pub fn log(&self, line: &str) {
        self.lines.log(line);
    }

    /// The next row of the list, JSON; none at the end and where there is no list.
    ///
    /// # Errors
    /// Where the rows failed; the call ends.
    pub fn next_row(&self) -> Result<Option<String>, String> {
        self.lines.restart();
        self.use_streams(|streams| streams.rows.next_row()).unwrap_or(Ok(None))
    }

    /// Begins the list's answer with a response object, JSON.
    ///
    /// # Errors
    /// Where nobody wants it any more; the call ends.
    pub fn start(&self, response: String) -> Result<(), String> {
        self.use_streams(|streams| streams.sink.start(well_formed(response))).unwrap_or(Ok(()))
    }

    /// Sends a piece of the list's answer.
    ///
    /// # Errors
    /// Where nobody wants it any more; the call ends.
    pub fn send(&self, text: String) -> Result<(), String> {
        self.use_streams(|streams| streams.sink.chunk(text)).unwrap_or(Ok(()))
    }

    fn use_streams<T>(
        &self,
        use_them: impl FnOnce(&mut Streams) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let mut streams = self.streams.borrow_mut();
        let streams = streams.as_mut()?;
        if let Some(reason) = self.abort_reason() {
            return Some(Err(reason));
        }
        let clock = self.clock.borrow().clone();
        let answer = match clock {
            Some(clock) => clock.outside(|| use_them(streams)),
            None => use_them(streams),
        };
        if let Err(reason) = &answer {
            self.aborted.replace(Some(reason.clone()));
        }
        Some(answer)
    }
}
