//! Rows of documents by id, written page by page: headers, ranges, lists of keys.
//!
//! Framing is CouchDB's to the byte. A row is written straight from the scan into the page; with
//! documents, a batch of bodies is read at once, as large as a page.

mod keys;
mod range;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use serde_json::Value;

use crate::database::{Database, Direction, Head, IdRange, Local};
use crate::document::encode::{write_rev, write_string, write_unsigned};
use crate::document::id::DESIGN_PREFIX;
use crate::document::{DocId, Document, Rev, RevHash};

use super::error::ApiError;
use super::feed::write_seq;
use super::listings::{BETWEEN_ROWS, Listed, ROWS_OPEN};
use super::local_docs::write_local;
use super::row_documents::{RowDocuments, conflicts_of};
use super::stream::PAGE_BYTES;
use super::view_query::ViewQuery;
use super::viewer::Viewer;

use range::{chosen_keys, ids_of};

/// Rows that one page looks at, shown or not.
const LOOKED_AT_MAX: u64 = 100_000;
/// Documents read together: at first, and at most.
const BATCH_FIRST: usize = 32;
const BATCH_MAX: usize = 256;
/// A page stops here inside a batch: attachments can be much larger than bodies.
const PAGE_BYTES_MAX: usize = 4 * PAGE_BYTES;

/// Which documents are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    All,
    Design,
    Local,
}

/// One answer of rows.
pub struct Listing {
    db: Arc<Database>,
    namespace: Namespace,
    query: ViewQuery,
    documents: RowDocuments,
    viewer: Viewer,
    /// Where a list of keys is asked for.
    keys: Option<VecDeque<Value>>,
    ids: IdRange,
    skip: u64,
    left: u64,
    is_first: bool,
    header_written: bool,
    batch: usize,
}

/// Ids with their winners.
type Winners = Vec<(DocId, Rev)>;

impl Listed for Listing {
    fn write_rows(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if !self.header_written {
            self.write_header(out)?;
            self.header_written = true;
        }
        if self.keys.is_some() {
            return self.write_keys(out);
        }
        if self.left == 0 {
            return Ok(false);
        }
        match (self.namespace, self.query.include_docs) {
            (Namespace::Local, _) => self.write_locals(out),
            (Namespace::All | Namespace::Design, false) => self.write_plain(out),
            (Namespace::All | Namespace::Design, true) => self.write_with_documents(out),
        }
    }
}

impl Listing {
    #[must_use]
    pub fn new(
        db: Arc<Database>,
        namespace: Namespace,
        mut query: ViewQuery,
        viewer: Viewer,
    ) -> Self {
        let keys = query.take_keys().map(|keys| chosen_keys(keys, &query));
        let ids = ids_of(namespace, &query);
        let documents = RowDocuments::of(query.attachments, query.att_encoding_info);
        let left = query.limit.unwrap_or(u64::MAX);
        Self {
            db,
            namespace,
            documents,
            viewer,
            keys,
            ids,
            skip: query.skip,
            left,
            query,
            is_first: true,
            header_written: false,
            batch: BATCH_FIRST,
        }
    }

    fn write_header(&self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let state = self.db.state();
        out.extend_from_slice(b"{\"total_rows\":");
        let total = match self.namespace {
            Namespace::All => Some(state.doc_count),
            Namespace::Design => Some(self.count_design_docs()?),
            Namespace::Local => None,
        };
        let write_number = |out: &mut Vec<u8>, number: Option<u64>| match number {
            Some(number) => write_unsigned(out, number),
            None => out.extend_from_slice(b"null"),
        };
        write_number(out, total);
        out.extend_from_slice(b",\"offset\":");
        let offset = match (total, &self.keys) {
            (Some(total), None) => {
                Some(self.rows_before()?.saturating_add(self.query.skip).min(total))
            }
            _ => None,
        };
        write_number(out, offset);
        if self.query.update_seq {
            out.extend_from_slice(b",\"update_seq\":");
            write_seq(out, offset.map(|_| self.db.seq(state.update_seq)));
        }
        out.push(b',');
        out.extend_from_slice(ROWS_OPEN);
        Ok(())
    }

    fn count_design_docs(&self) -> Result<u64, ApiError> {
        let mut count = 0;
        let all = IdRange::prefix(DESIGN_PREFIX);
        self.db.scan_heads(&all, Direction::Forward, &mut |row| {
            count += u64::from(!row.deleted);
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Documents of the whole database that stand before the start, in the direction of reading.
    fn rows_before(&self) -> Result<u64, ApiError> {
        let before_or_at = |id: &str| self.db.rank(&format!("{id}\0"));
        let from_the_end = |rank: u64| self.db.state().doc_count.saturating_sub(rank);
        Ok(match (self.query.direction, &self.ids.start, &self.ids.end) {
            (Direction::Forward, Bound::Included(id), _) => self.db.rank(id)?,
            (Direction::Forward, Bound::Excluded(id), _) => before_or_at(id)?,
            (Direction::Backward, _, Bound::Included(id)) => from_the_end(before_or_at(id)?),
            (Direction::Backward, _, Bound::Excluded(id)) => from_the_end(self.db.rank(id)?),
            (Direction::Forward, Bound::Unbounded, _)
            | (Direction::Backward, _, Bound::Unbounded) => 0,
        })
    }

    /// The range goes on behind `id`.
    fn go_on_after(&mut self, id: &str) {
        let bound = Bound::Excluded(id.to_owned());
        match self.query.direction {
            Direction::Forward => self.ids.start = bound,
            Direction::Backward => self.ids.end = bound,
        }
    }

    /// The same, where a page ended behind an id and not at the end of the range.
    fn has_more_after(&mut self, last: Option<String>) -> bool {
        match last {
            Some(last) if self.left > 0 => {
                self.go_on_after(&last);
                true
            }
            _ => false,
        }
    }

    /// Rows without documents, straight from the scan.
    fn write_plain(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        let mut looked_at = 0;
        let mut last = None;
        let Self { db, ids, query, skip, left, is_first, .. } = self;
        db.scan_heads(ids, query.direction, &mut |row| {
            looked_at += 1;
            if !row.deleted {
                if *skip > 0 {
                    *skip -= 1;
                } else {
                    begin_row(out, is_first);
                    write_head(out, row.id, &row.rev);
                    out.push(b'}');
                    *left -= 1;
                }
            }
            let full = out.len() >= PAGE_BYTES || looked_at >= LOOKED_AT_MAX;
            if full {
                last = Some(row.id.to_owned());
            }
            if full || *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(self.has_more_after(last))
    }

    /// The next ids and winners, as many as a batch has, and the last id looked at where the
    /// range may go on.
    fn next_heads(&mut self) -> Result<(Winners, Option<String>), ApiError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.batch);
        let (mut heads, mut last, mut looked_at) = (Vec::with_capacity(wanted), None, 0);
        let Self { db, ids, query, skip, .. } = self;
        db.scan_heads(ids, query.direction, &mut |row| {
            looked_at += 1;
            if !row.deleted {
                if *skip > 0 {
                    *skip -= 1;
                } else if let Ok(id) = DocId::parse(row.id) {
                    heads.push((id, row.rev));
                }
            }
            if heads.len() < wanted && looked_at < LOOKED_AT_MAX {
                return ControlFlow::Continue(());
            }
            last = Some(row.id.to_owned());
            ControlFlow::Break(())
        })?;
        Ok((heads, last))
    }

    fn write_with_documents(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        while out.len() < PAGE_BYTES {
            let (heads, last) = self.next_heads()?;
            let documents = self.revisions(&heads)?;
            let before = out.len();
            for (at, ((id, rev), document)) in heads.iter().zip(documents).enumerate() {
                let (rev, document) = self.current(id, rev, document)?;
                begin_row(out, &mut self.is_first);
                write_head(out, id.as_str(), &rev);
                self.write_doc(out, document.as_ref(), None)?;
                self.left = self.left.saturating_sub(1);
                if out.len() >= PAGE_BYTES_MAX && at + 1 < heads.len() {
                    self.go_on_after(id.as_str());
                    return Ok(true);
                }
            }
            self.tune(out.len() - before, heads.len());
            if !self.has_more_after(last) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bodies of a batch that was read in the order of the listing.
    fn revisions(&self, heads: &[(DocId, Rev)]) -> Result<Vec<Option<Document>>, ApiError> {
        if self.query.direction == Direction::Forward {
            return Ok(self.db.revisions_in_order(heads)?);
        }
        let ascending: Vec<(DocId, Rev)> = heads.iter().rev().cloned().collect();
        let mut documents = self.db.revisions_in_order(&ascending)?;
        documents.reverse();
        Ok(documents)
    }

    /// The revision to show: the scanned one, or a newer one that has replaced it since.
    fn current<'r>(
        &self,
        id: &DocId,
        rev: &'r Rev,
        document: Option<Document>,
    ) -> Result<(Cow<'r, Rev>, Option<Document>), ApiError> {
        if document.is_some() {
            return Ok((Cow::Borrowed(rev), document));
        }
        Ok(match self.db.winner(id)?.filter(|winner| !winner.deleted) {
            Some(winner) => (Cow::Owned(winner.rev.clone()), Some(winner)),
            None => (Cow::Borrowed(rev), None),
        })
    }

    /// Makes the next batch about as large as a page.
    fn tune(&mut self, bytes: usize, rows: usize) {
        let average = bytes / rows.max(1) + 1;
        self.batch = (PAGE_BYTES / average).clamp(1, (self.batch * 2).min(BATCH_MAX));
    }

    /// Ends a row with its document.
    fn write_doc(
        &self,
        out: &mut Vec<u8>,
        document: Option<&Document>,
        head: Option<&Head>,
    ) -> Result<(), ApiError> {
        out.extend_from_slice(b",\"doc\":");
        let shown = match (&self.viewer, document) {
            (Viewer::Everything, document) => document.map(Cow::Borrowed),
            (viewer, document) => {
                document.and_then(|document| viewer.show(document.clone()).ok()).map(Cow::Owned)
            }
        };
        if let Some(document) = shown.as_deref() {
            let conflicts = match (self.query.conflicts, head) {
                (Some(true), Some(head)) => conflicts_of(head),
                (Some(true), None) => {
                    self.db.head(&document.id)?.map_or_else(Vec::new, |head| conflicts_of(&head))
                }
                _ => Vec::new(),
            };
            self.documents.write(out, &self.db, document, &conflicts)?;
        } else {
            out.extend_from_slice(b"null");
        }
        out.push(b'}');
        Ok(())
    }

    fn write_locals(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        let (mut last, mut looked_at) = (None, 0);
        let Self { db, ids, query, skip, left, is_first, .. } = self;
        db.scan_locals(ids, query.direction, &mut |row| {
            looked_at += 1;
            if *skip > 0 {
                *skip -= 1;
            } else {
                begin_row(out, is_first);
                write_local_row(out, row.id, &row.local, query.include_docs);
                *left -= 1;
            }
            let full = out.len() >= PAGE_BYTES || looked_at >= LOOKED_AT_MAX;
            if full {
                last = Some(row.id.to_owned());
            }
            if full || *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(self.has_more_after(last))
    }
}

fn begin_row(out: &mut Vec<u8>, is_first: &mut bool) {
    if !*is_first {
        out.extend_from_slice(BETWEEN_ROWS);
    }
    *is_first = false;
}

/// A row up to its value.
fn write_head(out: &mut Vec<u8>, id: &str, rev: &Rev) {
    out.extend_from_slice(b"{\"id\":");
    let start = out.len();
    write_string(out, id);
    let end = out.len();
    out.extend_from_slice(b",\"key\":");
    out.extend_from_within(start..end);
    out.extend_from_slice(b",\"value\":{\"rev\":");
    write_rev(out, rev);
    out.push(b'}');
}

fn write_local_row(out: &mut Vec<u8>, id: &str, local: &Local, include_docs: bool) {
    let hash = RevHash::parse(&local.rev.to_string());
    write_head(out, id, &Rev { generation: 0, hash });
    if include_docs {
        out.extend_from_slice(b",\"doc\":");
        write_local(out, id, local);
    }
    out.push(b'}');
}
