//! Bringing an index up to date.
//!
//! Changes are read a page at a time, each page from one snapshot together with the database's
//! counters, and a page is in the index before the next is read. A page that reaches the end of
//! the changes leaves the index as the database was at its snapshot: documents that changed while
//! earlier pages were worked on have later changes, which are in by then. Only then is the index
//! said to have come so far.
//!
//! While an index is new it has no blocks; they are made in one go from all rows once it has
//! caught up. The same is done where so much has changed that mending blocks costs more.

mod changes;
mod edits;
mod pipeline;
mod rows;
mod stored;

#[cfg(test)]
mod tests;

use crate::document::DocId;

use super::index::Index;
use super::{Mapper, ViewsError};

use changes::Page;
use edits::{Chunk, Maker};
use stored::Stored;

/// Changes read in one page, and how far that may grow while the database outruns the index.
const PAGE_CHANGES: usize = 20_000;
const PAGE_CHANGES_MAX: usize = 320_000;
/// Pages beyond what is wanted, after which the index must do as it is.
const PAGES_BEYOND_MAX: usize = 8;
/// Changes below which blocks are mended in any case.
const MENDED_CHANGES_MIN: u64 = 1000;
/// Blocks are made anew where at least one in so many documents has changed.
const MENDED_SHARE: u64 = 64;

/// Brings an index up to what is wanted of it and further to the end of the changes; the sequence
/// that it has come to.
pub(super) fn bring_up(index: &Index) -> Result<u64, ViewsError> {
    let mapper = index.mapper.clone()?;
    if index.db.indexes_may_not_grow() {
        return Err(ViewsError::DiskFull);
    }
    let mut stored = Stored::open(index)?;
    let (mut page_changes, mut beyond) = (PAGE_CHANGES, 0);
    loop {
        let page = Page::read(index, stored.entry(), page_changes)?;
        if page.forgot_purges {
            stored = Stored::create(index)?;
            continue;
        }
        take(index, mapper.as_ref(), &mut stored, &page)?;
        if page.upto >= index.lock_duty().wanted() {
            beyond += 1;
            page_changes = (page_changes * 2).min(PAGE_CHANGES_MAX);
        }
        if page.is_last || beyond > PAGES_BEYOND_MAX {
            stored.summarise()?;
            stored.publish();
            return Ok(stored.entry().seq);
        }
    }
}

/// Puts a page into the index.
fn take(
    index: &Index,
    mapper: &dyn Mapper,
    stored: &mut Stored<'_>,
    page: &Page,
) -> Result<(), ViewsError> {
    let pending = if page.is_last {
        page.changes.len() as u64
    } else {
        index.db.pending(stored.entry().seq)?
    };
    if let Some(progress) = index.lock_progress().as_mut() {
        progress.total_changes = progress.total_changes.max(progress.changes_done + pending);
    }
    let documents = page.documents;
    if pending >= MENDED_CHANGES_MIN && pending >= documents / MENDED_SHARE {
        stored.drop_blocks()?;
    }
    let maker = Maker::new(index, mapper, stored.entry().number);
    for purged in page.purged.chunks(pipeline::CHUNK_CHANGES) {
        let ids: Vec<&DocId> = purged.iter().collect();
        let chunk = maker.removals(&ids)?;
        stored.commit(vec![chunk])?;
    }
    pipeline::run(&maker, &page.changes, stored.entry().fresh_until, &mut |chunks: Vec<Chunk>| {
        let changes: usize = chunks.iter().map(|chunk| chunk.changes).sum();
        stored.commit(chunks)?;
        if let Some(progress) = index.lock_progress().as_mut() {
            progress.note_done(changes as u64);
        }
        Ok(())
    })?;
    stored.set_reached(page.upto, page.purge_seq)
}
