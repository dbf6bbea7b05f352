//! `[chttpd_auth_lockout]`: what repeated wrong passwords lead to.

use super::reader::Reader;

/// What happens to an account at the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockoutMode {
    Off,
    /// Failures are counted and logged, nobody is refused.
    Warn,
    Enforce,
}

/// `[chttpd_auth_lockout]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutSettings {
    pub mode: LockoutMode,
    /// So many failures lock an account for the address they came from.
    pub threshold: u32,
    /// How many accounts and addresses are watched at once.
    pub max_objects: usize,
    /// How long failures are remembered, in milliseconds.
    pub max_lifetime_ms: u64,
}

impl LockoutSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["chttpd_auth_lockout"]);
        Self {
            mode: section.parsed("mode", LockoutMode::Enforce, "off, warn or enforce", mode),
            threshold: section.number("threshold", 5, 1..=u32::MAX),
            max_objects: section.number("max_objects", 10_000, 1..=1_000_000),
            max_lifetime_ms: section.number("max_lifetime", 300_000, 1..=u64::MAX),
        }
    }
}

fn mode(text: &str) -> Option<LockoutMode> {
    match text {
        "off" => Some(LockoutMode::Off),
        "warn" => Some(LockoutMode::Warn),
        "enforce" => Some(LockoutMode::Enforce),
        _ => None,
    }
}
