//! `[mango]`: queries.

use super::reader::Reader;

/// `[mango]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MangoSettings {
    /// The documents of an answer whose query does not say how many.
    pub default_limit: u64,
    /// An answer warns where more documents than this were read for each that is shown; 0 never.
    pub index_scan_warning_threshold: u64,
}

impl MangoSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["mango"]);
        Self {
            default_limit: section.number("default_limit", 25, 0..=u64::MAX),
            index_scan_warning_threshold: section.number(
                "index_scan_warning_threshold",
                10,
                0..=u64::MAX,
            ),
        }
    }
}
