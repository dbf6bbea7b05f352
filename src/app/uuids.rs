//! Ids for new documents (`/_uuids`, `POST /{db}`), by the algorithms of `[uuids]`.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use rand::Rng as _;

use crate::config::{UuidAlgorithm, UuidsSettings};

use super::clock::now_us;

/// Room of the growing part of a sequential id: six hexadecimal digits.
const SEQUENTIAL_MAX: u32 = 0x00ff_ffff;
/// Largest step between two sequential ids.
const STEP_MAX: u32 = 0xffe;

#[derive(Debug)]
struct Sequential {
    /// 26 random hexadecimal digits.
    prefix: String,
    number: u32,
}

/// Makes ids; one for the whole server, so that sequential ones go on across requests.
#[derive(Debug)]
pub struct UuidGenerator {
    sequential: Mutex<Sequential>,
}

impl Default for UuidGenerator {
    fn default() -> Self {
        Self { sequential: Mutex::new(Sequential::fresh()) }
    }
}

impl Sequential {
    fn fresh() -> Self {
        let number = rand::rng().random_range(0..STEP_MAX);
        Self { prefix: random_hex(26), number }
    }

    fn next(&mut self) -> String {
        let id = format!("{}{:06x}", self.prefix, self.number);
        self.number += rand::rng().random_range(1..=STEP_MAX);
        if self.number > SEQUENTIAL_MAX {
            *self = Self::fresh();
        }
        id
    }
}

impl UuidGenerator {
    /// A new id of 32 hexadecimal digits (with `utc_id`: 14 and the configured suffix).
    pub fn next(&self, settings: &UuidsSettings) -> String {
        match settings.algorithm {
            UuidAlgorithm::Sequential => {
                self.sequential.lock().unwrap_or_else(PoisonError::into_inner).next()
            }
            UuidAlgorithm::Random => random_hex(32),
            UuidAlgorithm::UtcRandom => format!("{:014x}{}", now_us(), random_hex(18)),
            UuidAlgorithm::UtcId => format!("{:014x}{}", now_us(), settings.utc_id_suffix),
            UuidAlgorithm::UuidV7 => uuid::Uuid::now_v7().simple().to_string(),
        }
    }
}

/// So many random hexadecimal digits.
#[must_use]
pub fn random_hex(digits: usize) -> String {
    let mut text = String::with_capacity(digits);
    let mut random = rand::rng();
    for _ in 0..digits {
        // Writing to a String does not fail.
        let _ = write!(text, "{:x}", random.random_range(0..16u8));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn each_algorithm_gives_different_ids_of_its_form() {
        let generator = UuidGenerator::default();
        let mut settings = Settings::default().uuids;
        settings.utc_id_suffix = "-x".into();
        for (algorithm, length) in [
            (UuidAlgorithm::Sequential, 32),
            (UuidAlgorithm::Random, 32),
            (UuidAlgorithm::UtcRandom, 32),
            (UuidAlgorithm::UtcId, 16),
            (UuidAlgorithm::UuidV7, 32),
        ] {
            settings.algorithm = algorithm;
            let (one, two) = (generator.next(&settings), generator.next(&settings));
            assert_eq!((one.len(), two.len()), (length, length), "{algorithm:?}");
            if algorithm != UuidAlgorithm::UtcId {
                assert_ne!(one, two, "{algorithm:?}");
            }
        }
    }

    #[test]
    fn sequential_ids_grow_until_a_new_prefix() {
        let mut sequential = Sequential::fresh();
        let mut last = sequential.next();
        for _ in 0..20_000 {
            let next = sequential.next();
            assert!(next > last || next[..26] != last[..26], "{last} {next}");
            last = next;
        }
    }
}
