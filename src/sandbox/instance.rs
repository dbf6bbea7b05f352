//! A program that is ready to be called, whatever language it is written in.

use std::rc::Rc;
use std::sync::Arc;

use super::clock::Clock;
use super::engine::{Engine, Limits};
use super::host::{Collate, Streams};
use super::instances::Kept;
use super::javascript::JavaScript;
use super::program::{CallError, Code, MapResults, ReduceCall};
use super::wasm::WasmInstance;

/// A program on one thread. Calls come one at a time; each has a [`Clock`] of its own, which the
/// instance restarts where a new step begins, and obeys.
pub(super) trait Instance {
    /// Maps a batch of documents. Each is a step.
    fn map(&mut self, documents: &[String], clock: &Rc<Clock>) -> Result<MapResults, CallError> {
        let _ = (documents, clock);
        Err(unsupported())
    }

    /// Calls the reduce function several times. Each is a step.
    fn reduce(
        &mut self,
        calls: &[ReduceCall],
        clock: &Rc<Clock>,
    ) -> Result<Vec<Result<String, String>>, CallError> {
        let _ = (calls, clock);
        Err(unsupported())
    }

    /// Calls the function at `path` with arguments, JSON.
    fn call(
        &mut self,
        path: &[String],
        arguments: &[String],
        clock: &Rc<Clock>,
    ) -> Result<String, CallError> {
        let _ = (path, arguments, clock);
        Err(unsupported())
    }

    /// Calls the function at `path` once with each list of arguments. Each is a step. Ends early,
    /// with its answer, where one breaks a limit.
    fn call_each(
        &mut self,
        path: &[String],
        calls: &[Vec<String>],
        clock: &Rc<Clock>,
    ) -> Vec<Result<String, CallError>> {
        let mut answers = Vec::with_capacity(calls.len());
        for arguments in calls {
            clock.restart();
            answers.push(self.call(path, arguments, clock));
            if !self.is_sound() {
                break;
            }
        }
        answers
    }

    /// Which documents pass the filter at `path`. Each is a step.
    fn filter(
        &mut self,
        path: &[String],
        documents: &[String],
        request: &str,
        clock: &Rc<Clock>,
    ) -> Result<Vec<bool>, CallError> {
        let _ = (path, documents, request, clock);
        Err(unsupported())
    }

    /// Runs the list at `path`. Each row is a step.
    fn list(
        &mut self,
        path: &[String],
        arguments: &[String; 2],
        streams: Streams,
        clock: &Rc<Clock>,
    ) -> Result<(), CallError> {
        let _ = (path, arguments, streams, clock);
        Err(unsupported())
    }

    /// What it holds now; measuring takes a while.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Whether it may be called again: it broke no limit.
    fn is_sound(&self) -> bool {
        true
    }
}

fn unsupported() -> CallError {
    CallError::Compilation("The program has no such function.".to_owned())
}

/// What an instance is made with.
#[derive(Clone)]
pub(super) struct Setup {
    pub engine: &'static dyn Engine,
    pub limits: Limits,
    pub collate: Collate,
    /// Counts the instances of all threads.
    pub kept: Arc<Kept>,
}

/// Makes a program ready.
pub(super) fn create(
    code: &Arc<Code>,
    setup: &Setup,
    clock: &Rc<Clock>,
) -> Result<Box<dyn Instance>, CallError> {
    match &**code {
        Code::Maps { .. } | Code::Reduce { .. } | Code::Design { .. } => {
            Ok(Box::new(JavaScript::new(code, setup, clock)?))
        }
        Code::Wasm { module, .. } => {
            Ok(Box::new(WasmInstance::new(code, module, &setup.limits, clock)?))
        }
        Code::Unusable { reason } => Err(CallError::Compilation(reason.clone())),
    }
}
