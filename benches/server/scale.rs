//! How much work a run does: all of it, or a quick look.

use std::time::Duration;

/// Counts and sizes of the workloads.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// How long a load lasts.
    pub load: Duration,
    /// How often a load is measured; the median counts.
    pub rounds: usize,
    /// Documents of the database that the reads read.
    pub documents: usize,
    /// `_bulk_docs` requests of 1000 documents.
    pub bulk_requests: usize,
    pub attachment_puts: usize,
    pub listeners: usize,
    pub listener_writes: usize,
    pub disk_documents: usize,
    /// The large sizes of the memory workloads; each is compared with a quarter of it.
    pub huge_attachment_bytes: usize,
    pub huge_bulk_bytes: usize,
    pub huge_documents: usize,
    pub huge_listeners: usize,
    /// Listeners that a burst of writes reaches.
    pub burst_listeners: usize,
    pub databases: usize,
    /// Documents under the largest views.
    pub view_documents: usize,
    /// Continuous replications.
    pub jobs: usize,
    /// How long more is asked for than can be done.
    pub overload: Duration,
}

impl Scale {
    pub const FULL: Self = Self {
        load: Duration::from_secs(4),
        rounds: 3,
        documents: 20_000,
        bulk_requests: 60,
        attachment_puts: 20,
        listeners: 200,
        listener_writes: 50,
        disk_documents: 100_000,
        huge_attachment_bytes: 1 << 30,
        huge_bulk_bytes: 100_000_000,
        huge_documents: 1_000_000,
        huge_listeners: 5_000,
        burst_listeners: 10_000,
        databases: 100_000,
        view_documents: 1_000_000,
        jobs: 2_000,
        overload: Duration::from_mins(1),
    };

    pub const QUICK: Self = Self {
        load: Duration::from_secs(1),
        rounds: 1,
        documents: 2_000,
        bulk_requests: 10,
        attachment_puts: 5,
        listeners: 50,
        listener_writes: 10,
        disk_documents: 10_000,
        huge_attachment_bytes: 256 << 20,
        huge_bulk_bytes: 40_000_000,
        huge_documents: 100_000,
        huge_listeners: 1_000,
        burst_listeners: 1_000,
        databases: 5_000,
        view_documents: 100_000,
        jobs: 200,
        overload: Duration::from_secs(10),
    };
}
