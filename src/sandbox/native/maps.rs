//! The map functions of a program, run natively over a batch of documents.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use bumpalo::Bump;

use super::super::host::LogLines;
use super::super::program::{Emitted, EmittedRow, MapResults};
use super::compile::{Strictness, compile};
use super::document::{Document, Kind, Node};
use super::json::Writer;
use super::machine::Machine;
use super::number::Digits;
use super::tree::Tree;
use super::value::{Answer, Stop, Value};

/// What the rows of one document may take; the engine knows what to do about more.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// What the rows of a batch may take.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// When so many documents have taken too many steps the engine gets them all: trying costs more
/// than it saves.
pub(super) const EXHAUSTED_MAX: u32 = 8;

/// The maps of one program.
#[derive(Debug)]
pub(in super::super) struct NativeMaps {
    maps: Vec<Tree>,
    /// How many documents took too many steps.
    exhausted: AtomicU32,
}

impl NativeMaps {
    /// Compiles maps; none where one of them is the engine's. They share its globals there, so
    /// that what one does to these is seen by all. Needs a stack of a few megabytes.
    pub fn new(sources: &[String]) -> Option<Self> {
        let compile = |source: &String| compile(source, Strictness::Whole);
        let maps = sources.iter().map(compile).collect::<Option<Vec<Tree>>>()?;
        (!maps.is_empty()).then_some(Self { maps, exhausted: AtomicU32::default() })
    }

    /// Whether a map sees nothing of a document that filters see otherwise.
    pub fn filters(&self, map: usize) -> bool {
        self.maps.get(map).is_some_and(|tree| tree.sees_alike)
    }

    /// Maps documents. Those that the engine must map have no functions in the results; their
    /// places are told beside these.
    pub fn map(&self, documents: &[String]) -> (MapResults, Vec<usize>) {
        let mut results =
            MapResults { text: String::new(), documents: Vec::with_capacity(documents.len()) };
        let mut left = Vec::new();
        let mut nodes = Vec::new();
        let mut arena = Bump::new();
        let lines = LogLines::default();
        for (at, document) in documents.iter().enumerate() {
            lines.restart();
            let begin = results.text.len();
            let is_too_much =
                begin > BATCH_BYTES_MAX || self.exhausted.load(Relaxed) >= EXHAUSTED_MAX;
            let mapped = if is_too_much {
                Err(Stop::Engine)
            } else {
                self.map_one(document, &mut nodes, &arena, &lines, &mut results.text)
            };
            match mapped {
                Ok(emitted) => results.documents.push(emitted),
                Err(_) => {
                    results.text.truncate(begin);
                    results.documents.push(Vec::new());
                    left.push(at);
                }
            }
            arena.reset();
        }
        (results, left)
    }

    fn map_one(
        &self,
        text: &str,
        nodes: &mut Vec<Node>,
        arena: &Bump,
        lines: &LogLines,
        out: &mut String,
    ) -> Answer<Vec<Emitted>> {
        let document = Document::read(text, nodes).ok_or(Stop::Engine)?;
        if document.node(Document::ROOT).kind != Kind::Object {
            return Err(Stop::Engine);
        }
        let mut logged: Vec<String> = Vec::new();
        let mut emitted = Vec::with_capacity(self.maps.len());
        for map in &self.maps {
            let mut machine = Machine::new(map, document, arena);
            let ran = machine.run(&[Value::DocumentObject(Document::ROOT)]);
            logged.extend(machine.lines.iter().map(|line| (*line).to_owned()));
            emitted.push(match (ran, machine.thrown.take()) {
                (Ok(_), _) => Emitted::Rows(write_rows(&machine, out)?),
                (Err(Stop::Thrown), Some(message)) => {
                    let id = match document.member(Document::ROOT, "_id") {
                        None => "undefined",
                        Some(id) => machine.value_of(id)?.text_in(arena)?,
                    };
                    logged.push(format!(
                        "function raised exception (TypeError: {message}) with doc._id {id}"
                    ));
                    Emitted::Failed
                }
                (Err(_), _) => {
                    self.exhausted.fetch_add(u32::from(machine.is_exhausted), Relaxed);
                    return Err(Stop::Engine);
                }
            });
        }
        for line in &logged {
            lines.log(line);
        }
        Ok(emitted)
    }
}

/// Writes what a function has emitted, as it is when the function has ended.
fn write_rows(machine: &Machine<'_>, out: &mut String) -> Answer<Vec<EmittedRow>> {
    let mut rows = Vec::with_capacity(machine.emitted.len());
    let bytes_max = out.len() + DOCUMENT_BYTES_MAX;
    let digits = Digits::new();
    let mut writer = Writer { document: machine.document, out, bytes_max, digits };
    for (key, value) in &machine.emitted {
        let begin = writer.out.len();
        writer.element(*key)?;
        let middle = writer.out.len();
        writer.element(*value)?;
        rows.push(EmittedRow { key: begin..middle, value: middle..writer.out.len() });
    }
    Ok(rows)
}
