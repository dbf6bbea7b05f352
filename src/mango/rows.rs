//! The rows that a query reads, a batch at a time: of a view index, or documents by their ids.

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::database::{Database, Direction, IdRange};
use crate::document::{DocId, Document, Rev};
use crate::views::{Collation, Index, KeySpan, MapReader, RangeQuery, View};

use super::bookmark::Bookmark;
use super::error::MangoError;
use super::planner::Span;

/// Ids that one batch looks at, tombstones too.
const LOOKED_AT_MAX: usize = 10_000;

/// A row that was read.
#[derive(Debug)]
pub struct Row {
    pub id: DocId,
    /// JSON; none where it is the id.
    pub key: Option<String>,
    /// The winner, where the row knows it.
    rev: Option<Rev>,
}

impl Row {
    /// Where the query goes on after this row.
    pub fn bookmark(&self) -> Bookmark {
        let id = self.id.as_str().to_owned();
        let key =
            self.key.clone().unwrap_or_else(|| serde_json::Value::from(id.as_str()).to_string());
        Bookmark { id, key }
    }
}

/// Where rows come from.
#[derive(Debug)]
pub enum RowSource {
    View(Box<MapReader>),
    Ids(IdRows),
}

/// What of an index is read, and how.
#[derive(Debug)]
pub struct Reading<'a> {
    pub spans: Vec<Span>,
    pub direction: Direction,
    pub partition: Option<&'a str>,
    pub bookmark: Option<&'a Bookmark>,
}

impl Reading<'_> {
    /// The spans in the order of reading, without what was read before the bookmark.
    fn ordered(self, row: impl Fn(&Bookmark) -> Option<Span>) -> Vec<Span> {
        let read = self.bookmark.and_then(row);
        let backward = self.direction == Direction::Backward;
        let rest = self.spans.into_iter().filter_map(|mut span| {
            match &read {
                Some(row) if backward => span.end = span.end.min(row.start.clone()),
                Some(row) => span.start = span.start.max(row.end.clone()),
                None => {}
            }
            (span.start < span.end).then_some(span)
        });
        let mut rest: Vec<Span> = rest.collect();
        if backward {
            rest.reverse();
        }
        rest
    }
}

impl RowSource {
    /// The rows of a view index.
    pub fn view(index: Arc<Index>, view: View, reading: Reading<'_>) -> Self {
        let (direction, partition) = (reading.direction, reading.partition.map(str::to_owned));
        let row = |bookmark: &Bookmark| {
            let row = KeySpan::of_row(Collation::Locale, &bookmark.key, &bookmark.id);
            Some(Span { start: row.start, end: row.end })
        };
        let spans = reading.ordered(row).into_iter();
        let spans = spans.map(|Span { start, end }| KeySpan { start, end }).collect();
        let query =
            RangeQuery { spans: Some(spans), direction, partition, ..RangeQuery::default() };
        Self::View(Box::new(MapReader::new(index, view, query)))
    }

    /// All documents by their ids.
    pub fn ids(db: Arc<Database>, reading: Reading<'_>) -> Self {
        let direction = reading.direction;
        let partition = reading.partition.map(|name| (format!("{name}:"), format!("{name};")));
        let row = |bookmark: &Bookmark| {
            let start = serde_json::from_str::<String>(&bookmark.key).ok()?.into_bytes();
            Some(Span { end: [&start[..], &[0]].concat(), start })
        };
        let mut spans = reading.ordered(row);
        if let Some((start, end)) = partition {
            for span in &mut spans {
                span.start = std::mem::take(&mut span.start).max(start.clone().into_bytes());
                span.end = std::mem::take(&mut span.end).min(end.clone().into_bytes());
            }
            spans.retain(|span| span.start < span.end);
        }
        let ranges = spans.into_iter().map(|span| IdRange {
            start: bound(span.start, Bound::Included),
            end: bound(span.end, Bound::Excluded),
        });
        Self::Ids(IdRows { db, ranges: ranges.collect(), direction })
    }

    /// How many rows there are; of more than `counted` spans of ids each is taken for one row.
    pub fn count(&self, counted: usize) -> Result<u64, MangoError> {
        match self {
            Self::View(reader) => Ok(reader.count()?),
            Self::Ids(ids) => ids.count(counted),
        }
    }

    /// Adds up to `wanted` rows. Returns whether more may come.
    pub fn read(&mut self, wanted: usize, rows: &mut Vec<Row>) -> Result<bool, MangoError> {
        match self {
            Self::Ids(ids) => ids.read(wanted, rows),
            Self::View(reader) => {
                let mut read = 0;
                let more = reader.page(&mut |row| {
                    if let Ok(id) = DocId::parse(row.id) {
                        rows.push(Row { id, key: Some(row.key.to_owned()), rev: None });
                    }
                    read += 1;
                    if read < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                Ok(more)
            }
        }
    }
}

/// A bound of ids; what is no text stands behind all of them.
fn bound(bytes: Vec<u8>, kind: fn(String) -> Bound<String>) -> Bound<String> {
    String::from_utf8(bytes).map_or(Bound::Unbounded, kind)
}

/// Documents by their ids: what is left of the ranges, in the order of reading.
#[derive(Debug)]
pub struct IdRows {
    db: Arc<Database>,
    ranges: VecDeque<IdRange>,
    direction: Direction,
}

impl IdRows {
    fn count(&self, counted: usize) -> Result<u64, MangoError> {
        if self.ranges.len() > counted {
            return Ok(self.ranges.len() as u64);
        }
        let before = |bound: &Bound<String>, all: u64| match bound {
            Bound::Included(id) | Bound::Excluded(id) => self.db.rank(id),
            Bound::Unbounded => Ok(all),
        };
        let mut rows = 0;
        for range in &self.ranges {
            let end = before(&range.end, self.db.state().doc_count)?;
            rows += end.saturating_sub(before(&range.start, 0)?);
        }
        Ok(rows)
    }

    fn read(&mut self, wanted: usize, rows: &mut Vec<Row>) -> Result<bool, MangoError> {
        let upto = rows.len() + wanted;
        let mut looked_at = 0;
        while let Some(range) = self.ranges.front_mut() {
            let mut last = None;
            self.db.scan_heads(range, self.direction, &mut |row| {
                looked_at += 1;
                if !row.deleted
                    && let Ok(id) = DocId::parse(row.id)
                {
                    rows.push(Row { id, key: None, rev: Some(row.rev) });
                }
                if rows.len() < upto && looked_at < LOOKED_AT_MAX {
                    return ControlFlow::Continue(());
                }
                last = Some(row.id.to_owned());
                ControlFlow::Break(())
            })?;
            let Some(last) = last else {
                self.ranges.pop_front();
                continue;
            };
            match self.direction {
                Direction::Forward => range.start = Bound::Excluded(last),
                Direction::Backward => range.end = Bound::Excluded(last),
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// The documents of rows, in their order; none for those that are gone.
pub fn documents(
    db: &Database,
    rows: &[Row],
    direction: Direction,
) -> Result<Vec<Option<Document>>, MangoError> {
    let known: Option<Vec<(DocId, Rev)>> =
        rows.iter().map(|row| Some((row.id.clone(), row.rev.clone()?))).collect();
    let Some(mut known) = known else {
        let ids: Vec<DocId> = rows.iter().map(|row| row.id.clone()).collect();
        let winners = db.winners(&ids)?.into_iter();
        return Ok(winners.map(|winner| winner.filter(|winner| !winner.deleted)).collect());
    };
    let backward = direction == Direction::Backward;
    if backward {
        known.reverse();
    }
    let mut documents = db.revisions_in_order(&known)?;
    for ((id, _), document) in known.iter().zip(&mut documents) {
        if document.is_none() {
            // Another revision has replaced it since the row was read.
            *document = db.winner(id)?.filter(|winner| !winner.deleted);
        }
    }
    if backward {
        documents.reverse();
    }
    Ok(documents)
}
