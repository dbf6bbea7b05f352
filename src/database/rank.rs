//! How many live documents stand before an id: the `offset` of `_all_docs`.
//!
//! The first question counts once through the ids and keeps every few hundredth with the count
//! between; the writer keeps the counts true from then on. A database that nobody asks has none
//! of this, and a handle that is closed forgets it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::document::DocId;

use super::DatabaseError;

/// Ids between two kept ones when the counts are made, and at most later.
const STRIDE: u64 = 256;
const STRIDE_MAX: u64 = 4 * STRIDE;

/// Counts of live ids from each kept id up to the next.
#[derive(Debug, Default)]
struct Counts(BTreeMap<Box<str>, u64>);

#[derive(Debug, Default)]
struct Kept {
    counts: Option<Counts>,
    /// Grows with every note, so that counts made from an older view are not kept.
    notes: u64,
}

/// The counts of one database, made when first needed.
#[derive(Debug, Default)]
pub(super) struct Ranks(Mutex<Kept>);

/// Shows live ids in order, from one included or from the first, until told to stop.
pub(super) type Ids<'a> =
    dyn Fn(Option<&str>, &mut dyn FnMut(&str) -> bool) -> Result<(), DatabaseError> + 'a;

impl Ranks {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Documents that were written: whether each was live before and is now.
    pub(super) fn note(&self, written: &[(DocId, bool, bool)]) {
        if written.is_empty() {
            return;
        }
        let mut kept = self.lock();
        kept.notes += 1;
        let Some(Counts(counts)) = &mut kept.counts else { return };
        let mut crowded = false;
        for (id, before, now) in written.iter().filter(|(_, before, now)| before != now) {
            let upto = (Bound::Unbounded, Bound::Included(id.as_str()));
            if let Some((_, count)) = counts.range_mut::<str, _>(upto).next_back() {
                *count = if *now { *count + 1 } else { count.saturating_sub(1) };
                crowded |= *count > STRIDE_MAX;
            }
            debug_assert!(before != now);
        }
        if crowded {
            kept.counts = None;
        }
    }

    /// How many live ids are smaller than `id`.
    pub(super) fn before(&self, id: &str, ids: &Ids<'_>) -> Result<u64, DatabaseError> {
        if self.lock().counts.is_none() {
            self.make(ids)?;
        }
        let (mut rank, from) = {
            let kept = self.lock();
            let counts = kept.counts.iter().flat_map(|Counts(counts)| {
                counts.range::<str, _>((Bound::Unbounded, Bound::Included(id)))
            });
            let (mut rank, mut last) = (0, None);
            for (start, count) in counts {
                rank += last.replace((start.clone(), *count)).map_or(0, |(_, count)| count);
            }
            (rank, last.map(|(start, _)| start))
        };
        ids(from.as_deref(), &mut |found| {
            let smaller = found < id;
            rank += u64::from(smaller);
            smaller
        })?;
        Ok(rank)
    }

    fn make(&self, ids: &Ids<'_>) -> Result<(), DatabaseError> {
        let notes = self.lock().notes;
        let mut counts: BTreeMap<Box<str>, u64> = BTreeMap::from([("".into(), 0)]);
        let mut current = 0u64;
        ids(None, &mut |id| {
            if current == STRIDE {
                if let Some(mut last) = counts.last_entry() {
                    *last.get_mut() = current;
                }
                counts.insert(id.into(), 0);
                current = 0;
            }
            current += 1;
            true
        })?;
        if let Some(mut last) = counts.last_entry() {
            *last.get_mut() = current;
        }
        let mut kept = self.lock();
        if kept.notes == notes {
            kept.counts = Some(Counts(counts));
        }
        Ok(())
    }
}
