//! The server-wide log of database events that `_db_updates` reads: one row a database.
//!
//! A row is part of the batch that caused it. Batches commit in any order, so readers are shown
//! only rows below the oldest event that is still on its way.

use std::collections::BTreeSet;
use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::storage::values::{Event, EventKind};
use crate::storage::{Batch, Direction, Engine, KeyRange, StorageError, Table, keys};

use super::DatabaseError;

/// The database in which CouchDB keeps what happens to databases; its own updates are no events.
pub const GLOBAL_CHANGES: &str = "_global_changes";

/// A row of `_db_updates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub seq: u64,
    pub name: String,
    pub kind: EventKind,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    on_their_way: BTreeSet<u64>,
}

/// Hands out event sequences and shows them in order.
#[derive(Debug)]
pub(super) struct Events {
    engine: Arc<dyn Engine>,
    numbers: Mutex<Numbers>,
    visible: watch::Sender<u64>,
    /// What happened since it was last taken, where somebody wants to know.
    untold: Mutex<Option<BTreeSet<(EventKind, String)>>>,
}

/// An event whose batch has not committed yet; dropping it lets later events be seen.
#[derive(Debug)]
pub(super) struct PendingEvent<'a> {
    events: &'a Events,
    pub(super) seq: u64,
    name: &'a str,
    kind: EventKind,
}

impl PendingEvent<'_> {
    /// The batch has committed.
    pub(super) fn committed(self) {
        if let Some(untold) = self.events.lock_untold().as_mut() {
            untold.insert((self.kind, self.name.to_owned()));
        }
    }
}

impl Drop for PendingEvent<'_> {
    fn drop(&mut self) {
        let mut numbers = self.events.lock();
        numbers.on_their_way.remove(&self.seq);
        let visible = numbers.on_their_way.first().copied().unwrap_or(numbers.next) - 1;
        self.events.visible.send_if_modified(|seen| {
            let changed = *seen < visible;
            *seen = visible.max(*seen);
            changed
        });
    }
}

impl Events {
    /// Goes on after the newest stored event.
    pub(super) fn open(engine: Arc<dyn Engine>) -> Result<Self, StorageError> {
        let mut newest = 0;
        let mut first = |key: &[u8], _: &[u8]| {
            newest = keys::event_seq(key).unwrap_or(0);
            ControlFlow::Break(())
        };
        let range = keys::events();
        engine.snapshot().scan(Table::Catalogue, &range, Direction::Backward, &mut first)?;
        let numbers = Numbers { next: newest + 1, on_their_way: BTreeSet::new() };
        Ok(Self {
            engine,
            numbers: Mutex::new(numbers),
            visible: watch::Sender::new(newest),
            untold: Mutex::default(),
        })
    }

    fn lock_untold(&self) -> MutexGuard<'_, Option<BTreeSet<(EventKind, String)>>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Self::take_untold`] is to have anything from now on.
    pub(super) fn keep_untold(&self, keep: bool) {
        let mut untold = self.lock_untold();
        *untold = if keep { Some(untold.take().unwrap_or_default()) } else { None };
    }

    /// Whether anything happened since the last call of [`Self::take_untold`].
    pub(super) fn has_untold(&self) -> bool {
        self.lock_untold().as_ref().is_some_and(|untold| !untold.is_empty())
    }

    /// What happened since the last call, each once.
    pub(super) fn take_untold(&self) -> BTreeSet<(EventKind, String)> {
        self.lock_untold().as_mut().map(mem::take).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to `batch`; `previous` is the database's newest event so far. Hold the
    /// result until the batch has committed. `None`: the database has no events.
    pub(super) fn write<'a>(
        &'a self,
        batch: &mut Batch,
        name: &'a str,
        kind: EventKind,
        previous: Option<u64>,
    ) -> Option<PendingEvent<'a>> {
        if name == GLOBAL_CHANGES {
            return None;
        }
        let seq = {
            let mut numbers = self.lock();
            let seq = numbers.next;
            numbers.next += 1;
            numbers.on_their_way.insert(seq);
            seq
        };
        if let Some(previous) = previous {
            batch.delete(Table::Catalogue, keys::event(previous));
        }
        let event = Event { name: name.to_owned(), kind };
        batch.put(Table::Catalogue, keys::event(seq), event.encode());
        let number = crate::storage::values::encode_number(seq);
        batch.put(Table::Catalogue, keys::event_of(name), number);
        Some(PendingEvent { events: self, seq, name, kind })
    }

    /// The sequence of a database's newest event, of this or an earlier database of that name.
    pub(super) fn newest_of(&self, name: &str) -> Result<Option<u64>, StorageError> {
        let value = self.engine.get(Table::Catalogue, &keys::event_of(name))?;
        let decode =
            |value: Vec<u8>| crate::storage::values::decode_number(Table::Catalogue, &value);
        value.map(decode).transpose()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.visible.subscribe()
    }

    /// Up to `limit` events after `since` (before it, when going backward), as far as visible.
    pub(super) fn page(
        &self,
        since: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<EventRow>, DatabaseError> {
        let visible = *self.visible.borrow();
        let range = match direction {
            Direction::Forward => KeyRange {
                start: keys::event(since.saturating_add(1)),
                end: keys::event(visible.saturating_add(1)),
            },
            Direction::Backward => KeyRange {
                start: keys::event(0),
                end: keys::event(since.min(visible.saturating_add(1))),
            },
        };
        let (mut rows, mut broken) = (Vec::new(), None);
        let mut visit = |key: &[u8], value: &[u8]| {
            match (keys::event_seq(key), Event::decode(value)) {
                (Some(seq), Ok(Event { name, kind })) => rows.push(EventRow { seq, name, kind }),
                (_, Err(error)) => broken = Some(error),
                (None, Ok(_)) => {}
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.engine.snapshot().scan(Table::Catalogue, &range, direction, &mut visit)?;
        match broken {
            Some(error) => Err(error.into()),
            None => Ok(rows),
        }
    }
}
