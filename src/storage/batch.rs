//! A set of writes that commits as one, and what must hold for it to commit.

use super::{KeyRange, Table};

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    DeleteRange(Table, KeyRange),
}

/// What a key must hold for a batch to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Is(Vec<u8>),
}

/// Writes in the order in which they apply, and the batch's preconditions.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    operations: Vec<Operation>,
    expectations: Vec<(Table, Vec<u8>, Expect)>,
}

impl Batch {
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.operations.push(Operation::Put(table, key, value));
    }

    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.operations.push(Operation::Delete(table, key));
    }

    pub fn delete_range(&mut self, table: Table, range: KeyRange) {
        self.operations.push(Operation::DeleteRange(table, range));
    }

    /// Lets the batch commit only where `key` is as expected. Two batches that expect something
    /// of the same key never commit at the same time.
    pub fn expect(&mut self, table: Table, key: Vec<u8>, expect: Expect) {
        self.expectations.push((table, key, expect));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    #[must_use]
    pub fn expectations(&self) -> &[(Table, Vec<u8>, Expect)] {
        &self.expectations
    }

    /// The writes, owned.
    #[must_use]
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}
