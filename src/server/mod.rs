//! The HTTP/1.1 server: accepts connections, hands each request to `couch_api`, compresses
//! answers, and stops in an orderly way.
//!
//! Invariants: the number of connections, the size of a request's head and the time it may take
//! are bounded; an idle connection holds no request's memory.

mod compression;
mod connection;
mod listen;
mod request_line;
#[cfg(test)]
mod tests;

pub use listen::{bind, serve};
