//! An engine in memory: for tests, simulations and `--storage memory`. It can fail on command.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{
    Batch, Compression, Direction, Durability, Engine, Expect, KeyRange, Operation, Snapshot,
    StorageError, Table, Visit,
};

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone, Default)]
struct Tables(BTreeMap<Table, Arc<Records>>);

/// Ordered maps behind a lock; a snapshot shares them until the next write copies.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    tables: RwLock<Tables>,
    failing_commits: AtomicU32,
}

impl MemoryEngine {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `count` commits fail without writing anything.
    pub fn fail_commits(&self, count: u32) {
        self.failing_commits.store(count, Ordering::SeqCst);
    }

    fn read(&self) -> Tables {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Snapshot for Tables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(&table).and_then(|records| records.get(key).cloned()))
    }

    fn multi_get(
        &self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        let Some(records) = self.0.get(&table) else { return Ok(()) };
        if range.start >= range.end {
            return Ok(());
        }
        let bounds = (Bound::Included(&range.start), Bound::Excluded(&range.end));
        let mut found = records.range::<Vec<u8>, _>(bounds);
        let mut next = || match direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        while let Some((key, value)) = next() {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(self.read())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).get(table, key)
    }

    fn commit(&self, batch: Batch, _durability: Durability) -> Result<(), StorageError> {
        let failing = |left: u32| left.checked_sub(1);
        if self.failing_commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Err(StorageError::Engine("this commit was told to fail".into()));
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (table, key, expect) in batch.expectations() {
            let holds = match (expect, tables.get(*table, key)?) {
                (Expect::Absent, found) => found.is_none(),
                (Expect::Is(wanted), found) => found.as_ref() == Some(wanted),
            };
            if !holds {
                return Err(StorageError::Precondition);
            }
        }
        for operation in batch.into_operations() {
            match operation {
                Operation::Put(table, key, value) => {
                    Arc::make_mut(tables.0.entry(table).or_default()).insert(key, value);
                }
                Operation::Delete(table, key) => {
                    Arc::make_mut(tables.0.entry(table).or_default()).remove(&key);
                }
                Operation::DeleteRange(table, range) => {
                    let records = Arc::make_mut(tables.0.entry(table).or_default());
                    let mut kept = records.split_off(&range.start);
                    records.append(&mut kept.split_off(&range.end));
                }
            }
        }
        Ok(())
    }

    fn approximate_bytes(&self, table: Table, range: &KeyRange) -> u64 {
        let mut bytes = 0;
        let mut add = |key: &[u8], value: &[u8]| {
            bytes += (key.len() + value.len()) as u64;
            ControlFlow::Continue(())
        };
        match self.read().scan(table, range, Direction::Forward, &mut add) {
            Ok(()) => bytes,
            Err(_) => 0,
        }
    }

    fn compact(&self, _table: Table, _range: &KeyRange) {}

    /// There are no files.
    fn set_compression(&self, _: Compression) -> Result<(), StorageError> {
        Ok(())
    }

    fn checkpoint(&self, _: &Path) -> Result<(), StorageError> {
        Err(StorageError::NotOnDisk)
    }

    fn close(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
