//! Partitions: what is recorded of each is what its documents are.

use crate::document::DocId;
use crate::storage::values::{Head, Partition};
use crate::storage::{StorageError, Table, keys};

use super::{Checked, Findings, each};

/// The partitions of a database, whose documents come in the order of their ids: one partition
/// after the other.
#[derive(Debug, Default)]
pub struct Partitions {
    current: Option<(String, Partition)>,
    recorded: u64,
}

impl Partitions {
    /// Counts a document.
    ///
    /// # Errors
    /// Those of the store.
    pub fn count(
        &mut self,
        db: &Checked<'_>,
        id: &DocId,
        head: &Head,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        let Some(name) = id.partition() else { return Ok(()) };
        if self.current.as_ref().is_none_or(|(current, _)| current != name) {
            self.end(db, findings)?;
            self.current = Some((name.to_owned(), Partition::default()));
        }
        if let Some((_, partition)) = &mut self.current {
            let deleted = head.tree.winner().is_some_and(|node| node.deleted);
            partition.count(deleted, head.external_bytes, true);
        }
        Ok(())
    }

    /// Checks the last partition, and that there are no others.
    ///
    /// # Errors
    /// Those of the store.
    pub fn finish(mut self, db: &Checked<'_>, findings: &mut Findings) -> Result<(), StorageError> {
        self.end(db, findings)?;
        let range = keys::partitions(db.number);
        let records = each(db, Table::Databases, &range, findings, |_, value, _| {
            Partition::decode(value).map(|_| ())
        })?;
        findings.compare(db.name, "records of partitions", records, self.recorded);
        Ok(())
    }

    /// A partition that was last written before partitions were counted has no record.
    fn end(&mut self, db: &Checked<'_>, findings: &mut Findings) -> Result<(), StorageError> {
        let Some((name, found)) = self.current.take() else { return Ok(()) };
        let Some(value) = db.snapshot.get(Table::Databases, &keys::partition(db.number, &name))?
        else {
            return Ok(());
        };
        self.recorded += 1;
        if Partition::decode(&value)? != found {
            findings.problem(db.name, format_args!("partition {name}: it is not what is recorded"));
        }
        Ok(())
    }
}
