//! `[global_changes]`: what happens to databases, as documents of `_global_changes`.

use std::time::Duration;

use super::reader::{Reader, Section};

/// `[global_changes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalChangesSettings {
    /// Whether anything is written.
    pub update_db: bool,
    /// How long events are gathered before they wait to be written.
    pub max_event_delay: Duration,
    /// How long they wait then for others, to be written in one batch.
    pub max_write_delay: Duration,
}

impl GlobalChangesSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["global_changes"]);
        let delay = |section: &mut Section<'_>, key: &str, default: u64| {
            Duration::from_millis(section.number(key, default, 0..=u64::from(u32::MAX)))
        };
        Self {
            update_db: section.boolean("update_db", true),
            max_event_delay: delay(&mut section, "max_event_delay", 25),
            max_write_delay: delay(&mut section, "max_write_delay", 500),
        }
    }
}
