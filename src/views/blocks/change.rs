//! Bringing blocks up to date with a batch of changed rows.
//!
//! From the root down the records are read whose blocks have changes. Then level by level, from
//! the rows up, what has changed is made anew: a row that goes and began a block joins that block
//! to the one before it, a row that comes and begins a block splits the one it falls into.

use std::collections::HashMap;

use crate::storage::view_keys;
use crate::storage::view_values::{Block, BlockPart};
use crate::storage::{Batch, Snapshot, StorageError, Table};
use crate::views::ViewsError;

use super::{Blocks, LEAF, Part, RowChange, empty, level_of};

/// A stored block that changes.
pub(super) struct Node {
    pub(super) place: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
    pub(super) parts: Vec<Part>,
}

/// Neighbouring blocks of one level that become others.
pub(super) struct Replacement {
    /// Where the old ones begin.
    pub(super) old: Vec<Vec<u8>>,
    pub(super) new: Vec<Part>,
}

/// The changes of a batch, by place.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a>(pub(super) &'a [RowChange<'a>]);

impl<'a> Changes<'a> {
    pub(super) fn within(self, start: &[u8], end: Option<&[u8]>) -> &'a [RowChange<'a>] {
        let from = self.0.partition_point(|change| change.place < start);
        let rest = self.0.get(from..).unwrap_or_default();
        let length = rest.partition_point(|change| end.is_none_or(|end| change.place < end));
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn removes(self, place: &[u8]) -> bool {
        let found = self.0.binary_search_by(|change| change.place.cmp(place));
        let change = found.ok().and_then(|at| self.0.get(at));
        change.is_some_and(|change| change.existed && change.now.is_none())
    }

    /// Whether a block changes: it has changes, or the block after it is joined to it.
    pub(super) fn touch(self, start: &[u8], end: Option<&[u8]>) -> bool {
        !self.within(start, end).is_empty() || end.is_some_and(|end| self.removes(end))
    }
}

/// The parts of a list with where each ends; the last one ends where the whole ends.
pub(super) fn with_ends<'a>(
    parts: &'a [Part],
    end: Option<&'a [u8]>,
) -> impl Iterator<Item = (&'a Part, Option<&'a [u8]>)> {
    let ends = parts.iter().skip(1).map(|next| Some(next.place.as_ref())).chain([end]);
    parts.iter().zip(ends)
}

/// A list of parts as the blocks of a level that they make.
fn split(parts: Vec<Part>, level: u8) -> Vec<Vec<Part>> {
    let mut blocks: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match blocks.last_mut() {
            Some(block) if level_of(&part.place) < level => block.push(part),
            _ => blocks.push(vec![part]),
        }
    }
    blocks
}

impl Blocks<'_> {
    /// Adds to `batch` what the changes make of the blocks. `changes` are the batch's changes of
    /// rows of this view, in the order of their places, one a place; `snapshot` shows the rows
    /// and blocks before them.
    ///
    /// # Errors
    /// As [`super::Reducer::reduce`], and where the store fails.
    pub fn apply_changes(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        changes: &[RowChange<'_>],
    ) -> Result<(), ViewsError> {
        let changes = Changes(changes);
        if changes.0.is_empty() {
            return Ok(());
        }
        let mut levels = self.load(snapshot, changes)?;
        let Some(leaves) = levels.last() else { return Ok(()) };
        let mut replacements = self.change_rows(snapshot, leaves, changes)?;
        let mut heads = HashMap::new();
        let mut level = LEAF;
        loop {
            let Some(nodes) = levels.pop() else { return Ok(()) };
            let runs = joined(nodes, replacements, changes);
            let blocks: Vec<Joined<Vec<Part>>> =
                runs.into_iter().map(|(old, parts)| (old, split(parts, level))).collect();
            if levels.is_empty() {
                let all = blocks.into_iter().flat_map(|(_, blocks)| blocks).collect();
                return self.change_root(snapshot, batch, level, all, &heads);
            }
            replacements = self.change_blocks(batch, level, blocks, &mut heads)?;
            level += 1;
        }
    }

    /// The blocks that change, from the root to the lowest level.
    fn load(
        &self,
        snapshot: &dyn Snapshot,
        changes: Changes<'_>,
    ) -> Result<Vec<Vec<Node>>, StorageError> {
        let (mut level, parts) =
            match snapshot.get(Table::ViewBlocks, &view_keys::root_block(self.address))? {
                Some(record) => (Block::decode(&record)?.level, owned_parts(Some(record))?),
                None => (LEAF, vec![empty(&[])]),
            };
        let mut levels = vec![vec![Node { place: Vec::new(), end: None, parts }]];
        while level > LEAF {
            level -= 1;
            let above = levels.last().map(Vec::as_slice).unwrap_or_default();
            let mut nodes: Vec<Node> = Vec::new();
            for node in above {
                for (part, end) in with_ends(&node.parts, node.end.as_deref()) {
                    if changes.touch(&part.place, end) {
                        let (place, end) = (part.place.to_vec(), end.map(<[u8]>::to_vec));
                        nodes.push(Node { place, end, parts: Vec::new() });
                    }
                }
            }
            let key = |node: &Node| view_keys::block(self.address, level, &node.place);
            let keys: Vec<Vec<u8>> = nodes.iter().map(key).collect();
            let records = snapshot.multi_get(Table::ViewBlocks, &keys)?;
            for (node, record) in nodes.iter_mut().zip(records) {
                node.parts = owned_parts(record)?;
            }
            levels.push(nodes);
        }
        Ok(levels)
    }

    /// Writes the changed blocks of a level below the root's, and says what changes above.
    fn change_blocks(
        &self,
        batch: &mut Batch,
        level: u8,
        runs: Vec<Joined<Vec<Part>>>,
        heads: &mut Heads,
    ) -> Result<Vec<Replacement>, ViewsError> {
        let (old, blocks): (Vec<_>, Vec<Vec<Vec<Part>>>) = runs.into_iter().unzip();
        let lengths: Vec<usize> = blocks.iter().map(Vec::len).collect();
        let blocks: Vec<Vec<Part>> = blocks.into_iter().flatten().collect();
        let mut summaries = self.summarise(&blocks)?.into_iter();
        let mut replacements = Vec::with_capacity(old.len());
        for (old, length) in old.into_iter().zip(lengths) {
            let new: Vec<Part> = summaries.by_ref().take(length).collect();
            for place in old.iter().filter(|place| new.iter().all(|part| part.place != **place)) {
                batch.delete(Table::ViewBlocks, view_keys::block(self.address, level, place));
            }
            replacements.push(Replacement { old, new });
        }
        for block in blocks {
            self.write_block(batch, level, &block);
            if block.first().is_some_and(|part| part.place.is_empty()) {
                heads.insert(level, block);
            }
        }
        Ok(replacements)
    }

    /// Writes what becomes of the root, whose parts now make `blocks`: it moves up where they are
    /// several, and down where it has one part only.
    fn change_root(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        mut level: u8,
        mut blocks: Vec<Vec<Part>>,
        heads: &Heads,
    ) -> Result<(), ViewsError> {
        while blocks.len() > 1 {
            for block in &blocks {
                self.write_block(batch, level, block);
            }
            level += 1;
            blocks = split(self.summarise(&blocks)?, level);
        }
        let mut parts = blocks.pop().unwrap_or_default();
        while level > LEAF && parts.len() == 1 {
            level -= 1;
            let key = view_keys::block(self.address, level, &[]);
            parts = match heads.get(&level) {
                Some(parts) => parts.clone(),
                None => owned_parts(snapshot.get(Table::ViewBlocks, &key)?)?,
            };
            batch.delete(Table::ViewBlocks, key);
        }
        if parts.iter().all(|part| part.count == 0) {
            batch.delete(Table::ViewBlocks, view_keys::root_block(self.address));
        } else {
            self.write_root(batch, level, &parts);
        }
        Ok(())
    }
}

/// Where old blocks begin, and what they become.
type Joined<T> = (Vec<Vec<u8>>, Vec<T>);

/// The first blocks of levels as a batch leaves them.
type Heads = HashMap<u8, Vec<Part>>;

fn owned_parts(record: Option<Vec<u8>>) -> Result<Vec<Part>, StorageError> {
    let table = Table::ViewBlocks.name();
    let record = record.ok_or(StorageError::Corrupt { table, what: "a block is missing" })?;
    Ok(Block::decode(&record)?.parts.into_iter().map(BlockPart::into_owned).collect())
}

/// The blocks of a level that become others, each with the places where the old ones begin and
/// their new parts one after the other.
fn joined(
    nodes: Vec<Node>,
    replacements: Vec<Replacement>,
    changes: Changes<'_>,
) -> Vec<Joined<Part>> {
    let mut replaced: HashMap<Vec<u8>, Vec<Part>> = HashMap::new();
    for Replacement { old, new } in replacements {
        let mut old = old.into_iter();
        replaced.extend(old.next().map(|first| (first, new)));
        replaced.extend(old.map(|joined| (joined, Vec::new())));
    }
    let mut runs: Vec<Joined<Part>> = Vec::new();
    for node in nodes {
        if runs.is_empty() || !changes.removes(&node.place) {
            runs.push((Vec::new(), Vec::new()));
        }
        let Some((old, parts)) = runs.last_mut() else { continue };
        old.push(node.place);
        for part in node.parts {
            match replaced.remove(part.place.as_ref()) {
                Some(new) => parts.extend(new),
                None => parts.push(part),
            }
        }
    }
    runs
}
