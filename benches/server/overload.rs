//! Four times the writes that the server can take, in an open loop: requests come when they come,
//! whether those before are answered or not. A client that is refused heeds `Retry-After`.
//!
//! What is accepted must stay near the peak and be answered in bounded time, the rest must be
//! refused with `Retry-After`, memory must not grow with the load, and no acknowledged write may
//! be lost.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

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

/// What a client reads at once: answers are short, and there are many clients.
const READ_BYTES: usize = 1024;

/// What became of the load.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: Vec<usize>,
    latencies_us: Vec<u64>,
    refused: usize,
    /// All connections waited for answers, or to try again.
    unsent: usize,
}

/// What the clients share. All are on one thread.
#[derive(Debug, Default)]
struct Clients {
    /// Those who have nothing to do, the last one last: they are told what to write.
    idle: RefCell<Vec<oneshot::Sender<usize>>>,
    /// How many wait for an answer.
    writing: Cell<usize>,
    tally: RefCell<Tally>,
}

pub async fn overload(bench: &mut Bench) -> Result<()> {
    // Before and after, for the machine is not equally fast all the time.
    let (before, peak_kb) = serve_the_peak(bench.scale.overload).await?;
    let server = Server::start()?;
    let mut connection = server.connect().await?;
    connection.expect(&http::put(PATH, b"")).await?;
    let begun = Instant::now();
    let tally = open_loop(&server, before * TIMES, bench.scale.overload).await?;
    let accepted = rate(tally.acknowledged.len(), begun.elapsed());
    let highest = server.process.peak_kb()?;
    let begun = Instant::now();
    let closed = Load::lasting(bench.scale.load, PEAK_CONNECTIONS).answered(201);
    let recovered = load::run(server.process.address, closed, |index| put("again", index)).await?;
    let recovered = rate(recovered.requests, begun.elapsed());
    read_back(&mut connection, &tally.acknowledged).await?;
    drop(server);
    let (after, _) = serve_the_peak(bench.scale.overload).await?;
    let share = |part: f64| 200.0 * part / (before + after);
    let figure = Figure::new("overload goodput of peak", share(accepted), Unit::Percent);
    bench.report.add(figure.note(format!(
        "peak {before:.0}/s, then {after:.0}/s; {} accepted, {} refused, {} not sent",
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
    let clients = Clients::default();
    let mut sent = 0;
    let mut running = FuturesUnordered::new();
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begun.elapsed() < during || clients.writing.get() > 0 {
        tokio::select! {
            Some(ended) = running.next(), if !running.is_empty() => ended?,
            _ = ticks.tick() => {
                let due = (rate * begun.elapsed().min(during).as_secs_f64()) as usize;
                for index in sent..due {
                    let idle = clients.idle.borrow_mut().pop();
                    match idle {
                        Some(client) => {
                            check("a client that listens", &true, &client.send(index).is_ok())?;
                        }
                        None if running.len() < CONNECTIONS_MAX => {
                            running.push(client(server.process.address, &clients, index));
                        }
                        None => {
                            clients.tally.borrow_mut().unsent += 1;
                            continue;
                        }
                    }
                    clients.writing.update(|writing| writing + 1);
                }
                sent = due;
            }
        }
    }
    drop(running);
    Ok(clients.tally.into_inner())
}

/// One client: it writes what it is told, the first at once, until it is told no more.
async fn client(address: SocketAddr, clients: &Clients, first: usize) -> Result<()> {
    let mut connection = Connection::open_sized(address, READ_BYTES).await?;
    let mut index = first;
    loop {
        let refused = write(&mut connection, index, clients).await?;
        clients.writing.update(|writing| writing - 1);
        if let Some(rest) = refused {
            tokio::time::sleep(rest).await;
        }
        let (tell, told) = oneshot::channel();
        clients.idle.borrow_mut().push(tell);
        let Ok(next) = told.await else { return Ok(()) };
        index = next;
    }
}

/// Writes, and tells how long to wait where the write was refused.
async fn write(
    connection: &mut Connection,
    index: usize,
    clients: &Clients,
) -> Result<Option<Duration>> {
    let begun = Instant::now();
    connection.send(&put_numbered(index)).await?;
    let (status, head) = connection.receive_head().await?;
    connection.skim_body(|_| {}).await?;
    let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut tally = clients.tally.borrow_mut();
    if status == 503 {
        tally.refused += 1;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let after = head.split("\r\nretry-after: ").nth(1).and_then(|rest| rest.lines().next());
        let seconds = after.and_then(|seconds| seconds.parse().ok());
        let seconds = seconds.ok_or(BenchError::Sample("time to retry"))?;
        return Ok(Some(Duration::from_secs(seconds)));
    }
    check("status of a write", &201, &status)?;
    tally.acknowledged.push(index);
    tally.latencies_us.push(took_us);
    Ok(None)
}

fn put_numbered(index: usize) -> Bytes {
    http::put(&format!("{PATH}/{index}"), documents::document(index).as_bytes())
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
