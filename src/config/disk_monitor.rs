//! `[disk_monitor]`: how full the data folder's file system may become.

use super::reader::Reader;

/// `[disk_monitor]`, in percent of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskMonitorSettings {
    pub enable: bool,
    /// Above it indexes are not built unless somebody waits for them.
    pub background_view_indexing_threshold: u64,
    /// Above it indexes are not updated.
    pub interactive_view_indexing_threshold: u64,
    /// Above it documents are not written.
    pub interactive_database_writes_threshold: u64,
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
