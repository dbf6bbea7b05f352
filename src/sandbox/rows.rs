//! Splits what the map prelude answers into rows.
//!
//! The answers are JSON that the engine wrote, so this looks at no more than brackets, quotes and
//! commas: one pass over the bytes, without recursion.

use std::ops::Range;

use super::program::{Emitted, EmittedRow, MapResults};

/// Collects the answers for the documents of a batch.
pub(super) struct RowSplitter {
    results: MapResults,
}

impl RowSplitter {
    pub fn new(documents: usize) -> Self {
        let documents = Vec::with_capacity(documents);
        Self { results: MapResults { text: String::new(), documents } }
    }

    /// Adds the answer for one document: an array with a member for each map function, which is
    /// `[key, value, key, value...]`, or 0 where the function failed.
    pub fn add(&mut self, answer: &str) {
        let begin = self.results.text.len();
        self.results.text.push_str(answer);
        let functions = elements(answer, 0).into_iter().map(|function| {
            if answer.as_bytes().get(function.start) != Some(&b'[') {
                return Emitted::Failed;
            }
            let values = elements(answer, function.start);
            let shift = |range: &Range<usize>| begin + range.start..begin + range.end;
            let rows = values.chunks_exact(2).filter_map(|pair| match pair {
                [key, value] => Some(EmittedRow { key: shift(key), value: shift(value) }),
                _ => None,
            });
            Emitted::Rows(rows.collect())
        });
        let functions = functions.collect();
        self.results.documents.push(functions);
    }

    /// The bytes of all answers so far.
    pub fn bytes(&self) -> usize {
        self.results.text.len()
    }

    pub fn finish(self) -> MapResults {
        self.results
    }
}

/// The places of the elements of the array that begins at `open`.
fn elements(json: &str, open: usize) -> Vec<Range<usize>> {
    let bytes = json.as_bytes();
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut begin = open + 1;
    let mut at = open;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'[' | b'{' => depth += 1,
            b',' if depth == 1 => {
                found.push(begin..at);
                begin = at + 1;
            }
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    if at > begin {
                        found.push(begin..at);
                    }
                    return found;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Where the string that begins at `at` has its last quote.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}
