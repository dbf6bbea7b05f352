//! `[disk_monitor]`: what is refused once the disk is nearly full.

use super::reader::Reader;

/// `[disk_monitor]`. The thresholds are percents of the disk that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskMonitorSettings {
    pub enable: bool,
    pub background_view_indexing_threshold: u8,
    pub interactive_view_indexing_threshold: u8,
    pub interactive_database_writes_threshold: u8,
}

impl DiskMonitorSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["disk_monitor"]);
        Self {
            enable: section.boolean("enable", false),
            background_view_indexing_threshold: section.number(
                "background_view_indexing_threshold",
                80,
                0..=100,
            ),
            interactive_view_indexing_threshold: section.number(
                "interactive_view_indexing_threshold",
                90,
                0..=100,
            ),
            interactive_database_writes_threshold: section.number(
                "interactive_database_writes_threshold",
                90,
                0..=100,
            ),
        }
    }
}
