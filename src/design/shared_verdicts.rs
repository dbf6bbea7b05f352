//! What filter functions have just said: many feeds with the same filter that wait for the same
//! document ask once.
//!
//! A verdict is known by all that the function was given, and holds for a moment only, as a
//! function may look at the clock. Who asks the same as somebody else waits for that answer.
//! Bounded: a lane holds at most [`VERDICTS_MAX`] verdicts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::FunctionError;

/// Functions that can be asked side by side.
const LANES: usize = 64;
/// What comes in larger batches is history, which feeds do not read at the same time.
const BATCH_MAX: usize = 16;
const VERDICTS_MAX: usize = 1024;
const FRESH: Duration = Duration::from_secs(2);

type Key = [u8; 32];
type Answer = Result<Vec<bool>, FunctionError>;

/// The verdicts of all filters.
#[derive(Debug)]
pub(super) struct SharedVerdicts {
    lanes: [Mutex<Lane>; LANES],
}

impl Default for SharedVerdicts {
    fn default() -> Self {
        Self { lanes: std::array::from_fn(|_| Mutex::default()) }
    }
}

#[derive(Debug, Default)]
struct Lane {
    /// By function and document, with when they were given.
    verdicts: HashMap<Key, (Instant, bool)>,
    /// The last failure, by function and documents.
    failure: Option<(Key, Instant, FunctionError)>,
}

impl SharedVerdicts {
    /// Which documents pass the function that `function` names with all that it is given beside
    /// them. Of those that nobody has just asked about, `ask` finds out.
    pub fn judge(
        &self,
        function: &[&[u8]],
        documents: Vec<String>,
        ask: impl FnOnce(Vec<String>) -> Answer,
    ) -> Answer {
        if documents.len() > BATCH_MAX {
            return ask(documents);
        }
        let function = key_of(function);
        let keys: Vec<Key> =
            documents.iter().map(|document| key_of(&[&function, document.as_bytes()])).collect();
        let lane = self.lanes.get(usize::from(function[0]) % LANES);
        let Some(lane) = lane else { return ask(documents) };
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known: Vec<Option<bool>> = keys.iter().map(|key| lane.find(key)).collect();
        let is_unknown = |(document, known): (String, &Option<bool>)| {
            if known.is_none() { Some(document) } else { None }
        };
        let unknown: Vec<String> =
            documents.into_iter().zip(&known).filter_map(is_unknown).collect();
        if !unknown.is_empty() {
            let mut answers = lane.ask(&function, unknown, ask)?.into_iter();
            for (key, known) in keys.iter().zip(&mut known).filter(|(_, known)| known.is_none()) {
                *known = answers.next();
                lane.keep(*key, *known);
            }
        }
        Ok(known.into_iter().flatten().collect())
    }
}

impl Lane {
    fn find(&self, key: &Key) -> Option<bool> {
        let (given, verdict) = self.verdicts.get(key)?;
        (given.elapsed() < FRESH).then_some(*verdict)
    }

    /// Asks, unless the same has just failed.
    fn ask(
        &mut self,
        function: &Key,
        unknown: Vec<String>,
        ask: impl FnOnce(Vec<String>) -> Answer,
    ) -> Answer {
        let documents = unknown.iter().map(String::as_bytes);
        let parts: Vec<&[u8]> = std::iter::once(function.as_slice()).chain(documents).collect();
        let asked = key_of(&parts);
        match &self.failure {
            Some((key, given, error)) if *key == asked && given.elapsed() < FRESH => {
                return Err(error.clone());
            }
            _ => {}
        }
        let answer = ask(unknown);
        if let Err(error) = &answer {
            self.failure = Some((asked, Instant::now(), error.clone()));
        }
        answer
    }

    fn keep(&mut self, key: Key, verdict: Option<bool>) {
        let Some(verdict) = verdict else { return };
        if self.verdicts.len() >= VERDICTS_MAX {
            self.verdicts.retain(|_, (given, _)| given.elapsed() < FRESH);
        }
        if self.verdicts.len() >= VERDICTS_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key, (Instant::now(), verdict));
    }
}

fn key_of(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::sandbox::CallError;

    fn texts(documents: &[&str]) -> Vec<String> {
        documents.iter().map(|&document| document.to_owned()).collect()
    }

    #[test]
    fn the_same_is_asked_once() {
        let verdicts = SharedVerdicts::default();
        let asked = RefCell::new(Vec::new());
        let judge = |function: &str, documents: &[&str]| {
            let ask = |documents: Vec<String>| {
                let answers = documents.iter().map(|document| document.starts_with('y')).collect();
                asked.borrow_mut().extend(documents);
                Ok(answers)
            };
            verdicts.judge(&[function.as_bytes()], texts(documents), ask).unwrap()
        };
        assert_eq!(judge("f", &["y1", "n1"]), [true, false]);
        assert_eq!(judge("f", &["n1", "y2", "y1"]), [false, true, true]);
        assert_eq!(asked.take(), ["y1", "n1", "y2"]);
        assert_eq!(judge("g", &["y1"]), [true]);
        assert_eq!(asked.take(), ["y1"]);
        let history = vec!["y1"; BATCH_MAX + 1];
        assert_eq!(judge("f", &history).len(), BATCH_MAX + 1);
        assert_eq!(asked.take().len(), BATCH_MAX + 1);
    }

    #[test]
    fn a_failure_is_shared_by_those_who_ask_the_same() {
        let verdicts = SharedVerdicts::default();
        let calls = RefCell::new(0);
        let judge = |documents: &[&str]| {
            verdicts.judge(&[b"f"], texts(documents), |_| {
                *calls.borrow_mut() += 1;
                Err(CallError::TimedOut.into())
            })
        };
        for _ in 0..3 {
            assert_eq!(judge(&["a"]), Err(CallError::TimedOut.into()));
        }
        assert_eq!(*calls.borrow(), 1);
        assert!(judge(&["b"]).is_err());
        assert_eq!(*calls.borrow(), 2);
    }

    #[test]
    fn no_function_fails_for_another() {
        let verdicts = SharedVerdicts::default();
        for number in 0..4 * LANES {
            let (name, fails) = (number.to_string(), number % 2 == 0);
            let judged = verdicts.judge(&[name.as_bytes()], texts(&["a"]), |_| {
                if fails { Err(CallError::TimedOut.into()) } else { Ok(vec![true]) }
            });
            assert_eq!(judged.is_err(), fails, "{number}");
        }
    }

    #[test]
    fn the_number_is_bounded() {
        let mut lane = Lane::default();
        for number in 0..3 * VERDICTS_MAX {
            lane.keep(key_of(&[number.to_string().as_bytes()]), Some(true));
            assert!(lane.verdicts.len() <= VERDICTS_MAX);
        }
    }
}
