//! Selectors.

#[path = "../../../src/mango/erlang_term.rs"]
pub mod erlang_term;
#[path = "../../../src/mango/selector/mod.rs"]
pub mod selector;
