//! Parts of indexes as they were read, kept in memory for the next who asks: blocks, and the rows
//! of blocks of level 1.
//!
//! A page belongs to one version of its index, which is told by what is stored of the index: it
//! changes in every batch that changes rows. So pages never become wrong, only unwanted.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::storage::view_keys::ViewAddress;
use crate::storage::view_values::{Block, BlockPart};

use super::ViewsError;
use super::blocks::{PlaceRange, Rows};

/// Bytes of all pages.
const BYTES_MAX: u64 = 32 << 20;
/// About how many pages that is.
const PAGES: usize = 8 << 10;
/// Bytes of a page that is kept.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// What an entry costs beside its contents.
const ENTRY_BYTES: usize = 160;

/// Names a page. The rows of a block of level 1 have that level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    address: ViewAddress,
    version: u64,
    level: u8,
    place: Box<[u8]>,
}

/// The same for a look-up.
#[derive(Debug, Hash)]
struct NameRef<'a> {
    address: ViewAddress,
    version: u64,
    level: u8,
    place: &'a [u8],
}

impl Equivalent<Name> for NameRef<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        let of_view = self.version == name.version && self.address == name.address;
        of_view && self.level == name.level && self.place == &*name.place
    }
}

#[derive(Debug, Clone)]
enum Page {
    Block(Arc<Block<'static>>),
    Rows(Arc<RowPage>),
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Name, Page> for Bytes {
    fn weight(&self, name: &Name, page: &Page) -> u64 {
        let bytes = match page {
            Page::Block(block) => block_bytes(block),
            Page::Rows(page) => page.bytes(),
        };
        (bytes + name.place.len() + ENTRY_BYTES) as u64
    }
}

/// The pages of all indexes; the least useful go when there are too many.
pub struct Pages(Cache<Name, Page, Bytes>);

impl Default for Pages {
    fn default() -> Self {
        Self(Cache::with_weighter(PAGES, BYTES_MAX, Bytes))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("bytes", &self.0.weight()).finish_non_exhaustive()
    }
}

/// What may be read for an answer.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'a> {
    /// Pages and the store, which may block.
    Store,
    /// Pages that are in memory, so many of them.
    Memory(&'a Cell<usize>),
}

impl Reach<'_> {
    /// Asked before each look at a page.
    ///
    /// # Errors
    /// [`ViewsError::NotInMemory`] where there were enough.
    pub fn take_page(self) -> Result<(), ViewsError> {
        if let Self::Memory(left) = self {
            left.set(left.get().checked_sub(1).ok_or(ViewsError::NotInMemory)?);
        }
        Ok(())
    }

    /// Asked before the store is read.
    ///
    /// # Errors
    /// [`ViewsError::NotInMemory`] where it may not be.
    pub fn check_store(self) -> Result<(), ViewsError> {
        match self {
            Self::Store => Ok(()),
            Self::Memory(_) => Err(ViewsError::NotInMemory),
        }
    }
}

/// The pages of one version of a view.
#[derive(Debug, Clone, Copy)]
pub struct ViewPages<'a> {
    pub pages: &'a Pages,
    pub address: ViewAddress,
    pub version: u64,
    pub reach: Reach<'a>,
}

impl ViewPages<'_> {
    fn name(&self, level: u8, place: &[u8]) -> Name {
        Name { address: self.address, version: self.version, level, place: place.into() }
    }

    fn get(&self, level: u8, place: &[u8]) -> Option<Page> {
        let Self { pages, address, version, .. } = *self;
        pages.0.get(&NameRef { address, version, level, place })
    }

    pub fn block(&self, level: u8, place: &[u8]) -> Option<Arc<Block<'static>>> {
        match self.get(level, place)? {
            Page::Block(block) => Some(block),
            Page::Rows(_) => None,
        }
    }

    pub fn keep_block(&self, level: u8, place: &[u8], block: &Arc<Block<'static>>) {
        if block_bytes(block) <= PAGE_BYTES_MAX {
            self.pages.0.insert(self.name(level, place), Page::Block(block.clone()));
        }
    }

    /// The rows of the block of level 1 that begins at `place`.
    pub fn rows(&self, place: &[u8]) -> Option<Arc<RowPage>> {
        match self.get(1, place)? {
            Page::Rows(page) => Some(page),
            Page::Block(_) => None,
        }
    }

    pub fn keep_rows(&self, page: &Arc<RowPage>) {
        if page.bytes() <= PAGE_BYTES_MAX {
            self.pages.0.insert(self.name(1, &page.range.start), Page::Rows(page.clone()));
        }
    }
}

/// The rows of a block of level 1.
#[derive(Debug)]
pub struct RowPage {
    pub range: PlaceRange,
    pub rows: Rows,
}

impl RowPage {
    fn bytes(&self) -> usize {
        let end = self.range.end.as_ref().map_or(0, Vec::len);
        self.range.start.len() + end + self.rows.memory()
    }
}

fn block_bytes(block: &Block<'_>) -> usize {
    let states = |part: &BlockPart<'_>| -> usize {
        part.states.iter().map(|state| state.len() + size_of_val(state)).sum()
    };
    let part = |part: &BlockPart<'_>| size_of_val(part) + part.place.len() + states(part);
    block.parts.iter().map(part).sum()
}
