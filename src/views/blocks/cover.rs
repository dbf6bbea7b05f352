//! Reading blocks: what a range of places is made of, and where the n-th row is.

use std::cell::RefCell;
use std::rc::Rc;

use crate::storage::view_keys::{self, ViewAddress};
use crate::storage::view_values::Block;
use crate::storage::{Snapshot, StorageError, Table};

use super::{LEAF, PlaceRange};

/// What a range of places is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Rows in the whole blocks.
    pub count: u64,
    /// The states of the whole blocks, in the order of their rows.
    pub states: Vec<Vec<u8>>,
    /// Parts of blocks of level 1, at most one before and one after the whole blocks.
    pub partial: Vec<PlaceRange>,
}

/// The blocks of a view in one snapshot.
pub struct Tree<'a> {
    snapshot: &'a dyn Snapshot,
    address: ViewAddress,
    /// The records that were read last, by level and place.
    kept: RefCell<Vec<Kept>>,
}

type Kept = (u8, Vec<u8>, Rc<Vec<u8>>);

/// Records that are kept: neighbouring groups lie in the same blocks.
const KEPT_MAX: usize = 8;

impl<'a> Tree<'a> {
    pub fn new(snapshot: &'a dyn Snapshot, address: ViewAddress) -> Self {
        Self { snapshot, address, kept: RefCell::default() }
    }

    fn read(
        &self,
        level: u8,
        place: &[u8],
        key: &[u8],
    ) -> Result<Option<Rc<Vec<u8>>>, StorageError> {
        let same = |kept: &&Kept| kept.0 == level && kept.1 == place;
        if let Some((_, _, record)) = self.kept.borrow().iter().find(same) {
            return Ok(Some(record.clone()));
        }
        let Some(record) = self.snapshot.get(Table::ViewBlocks, key)? else { return Ok(None) };
        let record = Rc::new(record);
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_MAX {
            // The root, which stands first, stays.
            kept.remove(1);
        }
        kept.push((level, place.to_vec(), record.clone()));
        Ok(Some(record))
    }

    fn root(&self) -> Result<Option<Rc<Vec<u8>>>, StorageError> {
        self.read(u8::MAX, &[], &view_keys::root_block(self.address))
    }

    fn block(&self, level: u8, place: &[u8]) -> Result<Rc<Vec<u8>>, StorageError> {
        let key = view_keys::block(self.address, level, place);
        let missing =
            StorageError::Corrupt { table: Table::ViewBlocks.name(), what: "a block is missing" };
        self.read(level, place, &key)?.ok_or(missing)
    }

    /// What a range is made of; with the states of one of the view's reduces.
    pub fn cover(&self, range: &PlaceRange, reduce: Option<usize>) -> Result<Cover, StorageError> {
        let mut cover = Cover::default();
        if let Some(record) = self.root()? {
            self.cover_block(&Block::decode(&record)?, None, range, reduce, &mut cover)?;
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
    ) -> Result<(), StorageError> {
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
                cover.partial.push(PlaceRange { start, end: end.map(<[u8]>::to_vec) });
            } else {
                let record = self.block(block.level - 1, &part.place)?;
                self.cover_block(&Block::decode(&record)?, part_end, range, reduce, cover)?;
            }
        }
        Ok(())
    }

    /// The block of level 1 that has the row before which `rank` rows stand. None where there are
    /// not so many.
    pub fn block_at(&self, rank: u64) -> Result<Option<RowBlock>, StorageError> {
        let Some(mut record) = self.root()? else { return Ok(None) };
        let (mut before, mut end) = (0, None);
        loop {
            let block = Block::decode(&record)?;
            let found = block.parts.iter().position(|part| {
                let inside = rank - before < part.count;
                before += if inside { 0 } else { part.count };
                inside
            });
            let Some((at, part)) = found.and_then(|at| Some((at, block.parts.get(at)?))) else {
                return Ok(None);
            };
            end = block.parts.get(at + 1).map(|next| next.place.to_vec()).or(end);
            if block.level == LEAF {
                let range = PlaceRange { start: part.place.to_vec(), end };
                return Ok(Some(RowBlock { range, before, count: part.count }));
            }
            let next = self.block(block.level - 1, &part.place)?;
            drop(block);
            record = next;
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
