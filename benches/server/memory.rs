//! Memory that must not grow with the data: each workload runs with a quarter of its data and
//! with all of it, and the peaks are compared.
//!
//! Caches and buffers of fixed size are filled before: what the larger run adds is growth.

use bytes::Bytes;

use crate::bench::{Bench, Server, check_count};
use crate::documents::{self, Random};
use crate::error::{BenchError, Result, check};
use crate::feeds::{Listeners, warm};
use crate::http::{self, Connection};
use crate::load::{self, Load};
use crate::process::Process;
use crate::report::{Figure, Unit};

const PART_BYTES: usize = 1 << 20;

/// How much of the data each piece of work has, in quarters: the last one is compared with the
/// highest of the others.
const QUARTERS: [usize; 5] = [1, 1, 1, 1, 4];

/// Resident memory around one piece of work, in kilobytes.
#[derive(Debug, Clone, Copy)]
struct Peak {
    before: u64,
    highest: u64,
    after: u64,
}

impl Peak {
    async fn of(process: &Process, work: impl Future<Output = Result<()>>) -> Result<Self> {
        let before = process.resident_kb()?;
        process.reset_peak()?;
        work.await?;
        Ok(Self { before, highest: process.peak_kb()?, after: process.resident_kb()? })
    }
}

/// Adds the peak of the whole work, and how much of the additional data stayed in memory.
fn report(bench: &mut Bench, name: &str, peaks: &[Peak], data_bytes: usize) {
    let Some((whole, quarters)) = peaks.split_last() else { return };
    let Some(quarter) = quarters.iter().max_by_key(|peak| peak.highest) else { return };
    let mb = |kilobytes: u64| kilobytes / 1024;
    let figure = Figure::megabytes(&format!("memory {name}"), whole.highest);
    bench.report.add(figure.note(format!(
        "before {}, peak {}, after {} MB; peak of a quarter {} MB",
        mb(whole.before),
        mb(whole.highest),
        mb(whole.after),
        mb(quarter.highest)
    )));
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
    let growth =
        whole.highest.saturating_sub(quarter.highest) as f64 * 1024.0 / (data_bytes as f64 * 0.75);
    let figure = Figure::new("memory growth", growth, Unit::BytesPerByte);
    bench.report.add(figure.named(&format!("memory growth, {name}")));
}

/// One attachment up and down.
pub async fn memory_attachment(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let whole = bench.scale.huge_attachment_bytes;
    let mut connection = server.connect().await?;
    connection.expect(&http::put("/huge", b"")).await?;
    let part = Random::new(5).bytes(PART_BYTES);
    let mut peaks = Vec::new();
    for (number, quarters) in QUARTERS.into_iter().enumerate() {
        // One byte less each: equal attachments would be stored once.
        let bytes = whole / 4 * quarters - number;
        let path = format!("/huge/doc-{number}/attachment");
        let work = upload(&mut connection, &path, &part, bytes);
        let up = Peak::of(&server.process, work).await?;
        let work = download(&mut connection, &path, &part, bytes);
        peaks.push((up, Peak::of(&server.process, work).await?));
    }
    let (up, down): (Vec<Peak>, Vec<Peak>) = peaks.into_iter().unzip();
    report(bench, "attachment up", &up, whole);
    report(bench, "attachment down", &down, whole);
    Ok(())
}

async fn upload(to: &mut Connection, path: &str, part: &[u8], bytes: usize) -> Result<()> {
    to.send(&http::upload_head(path, bytes)).await?;
    let mut left = bytes;
    while left > 0 {
        let now = part.get(..left.min(part.len())).unwrap_or(part);
        left -= now.len();
        // A refusal closes the connection: the answer then says why.
        if to.send(now).await.is_err() {
            break;
        }
    }
    check("status of the upload", &201, &to.receive().await?.status)
}

async fn download(from: &mut Connection, path: &str, part: &[u8], bytes: usize) -> Result<()> {
    from.send(&http::get(path)).await?;
    let mut at = 0;
    let mut same = true;
    let answer = from
        .watch(|mut received| {
            while !received.is_empty() {
                let expected = part.get(at % part.len()..).unwrap_or_default();
                let length = expected.len().min(received.len());
                let (now, rest) = received.split_at(length);
                same &= expected.starts_with(now);
                at += length;
                received = rest;
            }
        })
        .await?;
    check("status of the download", &200, &answer.status)?;
    check("bytes of the download", &bytes, &at)?;
    check("the attachment as sent", &true, &same)
}

/// One `_bulk_docs` request.
pub async fn memory_bulk_docs(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let whole = bench.scale.huge_bulk_bytes;
    let mut connection = server.connect().await?;
    let mut peaks = Vec::new();
    for (number, quarters) in QUARTERS.into_iter().enumerate() {
        let path = format!("/bulk-{number}");
        connection.expect(&http::put(&path, b"")).await?;
        let count = whole / 4 * quarters / documents::document(0).len();
        let request = http::post(&format!("{path}/_bulk_docs"), &documents::bulk(0..count));
        let work = bulk(&mut connection, request, count);
        peaks.push(Peak::of(&server.process, work).await?);
        check_count(&mut connection, &path, count).await?;
    }
    report(bench, "_bulk_docs", &peaks, whole);
    Ok(())
}

async fn bulk(to: &mut Connection, request: Bytes, count: usize) -> Result<()> {
    let json = to.expect(&request).await?.json()?;
    let rows = json.as_array().into_iter().flatten();
    check("rows of _bulk_docs", &count, &rows.filter(|row| row.get("rev").is_some()).count())
}

/// `_all_docs` with documents over a large database.
pub async fn memory_all_docs(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let whole = bench.scale.huge_documents;
    let mut connection = server.connect().await?;
    connection.expect(&http::put("/rows", b"")).await?;
    let load = Load::of_requests(whole.div_ceil(1000), 2).answered(201);
    let request = |index: usize| {
        let numbers = index * 1000..((index + 1) * 1000).min(whole);
        http::post("/rows/_bulk_docs", &documents::bulk(numbers))
    };
    let address = server.process.address;
    let loading = async { load::run(address, load, request).await.map(drop) };
    let loading = Peak::of(&server.process, loading).await?;
    check_count(&mut connection, "/rows", whole).await?;
    let figure = Figure::megabytes("memory loading documents", loading.highest);
    bench.report.add(figure.note(format!("{whole} documents, 1000 a request")));
    // The lines that are there in any answer, found with an answer of one row.
    let around = read_rows(&mut connection, 1).await?.0 - 1;
    let mut peaks = Vec::new();
    let mut bytes = 0;
    for rows in QUARTERS.map(|quarters| whole / 4 * quarters) {
        let work = async {
            let (lines, read) = read_rows(&mut connection, rows).await?;
            bytes = read;
            check("rows of _all_docs", &rows, &(lines - around))
        };
        peaks.push(Peak::of(&server.process, work).await?);
    }
    report(bench, "_all_docs", &peaks, bytes);
    Ok(())
}

/// Lines and bytes of an answer with so many rows.
async fn read_rows(from: &mut Connection, rows: usize) -> Result<(usize, usize)> {
    from.send(&http::get(&format!("/rows/_all_docs?include_docs=true&limit={rows}"))).await?;
    let mut lines = 0;
    let mut end = Vec::new();
    let answer = from
        .watch(|part| {
            lines += part.split(|byte| *byte == b'\n').count() - 1;
            end.extend_from_slice(part.get(part.len().saturating_sub(4)..).unwrap_or_default());
            end.drain(..end.len().saturating_sub(4));
        })
        .await?;
    check("status of _all_docs", &200, &answer.status)?;
    check("the whole answer", &true, &end.ends_with(b"]}\n"))?;
    let bytes = usize::try_from(answer.body_bytes).map_err(|_| BenchError::Sample("size"))?;
    Ok((lines, bytes))
}

/// Continuous feeds on one database.
#[expect(clippy::cast_precision_loss, reason = "kilobytes far below 2^52")]
pub async fn memory_listeners(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let whole = bench.scale.huge_listeners;
    let mut connection = server.connect().await?;
    warm(&server).await?;
    let mut each_kb = 0.0;
    for count in [whole / 4, whole] {
        let path = format!("/feeds-{count}");
        connection.expect(&http::put(&path, b"")).await?;
        let work = async {
            let mut listeners = Listeners::open(&server, &path, count).await?;
            let arrivals = listeners.deliver().await?;
            check("deliveries", &count, &arrivals.len())
        };
        let peak = Peak::of(&server.process, work).await?;
        each_kb = peak.highest.saturating_sub(peak.before) as f64 / count as f64;
        let figure = Figure::megabytes(&format!("memory {count} listeners"), peak.highest);
        let Peak { before, after, .. } = peak;
        bench.report.add(figure.note(format!("before {before} KB, after {after} KB")));
    }
    bench.report.add(Figure::new("memory listeners each", each_kb, Unit::Kilobytes));
    Ok(())
}
