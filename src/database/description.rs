//! What a database was lately described as, for those who need no newer word: looking up its size
//! takes longer than most functions that are told of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::storage::values::State;

/// How long a description holds while nothing is written.
const FRESH: Duration = Duration::from_secs(1);

/// The last description; bytes to this layer.
#[derive(Debug, Default)]
pub(super) struct Description(Mutex<Option<(Instant, State, Arc<RawValue>)>>);

impl Description {
    /// The last one of this state, or a new one: JSON.
    pub fn get(&self, state: State, describe: impl FnOnce() -> String) -> Arc<RawValue> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, of, text)) = &*last
            && *of == state
            && since.elapsed() < FRESH
        {
            return text.clone();
        }
        let text: Arc<RawValue> = RawValue::from_string(describe()).unwrap_or_default().into();
        *last = Some((Instant::now(), state, text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_of_its_state() {
        let description = Description::default();
        let told = |update_seq: u64, text: &str| {
            let state = State { update_seq, ..State::default() };
            description.get(state, || text.to_owned()).get().to_owned()
        };
        assert_eq!(told(1, "1"), "1");
        assert_eq!(told(2, "2"), "2");
        assert_eq!(told(1, "3"), "3");
    }
}
