//! `[uuids]`: how the server makes ids.

use super::reader::Reader;

/// How an id is made (`/_uuids`, `POST /{db}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UuidAlgorithm {
    /// 26 random hexadecimal digits and 6 that grow.
    Sequential,
    Random,
    /// 14 digits of the time in microseconds, 18 random ones.
    UtcRandom,
    /// 14 digits of the time in microseconds and the configured suffix.
    UtcId,
    UuidV7,
}

/// `[uuids]`.
#[derive(Debug, Clone)]
pub struct UuidsSettings {
    pub algorithm: UuidAlgorithm,
    pub utc_id_suffix: String,
    /// The most ids one request may ask for.
    pub max_count: u64,
}

impl UuidsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["uuids"]);
        Self {
            algorithm: section.parsed(
                "algorithm",
                UuidAlgorithm::Sequential,
                "sequential, random, utc_random, utc_id or uuid_v7",
                algorithm,
            ),
            utc_id_suffix: section.text_or("utc_id_suffix", ""),
            max_count: section.number("max_count", 1000, 0..=1_000_000),
        }
    }
}

fn algorithm(text: &str) -> Option<UuidAlgorithm> {
    match text {
        "sequential" => Some(UuidAlgorithm::Sequential),
        "random" => Some(UuidAlgorithm::Random),
        "utc_random" => Some(UuidAlgorithm::UtcRandom),
        "utc_id" => Some(UuidAlgorithm::UtcId),
        "uuid_v7" => Some(UuidAlgorithm::UuidV7),
        _ => None,
    }
}
