//! What settee takes when it does nothing: memory of an idle server, disk of stored documents,
//! and both for very many databases.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::{Bench, Server};
use crate::documents;
use crate::error::{Result, check};
use crate::http::{self, Connection};
use crate::load::{self, Load};
use crate::meter::Meter;
use crate::process::DiskUse;
use crate::report::{Figure, Unit};

const COMPACTION_SECONDS: u64 = 300;
const CLIENTS: usize = 32;

pub async fn memory_idle(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    server.connect().await?.expect(&http::get("/")).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let figure = Figure::megabytes("memory_idle", server.process.resident_kb()?);
    bench
        .report
        .add(figure.note(format!("ready after {:.2} s", server.process.start.as_secs_f64())));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
pub async fn disk_compacted(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let count = bench.scale.disk_documents;
    let mut connection = server.connect().await?;
    let data = server.folder.path().join("data");
    connection.expect(&http::put("/disk", b"")).await?;
    let before = DiskUse::of(&data)?;
    let mut json_bytes = 0;
    for first in (0..count).step_by(1000) {
        let body = documents::bulk(first..(first + 1000).min(count));
        json_bytes += body.len();
        connection.expect(&http::post("/disk/_bulk_docs", &body)).await?;
    }
    let begun = Instant::now();
    connection.expect(&http::post("/disk/_compact", b"")).await?;
    wait_for_compaction(&mut connection).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = settled(&data).await?;
    let path = format!("/disk/{}", documents::id(count / 2));
    let answer = connection.expect(&http::get(&path)).await?;
    let stored = String::from_utf8_lossy(&answer.body).into_owned();
    check("the fields", &true, &stored.contains(&documents::members(count / 2)))?;
    let each = after.table_bytes.saturating_sub(before.table_bytes) as f64 / count as f64;
    let figure = Figure::new("disk_compacted", each, Unit::Bytes).note(format!(
        "a document of {} B; the log has {} KB, _compact took {seconds:.1} s",
        json_bytes / count,
        after.log_bytes / 1024
    ));
    bench.report.add(figure);
    Ok(())
}

async fn wait_for_compaction(connection: &mut Connection) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(COMPACTION_SECONDS);
    loop {
        let info = connection.expect(&http::get("/disk")).await?.json()?;
        if info.get("compact_running") == Some(&Value::Bool(false)) {
            return Ok(());
        }
        check("_compact ends in time", &true, &(Instant::now() < end))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The use of the disk when it no longer changes: RocksDB deletes old files a little later.
async fn settled(data: &std::path::Path) -> Result<DiskUse> {
    let end = Instant::now() + Duration::from_secs(COMPACTION_SECONDS);
    let mut last = DiskUse::of(data)?;
    let mut same = 0;
    while same < 4 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = DiskUse::of(data)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

/// Very many empty databases: made, listed, and there again after a restart.
#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
pub async fn many_databases(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let count = bench.scale.databases;
    let before_kb = server.process.resident_kb()?;
    let create = |index: usize| http::put(&format!("/db-{index:06}"), b"");
    let load = Load::of_requests(count, CLIENTS).answered(201);
    let meter = Meter::start(&server.process)?;
    let outcome = load::run(server.process.address, load, create).await?;
    let created = meter.finish(outcome.requests)?;
    let after_kb = server.process.resident_kb()?;
    let seconds = list(&server, count).await?;
    let listed_kb = server.process.resident_kb()?;
    let each = after_kb.saturating_sub(before_kb) as f64 / count as f64;
    let note = format!("{:.1} MB, then {:.1} MB", mb(before_kb), mb(after_kb));
    bench.report.add(Figure::rate("databases created", &created));
    bench.report.add(Figure::new("databases memory", each, Unit::Kilobytes).note(note));
    let figure = Figure::new("databases _all_dbs", seconds, Unit::Seconds);
    bench.report.add(figure.note(format!("{:.1} MB afterwards", mb(listed_kb))));

    let server = server.restart()?;
    let start = server.process.start.as_secs_f64();
    let note = format!("{count} databases, {:.1} MB", mb(server.process.resident_kb()?));
    bench.report.add(Figure::new("databases restart", start, Unit::Seconds).note(note));
    list(&server, count).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn mb(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// Lists all databases and gives the seconds that took.
async fn list(server: &Server, expected: usize) -> Result<f64> {
    let mut connection = server.connect().await?;
    let begun = Instant::now();
    let answer = connection.expect(&http::get("/_all_dbs")).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let json = answer.json()?;
    let names = json.as_array().into_iter().flatten().filter_map(Value::as_str);
    check("databases", &expected, &names.filter(|name| name.starts_with("db-")).count())?;
    Ok(seconds)
}
