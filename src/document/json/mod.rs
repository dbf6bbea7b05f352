//! JSON text in one pass: strict validation, normalised text, and Erlang's external term format.
//!
//! `reader` knows the grammar (RFC 8259) and tells a `Sink` what stands where; `text` is the sink
//! that writes the normalised text, `term` the one that writes the term beside it. Nothing here
//! builds a tree of values, and nothing recurses: depth costs one byte of heap a level.
//!
//! Normalised text has no white space outside strings, one form for every string (the escapes of
//! `write_string`), no duplicate members (the last one stays, where it stood), and numbers exactly
//! as they were written.

mod float;
pub(super) mod number;
pub(super) mod reader;
pub(super) mod string;
pub mod term;
#[cfg(test)]
pub mod tests;
pub(super) mod text;

use thiserror::Error;

pub use float::{print_float, write_float};
pub use string::write_string;

use reader::{InvalidJson, Reader};
use term::MinifiedWithTerm;
use text::Minified;

/// What a JSON text may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and objects inside each other.
    pub depth_max: usize,
    /// Decimal digits of one integer. Integers of more than 1,000 digits may together have ten
    /// times as many in one text: the work for each grows with the square of its digits.
    pub integer_digits_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 1_000, integer_digits_max: 100_000 }
    }
}

/// The text is no JSON, is not UTF-8, or breaks a limit. The text is CouchDB's `bad_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("invalid UTF-8 JSON")]
pub struct JsonError;

impl From<InvalidJson> for JsonError {
    fn from(_: InvalidJson) -> Self {
        Self
    }
}

/// The normalised form of one JSON value of any type.
///
/// # Errors
/// Where `text` is not exactly one valid JSON value within `limits`.
pub fn minify(text: &[u8], limits: &Limits) -> Result<Vec<u8>, JsonError> {
    let mut reader = Reader::new(text, limits)?;
    let mut minified = Minified::new(reader.text(), 0);
    reader.value(&mut minified)?;
    let end = reader.position();
    reader.finish()?;
    Ok(minified.finish(end).into_owned())
}

/// One JSON value of any type in Erlang's external term format, with its version byte.
///
/// # Errors
/// As [`minify`].
pub fn term(text: &[u8], limits: &Limits) -> Result<Vec<u8>, JsonError> {
    let mut reader = Reader::new(text, limits)?;
    let mut sink = MinifiedWithTerm::new(reader.text());
    reader.value(&mut sink)?;
    let end = reader.position();
    reader.finish()?;
    let (_, mut term) = sink.finish(end);
    term.insert(0, term::VERSION);
    Ok(term)
}
