//! Checks the view indexes of a store: what documents emitted and the rows are the same, and the
//! blocks count them all. What is wrong with an index is no loss: it can be built again.

use crate::database::{Checked, Findings, each};
use crate::storage::view_keys::{self, IndexNumber, ViewAddress, ViewNumber};
use crate::storage::view_values::{Block, IndexEntry, ViewRow, decode_emits};
use crate::storage::{KeyRange, StorageError, Table};

/// Checks the indexes of a database.
///
/// # Errors
/// Those of the store. What is wrong with a record is a finding.
pub fn verify(db: &Checked<'_>, findings: &mut Findings) -> Result<(), StorageError> {
    let mut entries = Vec::new();
    each(db, Table::Indexes, &view_keys::indexes(db.number), findings, |key, value, _| {
        let signature = view_keys::signature_of(key).unwrap_or_default().to_owned();
        entries.push((signature, IndexEntry::decode(value)?));
        Ok(())
    })?;
    for (signature, entry) in entries {
        findings.indexes += 1;
        verify_index(db, &signature, &entry, findings)?;
    }
    Ok(())
}

fn verify_index(
    db: &Checked<'_>,
    signature: &str,
    entry: &IndexEntry,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let place = format!("{}, index {signature}", db.name);
    for (view, expected) in (0..).zip(&entry.rows) {
        let address = ViewAddress { db: db.number, index: entry.number, view: ViewNumber(view) };
        let range = view_keys::rows(address);
        let rows = each(db, Table::ViewRows, &range, findings, |_, value, _| {
            ViewRow::decode(value).map(|_| ())
        })?;
        findings.rows += rows;
        findings.compare(&place, "rows", rows, *expected);
        if entry.summarised
            && let Some(block) =
                db.snapshot.get(Table::ViewBlocks, &view_keys::root_block(address))?
        {
            let parts = Block::decode(&block)?.parts;
            let counted = parts.iter().map(|part| part.count).sum();
            findings.compare(&place, "rows in its blocks", counted, rows);
        }
    }
    let emitted = verify_emits(db, &place, entry.number, findings)?;
    findings.compare(&place, "emitted rows", emitted, entry.rows.iter().sum());
    Ok(())
}

/// Every emitted row is there. Returns how many there are.
fn verify_emits(
    db: &Checked<'_>,
    place: &str,
    index: IndexNumber,
    findings: &mut Findings,
) -> Result<u64, StorageError> {
    let mut emitted = 0;
    let range: KeyRange = view_keys::index_range(db.number, index);
    each(db, Table::ViewEmits, &range, findings, |key, value, findings| {
        let id = key.get(12..).map(String::from_utf8_lossy).unwrap_or_default();
        let rows = decode_emits(value)?;
        for (at, row) in rows.iter().enumerate() {
            let alike = rows.iter().take(at);
            let alike = alike.filter(|other| other.view == row.view && other.key == row.key);
            let ordinal = u32::try_from(alike.count()).unwrap_or(u32::MAX);
            let mut row_place = row.key.to_vec();
            view_keys::write_document(&mut row_place, &id, ordinal);
            let address = ViewAddress { db: db.number, index, view: row.view };
            let key = view_keys::row(address, &row_place);
            if db.snapshot.get(Table::ViewRows, &key)?.is_none() {
                findings.problem(place, format_args!("a row of {id} is missing"));
            }
        }
        emitted += rows.len() as u64;
        Ok(())
    })?;
    Ok(emitted)
}
