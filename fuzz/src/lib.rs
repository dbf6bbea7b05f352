//! The modules of the server that take bytes from strangers or from disk, without the engines that
//! the server links: so the targets build in a minute.
#![allow(dead_code, unused_imports, reason = "the targets use a part of each module")]

#[path = "../../src/collation/mod.rs"]
pub mod collation;
#[path = "../../src/document/mod.rs"]
pub mod document;
pub mod http;
#[path = "../../src/config/ini.rs"]
pub mod ini;
pub mod mango;
pub mod storage;
