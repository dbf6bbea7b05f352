//! Making all blocks of a view in one pass over its rows.

use std::ops::ControlFlow;

use crate::storage::view_values::encode_block;
use crate::storage::{
    Batch, Direction, Durability, Engine, KeyRange, StorageError, Table, try_scan, view_keys,
};
use crate::views::ViewsError;
use crate::views::reduce::{ReduceGroup, ReducedState};

use super::{Blocks, LEAF, Part, Rows, level_of};

/// Rows, and bytes of them, that are held and reduced at a time.
const PAGE_ROWS: usize = 8_192;
const PAGE_BYTES: usize = 2 << 20;

/// A block of level 1 that may go on.
#[derive(Default)]
struct Open {
    place: Vec<u8>,
    count: u64,
    /// Of its rows page by page, for each page the states of all reduces.
    states: Vec<Vec<ReducedState>>,
}

/// The blocks that have not ended yet.
struct Making<'a> {
    blocks: &'a Blocks<'a>,
    open: Open,
    /// Parts of the open block of each level from [`LEAF`] on.
    levels: Vec<Vec<Part>>,
}

impl Blocks<'_> {
    /// Makes all blocks anew from the committed rows, in batches of its own. Nobody may write to
    /// the view meanwhile, and the blocks may not be used before it has returned.
    ///
    /// # Errors
    /// As [`super::Reducer::reduce`], and where the store fails; what has been written then must
    /// not be used.
    pub fn build_all(&self, engine: &dyn Engine) -> Result<(), ViewsError> {
        self.remove_all(engine)?;
        let mut making = Making { blocks: self, open: Open::default(), levels: Vec::new() };
        let mut rest = view_keys::rows(self.address);
        loop {
            let page = self.read_page(engine, &rest)?;
            let Some(last) = page.len().checked_sub(1) else { break };
            rest.start = view_keys::row(self.address, page.place(last));
            rest.start.push(0);
            let mut batch = Batch::default();
            making.add_page(&page, &mut batch)?;
            engine.commit(batch, Durability::Buffered)?;
        }
        let mut batch = Batch::default();
        making.finish(&mut batch)?;
        engine.commit(batch, Durability::Buffered)?;
        Ok(())
    }

    /// Removes blocks of an earlier time, if there are any: a range tombstone costs something.
    fn remove_all(&self, engine: &dyn Engine) -> Result<(), StorageError> {
        let all = view_keys::all_blocks(self.address);
        let mut found = false;
        let mut visit = |_: &[u8], _: &[u8]| {
            found = true;
            ControlFlow::Break(())
        };
        engine.snapshot().scan(Table::ViewBlocks, &all, Direction::Forward, &mut visit)?;
        if found {
            let mut batch = Batch::default();
            batch.delete_range(Table::ViewBlocks, all);
            engine.commit(batch, Durability::Buffered)?;
        }
        Ok(())
    }

    fn read_page(&self, engine: &dyn Engine, range: &KeyRange) -> Result<Rows, StorageError> {
        let places = self.places_for_ids();
        let mut page = Rows::default();
        let snapshot = engine.snapshot();
        let forward = Direction::Forward;
        try_scan(snapshot.as_ref(), Table::ViewRows, range, forward, &mut |key, value| {
            page.push_record(key, value, places)?;
            let full = page.len() >= PAGE_ROWS || page.bytes() >= PAGE_BYTES;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(page)
    }

    pub(super) fn write_block(&self, batch: &mut Batch, level: u8, parts: &[Part]) {
        let place = parts.first().map(|part| part.place.as_ref()).unwrap_or_default();
        let key = view_keys::block(self.address, level, place);
        batch.put(Table::ViewBlocks, key, encode_block(level, parts));
    }

    pub(super) fn write_root(&self, batch: &mut Batch, level: u8, parts: &[Part]) {
        let key = view_keys::root_block(self.address);
        batch.put(Table::ViewBlocks, key, encode_block(level, parts));
    }
}

impl Making<'_> {
    fn add_page(&mut self, page: &Rows, batch: &mut Batch) -> Result<(), ViewsError> {
        // The first group goes on with the open block; each other one begins a block.
        let mut groups = vec![ReduceGroup::default()];
        let mut starts = Vec::new();
        for at in 0..page.len() {
            if level_of(page.place(at)) > 0 {
                groups.push(ReduceGroup::default());
                starts.push(page.place(at).to_vec());
            }
            let preceded = self.open.count > 0 || at > 0 || !self.open.place.is_empty();
            if let Some(group) = groups.last_mut() {
                group.preceded = preceded && (group.preceded || group.rows.is_empty());
                group.rows.push(page.row(at));
            }
        }
        let counts: Vec<u64> = groups.iter().map(|group| group.rows.len() as u64).collect();
        let goes_on = counts.first().is_some_and(|count| *count > 0);
        if !goes_on {
            groups.remove(0);
        }
        let mut states = self.blocks.reduce(&groups)?.into_iter();
        let mut ended = Vec::new();
        let mut starts = starts.into_iter();
        for (at, count) in counts.into_iter().enumerate() {
            if at > 0 {
                let place = starts.next().unwrap_or_default();
                let next = Open { place, ..Open::default() };
                ended.push(std::mem::replace(&mut self.open, next));
            }
            if count > 0 {
                self.open.count += count;
                self.open.states.extend(states.next());
            }
        }
        let parts = self.close(ended)?;
        self.add_parts(LEAF, parts, batch)
    }

    /// What ended blocks of level 1 are to the block above them.
    fn close(&self, ended: Vec<Open>) -> Result<Vec<Part>, ViewsError> {
        let mut parts = Vec::with_capacity(ended.len());
        for open in ended {
            let one = open.states.len() <= 1;
            let pieces: Vec<Part> = open
                .states
                .into_iter()
                .map(|states| Part {
                    place: open.place.clone().into(),
                    count: open.count,
                    states: states.into_iter().map(Into::into).collect(),
                })
                .collect();
            let whole = if one { pieces } else { self.blocks.summarise(&[pieces])? };
            let states = whole.into_iter().next().map(|part| part.states).unwrap_or_default();
            parts.push(Part { place: open.place.into(), count: open.count, states });
        }
        Ok(parts)
    }

    /// Adds parts to the blocks of a level, and to each level above those that end by that.
    fn add_parts(
        &mut self,
        lowest: u8,
        mut parts: Vec<Part>,
        batch: &mut Batch,
    ) -> Result<(), ViewsError> {
        for level in lowest.. {
            if parts.is_empty() {
                break;
            }
            let at = usize::from(level - LEAF);
            if self.levels.len() <= at {
                self.levels.push(Vec::new());
            }
            let Some(open) = self.levels.get_mut(at) else { break };
            let mut ended = Vec::new();
            for part in parts {
                if !open.is_empty() && level_of(&part.place) >= level {
                    ended.push(std::mem::take(open));
                }
                open.push(part);
            }
            for block in &ended {
                self.blocks.write_block(batch, level, block);
            }
            parts = self.blocks.summarise(&ended)?;
        }
        Ok(())
    }

    /// Ends all blocks; the one that ends last without another beside it is the root.
    fn finish(mut self, batch: &mut Batch) -> Result<(), ViewsError> {
        let open = std::mem::take(&mut self.open);
        if open.count == 0 && self.levels.is_empty() {
            return Ok(());
        }
        let parts = self.close(vec![open])?;
        self.add_parts(LEAF, parts, batch)?;
        let mut level = LEAF;
        while let Some(at) = usize::from(level).checked_sub(usize::from(LEAF)) {
            let Some(block) = self.levels.get_mut(at).map(std::mem::take) else { break };
            if self.levels.len() == at + 1 {
                self.blocks.write_root(batch, level, &block);
                break;
            }
            self.blocks.write_block(batch, level, &block);
            level += 1;
            self.add_parts(level, self.blocks.summarise(&[block])?, batch)?;
        }
        Ok(())
    }
}
