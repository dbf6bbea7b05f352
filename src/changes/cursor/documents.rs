//! Pages whose rows need their documents: to be filtered by them, or to carry them.
//!
//! Documents are read in batches of about [`BATCH_BYTES`], however large each is.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::changes::function_filter::document_json;
use crate::changes::{ChangesError, Filter};
use crate::database::{Change, DatabaseError};
use crate::document::{DocId, Document, Rev};

use super::{
    Cursor, Documents, LOOKED_AT_MAX, Options, Reached, Row, RowDocument, Run, Sink, Style,
    Verdict, revs_of,
};

/// Rows that one page looks at where their documents are read.
const DOCUMENTS_MAX: usize = 2_000;
/// Documents read together at most, and how many bytes of them are aimed at.
const BATCH_MAX: usize = 256;
const BATCH_BYTES: usize = 64 << 10;
/// How long a page may take: signs of life are sent between pages.
const PAGE_TIME: Duration = Duration::from_millis(500);
/// How long one call of a filter function should take, in microseconds.
const CALL_US: usize = 200_000;

/// A change that may pass, behind those that cannot.
struct Looked {
    left_out: Run,
    seq: u64,
    change: Change,
}

/// The next changes.
#[derive(Default)]
struct Batch {
    rows: Vec<Looked>,
    /// Those behind the last row.
    left_out: Run,
    /// Nothing comes behind it in this pass.
    is_last: bool,
}

impl Batch {
    fn leave_out(&mut self, seq: u64) {
        let run = &mut self.left_out;
        if run.count == 0 {
            run.first = seq;
        }
        (run.count, run.last) = (run.count + 1, seq);
    }

    fn push(&mut self, seq: u64, change: Change) {
        let left_out = std::mem::take(&mut self.left_out);
        self.rows.push(Looked { left_out, seq, change });
    }
}

/// The documents of a row, the winner's first.
type Documented = Vec<Option<Document>>;
/// For each row the leaves that pass, where a function says so.
type Chosen = Result<Vec<Option<Vec<(Rev, bool)>>>, ChangesError>;

/// The leaves beside the winner that are no tombstones.
fn conflicts_of(change: &Change) -> Vec<Rev> {
    let others = change.leaves.iter().skip(1).filter(|(_, deleted)| !deleted);
    others.map(|(rev, _)| rev.clone()).collect()
}

/// The conflicts that a filter is told of: leaves that are looked at one by one have none.
fn conflicts_told(change: &Change, style: Style) -> Vec<Rev> {
    match style {
        Style::MainOnly => conflicts_of(change),
        Style::AllDocs => Vec::new(),
    }
}

impl Cursor {
    /// Rows that need their documents, to be shown or to be filtered: one batch of documents that
    /// shows something, or many that show nothing.
    pub(super) fn page_with_documents(
        &mut self,
        sink: &mut Sink<'_>,
    ) -> Result<Reached, ChangesError> {
        let (mut looked_at, begun) = (0, Instant::now());
        loop {
            let batch = self.next_rows()?;
            looked_at += batch.rows.len();
            let documents = self.documents_of(&batch.rows)?;
            let chosen = self.choose(&batch.rows, &documents)?;
            let mut shown = false;
            for ((row, documents), chosen) in batch.rows.iter().zip(&documents).zip(chosen) {
                if let Some(reached) = self.leave_out(&row.left_out) {
                    return Ok(reached);
                }
                let reached = self.offer(row, documents, chosen, &mut |row| {
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
            if let Some(reached) = self.leave_out(&batch.left_out) {
                return Ok(reached);
            }
            if batch.is_last {
                return Ok(self.end_pass());
            }
            if shown || looked_at >= DOCUMENTS_MAX || begun.elapsed() >= PAGE_TIME {
                return Ok(Reached::PageEnd);
            }
        }
    }

    /// The next changes, as many as a batch has; fewer at the end of the pass, or where many are
    /// left out.
    fn next_rows(&self) -> Result<Batch, DatabaseError> {
        let mut batch = Batch::default();
        if let Some(found) = &self.found {
            found
                .iter()
                .take(self.batch)
                .for_each(|(seq, change)| batch.push(*seq, change.clone()));
            batch.is_last = batch.rows.len() < self.batch;
            return Ok(batch);
        }
        batch.is_last = true;
        let (first, last) = self.rest();
        let mut looked_at = 0;
        self.db.scan_changes(first, last, self.options.direction, &mut |seq, change| {
            looked_at += 1;
            match &self.candidates {
                Some(candidates) if candidates.leave_out(seq, &change) => batch.leave_out(seq),
                _ => batch.push(seq, change),
            }
            if batch.rows.len() < self.batch && looked_at < LOOKED_AT_MAX {
                return ControlFlow::Continue(());
            }
            batch.is_last = false;
            ControlFlow::Break(())
        })?;
        Ok(batch)
    }

    /// For each row the documents it needs, the winner's first; none for rows that are skipped.
    fn documents_of(&mut self, rows: &[Looked]) -> Result<Vec<Documented>, DatabaseError> {
        let Options { filter, style, .. } = &self.options;
        let style = if filter.reads_documents() { *style } else { Style::MainOnly };
        let needed = |change: &'_ Change| {
            if filter.may_pass(&change.id) { revs_of(change, style).len() } else { 0 }
        };
        let wanted: Vec<(DocId, Rev)> = rows
            .iter()
            .flat_map(|Looked { change, .. }| {
                let revs = change.leaves.iter().take(needed(change));
                revs.map(|(rev, _)| (change.id.clone(), rev.clone()))
            })
            .collect();
        let mut documents = self.db.revisions(&wanted)?;
        let bytes: usize = documents.iter().flatten().map(|document| document.body.len()).sum();
        let mut rest = documents.drain(..);
        let grouped =
            rows.iter().map(|row| rest.by_ref().take(needed(&row.change)).collect()).collect();
        drop(rest);
        let average = bytes / rows.len().max(1) + 1;
        self.batch = (BATCH_BYTES / average).clamp(1, (self.batch * 2).min(BATCH_MAX));
        Ok(grouped)
    }

    /// Which leaves pass a filter by function, row by row; `None` for every other filter. All of
    /// them are asked about in one call.
    fn choose(&mut self, rows: &[Looked], documents: &[Documented]) -> Chosen {
        let Filter::Function(filter) = &self.options.filter else {
            return Ok(vec![None; rows.len()]);
        };
        let style = self.options.style;
        let asked = rows.iter().zip(documents).flat_map(|(Looked { change, .. }, documents)| {
            let conflicts = conflicts_told(change, style);
            documents.iter().flatten().map(move |found| document_json(found, &conflicts))
        });
        let asked: Vec<String> = asked.collect();
        let (count, begun) = (asked.len(), Instant::now());
        let mut passing = filter.passing(asked)?.into_iter();
        let chosen = rows.iter().zip(documents).map(|(Looked { change, .. }, documents)| {
            let leaves = revs_of(change, style).iter().zip(documents);
            // A leaf whose body has gone is no leaf any more.
            let passed = leaves.filter(|(_, found)| {
                found.is_some() && passing.next().is_some_and(|passes| passes)
            });
            Some(passed.map(|(rev, _)| rev.clone()).collect())
        });
        let chosen = chosen.collect();
        // A slow function is asked about fewer documents at once: the client waits meanwhile.
        let took_us = usize::try_from(begun.elapsed().as_micros()).unwrap_or(usize::MAX);
        self.batch = (count * CALL_US / took_us.max(1)).clamp(1, self.batch);
        Ok(chosen)
    }

    /// Filters a row by its documents and shows it with them. `chosen` are the leaves that pass,
    /// where a function has said so.
    fn offer(
        &mut self,
        Looked { seq, change, .. }: &Looked,
        documents: &[Option<Document>],
        mut chosen: Option<Vec<(Rev, bool)>>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Reached>, ChangesError> {
        let mut revs = revs_of(change, self.options.style);
        if let Some(selector) = self.options.filter.selector() {
            let mut passing = Vec::new();
            let told = conflicts_told(change, self.options.style);
            for (rev, document) in revs.iter().zip(documents) {
                if let Some(document) = document
                    && selector.matches(document, &told)?
                {
                    passing.push(rev.clone());
                }
            }
            chosen = Some(passing);
        } else if !self.options.filter.may_pass(&change.id) {
            revs = &[];
        }
        let revs = chosen.as_deref().unwrap_or(revs);
        let conflicts = conflicts_of(change);
        let allowed = self.remaining;
        match self.judge(*seq, !revs.is_empty()) {
            Verdict::Stop => Ok(Some(Reached::Limit)),
            Verdict::Skip => Ok(None),
            Verdict::Show => {
                let winner = documents.first().and_then(Option::as_ref);
                let fields = self.fields_of(winner, &conflicts);
                let document = self.row_document(winner, &conflicts, fields.as_ref());
                let Change { id, deleted, .. } = change;
                let more = sink(&Row { seq: *seq, id, deleted: *deleted, revs, document, allowed });
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
