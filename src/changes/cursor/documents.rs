//! Pages whose rows need their documents: to be filtered by them, or to carry them.
//!
//! Documents are read in batches of about [`BATCH_BYTES`], however large each is.

use std::ops::ControlFlow;

use serde_json::Value;

use crate::changes::ChangesError;
use crate::database::{Change, DatabaseError};
use crate::document::{DocId, Document, Rev};

use super::{Cursor, Documents, Options, Reached, Row, RowDocument, Sink, Style, Verdict, revs_of};

/// Rows that one page looks at where their documents are read.
const DOCUMENTS_MAX: usize = 2_000;
/// Documents read together at most, and how many bytes of them are aimed at.
const BATCH_MAX: usize = 256;
const BATCH_BYTES: usize = 64 << 10;

impl Cursor {
    /// Rows that need their documents, to be shown or to be filtered: one batch of documents that
    /// shows something, or many that show nothing.
    pub(super) fn page_with_documents(
        &mut self,
        sink: &mut Sink<'_>,
    ) -> Result<Reached, ChangesError> {
        let mut looked_at = 0;
        loop {
            let rows = self.next_rows()?;
            let is_last = rows.len() < self.batch;
            looked_at += rows.len();
            let documents = self.documents_of(&rows)?;
            let mut shown = false;
            for ((seq, change), documents) in rows.iter().zip(&documents) {
                let reached = self.offer(*seq, change, documents, &mut |row| {
                    shown = true;
                    sink(row)
                })?;
                if let Some(found) = &mut self.found {
                    found.pop_front();
                }
                if let Some(reached) = reached {
                    return Ok(reached);
                }
            }
            if is_last {
                return Ok(self.end_pass());
            }
            if shown || looked_at >= DOCUMENTS_MAX {
                return Ok(Reached::PageEnd);
            }
        }
    }

    /// The next changes, as many as a batch has; fewer at the end of the pass.
    fn next_rows(&self) -> Result<Vec<(u64, Change)>, DatabaseError> {
        if let Some(found) = &self.found {
            return Ok(found.iter().take(self.batch).cloned().collect());
        }
        let mut rows = Vec::with_capacity(self.batch);
        let (first, last) = self.rest();
        self.db.scan_changes(first, last, self.options.direction, &mut |seq, change| {
            rows.push((seq, change));
            if rows.len() < self.batch { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }

    /// For each row the documents it needs, the winner's first; none for rows that are skipped.
    fn documents_of(
        &mut self,
        rows: &[(u64, Change)],
    ) -> Result<Vec<Vec<Option<Document>>>, DatabaseError> {
        let Options { filter, style, .. } = &self.options;
        let style = if filter.selector().is_some() { *style } else { Style::MainOnly };
        let needed = |change: &'_ Change| {
            if filter.may_pass(&change.id) { revs_of(change, style).len() } else { 0 }
        };
        let wanted: Vec<(DocId, Rev)> = rows
            .iter()
            .flat_map(|(_, change)| {
                let revs = change.leaves.iter().take(needed(change));
                revs.map(|(rev, _)| (change.id.clone(), rev.clone()))
            })
            .collect();
        let mut documents = self.db.revisions(&wanted)?;
        let bytes: usize = documents.iter().flatten().map(|document| document.body.len()).sum();
        let mut rest = documents.drain(..);
        let grouped =
            rows.iter().map(|(_, change)| rest.by_ref().take(needed(change)).collect()).collect();
        drop(rest);
        let average = bytes / rows.len().max(1) + 1;
        self.batch = (BATCH_BYTES / average).clamp(1, (self.batch * 2).min(BATCH_MAX));
        Ok(grouped)
    }

    /// Filters a row by its documents and shows it with them.
    fn offer(
        &mut self,
        seq: u64,
        change: &Change,
        documents: &[Option<Document>],
        sink: &mut Sink<'_>,
    ) -> Result<Option<Reached>, ChangesError> {
        let conflicts: Vec<Rev> = {
            let others = change.leaves.iter().skip(1).filter(|(_, deleted)| !deleted);
            others.map(|(rev, _)| rev.clone()).collect()
        };
        let mut revs = revs_of(change, self.options.style);
        let chosen;
        if let Some(selector) = self.options.filter.selector() {
            let mut passing = Vec::new();
            for (at, (rev, document)) in revs.iter().zip(documents).enumerate() {
                let conflicts = if at == 0 { conflicts.as_slice() } else { &[] };
                if let Some(document) = document
                    && selector.matches(document, conflicts)?
                {
                    passing.push(rev.clone());
                }
            }
            chosen = passing;
            revs = &chosen;
        } else if !self.options.filter.may_pass(&change.id) {
            revs = &[];
        }
        let allowed = self.remaining;
        match self.judge(seq, !revs.is_empty()) {
            Verdict::Stop => Ok(Some(Reached::Limit)),
            Verdict::Skip => Ok(None),
            Verdict::Show => {
                let winner = documents.first().and_then(Option::as_ref);
                let fields = self.fields_of(winner, &conflicts);
                let document = self.row_document(winner, &conflicts, fields.as_ref());
                let Change { id, deleted, .. } = change;
                let more = sink(&Row { seq, id, deleted: *deleted, revs, document, allowed });
                Ok(self.after_showing(more))
            }
        }
    }

    fn fields_of(&self, winner: Option<&Document>, conflicts: &[Rev]) -> Option<Value> {
        if self.options.documents == Documents::No {
            return None;
        }
        self.options.filter.selector()?.project(winner?, conflicts)
    }

    fn row_document<'a>(
        &self,
        winner: Option<&'a Document>,
        conflicts: &'a [Rev],
        fields: Option<&'a Value>,
    ) -> RowDocument<'a> {
        let conflicts = match self.options.documents {
            Documents::No => return RowDocument::NotAsked,
            Documents::Winner => &[],
            Documents::WinnerWithConflicts => conflicts,
        };
        match (winner, fields) {
            (_, Some(fields)) => RowDocument::Fields(fields),
            (Some(document), None) => RowDocument::Whole { document, conflicts },
            (None, None) => RowDocument::Gone,
        }
    }
}
