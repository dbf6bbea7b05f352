//! The functions of design documents, each with its own arguments and answer.
//!
//! What a function answers is checked here; what CouchDB makes of it is the caller's affair. The
//! answers are those of CouchDB's query server protocol, whatever language the function is in.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::metrics;
use crate::sandbox::{
    Asked, Call, CallError, ChunkSink, NativeFunction, RowSource, Sandbox, Told, erlang_reason,
    erlang_term,
};

use super::response::{Response, read_json, shown};
use super::shared_verdicts::SharedVerdicts;
use super::{Ddoc, Question};

/// Why a function of a design document gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered something that is no answer of its kind; shown as CouchDB shows it.
    #[error("Invalid data from external server: {0}")]
    InvalidAnswer(String),
}

/// What an update function answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The document to save, a JSON object.
    pub document: Option<Map<String, Value>>,
    pub response: Response,
}

/// What a rewrite function answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Rewritten {
    /// Another request: `path` and `method` are texts where they are given, `query` and `headers`
    /// are objects of texts, `body` is a text.
    Request(Map<String, Value>),
    /// An answer.
    Response(Response),
    /// There is no path for the request.
    Invalid,
}

const VALIDATION: &str = "validate_doc_update";

/// Calls functions, natively or in the sandbox; calls block where nothing else is said.
#[derive(Debug)]
pub struct Functions {
    sandbox: Sandbox,
    verdicts: SharedVerdicts,
}

impl Functions {
    #[must_use]
    pub fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, verdicts: SharedVerdicts::default() }
    }

    /// Where the functions run.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Whether the filters and `validate_doc_update` of a design document run without an engine,
    /// whatever they are given; by path. Blocks.
    #[must_use]
    pub fn native(&self, ddoc: &Ddoc) -> BTreeMap<String, bool> {
        let filters = ddoc.body.get("filters").and_then(Value::as_object).into_iter().flatten();
        let filters = filters.map(|(name, _)| vec!["filters", name]);
        let paths = filters.chain(ddoc.validates().then(|| vec![VALIDATION]));
        let is_native = |path: &[&str]| {
            ddoc.native(path, &self.sandbox).is_some_and(|native| native.is_whole())
        };
        paths.map(|path| (path.join("."), is_native(&path))).collect()
    }

    /// Begins `shows.{name}`; `document` is `null` or a document, JSON. `told` is called once
    /// there is an answer; this does not block.
    ///
    /// # Errors
    /// Where the call cannot begin; the call's own are that the function fails, or answers with
    /// something that is no response object.
    pub fn show(
        &self,
        ddoc: &Ddoc,
        name: &str,
        document: String,
        request: String,
        told: Told,
    ) -> Result<FunctionCall<Response>, FunctionError> {
        self.begin(ddoc, &["shows", name], vec![document, request], told, |answer| {
            let [response] = members(answer, "resp")?;
            Response::from_value(response)
        })
    }

    /// Begins `updates.{name}`, as [`Self::show`] does.
    ///
    /// # Errors
    /// As there.
    pub fn update(
        &self,
        ddoc: &Ddoc,
        name: &str,
        document: String,
        request: String,
        told: Told,
    ) -> Result<FunctionCall<Updated>, FunctionError> {
        self.begin(ddoc, &["updates", name], vec![document, request], told, |answer| {
            let [document, response] = members(answer, "up")?;
            let response = Response::from_value(response)?;
            let document = match document {
                Value::Object(members) => Some(members),
                // CouchDB saves nothing else, and says nothing about it.
                _ => None,
            };
            Ok(Updated { document, response })
        })
    }

    fn begin<T>(
        &self,
        ddoc: &Ddoc,
        path: &[&str],
        arguments: Vec<String>,
        told: Told,
        read: fn(Value) -> Result<T, FunctionError>,
    ) -> Result<FunctionCall<T>, FunctionError> {
        let begun = Instant::now();
        let call = self.sandbox.begin_call(ddoc.program(), path, arguments, Some(told))?;
        Ok(FunctionCall { call, begun, read })
    }

    /// `lists.{name}`; `head` is what stands before a view's rows.
    ///
    /// # Errors
    /// Where the function fails; what it sent until then was sent.
    pub fn list(
        &self,
        ddoc: &Ddoc,
        name: &str,
        [head, request]: [String; 2],
        rows: Box<dyn RowSource>,
        sink: Box<dyn ChunkSink>,
    ) -> Result<(), FunctionError> {
        let path = ["lists", name];
        Ok(self.sandbox.list(ddoc.program(), &path, [head, request], rows, sink)?)
    }

    /// `rewrites`, where it is a function.
    ///
    /// # Errors
    /// Where the function fails, or a member of its answer is of the wrong type.
    pub fn rewrite(&self, ddoc: &Ddoc, request: String) -> Result<Rewritten, FunctionError> {
        let answer = self.call(ddoc, &["rewrites"], vec![request])?;
        if answer == json!(["no_dispatch_rule"]) {
            return Ok(Rewritten::Invalid);
        }
        match members(answer, "ok")? {
            [Value::Object(members)] => read_rewrite(members),
            _ => Err(bad_rewrite("bad rewrite".to_owned())),
        }
    }

    /// Which documents pass `filters.{name}`. `asked` is what of the request counts: verdicts are
    /// shared by requests that ask the same.
    ///
    /// # Errors
    /// Where the function fails for one of them.
    pub fn filter(
        &self,
        ddoc: &Ddoc,
        name: &str,
        documents: Vec<String>,
        [request, asked]: [&str; 2],
    ) -> Result<Vec<bool>, FunctionError> {
        let natively =
            |native: &NativeFunction, documents: &[String]| native.filter(documents, request);
        self.judge(ddoc, &["filters", name], documents, [request, asked], natively)
    }

    /// Which documents have a row in the view `name`.
    ///
    /// # Errors
    /// Where the map function fails for one of them.
    pub fn filter_by_view(
        &self,
        ddoc: &Ddoc,
        name: &str,
        documents: Vec<String>,
    ) -> Result<Vec<bool>, FunctionError> {
        let natively = NativeFunction::filter_by_rows;
        self.judge(ddoc, &["views", name, "map"], documents, ["{}"; 2], natively)
    }

    /// Asks the function as it runs natively, and from the first document on that it cannot judge
    /// so, the engine.
    fn judge(
        &self,
        ddoc: &Ddoc,
        path: &[&str],
        mut documents: Vec<String>,
        [request, asked]: [&str; 2],
        natively: impl FnOnce(&NativeFunction, &[String]) -> Vec<bool>,
    ) -> Result<Vec<bool>, FunctionError> {
        let mut passing = Vec::new();
        if let Some(native) = ddoc.native(path, &self.sandbox) {
            let work = || natively(&native, &documents);
            passing = metrics::timed(&metrics::FILTER_CALLS, &metrics::FILTER_TIME_US, work);
            documents.drain(..passing.len());
            if documents.is_empty() {
                return Ok(passing);
            }
        }
        let program = ddoc.program();
        let mut function: Vec<&[u8]> = vec![program.key(), asked.as_bytes()];
        function.extend(path.iter().map(|member| member.as_bytes()));
        passing.extend(self.verdicts.judge(&function, documents, |documents| {
            let work = || self.sandbox.filter(program, path, documents, request.to_owned());
            Ok(metrics::timed(&metrics::FILTER_CALLS, &metrics::FILTER_TIME_US, work)?)
        })?);
        Ok(passing)
    }

    /// Whether `validate_doc_update` lets documents in. `user` and `security` are JSON. After one
    /// for which the engine does not end it is asked about no other.
    #[must_use]
    pub fn validate(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>> {
        let started = Instant::now();
        let work = || self.ask_validation(ddoc, questions, [user, security]);
        let verdicts = metrics::timed(&metrics::VALIDATE_CALLS, &metrics::VALIDATE_TIME_US, work);
        metrics::VALIDATE_TIME.update(started.elapsed().as_secs_f64() * 1000.0);
        let refused = verdicts.iter().filter(|verdict| verdict.is_err()).count();
        metrics::VALIDATE_REJECTS.add(refused as u64);
        verdicts
    }

    fn ask_validation(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        [user, security]: [&str; 2],
    ) -> Vec<Result<(), FunctionError>> {
        let path = [VALIDATION];
        let verdicts = match ddoc.native(&path, &self.sandbox) {
            Some(native) => {
                let asked = questions.iter().map(|Question { new, old }| [&**new, &**old]);
                native.validate(asked, user, security)
            }
            None => vec![None; questions.len()],
        };
        let open = questions.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_none());
        let calls: Vec<Vec<String>> = open
            .map(|(Question { new, old }, _)| {
                vec![new.clone(), old.clone(), user.to_owned(), security.to_owned()]
            })
            .collect();
        let mut answers = self.sandbox.call_each(ddoc.program(), &path, calls).into_iter();
        verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Some(verdict) => Ok(verdict?),
                None => read_verdict(&read_json(&answers.next().unwrap_or_else(unanswered)?)?),
            })
            .collect()
    }

    fn call(
        &self,
        ddoc: &Ddoc,
        path: &[&str],
        arguments: Vec<String>,
    ) -> Result<Value, FunctionError> {
        let work = || self.sandbox.call(ddoc.program(), path, arguments);
        let answer = metrics::timed(&metrics::OTHER_CALLS, &metrics::OTHER_TIME_US, work);
        metrics::PROGRAM_ERRORS.add(u64::from(answer.is_err()));
        read_json(&answer?)
    }
}

/// A call of a function that answers a request. Whoever has it asks until there is an answer, or
/// waits for it.
pub struct FunctionCall<T> {
    call: Call<String>,
    begun: Instant,
    read: fn(Value) -> Result<T, FunctionError>,
}

impl<T> FunctionCall<T> {
    /// Asks for the answer, which is given once.
    pub fn ask(&self) -> Asked<Result<T, FunctionError>> {
        match self.call.ask() {
            Asked::Answer(answer) => Asked::Answer(read_call(self.begun, self.read, answer)),
            Asked::Wait(left) => Asked::Wait(left),
        }
    }

    /// Waits for the answer. Blocks.
    ///
    /// # Errors
    /// Where the function fails, or its answer is of no use.
    pub fn wait(self) -> Result<T, FunctionError> {
        read_call(self.begun, self.read, self.call.wait())
    }
}

fn read_call<T>(
    begun: Instant,
    read: fn(Value) -> Result<T, FunctionError>,
    answer: Result<String, CallError>,
) -> Result<T, FunctionError> {
    metrics::called(&metrics::OTHER_CALLS, &metrics::OTHER_TIME_US, begun);
    metrics::PROGRAM_ERRORS.add(u64::from(answer.is_err()));
    read(read_json(&answer?)?)
}

fn unanswered() -> Result<String, CallError> {
    Err(CallError::Aborted("no answer".to_owned()))
}

/// The members of an answer that begins with `tag`.
fn members<const N: usize>(answer: Value, tag: &str) -> Result<[Value; N], FunctionError> {
    let fits = answer.get(0).is_some_and(|first| first == tag);
    let shown = |answer: &Value| FunctionError::InvalidAnswer(erlang_term(answer));
    match answer {
        Value::Array(mut members) if fits && members.len() == N + 1 => {
            members.remove(0);
            members.try_into().map_err(|members: Vec<Value>| shown(&Value::Array(members)))
        }
        other => Err(shown(&other)),
    }
}

/// What a validation function that answers by the protocol says.
fn read_verdict(verdict: &Value) -> Result<(), FunctionError> {
    let unknown = |reason: &Value| CallError::Thrown {
        error: "unknown_error".to_owned(),
        reason: erlang_reason(reason),
    };
    let error = match verdict {
        Value::Bool(true) => return Ok(()),
        Value::Number(number) if number.as_u64() == Some(1) => return Ok(()),
        Value::String(_) => unknown(verdict),
        Value::Object(members) if members.len() == 1 => {
            let (name, reason) = members.iter().next().unzip();
            let reason = reason.unwrap_or(&Value::Null);
            match name.map(String::as_str) {
                Some("forbidden") => CallError::Forbidden(reason.to_string()),
                Some("unauthorized") => CallError::Unauthorized(reason.to_string()),
                _ => unknown(reason),
            }
        }
        other => return Err(FunctionError::InvalidAnswer(erlang_term(other))),
    };
    Err(error.into())
}

fn bad_rewrite(reason: String) -> FunctionError {
    CallError::Thrown { error: "rewrite_error".to_owned(), reason }.into()
}

/// Checks the members of a rewrite. A value of `query` or `headers` that is no text becomes its
/// JSON: CouchDB refuses it since 2.0, and took it before.
fn read_rewrite(mut members: Map<String, Value>) -> Result<Rewritten, FunctionError> {
    for (name, value) in &mut members {
        let good = match name.as_str() {
            "method" | "path" | "body" => value.is_string(),
            "query" | "headers" => value.as_object_mut().map(show_values).is_some(),
            "code" => value.as_u64().is_some_and(|code| (200..600).contains(&code)),
            _ => true,
        };
        if !good {
            return Err(bad_rewrite(format!("bad {name}")));
        }
    }
    if !members.contains_key("code") {
        return Ok(Rewritten::Request(members));
    }
    members.retain(|name, _| matches!(name.as_str(), "code" | "headers" | "body"));
    Ok(Rewritten::Response(Response::from_value(Value::Object(members))?))
}

fn show_values(object: &mut Map<String, Value>) {
    for value in object.values_mut() {
        *value = shown(value.take()).into();
    }
}
