//! What the machine can do at best: RocksDB without a database around it, JSON that is only
//! scanned, a disk that only syncs.

use std::io::Write as _;
use std::time::Instant;

use serde::de::IgnoredAny;
use settee::document::revtree::RevTree;
use settee::document::{DocId, Rev, RevHash, Revisions};
use settee::storage::keys::{self, DbNumber};
use settee::storage::values::{self, Change, Head, State};
use settee::storage::{Batch, Durability, Engine as _, RocksEngine, RocksOptions, Table};

use crate::bench::{Bench, folder};
use crate::documents::{self, Random};
use crate::error::{BenchError, Result};
use crate::load::percentile;
use crate::meter::{Measured, Meter};
use crate::report::{Figure, Unit};

const DATABASE: DbNumber = DbNumber(1);
const SYNCS: usize = 200;
/// Records prepared between two looks at the clock.
const BATCH_RECORDS: usize = 20_000;

/// The records that a new document needs, written without anything else: what a document costs.
pub fn raw_writes(bench: &mut Bench, in_batch: usize, body_bytes: usize) -> Result<Measured> {
    if let Some(measured) = bench.raw_writes.get(&(in_batch, body_bytes)) {
        return Ok(*measured);
    }
    let folder = folder()?;
    let engine = RocksEngine::open(folder.path(), &RocksOptions::default())?;
    let body = documents::padded(1, body_bytes).into_bytes();
    let mut random = Random::new(7);
    let mut written = 0;
    let mut total = Measured::default();
    while total.seconds < bench.scale.load.as_secs_f64() {
        // Prepared outside the measurement; many at once, as CPU time is counted coarsely.
        let batches = (BATCH_RECORDS / in_batch).clamp(1, 500);
        let prepared = (0..batches).map(|number| {
            let first = written + number * in_batch;
            batch(&mut random, first..first + in_batch, &body)
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        written += batches * in_batch;
        let meter = Meter::start_own()?;
        for batch in prepared {
            engine.commit(batch, Durability::Synced)?;
        }
        total = total.plus(&meter.finish(batches * in_batch)?);
    }
    engine.close()?;
    let name = format!("bound: raw writes, {in_batch} a batch");
    bench.report.add(Figure::cpu(&name, &total).note(format!("bodies of {body_bytes} B")));
    bench.raw_writes.insert((in_batch, body_bytes), total);
    Ok(total)
}

/// What a database writes for new documents.
fn batch(random: &mut Random, numbers: std::ops::Range<usize>, body: &[u8]) -> Result<Batch> {
    let mut batch = Batch::default();
    let last = numbers.end as u64;
    for number in numbers {
        let id = DocId::parse(&documents::id(number)).map_err(|_| BenchError::Sample("id"))?;
        let rev = Rev { generation: 1, hash: RevHash::parse(&random.hash()) };
        let seq = number as u64 + 1;
        let mut tree = RevTree::default();
        tree.merge(&Revisions::of(rev.clone()), false);
        let head = Head { seq, external_bytes: body.len() as u64, tree };
        let change = Change { id: id.clone(), deleted: false, leaves: vec![(rev.clone(), false)] };
        let value = values::encode_body(false, &[], body);
        batch.put(Table::Bodies, keys::body(DATABASE, &id, &rev), value);
        batch.put(Table::Heads, keys::head(DATABASE, id.as_str()), head.encode());
        batch.put(Table::Changes, keys::change(DATABASE, seq), change.encode());
    }
    let state = State { update_seq: last, doc_count: last, ..State::default() };
    batch.put(Table::Databases, keys::state(DATABASE), state.encode());
    Ok(batch)
}

/// Finds the ends of all values in the JSON of a `_bulk_docs` request, a document.
pub fn json_scan(bench: &mut Bench) -> Result<Measured> {
    let body = documents::bulk(0..1000);
    let meter = Meter::start_own()?;
    let begun = Instant::now();
    let mut documents = 0;
    while begun.elapsed() < bench.scale.load {
        let _: IgnoredAny = serde_json::from_slice(&body)?;
        documents += 1000;
    }
    let measured = meter.finish(documents)?;
    bench.report.add(Figure::cpu("bound: scan of the JSON", &measured));
    Ok(measured)
}

/// One `fdatasync` after a write of 4 KB.
pub fn disk_sync(bench: &mut Bench) -> Result<()> {
    let folder = folder()?;
    let mut file = std::fs::File::create(folder.path().join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[b'x'; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    let figure = Figure::new("bound: fdatasync", percentile(&times, 0.5) / 1e3, Unit::Milliseconds);
    bench.report.add(figure.note(format!("p99 {:.2} ms", percentile(&times, 0.99) / 1e3)));
    Ok(())
}
