//! `[log]`: how much the server says, in which form, and where.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Reader, Section};

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

impl LogLevel {
    /// A level by its name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "notice" => Some(Self::Notice),
            "warning" | "warn" => Some(Self::Warning),
            "error" | "err" => Some(Self::Error),
            "critical" | "crit" => Some(Self::Critical),
            "alert" => Some(Self::Alert),
            "emergency" | "emerg" => Some(Self::Emergency),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// The form of a line. CouchDB has no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// An object a line.
    Json,
}

impl LogFormat {
    /// A format by its name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogWriter {
    Stderr,
    /// stderr as journald reads it.
    Journald,
    File(PathBuf),
    Syslog(SyslogSettings),
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogSettings {
    pub host: String,
    pub port: u16,
    pub appid: String,
    /// Its number.
    pub facility: u8,
}

/// `write_buffer` and `write_delay`: lines wait for others before they are written to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBuffer {
    /// 0 where none waits.
    pub bytes: usize,
    /// How long a line may wait.
    pub delay: Duration,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
    pub writer: LogWriter,
    /// What a file is spared.
    pub buffer: LogBuffer,
    /// In bytes; longer messages are cut.
    pub max_message_size: usize,
    /// Requests that take as long are told of as warnings; `None`: never. CouchDB has no such key.
    pub slow_request_ms: Option<u64>,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

impl LogSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["log"]);
        let slow = section.number("slow_request_ms", 5000, 0..=u64::MAX);
        Self {
            level: section.parsed("level", LogLevel::Info, "a log level", LogLevel::parse),
            format: section.parsed("format", LogFormat::Text, "text or json", LogFormat::parse),
            writer: writer(&mut section),
            buffer: LogBuffer::read(&mut section),
            max_message_size: section.number("max_message_size", 16_000, 1..=1 << 20),
            slow_request_ms: (slow > 0).then_some(slow),
        }
    }
}

impl LogBuffer {
    /// As in Erlang a buffer without a delay is none.
    fn read(section: &mut Section<'_>) -> Self {
        let bytes = section.number("write_buffer", 0, 0..=16 << 20);
        let delay = Duration::from_millis(section.number("write_delay", 0, 0..=60_000));
        Self { bytes: if delay.is_zero() { 0 } else { bytes }, delay }
    }
}

fn writer(section: &mut Section<'_>) -> LogWriter {
    let file = section.text_or("file", "./couch.log");
    let host = section.text("syslog_host").map(str::to_owned);
    let syslog = SyslogSettings {
        port: section.number("syslog_port", 514, 1..=u16::MAX),
        appid: section.text_or("syslog_appid", "couchdb"),
        facility: section.parsed("syslog_facility", 18, "a facility of syslog", facility),
        host: host.clone().unwrap_or_default(),
    };
    let expected = "stderr, file, journald, or syslog with a syslog_host";
    section.parsed("writer", LogWriter::Stderr, expected, |text| match text {
        "stderr" => Some(LogWriter::Stderr),
        "journald" => Some(LogWriter::Journald),
        "file" => Some(LogWriter::File(PathBuf::from(file))),
        "syslog" => host.map(|_| LogWriter::Syslog(syslog)),
        _ => None,
    })
}

fn facility(text: &str) -> Option<u8> {
    let named = FACILITIES.iter().position(|name| *name == text);
    let number = named.or_else(|| text.parse().ok().filter(|number| *number < FACILITIES.len()));
    u8::try_from(number?).ok()
}
