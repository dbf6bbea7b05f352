//! What the system tells of this process. Where it tells nothing, all is 0.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The size of a page where `/proc` counts in pages.
const PAGE_BYTES: u64 = 4096;

/// Numbers of the process as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    pub resident_bytes: u64,
    /// Of the program itself.
    pub code_bytes: u64,
    pub open_files: u64,
    pub threads: u64,
    pub context_switches: u64,
    /// Read and written, sockets included.
    pub read_bytes: u64,
    pub written_bytes: u64,
}

static START: OnceLock<Instant> = OnceLock::new();

/// Begins to count how long the process has been serving.
pub fn start_clock() {
    START.get_or_init(Instant::now);
}

/// How long the process has been serving.
#[must_use]
pub fn uptime() -> Duration {
    START.get().map(Instant::elapsed).unwrap_or_default()
}

impl Process {
    /// Looks; it blocks as short as a read from memory does.
    #[must_use]
    pub fn look() -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        Self { open_files, ..Self::parse(&read("statm"), &read("status"), &read("io")) }
    }

    fn parse(statm: &str, status: &str, io: &str) -> Self {
        let pages = |at: usize| -> u64 {
            let text = statm.split_whitespace().nth(at);
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let named = |text: &str, name: &str| -> u64 {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Self {
            resident_bytes: pages(1) * PAGE_BYTES,
            code_bytes: pages(3) * PAGE_BYTES,
            open_files: 0,
            threads: named(status, "Threads"),
            context_switches: named(status, "voluntary_ctxt_switches")
                + named(status, "nonvoluntary_ctxt_switches"),
            read_bytes: named(io, "rchar"),
            written_bytes: named(io, "wchar"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells() {
        let status = "Name:\tsettee\nThreads:\t12\nvoluntary_ctxt_switches:\t30\n\
            nonvoluntary_ctxt_switches:\t4\n";
        let found = Process::parse("100 20 3 4 0 5 0\n", status, "rchar: 7\nwchar: 8\nsyscr: 9\n");
        let expect = Process {
            resident_bytes: 20 * PAGE_BYTES,
            code_bytes: 4 * PAGE_BYTES,
            open_files: 0,
            threads: 12,
            context_switches: 34,
            read_bytes: 7,
            written_bytes: 8,
        };
        assert_eq!(found, expect);
        assert_eq!(Process::parse("", "", ""), Process::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process() {
        let found = Process::look();
        assert!(found.resident_bytes > 0 && found.open_files > 2 && found.threads > 0, "{found:?}");
    }
}
