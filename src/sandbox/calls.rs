//! Calling the functions of programs.

use std::sync::Arc;

use super::host::Streams;
use super::native::NativeMaps;
use super::pool::{PoolError, Told};
use super::program::{CallError, ChunkSink, Code, MapResults, Program, ReduceCall, RowSource};
use super::sandbox::{Call, Purpose, Sandbox};

impl Sandbox {
    /// Runs a program's map functions over documents, each a JSON object. Blocks while it runs,
    /// and as long as builds of other indexes keep the threads busy. The time limit is each
    /// document's.
    ///
    /// # Errors
    /// Where a function cannot be compiled or breaks a limit; what it throws is no error, except
    /// `["fatal", ...]`.
    pub fn map(&self, program: &Program, documents: Vec<String>) -> Result<MapResults, CallError> {
        match self.native_maps(program) {
            Some(maps) => self.map_natively(program, maps, documents),
            None => self.map_in_engine(program, documents),
        }
    }

    /// Whether each map of a program runs without an engine; none where it has no such maps.
    /// Blocks as [`Self::map`] does.
    pub fn native(&self, program: &Program) -> Option<Vec<bool>> {
        let Code::Maps { sources, .. } = &*program.code else { return None };
        let is_native = self.native_maps(program).is_some();
        Some(vec![is_native; sources.len()])
    }

    /// Whether a map of a program emits something of a document exactly if it lets it pass when
    /// it is used as a filter, unless it throws: it runs without an engine, and nothing that it
    /// looks at is told otherwise to filters. Blocks as [`Self::map`] does.
    pub fn map_filters(&self, program: &Program, map: usize) -> bool {
        self.native_maps(program).is_some_and(|maps| maps.filters(map))
    }

    /// The program's maps, where they run without an engine.
    fn native_maps<'p>(&self, program: &'p Program) -> Option<&'p NativeMaps> {
        let native = program.native.get_or_init(|| {
            let Code::Maps { .. } = &*program.code else { return None };
            let code = program.code.clone();
            let compile = move || match &*code {
                Code::Maps { sources, .. } => NativeMaps::new(sources),
                _ => None,
            };
            self.run_on_builder(compile).ok().flatten()
        });
        native.as_ref()
    }

    /// Maps what can be mapped natively, and the rest in the engine.
    fn map_natively(
        &self,
        program: &Program,
        maps: &NativeMaps,
        documents: Vec<String>,
    ) -> Result<MapResults, CallError> {
        let (mut results, left) = maps.map(&documents);
        if left.is_empty() {
            return Ok(results);
        }
        let mut at_left = left.iter().peekable();
        let mut rest = Vec::with_capacity(left.len());
        for (at, document) in documents.into_iter().enumerate() {
            if at_left.next_if_eq(&&at).is_some() {
                rest.push(document);
            }
        }
        let rest = self.map_in_engine(program, rest)?;
        let begin = results.text.len();
        results.text.push_str(&rest.text);
        for (at, mut functions) in left.into_iter().zip(rest.documents) {
            for emitted in &mut functions {
                emitted.shift(begin);
            }
            if let Some(place) = results.documents.get_mut(at) {
                *place = functions;
            }
        }
        Ok(results)
    }

    /// As [`Self::map`], in the engine alone.
    ///
    /// # Errors
    /// As for [`Self::map`].
    pub fn map_in_engine(
        &self,
        program: &Program,
        documents: Vec<String>,
    ) -> Result<MapResults, CallError> {
        self.with_instance(Purpose::Build, program, move |instance, clock| {
            instance.map(&documents, clock)
        })
    }

    /// Calls a reduce function several times; each answer is JSON, or why there is none. Waits as
    /// [`Self::map`] does.
    ///
    /// # Errors
    /// Where the function cannot be compiled or breaks a limit.
    pub fn reduce(
        &self,
        program: &Program,
        calls: Vec<ReduceCall>,
    ) -> Result<Vec<Result<String, String>>, CallError> {
        self.with_instance(Purpose::Build, program, move |instance, clock| {
            instance.reduce(&calls, clock)
        })
    }

    /// Calls the function at `path` of a design document (`["shows", "name"]`, or
    /// `["validate_doc_update"]`) with JSON arguments; its answer in the form of CouchDB's query
    /// server protocol, JSON.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn call(
        &self,
        program: &Program,
        path: &[&str],
        arguments: Vec<String>,
    ) -> Result<String, CallError> {
        self.begin_call(program, path, arguments, None)?.wait()
    }

    /// The same without waiting; `told` is called once there is an answer.
    ///
    /// # Errors
    /// Where the call cannot begin.
    pub fn begin_call(
        &self,
        program: &Program,
        path: &[&str],
        arguments: Vec<String>,
        told: Option<Told>,
    ) -> Result<Call<String>, CallError> {
        let path = owned(path);
        self.begin_with_instance(Purpose::Request, program, told, move |instance, clock| {
            instance.call(&path, &arguments, clock)
        })
    }

    /// Calls the function at `path` once with each list of arguments, as [`Self::call`] does, but
    /// on one thread. The time limit is each call's. After one that does not end in time no other
    /// begins: all answers from there on are that.
    #[must_use]
    pub fn call_each(
        &self,
        program: &Program,
        path: &[&str],
        calls: Vec<Vec<String>>,
    ) -> Vec<Result<String, CallError>> {
        let (path, calls) = (owned(path), Arc::new(calls));
        let mut answers: Vec<Result<String, CallError>> = Vec::with_capacity(calls.len());
        let mut at_once = calls.len();
        while answers.len() < calls.len() {
            let from = answers.len();
            let (path, given) = (path.clone(), calls.clone());
            let job = self.with_instance(Purpose::Request, program, move |instance, clock| {
                let some = given.iter().skip(from).take(at_once).cloned().collect::<Vec<_>>();
                Ok(instance.call_each(&path, &some, clock))
            });
            match job {
                Ok(some) if !some.is_empty() => answers.extend(some),
                Ok(_) => answers.push(Err(PoolError::Crashed.into())),
                // The answers of several calls are lost with it: find out which one it was.
                Err(_) if at_once > 1 => at_once = 1,
                Err(error) => answers.push(Err(error)),
            }
            if let Some(Err(error @ (CallError::TimedOut | CallError::Pool(_)))) = answers.last() {
                let error = error.clone();
                answers.resize(calls.len(), Err(error));
            }
        }
        answers
    }

    /// Which of `documents` pass a filter function (`["filters", "name"]`), or have a row in a
    /// view whose map function is used as one (`["views", "name", "map"]`). The time limit is each
    /// document's.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn filter(
        &self,
        program: &Program,
        path: &[&str],
        documents: Vec<String>,
        request: String,
    ) -> Result<Vec<bool>, CallError> {
        let path = owned(path);
        self.with_instance(Purpose::Request, program, move |instance, clock| {
            instance.filter(&path, &documents, &request, clock)
        })
    }

    /// Runs the list function at `path`: it reads `rows` and writes to `sink`. The time limit
    /// begins anew with every row; time that `rows` and `sink` take does not count.
    ///
    /// # Errors
    /// Where it ends early. What was written until then stays written.
    pub fn list(
        &self,
        program: &Program,
        path: &[&str],
        arguments: [String; 2],
        rows: Box<dyn RowSource>,
        sink: Box<dyn ChunkSink>,
    ) -> Result<(), CallError> {
        let path = owned(path);
        let mut streams = Some(Streams { rows, sink });
        self.with_instance(Purpose::List, program, move |instance, clock| {
            // A list that has written cannot begin again.
            let streams = streams.take().ok_or(CallError::OutOfMemory)?;
            instance.list(&path, &arguments, streams, clock)
        })
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&member| member.to_owned()).collect()
}
