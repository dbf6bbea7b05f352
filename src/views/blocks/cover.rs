//! Reading blocks: what a range of places is made of, and where the n-th row is.

use std::sync::Arc;

use crate::storage::view_keys::{self, ViewAddress};
use crate::storage::view_values::{Block, BlockPart};
use crate::storage::{Snapshot, StorageError, Table};

use super::{LEAF, PlaceRange};
use crate::views::ViewsError;
use crate::views::pages::ViewPages;

/// What a range of places is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Rows in the whole blocks.
    pub count: u64,
    /// The states of the whole blocks, in the order of their rows.
    pub states: Vec<Vec<u8>>,
    /// Parts of blocks of level 1, at most one before and one after the whole blocks.
    pub partial: Vec<PartialBlock>,
}

/// A part of a block of level 1.
#[derive(Debug, PartialEq, Eq)]
pub struct PartialBlock {
    pub wanted: PlaceRange,
    /// The whole block.
    pub block: PlaceRange,
    /// Rows of the whole block.
    pub count: u64,
}

/// The blocks of a view in one snapshot.
pub struct Tree<'a> {
    snapshot: &'a dyn Snapshot,
    address: ViewAddress,
    pages: Option<ViewPages<'a>>,
}

impl<'a> Tree<'a> {
    /// `pages` are those of this snapshot's version of the view.
    pub fn new(
        snapshot: &'a dyn Snapshot,
        address: ViewAddress,
        pages: Option<ViewPages<'a>>,
    ) -> Self {
        Self { snapshot, address, pages }
    }

    fn read(
        &self,
        level: u8,
        place: &[u8],
        key: impl FnOnce() -> Vec<u8>,
    ) -> Result<Option<Arc<Block<'static>>>, ViewsError> {
        if let Some(pages) = self.pages {
            pages.reach.take_page()?;
            if let Some(block) = pages.block(level, place) {
                return Ok(Some(block));
            }
            pages.reach.check_store()?;
        }
        let Some(record) = self.snapshot.get(Table::ViewBlocks, &key())? else { return Ok(None) };
        let block = Arc::new(Block::decode(&record)?.into_owned());
        if let Some(pages) = self.pages {
            pages.keep_block(level, place, &block);
        }
        Ok(Some(block))
    }

    fn root(&self) -> Result<Option<Arc<Block<'static>>>, ViewsError> {
        self.read(u8::MAX, &[], || view_keys::root_block(self.address))
    }

    fn block(&self, level: u8, place: &[u8]) -> Result<Arc<Block<'static>>, ViewsError> {
        let missing =
            StorageError::Corrupt { table: Table::ViewBlocks.name(), what: "a block is missing" };
        self.read(level, place, || view_keys::block(self.address, level, place))?
            .ok_or(missing.into())
    }

    /// What a range is made of; with the states of one of the view's reduces.
    pub fn cover(&self, range: &PlaceRange, reduce: Option<usize>) -> Result<Cover, ViewsError> {
        let mut cover = Cover::default();
        if let Some(root) = self.root()? {
            self.cover_block(&root, None, range, reduce, &mut cover)?;
        }
        Ok(cover)
    }

    /// Adds what lies both in a block, which ends before `end`, and in the range.
    fn cover_block(
        &self,
        block: &Block<'_>,
        end: Option<&[u8]>,
        range: &PlaceRange,
        reduce: Option<usize>,
        cover: &mut Cover,
    ) -> Result<(), ViewsError> {
        let range_end = range.end.as_deref();
        for (at, part) in block.parts.iter().enumerate() {
            let part_end = block.parts.get(at + 1).map(|next| next.place.as_ref()).or(end);
            let before = part_end.is_some_and(|end| end <= range.start.as_slice());
            if before || part.count == 0 {
                continue;
            }
            if range_end.is_some_and(|end| *part.place >= *end) {
                break;
            }
            let starts_inside = *part.place >= *range.start;
            let ends_inside = match (part_end, range_end) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(part_end), Some(range_end)) => part_end <= range_end,
            };
            if starts_inside && ends_inside {
                cover.count += part.count;
                if let Some(state) = reduce.and_then(|reduce| part.states.get(reduce)) {
                    cover.states.push(state.to_vec());
                }
            } else if block.level == LEAF {
                let start = part.place.as_ref().max(range.start.as_slice()).to_vec();
                let end = if ends_inside { part_end } else { range_end };
                let wanted = PlaceRange { start, end: end.map(<[u8]>::to_vec) };
                let (start, end) = (part.place.to_vec(), part_end.map(<[u8]>::to_vec));
                let block = PlaceRange { start, end };
                cover.partial.push(PartialBlock { wanted, block, count: part.count });
            } else {
                let below = self.block(block.level - 1, &part.place)?;
                self.cover_block(&below, part_end, range, reduce, cover)?;
            }
        }
        Ok(())
    }

    /// The block of level 1 that has the row before which `rank` rows stand. None where there are
    /// not so many.
    pub fn block_at(&self, rank: u64) -> Result<Option<RowBlock>, ViewsError> {
        self.descend(|block, before| {
            let mut before = before;
            block.parts.iter().position(|part| {
                let inside = rank - before < part.count;
                before += if inside { 0 } else { part.count };
                inside
            })
        })
    }

    /// The block of level 1 in whose range `place` lies.
    pub fn block_of(&self, place: &[u8]) -> Result<Option<RowBlock>, ViewsError> {
        self.descend(|block, _| {
            block.parts.partition_point(|part| part.place.as_ref() <= place).checked_sub(1)
        })
    }

    /// The block of level 1 in whose range the places right before `end` lie; the last one where
    /// there is no end.
    pub fn block_before(&self, end: Option<&[u8]>) -> Result<Option<RowBlock>, ViewsError> {
        self.descend(|block, _| {
            let before = |part: &BlockPart<'_>| end.is_none_or(|end| part.place.as_ref() < end);
            block.parts.partition_point(before).checked_sub(1)
        })
    }

    /// Goes down from the root by the part that `choose` takes of each block, who is told how many
    /// rows stand before it.
    fn descend(
        &self,
        choose: impl Fn(&Block<'_>, u64) -> Option<usize>,
    ) -> Result<Option<RowBlock>, ViewsError> {
        let Some(mut block) = self.root()? else { return Ok(None) };
        let (mut before, mut end) = (0, None);
        loop {
            let Some(at) = choose(&block, before) else { return Ok(None) };
            let Some(part) = block.parts.get(at) else { return Ok(None) };
            before += block.parts.iter().take(at).map(|part| part.count).sum::<u64>();
            end = block.parts.get(at + 1).map(|next| next.place.to_vec()).or(end);
            if block.level == LEAF {
                let range = PlaceRange { start: part.place.to_vec(), end };
                return Ok(Some(RowBlock { range, before, count: part.count }));
            }
            block = self.block(block.level - 1, &part.place)?;
        }
    }
}

/// A block of level 1, and how many rows stand before it.
#[derive(Debug, PartialEq, Eq)]
pub struct RowBlock {
    pub range: PlaceRange,
    pub before: u64,
    pub count: u64,
}
