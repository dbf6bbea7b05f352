//! Filters that name few documents: these are looked up, which spares a scan.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::changes::Filter;
use crate::database::{Change, DatabaseError, Direction, IdRange};
use crate::document::DocId;
use crate::document::id::DESIGN_PREFIX;

use super::Cursor;

/// Design documents up to which the `_design` filter looks them up instead of scanning.
const DESIGN_LOOKUPS_MAX: usize = 1_000;

impl Cursor {
    /// The changes of the documents that a filter names, where looking these up costs less than a
    /// scan.
    pub(super) fn look_up(&self) -> Result<Option<VecDeque<(u64, Change)>>, DatabaseError> {
        let ids: Vec<DocId> = match &self.options.filter {
            Filter::DocIds(ids) if ids.len() as u64 <= self.options.lookups_max => {
                ids.iter().cloned().collect()
            }
            Filter::Design => match self.design_ids()? {
                Some(ids) => ids,
                None => return Ok(None),
            },
            Filter::Everything | Filter::DocIds(_) | Filter::Selector(_) | Filter::Function(_) => {
                return Ok(None);
            }
        };
        let (first, last) = self.rest();
        let heads = self.db.heads(&ids)?;
        let changes = ids.into_iter().zip(heads).filter_map(|(id, head)| {
            let head = head.filter(|head| (first..=last).contains(&head.seq))?;
            let leaves = head.tree.leaves();
            let deleted = leaves.first().is_some_and(|winner| winner.deleted);
            let leaves = leaves.into_iter().map(|leaf| (leaf.rev(), leaf.deleted)).collect();
            Some((head.seq, Change { id, deleted, leaves }))
        });
        let mut changes: Vec<(u64, Change)> = changes.collect();
        changes.sort_by_key(|(seq, _)| *seq);
        if self.options.direction == Direction::Backward {
            changes.reverse();
        }
        Ok(Some(changes.into()))
    }

    /// The ids of all design documents, tombstones too; `None` where there are very many.
    fn design_ids(&self) -> Result<Option<Vec<DocId>>, DatabaseError> {
        let mut ids = Vec::new();
        let all = IdRange::prefix(DESIGN_PREFIX);
        self.db.scan_heads(&all, Direction::Forward, &mut |row| {
            ids.extend(DocId::parse(row.id));
            let few = ids.len() <= DESIGN_LOOKUPS_MAX;
            if few { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok((ids.len() <= DESIGN_LOOKUPS_MAX).then_some(ids))
    }
}
