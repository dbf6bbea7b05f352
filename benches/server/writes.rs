//! Writing documents, one by one and in bulk; creating and deleting databases.

use bytes::Bytes;
use serde_json::Value;

use crate::bench::{Bench, check_count};
use crate::bounds::{json_scan, raw_writes};
use crate::documents;
use crate::error::{Result, check};
use crate::http;
use crate::load::{self, Load};
use crate::meter::{Measured, Meter, median_of};
use crate::report::Figure;

const PUT_BYTES: usize = 1024;
const BULK_BYTES: usize = 510;
/// Documents a `_bulk_docs` request.
const BULK: usize = 1000;
const BULK_CLIENTS: usize = 2;
const CLIENTS: usize = 32;

pub async fn put_1_client(bench: &mut Bench) -> Result<()> {
    let (measured, latency) = puts(bench, 1).await?;
    let bound = raw_writes(bench, 1, PUT_BYTES)?;
    bench.report.add(Figure::rate("put_1_client", &measured).bound(bound.rate()).note(latency));
    Ok(())
}

pub async fn put_32_clients(bench: &mut Bench) -> Result<()> {
    let (measured, latency) = puts(bench, CLIENTS).await?;
    let bound = raw_writes(bench, CLIENTS, PUT_BYTES)?;
    bench.report.add(Figure::cpu("put_32_clients", &measured).bound(bound.each_us()).note(latency));
    Ok(())
}

/// PUTs of new documents under ids that are in no order.
async fn puts(bench: &mut Bench, clients: usize) -> Result<(Measured, String)> {
    let path = bench.database().await?;
    let bodies: Vec<String> = (0..64).map(|number| documents::padded(number, PUT_BYTES)).collect();
    let body_of = |number: usize| bodies.get(number % bodies.len()).map_or("", String::as_str);
    // An odd factor: every number gives another id.
    let id_of = |number: usize| format!("{:08x}", (number * 2_654_435_761) & 0xffff_ffff);
    let server = &bench.server.process;
    let load = Load::lasting(bench.scale.load, clients).answered(201);
    let mut written = 0;
    let mut latency = String::new();
    let measured = median_of(bench.scale.rounds, async |_| {
        let first = written;
        let request = |index: usize| {
            let number = first + index;
            http::put(&format!("{path}/{}", id_of(number)), body_of(number).as_bytes())
        };
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, request).await?;
        written += outcome.requests;
        latency = format!(
            "p50 {:.2} ms, p99 {:.2} ms",
            outcome.latency_ms(0.5),
            outcome.latency_ms(0.99)
        );
        meter.finish(outcome.requests)
    })
    .await?;
    let mut connection = bench.server.connect().await?;
    check_count(&mut connection, &path, written).await?;
    for number in (0..written).step_by((written / 20).max(1)) {
        let answer = connection.expect(&http::get(&format!("{path}/{}", id_of(number)))).await?;
        let stored = String::from_utf8_lossy(&answer.body).trim_end().to_owned();
        let sent = body_of(number).trim_start_matches('{');
        check("a document that was put", &true, &stored.ends_with(sent))?;
    }
    bench.drop_database(&path).await?;
    Ok((measured, latency))
}

pub async fn bulk_docs(bench: &mut Bench) -> Result<()> {
    let raw = raw_writes(bench, BULK, BULK_BYTES)?.each_us();
    let bound = raw + json_scan(bench)?.each_us();
    let fresh = bulk(bench, documents::bulk, 1).await?;
    bench.report.add(Figure::cpu("bulk_docs", &fresh).bound(bound));
    let replicated = bulk(bench, documents::bulk_replicated, 5).await?;
    bench.report.add(Figure::cpu("bulk_docs replicated", &replicated).bound(bound));
    Ok(())
}

/// `_bulk_docs` requests made by `body`, whose documents get `revisions` revisions each.
async fn bulk(
    bench: &mut Bench,
    body: fn(std::ops::Range<usize>) -> Vec<u8>,
    revisions: usize,
) -> Result<Measured> {
    let ranges = (0..bench.scale.bulk_requests).map(|number| number * BULK..(number + 1) * BULK);
    let bodies: Vec<Vec<u8>> = ranges.map(body).collect();
    let mut all = Vec::new();
    for _ in 0..bench.scale.rounds {
        let path = bench.database().await?;
        let to = format!("{path}/_bulk_docs");
        let requests: Vec<Bytes> = bodies.iter().map(|body| http::post(&to, body)).collect();
        let server = &bench.server.process;
        let load = Load::lasting(bench.scale.load, BULK_CLIENTS);
        let load = load.answered(201).at_most(requests.len());
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, |index| {
            requests.get(index).cloned().unwrap_or_default()
        })
        .await?;
        all.push(meter.finish(outcome.requests * BULK)?);
        check_bulk(bench, &path, outcome.requests * BULK, revisions).await?;
        bench.drop_database(&path).await?;
    }
    median_of(all.len(), async |round| Ok(all.get(round).copied().unwrap_or_default())).await
}

async fn check_bulk(bench: &Bench, path: &str, count: usize, revisions: usize) -> Result<()> {
    let mut connection = bench.server.connect().await?;
    check_count(&mut connection, path, count).await?;
    for number in (0..count).step_by((count / 20).max(1)) {
        let request = http::get(&format!("{path}/{}?revs=true", documents::id(number)));
        let answer = connection.expect(&request).await?;
        let stored = String::from_utf8_lossy(&answer.body).into_owned();
        check("the fields", &true, &stored.contains(&documents::members(number)))?;
        let json = answer.json()?;
        let ids = json.pointer("/_revisions/ids").and_then(Value::as_array).map_or(0, Vec::len);
        check("revisions of a document", &revisions, &ids)?;
    }
    Ok(())
}

/// Pairs of PUT and DELETE from one client.
pub async fn create_delete_database(bench: &mut Bench) -> Result<()> {
    let server = &bench.server.process;
    let measured = median_of(bench.scale.rounds, async |round| {
        let end = std::time::Instant::now() + bench.scale.load;
        let mut connection = bench.server.connect().await?;
        let meter = Meter::start(server)?;
        let mut pairs = 0;
        while std::time::Instant::now() < end {
            let path = format!("/pair-{round}-{pairs}");
            connection.expect(&http::put(&path, b"")).await?;
            connection.expect(&http::delete(&path)).await?;
            pairs += 1;
        }
        let measured = meter.finish(pairs)?;
        let gone = connection.call(&http::get(&format!("/pair-{round}-0"))).await?;
        check("status of a deleted database", &404, &gone.status)?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("create_delete_database", &measured));
    Ok(())
}
