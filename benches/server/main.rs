//! `cargo bench --bench server [-- --quick] [--only TEXT] [--json FILE]`: what settee costs.
//!
//! Starts the built server in temporary folders, puts load on it over TCP, and prints a table:
//! CPU microseconds of the server for one operation (from `/proc`, so Linux only), rates, memory,
//! beside CouchDB's figures, the aims, and what the machine could do at best. Every workload
//! checks what it got. Ends with status 1 where one failed; an aim that is missed is only shown.
//!
//! 10,000 listeners need as many open files: `ulimit -n 20000`.

mod attachments;
mod bench;
mod bounds;
mod burst;
mod documents;
mod error;
mod feeds;
mod footprint;
mod functions;
mod handler;
mod http;
mod load;
mod mango;
mod memory;
mod meter;
mod overload;
mod process;
mod reads;
mod replication;
mod report;
mod scale;
mod targets;
mod views;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use bench::Bench;
use error::{BenchError, Result};
use scale::Scale;

// As in the server, so that the bare handler is as fast as it can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
struct Arguments {
    /// Less data and shorter loads.
    #[arg(long)]
    quick: bool,
    /// Only workloads with this in their names; several are separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes the figures to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Prints the names of the workloads.
    #[arg(long)]
    list: bool,
    /// Serves the answer in this file and does nothing else.
    #[arg(long, hide = true)]
    handler: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

type Workload = for<'a> fn(&'a mut Bench) -> LocalBoxFuture<'a, Result<()>>;

const WORKLOADS: [(&str, Workload); 43] = [
    ("disk_sync", |bench| async { bounds::disk_sync(bench) }.boxed_local()),
    ("memory_idle", |bench| footprint::memory_idle(bench).boxed_local()),
    ("get_document", |bench| reads::get_document(bench).boxed_local()),
    ("put_1_client", |bench| writes::put_1_client(bench).boxed_local()),
    ("put_32_clients", |bench| writes::put_32_clients(bench).boxed_local()),
    ("bulk_docs", |bench| writes::bulk_docs(bench).boxed_local()),
    ("all_docs", |bench| reads::all_docs(bench).boxed_local()),
    ("changes", |bench| reads::changes(bench).boxed_local()),
    ("changes_near_end", |bench| reads::changes_near_end(bench).boxed_local()),
    ("changes_selector", |bench| reads::changes_selector(bench).boxed_local()),
    ("revs_diff", |bench| reads::revs_diff(bench).boxed_local()),
    ("bulk_get", |bench| reads::bulk_get(bench).boxed_local()),
    ("attachment_10mb", |bench| attachments::attachment_10mb(bench).boxed_local()),
    ("attachment_get_5kb", |bench| attachments::attachment_get_5kb(bench).boxed_local()),
    ("create_delete_database", |bench| writes::create_delete_database(bench).boxed_local()),
    ("listeners", |bench| feeds::listeners(bench).boxed_local()),
    ("listeners_burst", |bench| burst::listeners_burst(bench).boxed_local()),
    ("disk_compacted", |bench| footprint::disk_compacted(bench).boxed_local()),
    ("many_databases", |bench| footprint::many_databases(bench).boxed_local()),
    ("memory_attachment", |bench| memory::memory_attachment(bench).boxed_local()),
    ("memory_bulk_docs", |bench| memory::memory_bulk_docs(bench).boxed_local()),
    ("memory_all_docs", |bench| memory::memory_all_docs(bench).boxed_local()),
    ("memory_listeners", |bench| memory::memory_listeners(bench).boxed_local()),
    ("view_build", |bench| views::view_build(bench).boxed_local()),
    ("view_incremental", |bench| views::view_incremental(bench).boxed_local()),
    ("view_range", |bench| views::view_range(bench).boxed_local()),
    ("view_reduce_range", |bench| views::view_reduce_range(bench).boxed_local()),
    ("view_group_level", |bench| views::view_group_level(bench).boxed_local()),
    ("view_include_docs", |bench| views::view_include_docs(bench).boxed_local()),
    ("view_million", |bench| views::view_million(bench).boxed_local()),
    ("mango_find", |bench| mango::mango_find(bench).boxed_local()),
    ("mango_scan", |bench| mango::mango_scan(bench).boxed_local()),
    ("mango_build", |bench| mango::mango_build(bench).boxed_local()),
    ("mango_keys", |bench| mango::mango_keys(bench).boxed_local()),
    ("show", |bench| functions::show(bench).boxed_local()),
    ("list", |bench| functions::list(bench).boxed_local()),
    ("update", |bench| functions::update(bench).boxed_local()),
    ("validate", |bench| functions::validate(bench).boxed_local()),
    ("changes_filter", |bench| functions::changes_filter(bench).boxed_local()),
    ("replicate_local", |bench| replication::replicate_local(bench).boxed_local()),
    ("replicate_million", |bench| replication::replicate_million(bench).boxed_local()),
    ("overload", |bench| overload::overload(bench).boxed_local()),
    ("replicate_jobs", |bench| replication::replicate_jobs(bench).boxed_local()),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.handler {
        Some(answer) => handler::run(answer).map(|()| true),
        None => measure(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the workloads that were asked for; whether all of them could be measured.
fn measure(arguments: &Arguments) -> Result<bool> {
    let asked = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part.as_str()))
    };
    let workloads = WORKLOADS.iter().filter(|(name, _)| asked(name));
    if arguments.list {
        workloads.for_each(|(name, _)| println!("{name}"));
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut bench = Bench::start(if arguments.quick { Scale::QUICK } else { Scale::FULL })?;
    report::begin();
    for (name, workload) in workloads {
        match runtime.block_on(interruptible(workload(&mut bench))) {
            Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
            Err(error) => bench.report.fail(name, &error),
            Ok(()) => {}
        }
        if let Some(file) = &arguments.json {
            bench.report.write_json(file)?;
        }
    }
    Ok(bench.report.end())
}

/// Ends at Ctrl-C too, so that servers and folders are cleared away.
async fn interruptible(workload: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        done = workload => done,
        _ = tokio::signal::ctrl_c() => Err(BenchError::Interrupted),
    }
}
