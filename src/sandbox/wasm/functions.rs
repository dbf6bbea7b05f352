//! Calling design functions: what each kind is given, and what its answer must be.
//!
//! docs/wasm-functions.md describes these forms. A module that traps has thrown an exception: a
//! document that it was mapping is left out, as with JavaScript, and every other call fails. An
//! answer of the wrong form is a mistake in the module, and fails the call in any case.

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::compiled::{Compiled, compiled};
use super::guest::{Fault, Function, Running};
use super::json;
use super::list;
use super::module::{WasmCode, WasmModule};
use crate::sandbox::clock::Clock;
use crate::sandbox::engine::Limits;
use crate::sandbox::host::{LogLines, Streams};
use crate::sandbox::instance::Instance;
use crate::sandbox::program::{CallError, Code, Emitted, EmittedRow, MapResults, ReduceCall};

/// What the answers of one batch may take together.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// A program in WebAssembly, for one call or batch.
pub(in crate::sandbox) struct WasmInstance {
    code: Arc<Code>,
    compiled: Arc<Compiled>,
    limits: Limits,
    running: Running,
}

impl WasmInstance {
    pub fn new(
        code: &Arc<Code>,
        module: &WasmModule,
        limits: &Limits,
        clock: &Clock,
    ) -> Result<Self, CallError> {
        let compiled = compiled(module, clock)?;
        // Compiling was a step of its own.
        clock.restart();
        let running = Running::new(&compiled, limits).map_err(explain)?;
        Ok(Self { code: Arc::clone(code), compiled, limits: *limits, running })
    }

    fn function(&mut self, export: &str) -> Result<Function, CallError> {
        self.compiled.check_function(export).map_err(CallError::Compilation)?;
        self.running.function(export).map_err(explain)
    }

    /// The function that the design document names at `path`.
    fn function_at(&mut self, path: &[String]) -> Result<Function, CallError> {
        let code = Arc::clone(&self.code);
        let Code::Wasm { code: WasmCode::Design(design), .. } = &*code else {
            return Err(other_purpose());
        };
        self.function(export_at(design, path)?)
    }

    /// Makes another instance in the place of one that trapped.
    fn renew(&mut self) -> Result<(), CallError> {
        self.running = Running::new(&self.compiled, &self.limits).map_err(explain)?;
        Ok(())
    }
}

/// Calls a function whose answer is JSON.
pub(super) fn ask(
    running: &mut Running,
    function: &Function,
    input: &str,
) -> Result<String, CallError> {
    let mut answer = String::new();
    running.call(function, input, &mut answer).map_err(explain)?;
    json::check(&answer).map_err(|error| invalid(&error))?;
    Ok(answer)
}

fn other_purpose() -> CallError {
    CallError::Compilation("The program has no such function.".to_owned())
}

/// The export that a design document's member names.
fn export_at<'a>(design: &'a Map<String, Value>, path: &[String]) -> Result<&'a str, CallError> {
    let missing = |name: &String| CallError::MissingKey(name.clone());
    let (first, rest) = path.split_first().ok_or_else(|| CallError::MissingKey(String::new()))?;
    let mut value = design.get(first).ok_or_else(|| missing(first))?;
    for name in rest {
        value = value.get(name).ok_or_else(|| missing(name))?;
    }
    let no_name = || format!("`{}` must be the name of an export.", path.join("."));
    value.as_str().ok_or_else(|| CallError::Compilation(no_name()))
}

fn explain(fault: Fault) -> CallError {
    match fault {
        Fault::TimedOut => CallError::TimedOut,
        Fault::OutOfMemory => CallError::OutOfMemory,
        Fault::Trapped(reason) => CallError::Thrown { error: "wasm_trap".to_owned(), reason },
        Fault::Invalid(reason) => {
            CallError::Thrown { error: "invalid_wasm_answer".to_owned(), reason }
        }
    }
}

pub(super) fn invalid(what: &str) -> CallError {
    explain(Fault::Invalid(format!("The function's answer is not what it should be: {what}.")))
}

/// Reads an answer of a certain form.
fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, CallError> {
    serde_json::from_str(answer).map_err(|error| invalid(&error.to_string()))
}

impl Instance for WasmInstance {
    fn map(&mut self, documents: &[String], clock: &Rc<Clock>) -> Result<MapResults, CallError> {
        let code = Arc::clone(&self.code);
        let Code::Wasm { code: WasmCode::Maps(exports), .. } = &*code else {
            return Err(other_purpose());
        };
        let mut functions = self.functions(exports)?;
        let mut results = MapResults::default();
        for document in documents {
            self.running.restart(clock);
            let mut mapped = Vec::with_capacity(functions.len());
            for at in 0..exports.len() {
                let Some(function) = functions.get(at).cloned() else { break };
                let emitted = self.map_one(&function, document, &mut results.text)?;
                if emitted == Emitted::Failed {
                    functions = self.functions(exports)?;
                }
                mapped.push(emitted);
            }
            results.documents.push(mapped);
            if results.text.len() > BATCH_BYTES_MAX {
                return Err(CallError::OutOfMemory);
            }
        }
        Ok(results)
    }

    fn reduce(
        &mut self,
        calls: &[ReduceCall],
        clock: &Rc<Clock>,
    ) -> Result<Vec<Result<String, String>>, CallError> {
        let code = Arc::clone(&self.code);
        let Code::Wasm { code: WasmCode::Reduce(export), .. } = &*code else {
            return Err(other_purpose());
        };
        let mut function = self.function(export)?;
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            self.running.restart(clock);
            let input = match call {
                ReduceCall::Reduce { keys, values } => {
                    format!(r#"{{"keys":{keys},"values":{values},"rereduce":false}}"#)
                }
                ReduceCall::Rereduce { values } => {
                    format!(r#"{{"keys":null,"values":{values},"rereduce":true}}"#)
                }
            };
            let mut answer = String::new();
            answers.push(match self.running.call(&function, &input, &mut answer) {
                Ok(()) => {
                    json::check(&answer).map_err(|error| invalid(&error))?;
                    let mut value = String::with_capacity(answer.len());
                    json::push_compact(&mut value, answer.trim());
                    Ok(value)
                }
                Err(Fault::Trapped(reason)) => {
                    self.renew()?;
                    function = self.function(export)?;
                    Err(reason)
                }
                Err(fault) => return Err(explain(fault)),
            });
        }
        Ok(answers)
    }

    fn call(
        &mut self,
        path: &[String],
        arguments: &[String],
        _clock: &Rc<Clock>,
    ) -> Result<String, CallError> {
        let function = self.function_at(path)?;
        let kind = path.first().map(String::as_str).unwrap_or_default();
        match (kind, arguments) {
            ("shows", [document, request]) => {
                let answer = ask(&mut self.running, &function, &with_document(document, request))?;
                Ok(format!(r#"["resp",{}]"#, response(&answer)?))
            }
            ("updates", [document, request]) => {
                let answer = ask(&mut self.running, &function, &with_document(document, request))?;
                let (document, answer): (&RawValue, &RawValue) = read(&answer)?;
                Ok(format!(r#"["up",{document},{}]"#, response(answer.get())?))
            }
            ("validate_doc_update", [new, old, user, security]) => {
                let input = format!(
                    r#"{{"newDoc":{new},"oldDoc":{old},"userCtx":{user},"secObj":{security}}}"#
                );
                verdict(&ask(&mut self.running, &function, &input)?).map(|()| "1".to_owned())
            }
            ("rewrites", [request]) => {
                let answer = ask(&mut self.running, &function, &format!(r#"{{"req":{request}}}"#))?;
                rewrite(answer.trim())
            }
            _ => Err(CallError::Compilation(format!("No WebAssembly function can be `{kind}`."))),
        }
    }

    /// One instance serves the calls until one fails.
    fn call_each(
        &mut self,
        path: &[String],
        calls: &[Vec<String>],
        clock: &Rc<Clock>,
    ) -> Vec<Result<String, CallError>> {
        let mut answers = Vec::with_capacity(calls.len());
        for arguments in calls {
            self.running.restart(clock);
            let answer = self.call(path, arguments, clock);
            if answer == Err(CallError::OutOfMemory) && !answers.is_empty() {
                // What earlier calls have left may be why: in another instance it has a chance.
                break;
            }
            let is_judged =
                matches!(answer, Ok(_) | Err(CallError::Forbidden(_) | CallError::Unauthorized(_)));
            answers.push(answer);
            if !is_judged {
                break;
            }
        }
        answers
    }

    fn filter(
        &mut self,
        path: &[String],
        documents: &[String],
        request: &str,
        clock: &Rc<Clock>,
    ) -> Result<Vec<bool>, CallError> {
        let mut function = self.function_at(path)?;
        let by_view = path.first().is_some_and(|first| first == "views");
        let mut passed = Vec::with_capacity(documents.len());
        for document in documents {
            self.running.restart(clock);
            passed.push(if by_view {
                let emitted = self.map_one(&function, document, &mut String::new())?;
                if emitted == Emitted::Failed {
                    function = self.function_at(path)?;
                }
                matches!(emitted, Emitted::Rows(rows) if !rows.is_empty())
            } else {
                read(&ask(&mut self.running, &function, &with_document(document, request))?)?
            });
        }
        Ok(passed)
    }

    fn list(
        &mut self,
        path: &[String],
        arguments: &[String; 2],
        streams: Streams,
        clock: &Rc<Clock>,
    ) -> Result<(), CallError> {
        let function = self.function_at(path)?;
        list::run(&mut self.running, &function, arguments, streams, clock)
    }

    /// The next call gets an instance of its own.
    fn is_sound(&self) -> bool {
        false
    }
}

impl WasmInstance {
    fn functions(&mut self, exports: &[String]) -> Result<Vec<Function>, CallError> {
        exports.iter().map(|export| self.function(export)).collect()
    }

    /// Maps a document by one function; the rows' texts are added to `text`. After
    /// [`Emitted::Failed`] there is another instance.
    fn map_one(
        &mut self,
        function: &Function,
        document: &str,
        text: &mut String,
    ) -> Result<Emitted, CallError> {
        let mut answer = String::new();
        match self.running.call(function, document, &mut answer) {
            Ok(()) => {}
            Err(Fault::Trapped(reason)) => {
                report(&reason, document);
                self.renew()?;
                return Ok(Emitted::Failed);
            }
            Err(fault) => return Err(explain(fault)),
        }
        let pairs = json::pairs(&answer).map_err(|error| invalid(&error))?;
        let mut push = |value: &RawValue| {
            let begin = text.len();
            json::push_compact(text, value.get());
            begin..text.len()
        };
        let rows = pairs.into_iter().map(|(key, value)| {
            let key = push(key);
            EmittedRow { key, value: push(value) }
        });
        Ok(Emitted::Rows(rows.collect()))
    }
}

fn with_document(document: &str, request: &str) -> String {
    format!(r#"{{"doc":{document},"req":{request}}}"#)
}

/// A response object; a string is one with that body.
pub(super) fn response(answer: &str) -> Result<String, CallError> {
    let answer = answer.trim();
    match answer.bytes().next() {
        Some(b'{') => Ok(answer.to_owned()),
        Some(b'"') => Ok(format!(r#"{{"body":{answer}}}"#)),
        _ => Err(invalid("a response is an object or a string")),
    }
}

/// Where a request goes; a string is the path.
fn rewrite(answer: &str) -> Result<String, CallError> {
    match answer.bytes().next() {
        Some(b'{') => Ok(format!(r#"["ok",{answer}]"#)),
        Some(b'"') => Ok(format!(r#"["ok",{{"path":{answer}}}]"#)),
        Some(b'n') => Ok(r#"["no_dispatch_rule"]"#.to_owned()),
        _ => Err(invalid("a rewrite is an object, a string or null")),
    }
}

/// What `validate_doc_update` may refuse with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal<'a> {
    #[serde(borrow)]
    forbidden: Option<&'a RawValue>,
    #[serde(borrow)]
    unauthorized: Option<&'a RawValue>,
}

fn verdict(answer: &str) -> Result<(), CallError> {
    let text = |value: &RawValue| value.get().to_owned();
    match read::<Option<Refusal<'_>>>(answer)? {
        None => Ok(()),
        Some(Refusal { forbidden: Some(why), .. }) => Err(CallError::Forbidden(text(why))),
        Some(Refusal { unauthorized: Some(why), .. }) => Err(CallError::Unauthorized(text(why))),
        Some(_) => Err(invalid("neither null, nor `forbidden` or `unauthorized`")),
    }
}

/// Tells the log which document a map function gave up on.
fn report(reason: &str, document: &str) {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "_id")]
        id: String,
    }
    let id = serde_json::from_str::<Named>(document).map(|named| named.id).unwrap_or_default();
    LogLines::default().log(&format!("function raised exception ({reason}) with doc._id {id}"));
}
