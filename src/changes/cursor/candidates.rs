//! Which documents can pass a filter, where an index tells that is built already: the others need
//! not be read.
//!
//! An index tells of a document as it was when the index came to its last change. So it says
//! something of changes up to its own sequence only, and of documents that have one leaf, which is
//! alive: of tombstones and of conflicts no index has all that a filter sees.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::changes::{Filter, FilterFunction, FunctionFilter};
use crate::database::Change;
use crate::mango::superset::supersets;
use crate::views::{MapReader, MapRow, RangeQuery, Views, ViewsError};

use super::Cursor;

/// Rows below which nothing is asked: they are read at once.
const ROWS_MIN: u64 = if cfg!(test) { 2 } else { 1_000 };
/// Documents of one filter, and of all of them together.
pub(super) const DOCUMENTS_MAX: u64 = 100_000;
const ALL_DOCUMENTS_MAX: u64 = 16_000_000;

/// Documents of all filters at this moment.
static ALL_DOCUMENTS: AtomicU64 = AtomicU64::new(0);

/// The documents that can pass.
#[derive(Debug)]
pub(super) struct Candidates {
    /// The sequence up to which the index knows changes.
    upto: u64,
    /// Hashes of their ids, sorted. Where one is that of another document too, that one is read
    /// for nothing.
    ids: Vec<u32>,
    hasher: RandomState,
}

impl Drop for Candidates {
    fn drop(&mut self) {
        ALL_DOCUMENTS.fetch_sub(self.ids.len() as u64, Ordering::Relaxed);
    }
}

impl Candidates {
    /// Reads them, of an index that has come to `least_seq` and has no more than `most` of them.
    fn read(mut reader: MapReader, least_seq: u64, most: u64) -> Result<Option<Self>, ViewsError> {
        let hasher = RandomState::new();
        let mut ids = Vec::new();
        let mut take = |row: MapRow<'_>| ids.push(hash(&hasher, row.id));
        let Some(upto) = reader.rows_of_now(least_seq, most, &mut take)? else { return Ok(None) };
        ids.sort_unstable();
        ids.dedup();
        ids.shrink_to_fit();
        ALL_DOCUMENTS.fetch_add(ids.len() as u64, Ordering::Relaxed);
        Ok(Some(Self { upto, ids, hasher }))
    }

    /// Whether a change is known not to pass.
    pub(super) fn leave_out(&self, seq: u64, change: &Change) -> bool {
        seq <= self.upto
            && !change.deleted
            && change.leaves.len() == 1
            && !change.id.is_design()
            && self.ids.binary_search(&hash(&self.hasher, change.id.as_str())).is_err()
    }
}

fn hash(hasher: &RandomState, id: &str) -> u32 {
    // Half of the bits are enough to tell most documents apart.
    (hasher.hash_one(id) >> 32) as u32
}

impl Cursor {
    /// The documents that can pass, where it costs little to know them. An index that cannot be
    /// asked is no failure: everything is read then.
    pub(super) fn find_candidates(&self) -> Option<Candidates> {
        let state = self.db.state();
        let (first, last) = self.rest();
        let seqs = last.checked_sub(first)?.saturating_add(1);
        let rows = seqs.min(state.doc_count + state.doc_del_count);
        if rows < ROWS_MIN {
            return None;
        }
        let others = ALL_DOCUMENTS.load(Ordering::Relaxed);
        let mut most =
            candidates_max(rows, self.options.limit).min(ALL_DOCUMENTS_MAX.saturating_sub(others));
        let mut best = None;
        for reader in self.telling_readers()? {
            if most == 0 {
                break;
            }
            if let Ok(Some(found)) = Candidates::read(reader, first + seqs / 2, most) {
                most = (found.ids.len() / 2) as u64;
                best = Some(found);
            }
        }
        best
    }

    /// Readers of indexes that have a row for every document that can pass.
    fn telling_readers(&self) -> Option<Vec<MapReader>> {
        let views = self.options.views.as_ref()?;
        match &self.options.filter {
            Filter::Selector(filter) => supersets(&self.db, views, filter.selector()).ok(),
            Filter::Function(filter) => self.own_reader(views, filter).map(|reader| vec![reader]),
            Filter::Everything | Filter::DocIds(_) | Filter::Design => None,
        }
    }

    /// A reader of the view that a `_view` filter names, where the view tells what passes.
    fn own_reader(&self, views: &Views, filter: &FunctionFilter) -> Option<MapReader> {
        let FilterFunction::View { name } = &filter.function else { return None };
        let index = views.index(&self.db, &filter.ddoc).ok()?;
        let view = index.group().view(name).filter(|view| index.tells_filter(*view))?;
        Some(MapReader::new(index, view, RangeQuery::default()))
    }
}

/// How many candidates may be read for a filter over so many rows. To know one costs about a
/// third of reading a document; where a limit ends the pass, the fewer pass the more rows are
/// looked at.
pub(super) fn candidates_max(rows: u64, limit: Option<u64>) -> u64 {
    let by_limit = limit.map_or(u64::MAX, |limit| (limit.saturating_mul(rows) / 2).isqrt());
    (rows / 2).min(by_limit).min(DOCUMENTS_MAX)
}
