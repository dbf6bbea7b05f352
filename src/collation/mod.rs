//! CouchDB's orders of JSON values: as comparisons, and as byte keys that memcmp orders alike.
//!
//! View order is null, false, true, numbers (as doubles), strings (ICU root collation, tertiary
//! strength), arrays element by element, objects entry by entry as they are stored; of two arrays
//! or objects of which one begins the other, the shorter stands first. Raw order (`collation: raw`,
//! and `_id` in selectors) is that of Erlang terms: numbers, false, null, true, objects, arrays,
//! strings by their bytes.
//!
//! The module is pure. Nested values are walked with a list and not by recursion, so their depth
//! costs memory only. A key is never the beginning of another key, so more bytes may follow
//! it and the whole still sorts by key first. Equal keys mean equal in that order, which is not
//! identity: `1` and `1.0`, or two spellings of one accented letter, share a key, so the exact
//! value must be kept beside it. View keys depend on the Unicode data the collator was built with;
//! `collator_version` changes when they do.

mod compare;
mod key;
mod split;
mod strings;
mod text;

#[cfg(test)]
mod tests;

pub use compare::{compare, compare_raw};
pub use key::{write_key, write_raw_key};
pub use split::{group_end, key_end, raw_group_end, raw_key_end};
pub use strings::{collator_version, compare_strings};
pub use text::{write_key_of_text, write_raw_key_of_text};
