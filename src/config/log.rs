//! `[log]`: how much the server says.

use super::reader::Reader;

/// From the most to the least talkative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
    None,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LogLevel,
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["log"]);
        Self { level: section.parsed("level", LogLevel::Info, "a log level", level) }
    }
}

fn level(text: &str) -> Option<LogLevel> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Some(LogLevel::Debug),
        "info" => Some(LogLevel::Info),
        "notice" => Some(LogLevel::Notice),
        "warning" | "warn" => Some(LogLevel::Warning),
        "error" | "err" => Some(LogLevel::Error),
        "critical" | "crit" => Some(LogLevel::Critical),
        "alert" => Some(LogLevel::Alert),
        "emergency" | "emerg" => Some(LogLevel::Emergency),
        "none" => Some(LogLevel::None),
        _ => None,
    }
}
