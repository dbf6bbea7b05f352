//! Answering a query: rows of the chosen index, their documents, which of them are wanted.
//!
//! Documents are read a batch at a time, and an answer is made page by page; between pages nothing
//! is held but where the next row stands. Relies on the index being as fresh as the query wants.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::database::{Database, Direction};
use crate::document::{Document, Rev, revtree};
use crate::views::{Index, Views};

use super::bookmark::Bookmark;
use super::error::MangoError;
use super::index::{IndexDefinition, IndexKind};
use super::matcher::Matcher;
use super::planner::{Spans, is_covering, spans_of};
use super::request::{FindRequest, NO_BOOKMARK};
use super::rows::{Reading, Row, RowSource, documents};
use super::selector::FieldPath;

/// Documents read together: at first, and at most.
const BATCH_FIRST: usize = 32;
const BATCH_MAX: usize = 256;
/// Bytes of documents that a batch is aimed at.
const BATCH_BYTES: usize = 256 << 10;
/// Rows that one page looks at.
const PAGE_ROWS_MAX: u64 = 10_000;

/// What a query has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub keys: u64,
    pub docs: u64,
    /// Documents that were read as if from several copies.
    pub quorum_docs: u64,
    pub results: u64,
    started: Instant,
}

impl Stats {
    fn begin() -> Self {
        Self { keys: 0, docs: 0, quorum_docs: 0, results: 0, started: Instant::now() }
    }

    pub fn elapsed_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1_000.0
    }
}

/// A query that is being answered.
#[derive(Debug)]
pub struct FindCursor {
    db: Arc<Database>,
    request: Arc<FindRequest>,
    matcher: Matcher,
    source: RowSource,
    direction: Direction,
    /// The fields in the keys of rows, where these tell all that is asked.
    covering: Option<Vec<FieldPath>>,
    /// Rows that were read and not looked at yet, with their documents.
    held: VecDeque<(Row, Option<Document>)>,
    /// Whether the source may have more.
    more: bool,
    batch: usize,
    /// Every row that the source has is wanted.
    exact: bool,
    skip: u64,
    left: u64,
    /// The last row that was wanted.
    last: Option<Row>,
    stats: Stats,
}

/// The view index of a definition, if it is one.
///
/// # Errors
/// Where the store cannot be read.
pub fn open_index(
    views: &Views,
    db: &Arc<Database>,
    ddocs: &[Arc<crate::design::Ddoc>],
    definition: &IndexDefinition,
) -> Result<Option<Arc<Index>>, MangoError> {
    let Some(id) = &definition.ddoc else { return Ok(None) };
    let ddoc = ddocs.iter().find(|ddoc| ddoc.id.as_str() == id);
    Ok(ddoc.map(|ddoc| views.index(db, ddoc)).transpose()?)
}

impl FindCursor {
    /// `index` is that of the definition.
    ///
    /// # Errors
    /// `invalid_bookmark`.
    pub fn new(
        db: Arc<Database>,
        request: Arc<FindRequest>,
        definition: &IndexDefinition,
        index: Option<Arc<Index>>,
    ) -> Result<Self, MangoError> {
        let bookmark = request.bookmark.as_deref().map(Bookmark::decode).transpose()?;
        let descending = request.sort.is_descending();
        let direction = if descending { Direction::Backward } else { Direction::Forward };
        let covering = match &definition.kind {
            IndexKind::Json { columns, .. } if is_covering(definition, &request) => {
                Some(columns.paths().to_vec())
            }
            _ => None,
        };
        let Spans { spans, exact } = spans_of(definition, &request);
        let reading = Reading {
            spans,
            direction,
            partition: request.partition.as_deref(),
            bookmark: bookmark.as_ref(),
        };
        let view = index.and_then(|index| Some((index.group().view(&definition.name)?, index)));
        let source = match view {
            Some((view, index)) => RowSource::view(index, view, reading),
            None => RowSource::ids(db.clone(), reading),
        };
        Ok(Self {
            db,
            matcher: Matcher::new(&request),
            source,
            direction,
            covering,
            held: VecDeque::new(),
            more: true,
            batch: BATCH_FIRST,
            exact,
            skip: request.skip,
            left: request.limit,
            last: None,
            stats: Stats::begin(),
            request,
        })
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Where a later query goes on.
    pub fn bookmark(&self) -> String {
        match (&self.last, &self.request.bookmark) {
            (Some(row), _) => row.bookmark().encode(),
            (None, Some(given)) => given.clone(),
            (None, None) => NO_BOOKMARK.to_owned(),
        }
    }

    /// Counts what the query wants, as far as one page goes. Returns whether more may come. Where
    /// the rows of a view that can be wanted are wanted all, nothing of them is read.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub fn count_page(&mut self) -> Result<bool, MangoError> {
        if self.exact
            && let RowSource::View(reader) = &self.source
        {
            self.stats.results = reader.count()?;
            return Ok(false);
        }
        self.page(&mut Vec::new(), usize::MAX, &mut |_| {})
    }

    /// Shows the next documents, until `out` has `bytes` of them or enough rows were looked at.
    /// `begin` writes what stands before each. Returns whether more may come.
    ///
    /// # Errors
    /// Where the store cannot be read; where a document makes the selector fail.
    pub fn page(
        &mut self,
        out: &mut Vec<u8>,
        bytes: usize,
        begin: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<bool, MangoError> {
        let rows_max = self.stats.keys + PAGE_ROWS_MAX;
        let mut shown = Vec::new();
        while self.left > 0 {
            if out.len() >= bytes || self.stats.keys >= rows_max {
                return Ok(true);
            }
            let Some((row, document)) = self.next_row()? else { return Ok(false) };
            shown.clear();
            if !self.examine(&row, document, &mut shown)? {
                continue;
            }
            self.last = Some(row);
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            begin(out);
            out.extend_from_slice(&shown);
            self.left -= 1;
            self.stats.results += 1;
        }
        Ok(false)
    }

    /// Whether a row's document is wanted, which is written then.
    fn examine(
        &mut self,
        row: &Row,
        document: Option<Document>,
        out: &mut Vec<u8>,
    ) -> Result<bool, MangoError> {
        self.stats.keys += 1;
        if let (Some(columns), Some(key)) = (&self.covering, &row.key) {
            return self.matcher.write_from_key(out, (&row.id, key), columns);
        }
        let Some(document) = document else { return Ok(false) };
        if self.request.r > 1 {
            self.stats.quorum_docs += 1;
        } else {
            self.stats.docs += 1;
        }
        if row.id.is_design() {
            return Ok(false);
        }
        let conflicts = self.conflicts(&document)?;
        let wanted = self.matcher.wants(&document, &conflicts)?;
        if wanted {
            self.matcher.write(out, &document, &conflicts);
        }
        Ok(wanted)
    }

    fn conflicts(&self, document: &Document) -> Result<Vec<Rev>, MangoError> {
        if !self.request.conflicts {
            return Ok(Vec::new());
        }
        let head = self.db.head(&document.id)?;
        let leaves = head.as_ref().map_or_else(Vec::new, |head| head.tree.leaves());
        let others = leaves.into_iter().skip(1).filter(|leaf| !leaf.deleted);
        Ok(others.map(revtree::Node::rev).collect())
    }

    fn next_row(&mut self) -> Result<Option<(Row, Option<Document>)>, MangoError> {
        while self.held.is_empty() {
            if !self.more {
                return Ok(None);
            }
            self.read_batch()?;
        }
        Ok(self.held.pop_front())
    }

    fn read_batch(&mut self) -> Result<(), MangoError> {
        let wanted = usize::try_from(self.left.saturating_add(self.skip)).unwrap_or(usize::MAX);
        // As if every row were wanted at first; then more and more at a time.
        let count = if self.stats.keys == 0 { wanted.min(self.batch) } else { self.batch };
        let mut rows = Vec::with_capacity(count);
        self.more = self.source.read(count, &mut rows)?;
        if self.covering.is_some() {
            self.held.extend(rows.into_iter().map(|row| (row, None)));
            self.batch = BATCH_MAX;
            return Ok(());
        }
        let documents = documents(&self.db, &rows, self.direction)?;
        let bytes: usize = documents.iter().flatten().map(|document| document.body.len()).sum();
        let average = bytes / rows.len().max(1) + 1;
        self.batch = (BATCH_BYTES / average).clamp(1, (self.batch * 2).min(BATCH_MAX));
        self.held.extend(rows.into_iter().zip(documents));
        Ok(())
    }
}
