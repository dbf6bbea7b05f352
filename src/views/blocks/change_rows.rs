//! The lowest level of a change: blocks of rows.
//!
//! Where rows were added only, and all reduces are such that it does not show, a block's state is
//! combined with that of the new rows; else the rows of the block are read again.

use std::ops::{ControlFlow, Range};

use crate::storage::view_keys::{self, place_of_row};
use crate::storage::{Direction, Snapshot, StorageError, Table, try_scan};
use crate::views::ViewsError;
use crate::views::reduce::{ReduceFunction, ReduceGroup, ReduceInput};

use super::change::{Changes, Node, Replacement, with_ends};
use super::{Blocks, Part, Places, RowChange, Rows, empty, level_of};

/// Bytes of rows that are read again and held at a time.
const HELD_BYTES: usize = 2 << 20;
/// Neighbouring blocks that are read in one scan at most.
const SCAN_BLOCKS: usize = 256;

/// Blocks of level 1 with changes, that begin and end together whatever the changes do.
struct Run {
    old: Vec<Part>,
    end: Option<Vec<u8>>,
    new: Vec<Part>,
}

impl Run {
    fn start(&self) -> &[u8] {
        self.old.first().map(|old| old.place.as_ref()).unwrap_or_default()
    }
}

/// Rows that have been read again, and the blocks that they make.
#[derive(Default)]
struct Held {
    rows: Rows,
    blocks: Vec<HeldBlock>,
}

struct HeldBlock {
    run: usize,
    place: Vec<u8>,
    rows: Range<usize>,
}

impl Blocks<'_> {
    /// Makes the blocks of level 1 anew that have changes.
    pub(super) fn change_rows(
        &self,
        snapshot: &dyn Snapshot,
        leaves: &[Node],
        changes: Changes<'_>,
    ) -> Result<Vec<Replacement>, ViewsError> {
        let mut runs: Vec<Run> = Vec::new();
        for leaf in leaves {
            for (part, end) in with_ends(&leaf.parts, leaf.end.as_deref()) {
                if !changes.touch(&part.place, end) {
                    continue;
                }
                let end = end.map(<[u8]>::to_vec);
                match runs.last_mut() {
                    Some(run) if changes.removes(&part.place) => {
                        run.old.push(part.clone());
                        run.end = end;
                    }
                    _ => runs.push(Run { old: vec![part.clone()], end, new: Vec::new() }),
                }
            }
        }
        if self.reduces.iter().all(|reduce| matches!(reduce, ReduceFunction::Count)) {
            self.count_again(&mut runs, changes);
        } else if self.reduces.iter().all(ReduceFunction::may_be_exact) {
            self.merge_additions(&mut runs, changes)?;
        }
        self.read_again(snapshot, &mut runs, changes)?;
        let replacement = |run: Run| Replacement {
            old: run.old.into_iter().map(|part| part.place.into_owned()).collect(),
            new: run.new,
        };
        Ok(runs.into_iter().map(replacement).collect())
    }

    /// Where rows are only counted, the changes alone tell the counts of blocks that stay.
    fn count_again(&self, runs: &mut [Run], changes: Changes<'_>) {
        for run in runs {
            let Some((old, changed)) = stays(run, changes) else { continue };
            let added = changed.iter().filter(|change| change.now.is_some()).count() as u64;
            let removed = changed.iter().filter(|change| change.existed).count() as u64;
            let count = (old.count + added).saturating_sub(removed);
            let mut part = Part { count, ..empty(&old.place) };
            if count > 0 {
                let state = count.to_string().into_bytes();
                part.states = self.reduces.iter().map(|_| state.clone().into()).collect();
            }
            run.new.push(part);
        }
    }

    /// Combines blocks that stay with the rows that are added to them.
    fn merge_additions(&self, runs: &mut [Run], changes: Changes<'_>) -> Result<(), ViewsError> {
        let mut grown: Vec<(usize, &[RowChange<'_>])> = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            if let Some((old, changed)) = stays(run, changes)
                && old.count > 0
                && changed.iter().all(|change| !change.existed)
            {
                grown.push((at, changed));
            }
        }
        let groups = grown.iter().map(|(_, changed)| {
            let rows = changed.iter().filter_map(|change| {
                change.now.map(|(key, value)| ReduceInput { key, id: change.id, value })
            });
            ReduceGroup { rows: rows.collect(), preceded: true }
        });
        let added = self.reduce(&groups.collect::<Vec<_>>())?;
        let mut pairs = Vec::with_capacity(grown.len());
        for ((at, changed), states) in grown.iter().zip(added) {
            let Some(old) = runs.get(*at).and_then(|run| run.old.first()) else { continue };
            let states = states.into_iter().map(Into::into).collect();
            let count = changed.len() as u64;
            pairs.push(vec![old.clone(), Part { place: old.place.clone(), count, states }]);
        }
        let merged = self.summarise(&pairs)?;
        for (((at, _), pair), merged) in grown.into_iter().zip(&pairs).zip(merged) {
            let exact = self.reduces.iter().enumerate().all(|(at, reduce)| {
                let states = pair.iter().filter_map(|part| part.states.get(at));
                reduce.is_exact(&states.map(AsRef::as_ref).collect::<Vec<_>>())
            });
            if let (true, Some(run)) = (exact, runs.get_mut(at)) {
                run.new.push(merged);
            }
        }
        Ok(())
    }

    /// Makes the new blocks of runs that have none yet, from their rows.
    fn read_again(
        &self,
        snapshot: &dyn Snapshot,
        runs: &mut [Run],
        changes: Changes<'_>,
    ) -> Result<(), ViewsError> {
        let mut held = Held::default();
        let mut at = 0;
        while let Some(first) = runs.get(at) {
            if !first.new.is_empty() {
                at += 1;
                continue;
            }
            let mut upto = at + 1;
            while let (Some(last), Some(next)) = (runs.get(upto - 1), runs.get(upto))
                && next.new.is_empty()
                && last.end.as_deref() == Some(next.start())
                && upto - at < SCAN_BLOCKS
            {
                upto += 1;
            }
            self.read_runs(snapshot, &mut held, runs, at..upto, changes)?;
            if held.rows.bytes() >= HELD_BYTES {
                self.reduce_held(&mut held, runs)?;
            }
            at = upto;
        }
        self.reduce_held(&mut held, runs)
    }

    /// Reads the rows of neighbouring runs as they are after the changes.
    fn read_runs(
        &self,
        snapshot: &dyn Snapshot,
        held: &mut Held,
        runs: &[Run],
        which: Range<usize>,
        changes: Changes<'_>,
    ) -> Result<(), StorageError> {
        let chosen = runs.get(which.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return Ok(()) };
        let mut range = view_keys::rows(self.address);
        range.start = view_keys::row(self.address, first.start());
        if let Some(end) = &last.end {
            range.end = view_keys::row(self.address, end);
        }
        let mut changed =
            changes.within(first.start(), last.end.as_deref()).iter().copied().peekable();
        let mut writer = HeldWriter::begin(held, which.start, chosen);
        let places = self.places_for_ids();
        let forward = Direction::Forward;
        try_scan(snapshot, Table::ViewRows, &range, forward, &mut |key, value| {
            let place = place_of_row(key).unwrap_or_default();
            while let Some(change) = changed.next_if(|change| change.place < place) {
                writer.add_change(change);
            }
            match changed.next_if(|change| change.place == place) {
                Some(change) => writer.add_change(change),
                None => writer.add_record(place, key, value, places)?,
            }
            Ok(ControlFlow::Continue(()))
        })?;
        changed.for_each(|change| writer.add_change(change));
        Ok(())
    }

    /// Reduces the rows that are held to the blocks that they make.
    fn reduce_held(&self, held: &mut Held, runs: &mut [Run]) -> Result<(), ViewsError> {
        let Held { rows, blocks } = std::mem::take(held);
        let groups: Vec<ReduceGroup<'_>> = blocks
            .iter()
            .filter(|block| !block.rows.is_empty())
            .map(|block| ReduceGroup {
                rows: block.rows.clone().map(|at| rows.row(at)).collect(),
                preceded: !block.place.is_empty(),
            })
            .collect();
        let mut states = self.reduce(&groups)?.into_iter();
        for block in blocks {
            let mut part = Part { count: block.rows.len() as u64, ..empty(&block.place) };
            if part.count > 0 {
                let states = states.next().unwrap_or_default();
                part.states = states.into_iter().map(Into::into).collect();
            }
            if let Some(run) = runs.get_mut(block.run) {
                run.new.push(part);
            }
        }
        Ok(())
    }
}

/// A run that is one block and stays one, and its changes.
fn stays<'r, 'a>(run: &'r Run, changes: Changes<'a>) -> Option<(&'r Part, &'a [RowChange<'a>])> {
    let [old] = run.old.as_slice() else { return None };
    let changed = changes.within(&old.place, run.end.as_deref());
    let moves = |change: &RowChange<'_>| change.existed != change.now.is_some();
    let splits = changed.iter().any(|change| moves(change) && level_of(change.place) > 0);
    (!splits).then_some((old, changed))
}

/// Adds rows to what is held, and begins blocks where they begin.
struct HeldWriter<'h> {
    held: &'h mut Held,
    run: usize,
    /// The runs after the present one.
    next: &'h [Run],
}

impl<'h> HeldWriter<'h> {
    fn begin(held: &'h mut Held, run: usize, runs: &'h [Run]) -> Self {
        let place = runs.first().map(Run::start).unwrap_or_default().to_vec();
        let at = held.rows.len();
        held.blocks.push(HeldBlock { run, place, rows: at..at });
        Self { held, run, next: runs.get(1..).unwrap_or_default() }
    }

    fn add_change(&mut self, change: RowChange<'_>) {
        if let Some((key, value)) = change.now {
            self.step(change.place);
            self.held.rows.push(change.place, ReduceInput { key, id: change.id, value });
        }
    }

    fn add_record(
        &mut self,
        place: &[u8],
        key: &[u8],
        value: &[u8],
        places: Option<Places>,
    ) -> Result<(), StorageError> {
        self.step(place);
        self.held.rows.push_record(key, value, places)
    }

    /// A row at `place` comes next.
    fn step(&mut self, place: &[u8]) {
        let at = self.held.rows.len();
        let begun = self.held.blocks.last().is_some_and(|block| block.place == place);
        if level_of(place) > 0 && !begun {
            if let Some((next, after)) = self.next.split_first()
                && next.start() == place
            {
                self.run += 1;
                self.next = after;
            }
            let (run, place) = (self.run, place.to_vec());
            self.held.blocks.push(HeldBlock { run, place, rows: at..at });
        }
        if let Some(block) = self.held.blocks.last_mut() {
            block.rows.end = at + 1;
        }
    }
}
