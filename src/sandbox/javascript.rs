//! JavaScript programs: a realm with the prelude that serves their kind.
//!
//! The preludes decide what is thrown into the log, what is a row and what becomes an error, and
//! answer in texts; this module turns the texts into values. The realm is given up as soon as it
//! fails in any way that its prelude did not foresee.

use std::rc::Rc;

use serde::Deserialize;

use super::clock::Clock;
use super::engine::{Failure, Realm};
use super::erlang::erlang_reason;
use super::host::{Host, Streams};
use super::instance::{Instance, Setup};
use super::program::{CallError, Code, MapResults, ReduceCall};
use super::rows::RowSplitter;
use super::surrogates::well_formed;

const BASE: &str = include_str!("prelude/base.js");
const GUARDS: &str = include_str!("prelude/guards.js");
const MAP: &str = include_str!("prelude/map.js");
const REDUCE: &str = include_str!("prelude/reduce.js");
const E4X_NODES: &str = include_str!("prelude/e4x_nodes.js");
const E4X: &str = include_str!("prelude/e4x.js");
const SOURCE_TEXT: &str = include_str!("prelude/source_text.js");
const CONTENT_TYPES: &str = include_str!("prelude/content_types.js");
const DESIGN: &str = include_str!("prelude/design.js");

/// A JavaScript program.
pub(super) struct JavaScript {
    realm: Box<dyn Realm>,
    host: Rc<Host>,
    /// What the answers of one call may take together; each alone fits into the realm.
    answers_bytes_max: usize,
    failed: bool,
}

/// What an entry answers in the place of a result; the members are described in
/// `prelude/base.js`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    Missing(String),
    Compilation(String),
    Forbidden(Box<serde_json::value::RawValue>),
    Unauthorized(Box<serde_json::value::RawValue>),
    Thrown { error: String, reason: serde_json::Value },
    OutOfMemory(()),
}

impl JavaScript {
    pub fn new(code: &Code, setup: &Setup, clock: &Rc<Clock>) -> Result<Self, CallError> {
        let host = Rc::new(Host::new(setup.collate));
        host.begin(clock, None);
        let prelude: &[&str] = match code {
            Code::Maps { .. } => &[BASE, GUARDS, E4X_NODES, E4X, MAP],
            Code::Reduce { .. } => &[BASE, GUARDS, REDUCE],
            Code::Design { .. } | Code::Wasm { .. } | Code::Unusable { .. } => {
                &[BASE, GUARDS, E4X_NODES, E4X, SOURCE_TEXT, CONTENT_TYPES, DESIGN]
            }
        };
        let realm = setup.engine.realm(prelude, &setup.limits, &host).map_err(explain)?;
        let answers_bytes_max = setup.limits.memory_bytes.saturating_mul(2);
        let mut made = Self { realm, host, answers_bytes_max, failed: false };
        made.load(code)?;
        Ok(made)
    }

    fn load(&mut self, code: &Code) -> Result<(), CallError> {
        match code {
            Code::Maps { sources, modules } => {
                let modules = modules.as_deref().unwrap_or("{}");
                self.expect_ok("modules", &[modules])?;
                sources.iter().try_for_each(|source| self.expect_ok("add", &[source]))
            }
            Code::Reduce { source } => self.expect_ok("add", &[source]),
            Code::Design { json } => self.expect_ok("load", &[json]),
            Code::Wasm { .. } | Code::Unusable { .. } => Ok(()),
        }
    }

    /// Calls an entry; its answer is a result, or an object that says why there is none.
    fn ask(&mut self, entry: &str, arguments: &[&str]) -> Result<String, CallError> {
        let answer = self.realm.call(entry, arguments);
        // Whatever the program made of it: nobody wants its answer any more.
        let aborted = self.host.abort_reason();
        self.failed |= answer.is_err() || aborted.is_some();
        if let Some(reason) = aborted {
            return Err(CallError::Aborted(reason));
        }
        let answer = well_formed(answer.map_err(explain)?);
        if !answer.starts_with('{') {
            return Ok(answer);
        }
        Err(match serde_json::from_str(&answer) {
            Ok(Refusal::Missing(key)) => CallError::MissingKey(key),
            Ok(Refusal::Compilation(text)) => CallError::Compilation(text),
            Ok(Refusal::Forbidden(json)) => CallError::Forbidden(json.get().to_owned()),
            Ok(Refusal::Unauthorized(json)) => CallError::Unauthorized(json.get().to_owned()),
            Ok(Refusal::Thrown { error, reason }) => {
                CallError::Thrown { error, reason: erlang_reason(&reason) }
            }
            Ok(Refusal::OutOfMemory(())) => {
                self.failed = true;
                CallError::OutOfMemory
            }
            Err(error) => {
                let error = ("invalid_answer".to_owned(), error.to_string());
                CallError::Thrown { error: error.0, reason: error.1 }
            }
        })
    }

    fn check_answers(&self, bytes: usize) -> Result<(), CallError> {
        if bytes > self.answers_bytes_max { Err(CallError::OutOfMemory) } else { Ok(()) }
    }

    fn expect_ok(&mut self, entry: &str, arguments: &[&str]) -> Result<(), CallError> {
        self.ask(entry, arguments).map(|_| ())
    }

    /// Makes the call's clock known to the engine for as long as `work` takes.
    fn during<T>(
        &mut self,
        clock: &Rc<Clock>,
        streams: Option<Streams>,
        work: impl FnOnce(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.host.begin(clock, streams);
        let answer = work(self);
        self.host.end();
        answer
    }
}

fn explain(failure: Failure) -> CallError {
    match failure {
        Failure::TimedOut => CallError::TimedOut,
        Failure::OutOfMemory => CallError::OutOfMemory,
        Failure::Syntax { message, .. } => {
            CallError::Thrown { error: "SyntaxError".to_owned(), reason: message }
        }
        Failure::Error { name, message, .. } => CallError::Thrown { error: name, reason: message },
        Failure::Thrown(json) => CallError::Thrown {
            error: "unknown_error".to_owned(),
            reason: json.unwrap_or_else(|| "undefined".to_owned()),
        },
    }
}

/// The answer of an entry without its brackets: preludes answer with arrays, so that a value that
/// has no JSON becomes null.
fn inside(answer: &str) -> &str {
    answer.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("null")
}

fn json_array(texts: &[String]) -> String {
    format!("[{}]", texts.join(","))
}

fn json_texts(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

impl Instance for JavaScript {
    fn map(&mut self, documents: &[String], clock: &Rc<Clock>) -> Result<MapResults, CallError> {
        self.during(clock, None, |this| {
            let mut rows = RowSplitter::new(documents.len());
            for document in documents {
                this.host.restart();
                let answer = this.ask("map", &[document])?;
                rows.add(&answer);
                this.check_answers(rows.bytes())?;
            }
            Ok(rows.finish())
        })
    }

    fn reduce(
        &mut self,
        calls: &[ReduceCall],
        clock: &Rc<Clock>,
    ) -> Result<Vec<Result<String, String>>, CallError> {
        self.during(clock, None, |this| {
            let mut answers = Vec::with_capacity(calls.len());
            let mut bytes = 0;
            for call in calls {
                this.host.restart();
                let answer = match call {
                    ReduceCall::Reduce { keys, values } => this.ask("reduce", &[keys, values])?,
                    ReduceCall::Rereduce { values } => this.ask("rereduce", &[values])?,
                };
                bytes += answer.len();
                this.check_answers(bytes)?;
                answers.push(match answer.strip_prefix('!') {
                    Some(message) => Err(message.to_owned()),
                    None => Ok(inside(&answer).to_owned()),
                });
            }
            Ok(answers)
        })
    }

    fn call(
        &mut self,
        path: &[String],
        arguments: &[String],
        clock: &Rc<Clock>,
    ) -> Result<String, CallError> {
        // The request of a show is read only where the function can see it.
        let (together, alone) = match (path, arguments) {
            ([kind, _], [_, request]) if kind == "shows" => {
                (arguments.get(..1).unwrap_or_default(), Some(request))
            }
            _ => (arguments, None),
        };
        let (path, together) = (json_texts(path), json_array(together));
        let mut texts: Vec<&str> = vec![&path, &together];
        texts.extend(alone.map(String::as_str));
        self.during(clock, None, |this| {
            let answer = this.ask("call", &texts)?;
            Ok(inside(&answer).to_owned())
        })
    }

    fn filter(
        &mut self,
        path: &[String],
        documents: &[String],
        request: &str,
        clock: &Rc<Clock>,
    ) -> Result<Vec<bool>, CallError> {
        let (path, documents) = (json_texts(path), json_array(documents));
        self.during(clock, None, |this| {
            let answer = this.ask("filter", &[&path, &documents, request])?;
            Ok(answer
                .bytes()
                .filter(|byte| matches!(byte, b'0' | b'1'))
                .map(|b| b == b'1')
                .collect())
        })
    }

    fn list(
        &mut self,
        path: &[String],
        arguments: &[String; 2],
        streams: Streams,
        clock: &Rc<Clock>,
    ) -> Result<(), CallError> {
        let path = json_texts(path);
        let [head, request] = arguments;
        self.during(clock, Some(streams), |this| {
            this.ask("list", &[&path, head, request]).map(|_| ())
        })
    }

    fn memory_bytes(&self) -> usize {
        self.realm.memory_bytes()
    }

    fn is_sound(&self) -> bool {
        !self.failed && !self.realm.is_burdened()
    }
}
