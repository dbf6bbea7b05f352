//! Very many clients that listen to one database, and how soon a burst of writes reaches them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::bench::{Bench, Server};
use crate::documents;
use crate::error::{BenchError, Result, check};
use crate::feeds::{open_feed, warm};
use crate::http::{self, Connection};
use crate::meter::Meter;
use crate::process::open_files_max;
use crate::report::{Figure, Unit};

const WRITES: usize = 1_000;
const WRITERS: usize = 16;
const CONNECTS: usize = 64;
const DELIVERY_SECONDS: u64 = 300;
const PATH: &str = "/burst";
const MARK: &[u8] = br#""id":"write-"#;

/// When each write was sent, and how long their deliveries took.
#[derive(Debug)]
struct Deliveries {
    begun: Instant,
    sent_us: Vec<AtomicU64>,
    /// Deliveries by their time in milliseconds.
    counts: Vec<AtomicU64>,
    /// Those that are still to come.
    left: AtomicUsize,
    all_came: Notify,
}

impl Deliveries {
    fn new(listeners: usize) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            begun: Instant::now(),
            sent_us: zeros(WRITES),
            counts: zeros(1000 * usize::try_from(DELIVERY_SECONDS).unwrap_or(1)),
            left: AtomicUsize::new(listeners * WRITES),
            all_came: Notify::new(),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn note_sent(&self, write: usize) {
        if let Some(sent) = self.sent_us.get(write) {
            sent.store(self.now_us(), Ordering::Relaxed);
        }
    }

    fn note_come(&self, write: usize) {
        let Some(sent) = self.sent_us.get(write) else { return };
        let took_us = self.now_us().saturating_sub(sent.load(Ordering::Relaxed));
        let at = usize::try_from(took_us / 1000).unwrap_or(usize::MAX).min(self.counts.len() - 1);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_came.notify_one();
        }
    }

    /// Milliseconds within which so large a part of the deliveries came.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn percentile_ms(&self, part: f64) -> f64 {
        let counts = || self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let all: u64 = counts().sum();
        let mut seen = 0;
        let within = counts().position(|count| {
            seen += count;
            seen as f64 >= all as f64 * part
        });
        (within.unwrap_or_default() + 1) as f64
    }
}

/// 1,000 writes by 16 clients while very many listen.
pub async fn listeners_burst(bench: &mut Bench) -> Result<()> {
    let count = bench.scale.burst_listeners;
    let allowed = open_files_max()?;
    if allowed < count + 200 {
        return Err(BenchError::OpenFiles { needed: count + 200, allowed });
    }
    let server = Server::start()?;
    warm(&server).await?;
    server.connect().await?.expect(&http::put(PATH, b"")).await?;
    let before_kb = server.process.resident_kb()?;
    let deliveries = Arc::new(Deliveries::new(count));
    let mut tasks = JoinSet::new();
    let mut left = count;
    while left > 0 {
        let opening = (0..left.min(CONNECTS)).map(|_| open_feed(&server, PATH));
        for feed in futures_util::future::try_join_all(opening).await? {
            tasks.spawn(listen(feed, deliveries.clone()));
            left -= 1;
        }
    }
    let after_kb = server.process.resident_kb()?;
    let meter = Meter::start(&server.process)?;
    write_all(&server, &deliveries).await?;
    let timeout = |_| BenchError::Timeout(DELIVERY_SECONDS);
    let all_came = deliveries.all_came.notified();
    tokio::time::timeout(Duration::from_secs(DELIVERY_SECONDS), all_came).await.map_err(timeout)?;
    let measured = meter.finish(count * WRITES)?;
    let note = format!("{count} listeners, {WRITES} writes, {:.2} s in all", measured.seconds);
    for (name, part) in [("listeners burst p50", 0.5), ("listeners burst p99", 0.99)] {
        let figure = Figure::new(name, deliveries.percentile_ms(part), Unit::Milliseconds);
        bench.report.add(figure.note(note.clone()));
    }
    bench.report.add(Figure::cpu("listeners burst", &measured));
    #[expect(clippy::cast_precision_loss, reason = "kilobytes far below 2^52")]
    let each = after_kb.saturating_sub(before_kb) as f64 / count as f64;
    bench.report.add(Figure::new("listeners burst memory", each, Unit::Kilobytes));
    check("deliveries left", &0, &deliveries.left.load(Ordering::Acquire))
}

async fn write_all(server: &Server, deliveries: &Arc<Deliveries>) -> Result<()> {
    let writers = (0..WRITERS).map(async |writer| {
        let mut connection = server.connect().await?;
        for number in (writer..WRITES).step_by(WRITERS) {
            let body = format!("{{{}}}", documents::members(number));
            let request = http::put(&format!("{PATH}/write-{number}"), body.as_bytes());
            deliveries.note_sent(number);
            connection.expect(&request).await?;
        }
        Ok::<(), BenchError>(())
    });
    futures_util::future::try_join_all(writers).await?;
    Ok(())
}

async fn listen(mut feed: Connection, deliveries: Arc<Deliveries>) {
    let mut line = Vec::new();
    let see = |part: &[u8], line: &mut Vec<u8>| {
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                if let Some(write) = http::number_behind(line, MARK) {
                    deliveries.note_come(write);
                }
                line.clear();
            }
        }
    };
    while let Ok(true) = feed.receive_part(|part| see(part, &mut line)).await {}
}
