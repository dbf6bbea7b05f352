//! The wire formats.

#[path = "../../../src/http/multipart/mod.rs"]
pub mod multipart;
#[path = "../../../src/http/parameters.rs"]
pub mod parameters;
#[path = "../../../src/http/range.rs"]
pub mod range;
