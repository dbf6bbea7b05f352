//! What CouchDB needs for each workload, and what settee aims at.
//!
//! The figures of CouchDB 3.5.0 were measured with the same kinds of documents and requests on two
//! cores of an Intel Xeon. CPU time compares across machines only roughly; a gain that is near its
//! aim wants a look at both servers on one machine.

/// What a figure should reach.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// So many times better than CouchDB.
    Gain(f64),
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub figure: &'static str,
    /// In the unit of the figure.
    pub couchdb: Option<f64>,
    pub aim: Aim,
}

const fn gain(figure: &'static str, couchdb: f64, times: f64) -> Target {
    Target { figure, couchdb: Some(couchdb), aim: Aim::Gain(times) }
}

const fn at_most(figure: &'static str, couchdb: Option<f64>, limit: f64) -> Target {
    Target { figure, couchdb, aim: Aim::AtMost(limit) }
}

const TARGETS: [Target; 49] = [
    gain("get_document", 1_350.0, 50.0),
    Target { figure: "get_document of handler", couchdb: None, aim: Aim::AtLeast(60.0) },
    gain("put_1_client", 220.8, 2.0),
    gain("put_32_clients", 2_730.0, 20.0),
    gain("bulk_docs", 189.0, 15.0),
    gain("bulk_docs replicated", 223.0, 15.0),
    gain("all_docs", 22.0, 20.0),
    gain("all_docs include_docs", 130.0, 50.0),
    gain("changes", 73.0, 50.0),
    gain("changes include_docs", 208.0, 50.0),
    gain("changes near the end", 3_690.0, 50.0),
    gain("changes _selector", 140.0, 40.0),
    gain("changes _selector indexed", 140.0, 200.0),
    gain("revs_diff", 86.0, 30.0),
    gain("bulk_get", 233.0, 30.0),
    gain("attachment_put_10mb", 330_000.0, 5.0),
    gain("attachment_get_10mb", 177_000.0, 35.0),
    gain("attachment_get_5kb", 1_850.0, 40.0),
    gain("create_delete_database", 39_600.0, 50.0),
    at_most("listeners p50", Some(49.0), 5.0),
    at_most("listeners p99", Some(75.0), 15.0),
    at_most("listeners memory", Some(167.0), 10.0),
    at_most("memory listeners each", Some(167.0), 10.0),
    at_most("disk_compacted", Some(697.0), 350.0),
    at_most("memory_idle", Some(76.0), 40.0),
    at_most("databases memory", Some(64.0), 1.0),
    at_most("databases restart", None, 2.0),
    at_most("memory growth", None, 0.1),
    Target { figure: "overload goodput of peak", couchdb: None, aim: Aim::AtLeast(80.0) },
    at_most("overload p99 of accepted", None, 5_000.0),
    gain("view_build simple", 850.0, 40.0),
    gain("view_build tokenise", 1_420.0, 10.0),
    gain("view_build js_reduce", 1_280.0, 20.0),
    gain("view_range", 2_380.0, 40.0),
    gain("view_reduce_range", 2_640.0, 50.0),
    gain("view_group_level", 26_400.0, 50.0),
    gain("view_include_docs", 391.0, 50.0),
    at_most("view_reduce 1M over 10k", None, 2.0),
    at_most("view_million peak", None, 1_000.0),
    gain("mango_find", 11_500.0, 50.0),
    gain("mango_scan", 85.0, 15.0),
    gain("mango_build", 407.0, 15.0),
    gain("show", 4_840.0, 50.0),
    gain("list", 26_500.0, 30.0),
    gain("update", 6_030.0, 20.0),
    gain("validate", 4_910.0, 20.0),
    gain("changes filter", 2_560.0, 100.0),
    at_most("view_incremental", None, 100.0),
    gain("replicate", 775.0, 20.0),
];

/// The target of a figure, where there is one.
pub fn target(figure: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.figure == figure).copied()
}
