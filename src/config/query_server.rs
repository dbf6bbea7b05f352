//! `[query_server_config]`: what reduce functions may answer, how many rows a query may ask
//! for, and how long programs are kept.

use std::time::Duration;

use super::reader::Reader;

/// What becomes of a reduce whose answer does not shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceLimit {
    /// The row is an error.
    On,
    Off,
    /// The log tells of it.
    Log,
}

/// `[query_server_config]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryServerSettings {
    pub reduce_limit: ReduceLimit,
    /// Answers up to this length are never too long; without it the defaults of CouchDB 3.5,
    /// which differ by the kind of reduce.
    pub reduce_limit_threshold: Option<u64>,
    /// A longer answer must be shorter than what it was made from by this factor.
    pub reduce_limit_ratio: f64,
    /// The most rows that a query of a view gives, and of one partition of a view.
    pub query_limit: Option<u64>,
    pub partition_query_limit: Option<u64>,
    /// The most programs of one kind that run at once.
    pub os_process_limit: u64,
    /// The most programs that are kept ready.
    pub os_process_soft_limit: u64,
    /// How long a program that nobody calls is kept ready.
    pub os_process_idle_limit: Duration,
}

impl QueryServerSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["query_server_config"]);
        let mut limit = |key: &str| {
            section.parsed(key, None, "a whole number, or `infinity`", |text| match text {
                "infinity" => Some(None),
                text => text.parse().ok().map(Some),
            })
        };
        let (query_limit, partition_query_limit) =
            (limit("query_limit"), limit("partition_query_limit"));
        Self {
            // CouchDB takes every other word for `false`.
            reduce_limit: match section.text("reduce_limit") {
                None | Some("true") => ReduceLimit::On,
                Some("log") => ReduceLimit::Log,
                Some(_) => ReduceLimit::Off,
            },
            reduce_limit_threshold: section.parsed(
                "reduce_limit_threshold",
                None,
                "a whole number",
                |text| text.parse().ok().map(Some),
            ),
            reduce_limit_ratio: section.parsed("reduce_limit_ratio", 2.0, "a number", |text| {
                text.parse().ok().filter(|ratio: &f64| ratio.is_finite())
            }),
            query_limit,
            partition_query_limit,
            os_process_limit: section.number("os_process_limit", 100, 1..=u64::from(u32::MAX)),
            os_process_soft_limit: section.number(
                "os_process_soft_limit",
                100,
                0..=u64::from(u32::MAX),
            ),
            os_process_idle_limit: Duration::from_secs(section.number(
                "os_process_idle_limit",
                300,
                1..=u64::from(u32::MAX),
            )),
        }
    }
}
