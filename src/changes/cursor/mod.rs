//! Reading changes page by page: which rows, where a pass stands, what is still to come.
//!
//! Rules are CouchDB's (`fabric_view_changes`): `last_seq` is where the scan stopped, which a
//! filter may put behind the last row, by one row where a limit stopped it; what is pending counts
//! from the last row shown and knows no filter.

mod candidates;
#[cfg(test)]
mod candidates_tests;
mod documents;
mod lookups;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use crate::database::{Change, Database, DatabaseError, Direction};
use crate::document::{DocId, Document, Rev};
use crate::views::Views;

use super::{ChangesError, Filter};

use candidates::Candidates;

/// CouchDB's limit where none is given; `seq_interval` counts down from it.
const LIMIT_MAX: u64 = 1_000_000_000_000_000;
/// Rows that one page looks at, shown or not.
const LOOKED_AT_MAX: u64 = 20_000;
/// Documents read together at first.
const BATCH_FIRST: usize = 32;

/// Which revisions of a document a row names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// The winner.
    #[default]
    MainOnly,
    /// All leaves, the winner first.
    AllDocs,
}

/// Whether rows carry their winner's document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Documents {
    #[default]
    No,
    Winner,
    /// With the list of its conflicts.
    WinnerWithConflicts,
}

/// What a reader asks for.
#[derive(Debug, Clone)]
pub struct Options {
    pub style: Style,
    pub filter: Filter,
    /// Backward reads from the newest change to the oldest, whatever the start.
    pub direction: Direction,
    /// Rows over all passes; `None` for all.
    pub limit: Option<u64>,
    pub documents: Documents,
    /// Ids up to which a `_doc_ids` filter looks documents up instead of scanning.
    pub lookups_max: u64,
    /// Whose indexes may tell which documents can pass a filter.
    pub views: Option<Arc<Views>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            style: Style::MainOnly,
            filter: Filter::Everything,
            direction: Direction::Forward,
            limit: None,
            documents: Documents::No,
            lookups_max: 0,
            views: None,
        }
    }
}

/// The document of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowDocument<'a> {
    NotAsked,
    /// The document has changed since, and this revision's body is gone.
    Gone,
    Whole {
        document: &'a Document,
        conflicts: &'a [Rev],
    },
    /// Only the fields that a `_selector` filter names.
    Fields(&'a Value),
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    pub seq: u64,
    pub id: &'a DocId,
    /// The winner is a tombstone.
    pub deleted: bool,
    /// Each with whether it is a tombstone.
    pub revs: &'a [(Rev, bool)],
    pub document: RowDocument<'a>,
    /// Rows that the limit still allowed before this one.
    pub allowed: u64,
}

/// Why a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The reader had enough, or the page looked at many rows: ask for the next one.
    PageEnd,
    /// Everything up to the end of this pass.
    PassEnd,
    /// The limit of rows.
    Limit,
}

/// A reader of rows: takes one and says whether it takes more.
pub type Sink<'s> = dyn FnMut(&Row<'_>) -> ControlFlow<()> + 's;

/// A position in a database's changes.
#[derive(Debug)]
pub struct Cursor {
    db: Arc<Database>,
    options: Options,
    /// The sequence after which this pass began.
    origin: u64,
    /// The newest sequence of this pass.
    upto: u64,
    /// The next sequence to look at, in the direction of reading.
    next: u64,
    last_seq: u64,
    remaining: u64,
    /// Changes that a lookup found and that are still to be shown, in reading order.
    found: Option<VecDeque<(u64, Change)>>,
    /// The documents that can pass the filter, where that is known.
    candidates: Option<Candidates>,
    /// Whether this pass may look documents up or ask an index: only the first one may.
    first_pass: bool,
    /// What pending counts from: the last row shown, and how many rows were passed up to it.
    shown: Option<u64>,
    passed: u64,
    shown_passed: u64,
    ended: bool,
    batch: usize,
}

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Show,
    Skip,
    Stop,
}

/// Changes, one after the other, of which none can pass.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    count: u64,
    first: u64,
    last: u64,
}

impl Cursor {
    /// A cursor over the changes after `since` up to `newest`.
    #[must_use]
    pub fn new(db: Arc<Database>, since: u64, newest: u64, options: Options) -> Self {
        let (next, last_seq) = match options.direction {
            Direction::Forward => (since.saturating_add(1), since),
            Direction::Backward => (newest, newest),
        };
        Self {
            db,
            origin: since,
            upto: newest,
            next,
            last_seq,
            remaining: options.limit.unwrap_or(LIMIT_MAX),
            options,
            found: None,
            candidates: None,
            first_pass: true,
            shown: None,
            passed: 0,
            shown_passed: 0,
            ended: false,
            batch: BATCH_FIRST,
        }
    }

    #[must_use]
    pub fn db(&self) -> &Arc<Database> {
        &self.db
    }

    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the scan stands.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The newest sequence of this pass.
    #[must_use]
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// Goes on to `newest` after a pass has ended.
    pub fn renew(&mut self, newest: u64) {
        self.upto = newest.max(self.upto);
        self.origin = self.last_seq;
        self.next = self.last_seq.saturating_add(1);
        (self.shown, self.passed, self.shown_passed) = (None, 0, 0);
        (self.found, self.first_pass, self.ended) = (None, false, false);
    }

    /// Takes note that a page was read elsewhere, with every row shown.
    pub fn skip_to(&mut self, seq: u64) {
        self.last_seq = seq.max(self.last_seq);
        self.next = self.last_seq.saturating_add(1);
        self.shown = Some(self.last_seq);
        self.ended = self.last_seq >= self.upto;
    }

    /// How many changes are still to come, without regard to the filter.
    pub fn pending(&self) -> Result<u64, DatabaseError> {
        let state = self.db.state();
        let total = state.doc_count + state.doc_del_count;
        if self.options.direction == Direction::Backward {
            return Ok(total.saturating_sub(self.shown_passed));
        }
        if self.found.is_some() {
            let all = self.db.pending(self.origin)?;
            return Ok(all.saturating_sub(self.shown_passed));
        }
        if self.ended {
            return Ok(0);
        }
        if self.origin == 0 && self.upto == state.update_seq {
            return Ok(total.saturating_sub(self.shown_passed));
        }
        self.db.pending(self.shown.unwrap_or(self.origin))
    }

    /// Shows the next rows.
    ///
    /// # Errors
    /// Where the database or a filter fails.
    pub fn page(&mut self, sink: &mut Sink<'_>) -> Result<Reached, ChangesError> {
        if self.remaining == 0 && matches!(self.options.filter, Filter::Everything) {
            return Ok(Reached::Limit);
        }
        if self.first_pass && self.found.is_none() {
            self.found = self.look_up()?;
            self.candidates = self.find_candidates();
            self.first_pass = false;
        }
        if self.options.filter.reads_documents() || self.options.documents != Documents::No {
            self.page_with_documents(sink)
        } else {
            self.plain_page(sink)
        }
    }

    /// Whether a row is shown; moves the cursor behind it unless the limit stops before it.
    fn judge(&mut self, seq: u64, passes: bool) -> Verdict {
        if self.remaining == 0 {
            if !passes {
                self.last_seq = seq;
                if self.shown.is_none() {
                    (self.shown, self.shown_passed) = (Some(seq), self.passed + 1);
                }
            }
            return Verdict::Stop;
        }
        self.last_seq = seq;
        self.next = match self.options.direction {
            Direction::Forward => seq.saturating_add(1),
            Direction::Backward => seq.saturating_sub(1),
        };
        self.passed += 1;
        if !passes {
            return Verdict::Skip;
        }
        self.remaining -= 1;
        (self.shown, self.shown_passed) = (Some(seq), self.passed);
        Verdict::Show
    }

    /// Leaves out changes that cannot pass, as if each were judged.
    fn leave_out(&mut self, run: &Run) -> Option<Reached> {
        if run.count == 0 {
            return None;
        }
        let is_over = self.remaining == 0;
        if !is_over {
            self.passed += run.count - 1;
        }
        self.judge(if is_over { run.first } else { run.last }, false);
        is_over.then_some(Reached::Limit)
    }

    /// Every row of this pass has been looked at.
    fn end_pass(&mut self) -> Reached {
        self.ended = true;
        self.candidates = None;
        if self.options.direction == Direction::Forward {
            self.last_seq = self.last_seq.max(self.upto);
            self.next = self.last_seq.saturating_add(1);
        }
        if self.found.is_none() {
            self.shown_passed = self.passed;
        }
        // A limit that is used up ends the feed even where nothing is left anyway.
        if self.remaining == 0 { Reached::Limit } else { Reached::PassEnd }
    }

    /// The first and the last sequence of what is left of this pass.
    fn rest(&self) -> (u64, u64) {
        match self.options.direction {
            Direction::Forward => (self.next, self.upto),
            Direction::Backward => (1, self.next),
        }
    }

    /// Rows whose documents nobody asks for.
    fn plain_page(&mut self, sink: &mut Sink<'_>) -> Result<Reached, ChangesError> {
        let mut looked_at = 0;
        let mut reached = None;
        let mut visit = |cursor: &mut Self, seq: u64, change: &Change| {
            looked_at += 1;
            let passes = cursor.options.filter.may_pass(&change.id);
            reached = cursor.show_plain(seq, change, passes, sink);
            if looked_at >= LOOKED_AT_MAX && reached.is_none() {
                reached = Some(Reached::PageEnd);
            }
            if reached.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if let Some(found) = self.found.take() {
            let stopped =
                found.iter().position(|(seq, change)| visit(self, *seq, change).is_break());
            let judged = stopped.map_or(found.len(), |at| at + 1);
            self.found = Some(found.into_iter().skip(judged).collect());
        } else {
            let (db, (first, last)) = (self.db.clone(), self.rest());
            let direction = self.options.direction;
            db.scan_changes(first, last, direction, &mut |seq, change| visit(self, seq, &change))?;
        }
        Ok(reached.unwrap_or_else(|| self.end_pass()))
    }

    fn show_plain(
        &mut self,
        seq: u64,
        change: &Change,
        passes: bool,
        sink: &mut Sink<'_>,
    ) -> Option<Reached> {
        let allowed = self.remaining;
        match self.judge(seq, passes) {
            Verdict::Stop => Some(Reached::Limit),
            Verdict::Skip => None,
            Verdict::Show => {
                let Change { id, deleted, .. } = change;
                let revs = revs_of(change, self.options.style);
                let document = RowDocument::NotAsked;
                let more = sink(&Row { seq, id, deleted: *deleted, revs, document, allowed });
                self.after_showing(more)
            }
        }
    }

    fn after_showing(&self, more: ControlFlow<()>) -> Option<Reached> {
        if self.remaining == 0 && matches!(self.options.filter, Filter::Everything) {
            Some(Reached::Limit)
        } else {
            more.is_break().then_some(Reached::PageEnd)
        }
    }
}

/// The leaves that a row names.
fn revs_of(change: &Change, style: Style) -> &[(Rev, bool)] {
    match style {
        Style::MainOnly => change.leaves.get(..1).unwrap_or_default(),
        Style::AllDocs => &change.leaves,
    }
}
