//! Replications: what a document costs, how long a million takes, and what thousands of
//! continuous jobs need while they wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{Base, Bench, Server, check_count, count};
use crate::documents::Random;
use crate::error::{Result, check};
use crate::http::{self, ADMIN, Connection};
use crate::load::percentile;
use crate::meter::Meter;
use crate::report::{Figure, Unit};

/// Writes whose way through a job is measured.
const PROBES: usize = 200;
/// How long the jobs are left alone to see what they cost.
const IDLE: Duration = Duration::from_secs(10);

fn address(server: SocketAddr, path: &str) -> String {
    format!("http://{ADMIN}@{server}{path}")
}

async fn replicate(connection: &mut Connection, body: &Value) -> Result<Value> {
    connection.expect(&http::post("/_replicate", body.to_string().as_bytes())).await?.json()
}

fn written(answer: &Value) -> u64 {
    answer.pointer("/history/0/docs_written").and_then(Value::as_u64).unwrap_or(0)
}

/// From database to database of one server: by address, as CouchDB does it, and by name.
pub async fn replicate_local(bench: &mut Bench) -> Result<()> {
    bench.base().await?;
    let mut connection = bench.server.connect().await?;
    // Other workloads have left design documents there.
    let documents = count(&mut connection, Base::PATH).await?;
    let server = bench.server.process.address;
    let whole = address(server, Base::PATH);
    for (figure, by_name) in [("replicate", false), ("replicate by name", true)] {
        let path = bench.database().await?;
        let (source, target) = if by_name {
            (Base::PATH.trim_matches('/').to_owned(), path.trim_matches('/').to_owned())
        } else {
            (whole.clone(), address(server, &path))
        };
        let meter = Meter::start(&bench.server.process)?;
        let body = json!({"source": source, "target": target});
        let answer = replicate(&mut connection, &body).await?;
        let measured = meter.finish(documents)?;
        check("docs_written", &(documents as u64), &written(&answer))?;
        check_count(&mut connection, &path, documents).await?;
        bench.report.add(Figure::cpu(figure, &measured));
        bench.drop_database(&path).await?;
    }
    Ok(())
}

/// Small documents from one server to another, pulled.
pub async fn replicate_million(bench: &mut Bench) -> Result<()> {
    let (source, target) = (Server::start()?, Server::start()?);
    let count = bench.scale.view_documents;
    let mut loading = source.connect().await?;
    loading.expect(&http::put("/small", b"")).await?;
    for first in (0..count).step_by(1000) {
        let documents = first..(first + 1000).min(count);
        let documents = documents.map(|n| format!(r#"{{"_id":"{n:08}","n":{n}}}"#));
        let documents = documents.collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"docs":[{documents}]}}"#);
        loading.expect(&http::post("/small/_bulk_docs", body.as_bytes())).await?;
    }
    let mut connection = target.connect().await?;
    let body = json!({
        "source": address(source.process.address, "/small"),
        "target": "small",
        "create_target": true,
    });
    target.process.reset_peak()?;
    let sending = Meter::start(&source.process)?;
    let meter = Meter::start(&target.process)?;
    let answer = replicate(&mut connection, &body).await?;
    let (measured, sent) = (meter.finish(count)?, sending.finish(count)?);
    check("docs_written", &(count as u64), &written(&answer))?;
    check_count(&mut connection, "/small", count).await?;
    let note = format!("{count} documents, {:.1} s", measured.seconds);
    bench.report.add(Figure::cpu("replicate_million target", &measured).note(note));
    bench.report.add(Figure::cpu("replicate_million source", &sent));
    bench.report.add(Figure::megabytes("replicate_million peak", target.process.peak_kb()?));
    Ok(())
}

/// Continuous jobs between databases of one server: their memory, what they cost while nothing
/// happens, and how long a write takes to come through.
pub async fn replicate_jobs(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let jobs = bench.scale.jobs;
    let mut connection = server.connect().await?;
    let setting = http::put("/_node/_local/_config/replicator/max_jobs", b"\"100000\"");
    connection.expect(&setting).await?;
    for number in 0..jobs {
        connection.expect(&http::put(&format!("/from-{number}"), b"")).await?;
        connection.expect(&http::put(&format!("/to-{number}"), b"")).await?;
    }
    let before = server.process.resident_kb()?;
    let at = |path: String| address(server.process.address, &path);
    for number in 0..jobs {
        let (source, target) = (at(format!("/from-{number}")), at(format!("/to-{number}")));
        let body = json!({"source": source, "target": target, "continuous": true});
        replicate(&mut connection, &body).await?;
    }
    // Everyone has been seen to work once.
    for number in 0..jobs {
        arrival(&mut connection, number, "first").await?;
    }
    let after = server.process.resident_kb()?;
    let figure =
        Figure::new("jobs memory", per(after.saturating_sub(before), jobs), Unit::Kilobytes);
    bench.report.add(figure.note(format!("{jobs} jobs, {} MB in all", after / 1024)));
    let cpu = server.process.cpu_us()?;
    tokio::time::sleep(IDLE).await;
    let spent = server.process.cpu_us()? - cpu;
    let percent = per(spent, usize::try_from(IDLE.as_micros()).unwrap_or(usize::MAX)) * 100.0;
    bench.report.add(Figure::new("jobs idle", percent, Unit::Percent));
    let mut random = Random::new(77);
    let mut lags = Vec::with_capacity(PROBES);
    for probe in 0..PROBES {
        let number = random.below(jobs);
        let lag = arrival(&mut connection, number, &format!("probe-{probe}")).await?;
        lags.push(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
    }
    lags.sort_unstable();
    for (figure, part) in [("jobs lag p50", 0.5), ("jobs lag p99", 0.99)] {
        let value = percentile(&lags, part) / 1000.0;
        bench.report.add(Figure::new(figure, value, Unit::Milliseconds));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn per(total: u64, count: usize) -> f64 {
    total as f64 / count.max(1) as f64
}

/// Writes a document at one end of a job and waits until it is at the other.
async fn arrival(connection: &mut Connection, number: usize, id: &str) -> Result<Duration> {
    let target = format!("/to-{number}");
    let info = connection.expect(&http::get(&target)).await?.json()?;
    let since = info.get("update_seq").and_then(Value::as_str).unwrap_or("0").to_owned();
    let begun = Instant::now();
    connection.expect(&http::put(&format!("/from-{number}/{id}"), b"{}")).await?;
    let wait = format!("{target}/_changes?feed=longpoll&timeout=50000&since={since}");
    let answer = connection.expect(&http::get(&wait)).await?.json()?;
    let lag = begun.elapsed();
    let found = answer.pointer("/results/0/id").and_then(Value::as_str).unwrap_or_default();
    check("document at the other end", &id, &found)?;
    Ok(lag)
}
