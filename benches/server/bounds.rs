//! What the machine can do at best: RocksDB without a database around it, JSON that is only
//! scanned, a disk that only syncs.

use std::io::Write as _;
use std::time::Instant;

use serde::de::IgnoredAny;
use settee::document::{DocId, Rev, RevHash, Revisions};
use settee::document::revtree::RevTree;
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

/// The records that a new document needs, written without anything else: what a document costs.
pub fn raw_writes(bench: &mut Bench, in_batch: usize, body_bytes: usize) -> Result<Measured> {
    if let Some(measured) = bench.raw_writes.get(&(in_batch, body_bytes)) {
        return Ok(*measured);
    }
    let folder = folder()?;
    let engine = RocksEngine::open(folder.path(), &RocksOptions::default())?;
    let body = documents::padded(1, body_bytes).into_bytes();
    let mut random = Random::new(7);
    let end = Instant::now() + bench.scale.load;
    let mut written = 0;
    let mut batches = Vec::new();
    let mut measured: Option<Measured> = None;
    while Instant::now() < end {
        // Prepared outside the measurement, and not one by one: CPU time is counted coarsely.
        for _ in 0..(20_000 / in_batch) {
            batches.push(batch(&mut random, written, in_batch, &body)?);
            written += in_batch;
        }
        let operations = batches.len() * in_batch;
        let meter = Meter::start_own()?;
        for batch in batches.drain(..) {
            engine.commit(batch, Durability::Synced)?;
            // A slow disk makes a long run of single records.
            if Instant::now() > end + bench.scale.load {
                break;
            }
        }
        let part = meter.finish(operations)?;
        measured = Some(measured.map_or(part, |sum| sum.plus(&part)));
    }
    engine.close()?;
    let measured = measured.ok_or(BenchError::Timeout(bench.scale.load.as_secs()))?;
    bench.raw_writes.insert((in_batch, body_bytes), measured);
    Ok(measured)
}
