//! `/_node/{name}/_system`, `_versions` and `_smoosh/status`: what CouchDB tells of the virtual
//! machine, its libraries and its compactions, as far as there is something like it here
//! (couchdb-api.md E025-E027).

use serde_json::{Value, json};

use crate::app::process;

use super::request::Request;
use super::respond::{self, Answer};
use super::stats;

/// The channels of CouchDB's automatic compactions.
const CHANNELS: [&str; 7] = [
    "index_cleanup",
    "ratio_dbs",
    "ratio_views",
    "slack_dbs",
    "slack_views",
    "upgrade_dbs",
    "upgrade_views",
];
/// The JavaScript engine, the hashes for passwords and cookies, and the library that sorts.
const JAVASCRIPT_ENGINE: (&str, &str) =
    if cfg!(feature = "boa") { ("boa", "0.22") } else { ("quickjs", "0.16") };
const HASHES: [&str; 5] = ["sha", "sha224", "sha256", "sha384", "sha512"];
const COLLATION_DRIVER: (&str, &str) = ("icu4x", "2.3");
const COLLATOR_VERSION: &str = "48";
const COLLATION_ALGORITHM_VERSION: &str = "17";

/// `GET /_node/{name}/_system`.
pub async fn system(request: &Request) -> Answer {
    let process = stats::look(request.app.clone()).await?;
    let runtime = tokio::runtime::Handle::current().metrics();
    let resident = process.resident_bytes;
    respond::ok(&json!({
        "uptime": process::uptime().as_secs(),
        "memory": {
            "other": 0,
            "atom": 0,
            "atom_used": 0,
            "processes": resident,
            "processes_used": resident,
            "binary": 0,
            "code": process.code_bytes,
            "ets": 0,
        },
        "run_queue": runtime.global_queue_depth(),
        "run_queue_dirty_cpu": 0,
        "ets_table_count": 0,
        "context_switches": process.context_switches,
        "reductions": 0,
        "garbage_collection_count": 0,
        "words_reclaimed": 0,
        "io_input": process.read_bytes,
        "io_output": process.written_bytes,
        "os_proc_count": 0,
        "stale_proc_count": 0,
        "process_count": runtime.num_alive_tasks(),
        "process_limit": usize::MAX >> 1,
        "message_queues": {
            "couch_file": {},
            "couch_db_updater": {},
            "couch_server": 0,
            "index_server": 0,
        },
        "internal_replication_jobs": 0,
        "distribution": {},
    }))
}

/// `GET /_node/{name}/_versions`.
pub fn versions() -> Answer {
    let (engine, engine_version) = JAVASCRIPT_ENGINE;
    let (library, library_version) = COLLATION_DRIVER;
    respond::ok(&json!({
        "javascript_engine": {"name": engine, "version": engine_version},
        "erlang": {"version": "none", "supported_hashes": HASHES},
        "collation_driver": {
            "name": library,
            "library_version": library_version,
            "collator_version": COLLATOR_VERSION,
            "collation_algorithm_version": COLLATION_ALGORITHM_VERSION,
        },
    }))
}

/// `GET /_node/{name}/_smoosh/status`: what is compacted is what has most to gain.
pub fn smoosh_status(request: &Request) -> Answer {
    let compacting = request.app.registry.compacting().len();
    let channel = |name: &&str| {
        let active = if *name == "ratio_dbs" { compacting } else { 0 };
        let waiting = json!({"size": 0, "min": 0, "max": 0});
        ((*name).to_owned(), json!({"waiting": waiting, "starting": 0, "active": active}))
    };
    let channels: serde_json::Map<String, Value> = CHANNELS.iter().map(channel).collect();
    respond::ok(&json!({ "channels": channels }))
}
