//! Multipart bodies: `multipart/related` (a document and its attachments), `multipart/mixed`
//! (revisions of a document, answers of `_bulk_get`), `multipart/byteranges`, form uploads.
//!
//! `Parser` is the synchronous core: bytes in, events out, no I/O. `MultipartReader` puts it over a
//! stream. `writer` gives the byte pieces of CouchDB's framing, in order. Bodies of parts pass
//! through without being collected, so parts of any size take constant memory.

mod boundary;
mod head;
mod parser;
mod reader;
#[cfg(test)]
mod tests;
pub mod writer;

pub use boundary::{BOUNDARY_BYTES_MAX, Boundary, BoundaryError};
pub use head::PartHead;
pub use parser::{Event, Limits, ParseError, Parser};
pub use reader::{MultipartError, MultipartReader, PartChunks};
