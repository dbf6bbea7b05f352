//! The HTTP server: accepts connections, plain and TLS, hands each request of HTTP/1.1 or HTTP/2 to
//! `couch_api`, compresses answers, and stops in an orderly way.
//!
//! Invariants: everything that a client may take is bounded: connections, requests at one time, the
//! size of a request's head, and the time that is waited for a head, a body, or room to send. What
//! is too much is refused at once. An idle connection holds no request's memory.

mod activity;
mod admission;
mod compression;
mod connection;
mod handover;
mod listen;
mod listeners;
mod opening;
mod patience;
mod prometheus;
mod request_body;
mod request_line;
mod requests;
#[cfg(test)]
mod tests;
mod tls;
mod watched;

pub use listen::serve;
pub use listeners::{ListenError, Listeners};
