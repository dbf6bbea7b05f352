//! Remembers what sources were found to be, by the hash of their text.
//!
//! Design documents are saved again and again with the same functions in them. Bounded: it holds at
//! most twice [`GENERATION_MAX`] entries, and an entry that is asked for stays.

use std::collections::HashMap;
use std::mem;

use sha2::{Digest, Sha256};

use super::compile::CompileError;

pub(super) type Verdict = Result<(), CompileError>;

/// The entries of one generation; with its message an entry takes less than 4 KiB.
const GENERATION_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Verdicts {
    young: HashMap<Key, Verdict>,
    old: HashMap<Key, Verdict>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(pub [u8; 32]);

impl Key {
    pub fn of(source: &str) -> Self {
        Self(Sha256::digest(source.as_bytes()).into())
    }
}

impl Verdicts {
    pub fn get(&mut self, key: Key) -> Option<Verdict> {
        if let Some(verdict) = self.young.get(&key) {
            return Some(verdict.clone());
        }
        let verdict = self.old.remove(&key)?;
        self.insert(key, verdict.clone());
        Some(verdict)
    }

    pub fn insert(&mut self, key: Key, verdict: Verdict) {
        if self.young.len() >= GENERATION_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_use_stay_and_the_number_is_bounded() {
        let mut verdicts = Verdicts::default();
        let used = Key::of("used");
        verdicts.insert(used, Err(CompileError::NotAFunction));
        for number in 0..10 * GENERATION_MAX {
            verdicts.insert(Key::of(&number.to_string()), Ok(()));
            assert_eq!(verdicts.get(used), Some(Err(CompileError::NotAFunction)));
            assert!(verdicts.young.len() + verdicts.old.len() <= 2 * GENERATION_MAX);
        }
        assert_eq!(verdicts.get(Key::of("0")), None);
    }
}
