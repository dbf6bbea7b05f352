//! HTTP as text and bytes: the wire formats that the server and the replicator both speak.
//!
//! Nothing here knows a web framework, a document or where anything is stored: values in, values
//! out, over `Bytes` and header texts. Only the thin wrappers over a `Stream` and the client are
//! asynchronous.
//! Input comes from strangers: each parser is linear in its input and bounded in its memory.

pub mod client;
pub mod date;
pub mod gzip;
pub mod multipart;
pub mod negotiate;
pub mod parameters;
pub mod path;
pub mod range;
