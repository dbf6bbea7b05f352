//! Four times the writes that the server can take, in an open loop: requests come when they come,
//! whether those before are answered or not. A client that is refused heeds `Retry-After`.
//!
//! What is accepted must stay near the peak and be answered in bounded time, the rest must be
//! refused with `Retry-After`, memory must not grow with the load, and no acknowledged write may
//! be lost.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::bench::{Bench, Server};
use crate::documents;
use crate::error::{BenchError, Result, check};
use crate::http::{self, Connection};
use crate::load::{self, Load, percentile};
use crate::report::{Figure, Unit};

const PATH: &str = "/overload";
const TIMES: f64 = 4.0;
/// More than the requests that the server takes at one time.
const CONNECTIONS_MAX: usize = 4_000;
/// The clients of the peak.
const PEAK_CONNECTIONS: usize = 256;
const TICK: Duration = Duration::from_millis(2);

/// What became of the load.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: Vec<usize>,
    latencies_us: Vec<u64>,
    refused: usize,
    /// All connections waited for answers, or to try again.
    unsent: usize,
}

pub async fn overload(bench: &mut Bench) -> Result<()> {
    let (peak, peak_kb) = serve_the_peak(bench.scale.overload).await?;
    let server = Server::start()?;
    let mut connection = server.connect().await?;
    connection.expect(&http::put(PATH, b"")).await?;
    let begun = Instant::now();
    let tally = open_loop(&server, peak * TIMES, bench.scale.overload).await?;
    let accepted = rate(tally.acknowledged.len(), begun.elapsed());
    let highest = server.process.peak_kb()?;
    let begun = Instant::now();
    let closed = Load::lasting(bench.scale.load, PEAK_CONNECTIONS).answered(201);
    let recovered = load::run(server.process.address, closed, |index| put("again", index)).await?;
    let recovered = rate(recovered.requests, begun.elapsed());
    read_back(&mut connection, &tally.acknowledged).await?;
    let share = |part: f64| 100.0 * part / peak;
    let figure = Figure::new("overload goodput of peak", share(accepted), Unit::Percent);
    bench.report.add(figure.note(format!(
        "peak {peak:.0}/s; {} accepted, {} refused, {} not sent",
        tally.acknowledged.len(),
        tally.refused,
        tally.unsent
    )));
    let p99 = percentile(&tally.latencies_us, 0.99) / 1000.0;
    bench.report.add(Figure::new("overload p99 of accepted", p99, Unit::Milliseconds));
    let figure = Figure::new("overload recovered", share(recovered), Unit::Percent);
    bench.report.add(figure);
    let figure = Figure::megabytes("overload memory", highest);
    bench.report.add(figure.note(format!("{} MB at the peak", peak_kb / 1024)));
    Ok(())
}

/// What the server takes when nobody asks too much of it, writes a second and the most memory in
/// KB: for as long as the overload lasts and from as empty a store, for a large one takes less.
async fn serve_the_peak(during: Duration) -> Result<(f64, u64)> {
    let server = Server::start()?;
    server.connect().await?.expect(&http::put(PATH, b"")).await?;
    let closed = Load::lasting(during, PEAK_CONNECTIONS).answered(201);
    let begun = Instant::now();
    let peak = load::run(server.process.address, closed, |index| put("peak", index)).await?;
    Ok((rate(peak.requests, begun.elapsed()), server.process.peak_kb()?))
}

fn put(name: &str, index: usize) -> Bytes {
    http::put(&format!("{PATH}/{name}-{index}"), documents::document(index).as_bytes())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(count: usize, during: Duration) -> f64 {
    count as f64 / during.as_secs_f64()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
async fn open_loop(server: &Server, rate: f64, during: Duration) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut idle: Vec<Connection> = Vec::new();
    let mut resting: BTreeMap<(Instant, usize), Connection> = BTreeMap::new();
    let mut sent = 0;
    let mut open = 0;
    let mut running = FuturesUnordered::new();
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begun.elapsed() < during || !running.is_empty() {
        tokio::select! {
            Some(done) = running.next(), if !running.is_empty() => {
                let Written { connection, index, outcome, took_us } = done?;
                match outcome {
                    Outcome::Acknowledged => {
                        idle.push(connection);
                        tally.acknowledged.push(index);
                        tally.latencies_us.push(took_us);
                    }
                    Outcome::Refused(rest) => {
                        tally.refused += 1;
                        resting.insert((Instant::now() + rest, index), connection);
                    }
                }
            }
            _ = ticks.tick() => {
                let later = resting.split_off(&(Instant::now(), 0));
                idle.extend(std::mem::replace(&mut resting, later).into_values());
                let due = (rate * begun.elapsed().min(during).as_secs_f64()) as usize;
                while sent < due {
                    let connection = match idle.pop() {
                        Some(connection) => Some(connection),
                        None if open < CONNECTIONS_MAX => {
                            open += 1;
                            Some(server.connect().await?)
                        }
                        None => None,
                    };
                    match connection {
                        Some(connection) => running.push(write(connection, sent)),
                        None => tally.unsent += 1,
                    }
                    sent += 1;
                }
            }
        }
    }
    Ok(tally)
}

/// A write that was answered.
struct Written {
    connection: Connection,
    index: usize,
    outcome: Outcome,
    took_us: u64,
}

enum Outcome {
    Acknowledged,
    /// With the time to wait.
    Refused(Duration),
}

async fn write(mut connection: Connection, index: usize) -> Result<Written> {
    let begun = Instant::now();
    let request = http::put(&format!("{PATH}/{index}"), documents::document(index).as_bytes());
    let answer = connection.call(&request).await?;
    let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let outcome = if answer.status == 503 {
        let head = String::from_utf8_lossy(&answer.head).to_ascii_lowercase();
        let after = head.split("\r\nretry-after: ").nth(1).and_then(|rest| rest.lines().next());
        let seconds = after.and_then(|seconds| seconds.parse().ok());
        Outcome::Refused(Duration::from_secs(seconds.ok_or(BenchError::Sample("time to retry"))?))
    } else {
        check("status of a write", &201, &answer.status)?;
        Outcome::Acknowledged
    };
    Ok(Written { connection, index, outcome, took_us })
}

/// Fails unless every acknowledged document is there.
async fn read_back(connection: &mut Connection, acknowledged: &[usize]) -> Result<()> {
    let answer = connection.expect(&http::get(&format!("{PATH}/_all_docs"))).await?.json()?;
    let rows = answer.get("rows").and_then(serde_json::Value::as_array);
    let rows = rows.ok_or(BenchError::Sample("list"))?;
    let ids: HashSet<&str> = rows.iter().filter_map(|row| row.get("id")?.as_str()).collect();
    let lost = acknowledged.iter().filter(|index| !ids.contains(index.to_string().as_str()));
    check("lost writes", &0, &lost.count())
}
