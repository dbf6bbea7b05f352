//! The RocksDB engine: one column family a table, one log for the whole server.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, FlushOptions, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch,
    WriteOptions,
};

use crate::metrics;

use super::{
    Batch, Compression, Direction, Durability, Engine, Expect, KeyRange, Operation, Snapshot,
    StorageError, Table, Visit,
};

/// How many commits with preconditions can be in flight at once.
const STRIPES: usize = 256;
/// Keys between two that stand whole in a block, where keys are looked up one by one: a lookup
/// reads half of them.
const RESTART_INTERVAL: i32 = 4;

/// Sizes that depend on the machine.
#[derive(Debug, Clone)]
pub struct RocksOptions {
    /// Bytes of uncompressed blocks kept in memory.
    pub block_cache_bytes: usize,
    /// Bytes of unflushed writes kept in memory, all tables together.
    pub write_buffer_bytes: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { block_cache_bytes: 128 << 20, write_buffer_bytes: 64 << 20 }
    }
}

/// A RocksDB in a folder of its own.
pub struct RocksEngine {
    db: DB,
    /// Held from the check of a precondition to its commit, by the hash of the key.
    stripes: Vec<Mutex<()>>,
    compression: Mutex<Compression>,
}

impl std::fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksEngine").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

fn engine_error(error: rocksdb::Error) -> StorageError {
    StorageError::Engine(error.into_string())
}

impl RocksEngine {
    /// Opens the store in `folder`, creating what is not there.
    ///
    /// # Errors
    /// Where the folder cannot be used, or another process has it open.
    pub fn open(folder: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = Table::ALL
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(table, &cache)));
        let db = DB::open_cf_descriptors(&server_options(options), folder, families)
            .map_err(engine_error)?;
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Ok(Self { db, stripes, compression: Mutex::default() })
    }

    /// Opens the store in `folder` to read it, as a backup is. Every block that is read is checked
    /// against its checksum.
    ///
    /// # Errors
    /// Where there is no store of this format.
    pub fn open_read_only(folder: &Path) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(RocksOptions::default().block_cache_bytes);
        let families = Table::ALL
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(table, &cache)));
        let mut options = Options::default();
        options.set_max_open_files(512);
        let db = DB::open_cf_descriptors_read_only(&options, folder, families, false)
            .map_err(engine_error)?;
        Ok(Self { db, stripes: Vec::new(), compression: Mutex::default() })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StorageError> {
        self.db
            .cf_handle(table.name())
            .ok_or(StorageError::Corrupt { table: table.name(), what: "the table is missing" })
    }

    fn check(&self, batch: &Batch) -> Result<(), StorageError> {
        for (table, key, expect) in batch.expectations() {
            let found = self.db.get_pinned_cf(self.family(*table)?, key).map_err(engine_error)?;
            let holds = match (expect, found) {
                (Expect::Absent, found) => found.is_none(),
                (Expect::Is(wanted), Some(found)) => found.as_ref() == wanted.as_slice(),
                (Expect::Is(_), None) => false,
            };
            if !holds {
                return Err(StorageError::Precondition);
            }
        }
        Ok(())
    }
}

/// The stripes of all expected keys, in a fixed order so that no two commits wait in a circle.
fn stripes_of(batch: &Batch) -> Vec<usize> {
    let hash = |key: &[u8]| {
        key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let mut stripes: Vec<usize> = batch
        .expectations()
        .iter()
        .map(|(_, key, _)| usize::try_from(hash(key) % STRIPES as u64).unwrap_or(0))
        .collect();
    stripes.sort_unstable();
    stripes.dedup();
    stripes
}

fn server_options(options: &RocksOptions) -> Options {
    let mut server = Options::default();
    server.create_if_missing(true);
    server.create_missing_column_families(true);
    server.set_db_write_buffer_size(options.write_buffer_bytes);
    server.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    server.set_recycle_log_file_num(2);
    server.set_max_background_jobs(2);
    server.set_max_open_files(512);
    server.set_keep_log_file_num(2);
    server.set_max_total_wal_size(256 << 20);
    server.set_bytes_per_sync(1 << 20);
    server
}

fn table_options(table: Table, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(6);
    let mut family = Options::default();
    family.set_write_buffer_size(32 << 20);
    family.set_level_compaction_dynamic_level_bytes(true);
    family.set_compression_type(DBCompressionType::Lz4);
    family.set_bottommost_compression_type(DBCompressionType::Zstd);
    match table {
        Table::Heads | Table::Locals | Table::Databases | Table::Catalogue | Table::Indexes => {
            blocks.set_block_size(8 << 10);
            blocks.set_block_restart_interval(RESTART_INTERVAL);
            blocks.set_bloom_filter(10.0, false);
        }
        Table::Bodies | Table::Blobs | Table::ViewEmits => {
            blocks.set_block_size(16 << 10);
            blocks.set_block_restart_interval(RESTART_INTERVAL);
            blocks.set_bloom_filter(10.0, false);
        }
        Table::Changes | Table::ViewRows | Table::ViewBlocks => blocks.set_block_size(16 << 10),
        Table::Chunks => {
            // Chunks are large and already compressed where that pays: keep them out of the tree.
            family.set_enable_blob_files(true);
            family.set_min_blob_size(4 << 10);
            family.set_enable_blob_gc(true);
            family.set_compression_type(DBCompressionType::None);
            family.set_bottommost_compression_type(DBCompressionType::None);
        }
    }
    family.set_block_based_table_factory(&blocks);
    family
}

/// What [`table_options`] says for [`Compression::Mixed`], as changes of a store that is open.
fn compression_options(compression: Compression) -> [(&'static str, String); 3] {
    /// RocksDB's number for an algorithm's own default.
    const DEFAULT_LEVEL: i32 = 32_767;
    let (upper, lowest, level) = match compression {
        Compression::None => ("kNoCompression", "kNoCompression", None),
        Compression::Mixed => ("kLZ4Compression", "kZSTD", None),
        Compression::Lz4 => ("kLZ4Compression", "kLZ4Compression", None),
        Compression::Zstd(level) => ("kZSTD", "kZSTD", level),
    };
    let level = level.map_or(DEFAULT_LEVEL, i32::from);
    [
        ("compression", upper.to_owned()),
        ("bottommost_compression", lowest.to_owned()),
        ("compression_opts", format!("{{level={level};}}")),
    ]
}

struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl Snapshot for RocksSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.snapshot.get_cf(self.engine.family(table)?, key).map_err(engine_error)
    }

    fn multi_get(
        &self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let family = self.engine.family(table)?;
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        self.engine
            .db
            .batched_multi_get_cf_opt(family, keys, false, &options)
            .into_iter()
            .map(|found| Ok(found.map_err(engine_error)?.map(|value| value.to_vec())))
            .collect()
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        if range.start >= range.end {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start.as_slice());
        options.set_iterate_upper_bound(range.end.as_slice());
        let mut found = self.snapshot.raw_iterator_cf_opt(self.engine.family(table)?, options);
        match direction {
            Direction::Forward => found.seek_to_first(),
            Direction::Backward => found.seek_to_last(),
        }
        while let Some((key, value)) = found.item() {
            if let ControlFlow::Break(()) = visit(key, value) {
                return Ok(());
            }
            match direction {
                Direction::Forward => found.next(),
                Direction::Backward => found.prev(),
            }
        }
        found.status().map_err(engine_error)
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(RocksSnapshot { engine: self, snapshot: self.db.snapshot() })
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.db.get_cf(self.family(table)?, key).map_err(engine_error)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let mut writes = WriteBatch::default();
        for operation in batch.operations() {
            match operation {
                Operation::Put(table, key, value) => {
                    writes.put_cf(self.family(*table)?, key, value);
                }
                Operation::Delete(table, key) => writes.delete_cf(self.family(*table)?, key),
                Operation::DeleteRange(table, range) => {
                    writes.delete_range_cf(self.family(*table)?, &range.start, &range.end);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        let _held: Vec<_> = stripes_of(&batch)
            .into_iter()
            .filter_map(|stripe| self.stripes.get(stripe))
            .map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        self.check(&batch)?;
        if durability != Durability::Synced {
            return self.db.write_opt(writes, &options).map_err(engine_error);
        }
        let started = Instant::now();
        let written = self.db.write_opt(writes, &options).map_err(engine_error);
        metrics::FSYNCS.add(1);
        metrics::FSYNC_TIME.update(started.elapsed().as_secs_f64() * 1e6);
        written
    }

    fn approximate_bytes(&self, table: Table, range: &KeyRange) -> u64 {
        let Ok(family) = self.family(table) else { return 0 };
        let ranges = [rocksdb::Range::new(&range.start, &range.end)];
        self.db.get_approximate_sizes_cf(family, &ranges).iter().sum()
    }

    fn compact(&self, table: Table, range: &KeyRange) {
        if let Ok(family) = self.family(table) {
            self.db.compact_range_cf(family, Some(&range.start), Some(&range.end));
        }
    }

    fn set_compression(&self, compression: Compression) -> Result<(), StorageError> {
        let mut current = self.compression.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == compression {
            return Ok(());
        }
        let options = compression_options(compression);
        let options = options.each_ref().map(|(name, value)| (*name, value.as_str()));
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Chunks) {
            self.db.set_options_cf(self.family(table)?, &options).map_err(engine_error)?;
        }
        *current = compression;
        Ok(())
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError> {
        let checkpoint = Checkpoint::new(&self.db).map_err(engine_error)?;
        checkpoint.create_checkpoint(folder).map_err(engine_error)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(engine_error)?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        for table in Table::ALL {
            self.db.flush_cf_opt(self.family(table)?, &options).map_err(engine_error)?;
        }
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the files after the same writes.
    fn written(compression: Compression) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
        engine.set_compression(compression).unwrap();
        let mut batch = Batch::default();
        for number in 0..2000u32 {
            let text = format!("{{\"number\":{number},\"word\":\"{}\"}}", number.pow(2) % 1009);
            batch.put(Table::Bodies, number.to_be_bytes().to_vec(), text.repeat(4).into_bytes());
        }
        // Two files, which become one.
        for _ in 0..2 {
            engine.commit(batch.clone(), Durability::Synced).unwrap();
            engine.db.flush_cf(engine.family(Table::Bodies).unwrap()).unwrap();
        }
        let all = KeyRange { start: Vec::new(), end: vec![0xff; 8] };
        engine.compact(Table::Bodies, &all);
        let bytes = engine.db.live_files().unwrap().iter().map(|file| file.size as u64).sum();
        let mut count = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            ControlFlow::Continue(())
        };
        engine.snapshot().scan(Table::Bodies, &all, Direction::Forward, &mut visit).unwrap();
        assert_eq!(count, 2000, "{compression:?}");
        bytes
    }

    #[test]
    fn files_are_compressed_as_asked_for() {
        let [none, lz4, mixed, fast, thorough] = [
            Compression::None,
            Compression::Lz4,
            Compression::Mixed,
            Compression::Zstd(Some(1)),
            Compression::Zstd(Some(19)),
        ]
        .map(written);
        assert!(lz4 < none / 2, "{lz4} {none}");
        assert!(mixed < lz4, "{mixed} {lz4}");
        assert!(thorough < fast, "{thorough} {fast}");
    }
}
