//! Loaded design documents of all databases, as many as fit.
//!
//! An entry belongs to an epoch of its database's handle: epochs are never used twice, by no
//! handle, so nothing has to be taken out when a design document changes. Bounded by the length of
//! the documents' texts, in two generations: what is asked for stays.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::design::Ddoc;
use crate::document::DocId;
use crate::metrics::{DDOC_CACHE_HITS, DDOC_CACHE_MISSES};
use crate::storage::keys::DbNumber;

/// Text of the design documents of one generation; loaded, a document takes a few times its text.
const GENERATION_BYTES: usize = 16 << 20;

type Key = (DbNumber, DocId);

#[derive(Debug, Clone)]
struct Entry {
    epoch: u64,
    ddoc: Arc<Ddoc>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Entry>,
    young_bytes: usize,
    old: HashMap<Key, Entry>,
}

/// The cache that all databases of a registry share.
#[derive(Debug, Default)]
pub(super) struct DesignCache {
    epochs: AtomicU64,
    kept: Mutex<Generations>,
}

impl DesignCache {
    /// An epoch that nobody has had.
    pub(super) fn new_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, db: DbNumber, id: &DocId, epoch: u64) -> Option<Arc<Ddoc>> {
        let found = self.find(db, id, epoch);
        let count = if found.is_some() { &DDOC_CACHE_HITS } else { &DDOC_CACHE_MISSES };
        count.add(1);
        found
    }

    fn find(&self, db: DbNumber, id: &DocId, epoch: u64) -> Option<Arc<Ddoc>> {
        let key = (db, id.clone());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match kept.young.get(&key) {
            Some(entry) => entry.clone(),
            None => kept.old.remove(&key)?,
        };
        if entry.epoch != epoch {
            return None;
        }
        kept.keep(key, entry.clone());
        Some(entry.ddoc)
    }

    /// Keeps a design document that was read in `epoch`; its text has so many bytes.
    pub(super) fn put(&self, db: DbNumber, epoch: u64, ddoc: Arc<Ddoc>, bytes: usize) {
        let key = (db, ddoc.id.clone());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(key, Entry { epoch, ddoc, bytes });
    }
}

impl Generations {
    fn keep(&mut self, key: Key, entry: Entry) {
        let bytes = entry.bytes;
        let replaced = self.young.insert(key, entry).map_or(0, |entry| entry.bytes);
        self.young_bytes = self.young_bytes + bytes - replaced;
        if self.young_bytes > GENERATION_BYTES {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Rev};

    fn ddoc(name: &str) -> Arc<Ddoc> {
        let document = Document {
            id: DocId::parse(&format!("_design/{name}")).unwrap(),
            rev: Rev::parse("1-a").unwrap(),
            deleted: false,
            body: "{}".into(),
            attachments: Vec::new(),
        };
        Arc::new(Ddoc::new(&document, None).unwrap())
    }

    #[test]
    fn an_entry_is_good_for_its_epoch_and_its_database() {
        let cache = DesignCache::default();
        let (one, two) = (cache.new_epoch(), cache.new_epoch());
        let (a, id) = (ddoc("a"), ddoc("a").id.clone());
        cache.put(DbNumber(1), one, a.clone(), 2);
        assert!(Arc::ptr_eq(&cache.get(DbNumber(1), &id, one).unwrap(), &a));
        assert!(cache.get(DbNumber(1), &id, two).is_none());
        assert!(cache.get(DbNumber(2), &id, one).is_none());
        cache.put(DbNumber(1), two, ddoc("a"), 2);
        assert!(cache.get(DbNumber(1), &id, one).is_none());
        assert!(cache.get(DbNumber(1), &id, two).is_some());
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let cache = DesignCache::default();
        let (used, id) = (ddoc("used"), ddoc("used").id.clone());
        cache.put(DbNumber(1), 0, used, GENERATION_BYTES / 4);
        for number in 0..100 {
            cache.put(DbNumber(2), 0, ddoc(&number.to_string()), GENERATION_BYTES / 4);
            assert!(cache.get(DbNumber(1), &id, 0).is_some(), "{number}");
            let kept = cache.kept.lock().unwrap();
            let entries = kept.young.values().chain(kept.old.values());
            assert!(entries.map(|entry| entry.bytes).sum::<usize>() <= 3 * GENERATION_BYTES);
        }
        assert!(cache.get(DbNumber(2), &ddoc("0").id, 0).is_none());
    }
}
