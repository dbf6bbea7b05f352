//! Filters and `validate_doc_update`, run natively over a batch of documents.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use bumpalo::Bump;

use super::super::host::LogLines;
use super::super::program::CallError;
use super::compile::{Strictness, compile};
use super::document::{NodeId, Values};
use super::json::Writer;
use super::machine::Machine;
use super::maps::EXHAUSTED_MAX;
use super::number::Digits;
use super::tree::Tree;
use super::value::{Answer, Stop, Value};

/// How long the JSON of what a function throws may be.
const THROWN_BYTES_MAX: usize = 1 << 20;

/// A function of a design document that runs without an engine, if not for every document.
#[derive(Debug)]
pub struct NativeFunction {
    tree: Tree,
    /// How many documents took too many steps.
    exhausted: AtomicU32,
}

impl NativeFunction {
    /// Compiles a source that the engine takes for a function. Needs a stack of a few megabytes.
    pub(in super::super) fn new(source: &str) -> Option<Self> {
        let tree = compile(source, Strictness::Partial)?;
        Some(Self { tree, exhausted: AtomicU32::default() })
    }

    /// Whether no part of it is the engine's, whatever it is given.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tree.is_whole
    }

    /// Which documents a filter lets pass, up to the first that the engine must be asked about.
    /// The request is JSON, as they are.
    #[must_use]
    pub fn filter(&self, documents: &[String], request: &str) -> Vec<bool> {
        let mut values = Values::default();
        let Some(request) = values.add(request) else { return Vec::new() };
        self.judge(documents, values, Some(request), |_, returned| returned.is_truthy())
    }

    /// Which documents have a row of a map function, as [`Self::filter`] tells it.
    #[must_use]
    pub fn filter_by_rows(&self, documents: &[String]) -> Vec<bool> {
        self.judge(documents, Values::default(), None, |machine, _| !machine.emitted.is_empty())
    }

    fn judge(
        &self,
        documents: &[String],
        mut values: Values,
        request: Option<NodeId>,
        passes: fn(&Machine<'_>, Value<'_>) -> bool,
    ) -> Vec<bool> {
        let mut passing = Vec::with_capacity(documents.len());
        let begin = values.end();
        let mut arena = Bump::new();
        for document in documents {
            values.truncate(begin);
            let Some(document) = values.add(document) else { break };
            let given = [document, request.unwrap_or_default()];
            let given = given.get(..1 + usize::from(request.is_some())).unwrap_or_default();
            let judged =
                self.call(&values, given, &arena, |machine, ran| Some(passes(machine, ran.ok()?)));
            let Some(judged) = judged else { break };
            passing.push(judged);
            arena.reset();
        }
        passing
    }

    /// Whether `validate_doc_update` lets documents in, of which each comes with what it replaces;
    /// none where the engine must be asked. `user` and `security` are JSON, as they are.
    #[must_use]
    pub fn validate<'q>(
        &self,
        questions: impl Iterator<Item = [&'q str; 2]>,
        user: &str,
        security: &str,
    ) -> Vec<Option<Result<(), CallError>>> {
        let mut values = Values::default();
        let (user, security) = (values.add(user), values.add(security));
        let begin = values.end();
        let mut arena = Bump::new();
        let mut answer = |[new, old]: [&str; 2]| {
            values.truncate(begin);
            arena.reset();
            let arguments = [values.add(new)?, values.add(old)?, user?, security?];
            self.call(&values, &arguments, &arena, |machine, ran| match ran {
                Ok(_) => Some(Ok(())),
                Err(Stop::Thrown) => refusal(machine).map(Err),
                Err(Stop::Engine) => None,
            })
        };
        questions.map(&mut answer).collect()
    }

    /// Calls the function with values. What it logged is told where there is an answer.
    fn call<T>(
        &self,
        values: &Values,
        arguments: &[NodeId],
        arena: &Bump,
        answer: impl FnOnce(&Machine<'_>, Answer<Value<'_>>) -> Option<T>,
    ) -> Option<T> {
        if self.exhausted.load(Relaxed) >= EXHAUSTED_MAX {
            return None;
        }
        let mut machine = Machine::new(&self.tree, values.document(), arena);
        let mut given = [Value::Undefined; 4];
        for (place, argument) in given.iter_mut().zip(arguments) {
            *place = machine.value_of(*argument).ok()?;
        }
        let ran = machine.run(given.get(..arguments.len())?);
        self.exhausted.fetch_add(u32::from(machine.is_exhausted), Relaxed);
        let answer = answer(&machine, ran)?;
        let lines = LogLines::default();
        for line in &machine.lines {
            lines.log(line);
        }
        Some(answer)
    }
}

/// What a function threw, if it is one of the two things that are there to be thrown.
fn refusal(machine: &Machine<'_>) -> Option<CallError> {
    let Some(Value::Object(thrown)) = machine.refusal else { return None };
    let members = thrown.members.borrow();
    let [(name, reason)] = members.as_slice() else { return None };
    let refusal = match *name {
        "forbidden" => CallError::Forbidden,
        "unauthorized" => CallError::Unauthorized,
        _ => return None,
    };
    let mut json = String::new();
    let (document, digits) = (machine.document, Digits::new());
    let mut writer = Writer { document, out: &mut json, bytes_max: THROWN_BYTES_MAX, digits };
    let is_written = writer.value(*reason, 0).ok()?;
    is_written.then(|| refusal(json))
}
