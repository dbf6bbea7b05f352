//! Clients that listen to a continuous feed, and how soon a write reaches them all.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bench::{Bench, Server};
use crate::documents;
use crate::error::{BenchError, Result, check};
use crate::http::{self, Connection};
use crate::load::percentile;
use crate::meter::Meter;
use crate::process::open_files_max;
use crate::report::{Figure, Unit};

const DELIVERY_SECONDS: u64 = 30;
const READ_BYTES: usize = 1 << 10;
/// Connects at the same time.
const CONNECTS: usize = 64;
const MARK: &[u8] = br#""id":"write-"#;

/// Listeners on one database. Dropping them closes their connections.
#[derive(Debug)]
pub struct Listeners {
    _tasks: JoinSet<()>,
    count: usize,
    arrivals: mpsc::UnboundedReceiver<(usize, Instant)>,
    writer: Connection,
    path: String,
    writes: usize,
}

impl Listeners {
    /// Opens `count` feeds and waits until each has delivered a first write.
    pub async fn open(server: &Server, path: &str, count: usize) -> Result<Self> {
        let allowed = open_files_max()?;
        if allowed < count + 100 {
            return Err(BenchError::OpenFiles { needed: count + 100, allowed });
        }
        let mut writer = server.connect().await?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        write(&mut writer, path, 0).await?;
        let mut left = count;
        while left > 0 {
            let opening = (0..left.min(CONNECTS)).map(|_| open_feed(server, path));
            for feed in futures_util::future::try_join_all(opening).await? {
                tasks.spawn(listen(feed, sender.clone()));
                left -= 1;
            }
        }
        let path = path.to_owned();
        let mut listeners = Self { _tasks: tasks, count, arrivals, writer, path, writes: 1 };
        listeners.collect(0).await?;
        Ok(listeners)
    }

    /// Writes a document; microseconds from sending it to its arrival, for each listener.
    pub async fn deliver(&mut self) -> Result<Vec<u64>> {
        let number = self.writes;
        self.writes += 1;
        let begun = Instant::now();
        write(&mut self.writer, &self.path, number).await?;
        let arrivals = self.collect(number).await?;
        let since = |at: &Instant| at.saturating_duration_since(begun).as_micros();
        Ok(arrivals.iter().map(|at| u64::try_from(since(at)).unwrap_or(u64::MAX)).collect())
    }

    /// Waits until write `number` has reached every listener.
    async fn collect(&mut self, number: usize) -> Result<Vec<Instant>> {
        let mut times = Vec::with_capacity(self.count);
        let limit = Duration::from_secs(DELIVERY_SECONDS);
        let all = async {
            while times.len() < self.count {
                let (arrived, at) = self.arrivals.recv().await.ok_or(BenchError::Closed)?;
                check("the next write that arrives", &number, &arrived)?;
                times.push(at);
            }
            Ok::<(), BenchError>(())
        };
        let timeout = |_| BenchError::Timeout(DELIVERY_SECONDS);
        tokio::time::timeout(limit, all).await.map_err(timeout)??;
        Ok(times)
    }
}

/// A continuous feed that has begun its answer.
pub async fn open_feed(server: &Server, path: &str) -> Result<Connection> {
    let request = format!("{path}/_changes?feed=continuous&since=0&heartbeat=60000");
    let mut feed = Connection::open_sized(server.process.address, READ_BYTES).await?;
    feed.send(&http::get(&request)).await?;
    let (status, _) = feed.receive_head().await?;
    check("status of a feed", &200, &status)?;
    Ok(feed)
}

async fn write(writer: &mut Connection, path: &str, number: usize) -> Result<()> {
    let body = format!("{{{}}}", documents::members(number));
    writer.expect(&http::put(&format!("{path}/write-{number}"), body.as_bytes())).await?;
    Ok(())
}

/// Tells the number and time of each write that arrives, until the feed or the bench ends.
async fn listen(mut feed: Connection, arrivals: mpsc::UnboundedSender<(usize, Instant)>) {
    let mut line = Vec::new();
    loop {
        let mut written = Vec::new();
        let more = feed.receive_part(|part| {
            for byte in part {
                if *byte == b'\n' {
                    written.extend(http::number_behind(&line, MARK));
                    line.clear();
                } else {
                    line.push(*byte);
                }
            }
        });
        if !matches!(more.await, Ok(true)) {
            return;
        }
        let now = Instant::now();
        if written.into_iter().any(|number| arrivals.send((number, now)).is_err()) {
            return;
        }
    }
}

/// Takes the memory that the first feed and the first write need: it is no listener's.
pub async fn warm(server: &Server) -> Result<()> {
    server.connect().await?.expect(&http::put("/warm", b"")).await?;
    Listeners::open(server, "/warm", 4).await?.deliver().await?;
    Ok(())
}

pub async fn listeners(bench: &mut Bench) -> Result<()> {
    // Its own server: a busy one would reuse memory and seem to need none.
    let server = Server::start()?;
    warm(&server).await?;
    server.connect().await?.expect(&http::put("/feeds", b"")).await?;
    let before_kb = server.process.resident_kb()?;
    let mut listeners = Listeners::open(&server, "/feeds", bench.scale.listeners).await?;
    let after_kb = server.process.resident_kb()?;
    let mut times_us = Vec::new();
    let meter = Meter::start(&server.process)?;
    for _ in 0..bench.scale.listener_writes {
        times_us.extend(listeners.deliver().await?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let measured = meter.finish(times_us.len())?;
    let count = bench.scale.listeners;
    for (name, part) in [("listeners p50", 0.5), ("listeners p99", 0.99)] {
        let value = percentile(&times_us, part) / 1000.0;
        let note = format!("{count} listeners, {:.1} us CPU a delivery", measured.each_us());
        bench.report.add(Figure::new(name, value, Unit::Milliseconds).note(note));
    }
    #[expect(clippy::cast_precision_loss, reason = "kilobytes far below 2^52")]
    let each = after_kb.saturating_sub(before_kb) as f64 / count as f64;
    bench.report.add(Figure::new("listeners memory", each, Unit::Kilobytes));
    Ok(())
}
