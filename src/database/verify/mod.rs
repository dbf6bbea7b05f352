//! Checks a store that nobody writes to: every checksum, every record, every revision tree,
//! sequence and reference.
//!
//! A record is checked once from the side that needs it (a head needs its row of changes, its
//! bodies, their attachments); that nothing else is there follows from counting. So memory does
//! not grow with the store.

mod attachments;
mod documents;
mod findings;
mod partitions;
#[cfg(test)]
mod tests;

pub use findings::Findings;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::storage::keys::{self, DbNumber};
use crate::storage::values::{self, DatabaseEntry, Event, Purge, State};
use crate::storage::{Direction, Engine, KeyRange, Snapshot, StorageError, Table};

/// A database of the store that is checked.
pub struct Checked<'s> {
    pub snapshot: &'s dyn Snapshot,
    pub name: &'s str,
    pub number: DbNumber,
    pub partitioned: bool,
    pub state: State,
}

/// What is done for every database, and who is told how far it is.
pub type Visit<'v> = dyn FnMut(&Checked<'_>, &mut Findings) -> Result<(), StorageError> + 'v;

/// Checks all that this layer knows, and shows every database to `visit`.
///
/// # Errors
/// Where the catalogue cannot be read; everything else becomes a finding.
pub fn verify(engine: &dyn Engine, visit: &mut Visit<'_>) -> Result<Findings, StorageError> {
    let mut findings = Findings::default();
    let snapshot = engine.snapshot();
    let databases = catalogue(snapshot.as_ref(), &mut findings)?;
    for (number, name) in &databases {
        findings.databases += 1;
        let checked = database(snapshot.as_ref(), name, *number, &mut findings).and_then(|db| {
            let Some(db) = db else { return Ok(()) };
            let bodies = documents::verify(&db, &mut findings)?;
            attachments::verify(&db, bodies, &mut findings)?;
            visit(&db, &mut findings)
        });
        if let Err(error) = checked {
            findings.problem(name, error);
        }
    }
    for table in Table::ALL {
        if table != Table::Catalogue
            && let Err(error) = strays(snapshot.as_ref(), table, &databases, &mut findings)
        {
            findings.problem(table.name(), error);
        }
    }
    Ok(findings)
}

/// Shows the records of a range; what `visit` fails with is a finding, and the next is shown.
pub fn each(
    db: &Checked<'_>,
    table: Table,
    range: &KeyRange,
    findings: &mut Findings,
    mut visit: impl FnMut(&[u8], &[u8], &mut Findings) -> Result<(), StorageError>,
) -> Result<u64, StorageError> {
    let mut count = 0;
    let mut each = |key: &[u8], value: &[u8]| {
        count += 1;
        if let Err(error) = visit(key, value, findings) {
            findings.problem(db.name, error);
        }
        ControlFlow::Continue(())
    };
    db.snapshot.scan(table, range, Direction::Forward, &mut each)?;
    Ok(count)
}

/// The numbers and names of all databases.
fn catalogue(
    snapshot: &dyn Snapshot,
    findings: &mut Findings,
) -> Result<BTreeMap<DbNumber, String>, StorageError> {
    let mut databases = BTreeMap::new();
    let next = match snapshot.get(Table::Catalogue, &keys::catalogue_next_number())? {
        Some(value) => values::decode_number(Table::Catalogue, &value).unwrap_or_else(|error| {
            findings.problem("the catalogue", error);
            u64::MAX
        }),
        None => 1,
    };
    let mut visit = |key: &[u8], value: &[u8]| {
        let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        match DatabaseEntry::decode(value) {
            Err(error) => findings.problem(&name, error),
            Ok(entry) => {
                if entry.number.0 >= next {
                    findings.problem(&name, "its number is not reserved");
                }
                if let Some(other) = databases.insert(entry.number, name.clone()) {
                    findings.problem(&name, format_args!("it has the same number as {other}"));
                }
            }
        }
        ControlFlow::Continue(())
    };
    let range = keys::catalogue_databases();
    snapshot.scan(Table::Catalogue, &range, Direction::Forward, &mut visit)?;
    events(snapshot, findings)?;
    Ok(databases)
}

/// Every event of a database is the newest one of its name, and every name's newest is there.
fn events(snapshot: &dyn Snapshot, findings: &mut Findings) -> Result<(), StorageError> {
    let mut visit = |key: &[u8], value: &[u8]| {
        let checked = Event::decode(value).and_then(|event| {
            let newest = snapshot.get(Table::Catalogue, &keys::event_of(&event.name))?;
            let newest = newest.map(|value| values::decode_number(Table::Catalogue, &value));
            Ok((event.name, newest.transpose()?))
        });
        match checked {
            Ok((_, newest)) if newest == keys::event_seq(key) => {}
            Ok((name, _)) => findings.problem(&name, "an event is not its newest"),
            Err(error) => findings.problem("_db_updates", error),
        }
        ControlFlow::Continue(())
    };
    snapshot.scan(Table::Catalogue, &keys::events(), Direction::Forward, &mut visit)?;
    let mut missing = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        let seq = values::decode_number(Table::Catalogue, value);
        let event = seq.and_then(|seq| snapshot.get(Table::Catalogue, &keys::event(seq)));
        if !matches!(event, Ok(Some(_))) {
            missing.push(String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned());
        }
        ControlFlow::Continue(())
    };
    let range = keys::newest_events();
    snapshot.scan(Table::Catalogue, &range, Direction::Forward, &mut visit)?;
    for name in missing {
        findings.problem(&name, "its newest event is missing");
    }
    Ok(())
}

/// A database's own records.
fn database<'s>(
    snapshot: &'s dyn Snapshot,
    name: &'s str,
    number: DbNumber,
    findings: &mut Findings,
) -> Result<Option<Checked<'s>>, StorageError> {
    let Some(state) = snapshot.get(Table::Databases, &keys::state(number))? else {
        findings.problem(name, "its counters are missing");
        return Ok(None);
    };
    let entry = snapshot.get(Table::Catalogue, &keys::catalogue_database(name))?;
    let entry = entry.map(|value| DatabaseEntry::decode(&value)).transpose()?;
    let partitioned = entry.is_some_and(|entry| entry.partitioned);
    let db = Checked { snapshot, name, number, partitioned, state: State::decode(&state)? };
    if let Some(security) = snapshot.get(Table::Databases, &keys::security(number))? {
        let json = values::decode_json(Table::Databases, &security)?;
        if serde_json::from_slice::<serde_json::Map<_, _>>(&json).is_err() {
            findings.problem(name, "its security object is no JSON object");
        }
    }
    for limit in [keys::revs_limit(number), keys::purged_infos_limit(number)] {
        if let Some(value) = snapshot.get(Table::Databases, &limit)? {
            values::decode_number(Table::Databases, &value)?;
        }
    }
    each(&db, Table::Databases, &keys::purges(number), findings, |_, value, _| {
        Purge::decode(value).map(|_| ())
    })?;
    Ok(Some(db))
}

/// Records of databases that are not in the catalogue.
fn strays(
    snapshot: &dyn Snapshot,
    table: Table,
    databases: &BTreeMap<DbNumber, String>,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let mut start = Vec::new();
    let ranges = databases.keys().map(|number| keys::database_range(*number));
    let end = KeyRange { start: vec![0xff; 64], end: Vec::new() };
    for known in ranges.chain([end]) {
        let gap = KeyRange { start, end: known.start };
        let mut found = false;
        let mut visit = |_: &[u8], _: &[u8]| {
            found = true;
            ControlFlow::Break(())
        };
        snapshot.scan(table, &gap, Direction::Forward, &mut visit)?;
        if found {
            findings.problem(table.name(), "records of a database that is not there");
        }
        start = known.end;
    }
    Ok(())
}
