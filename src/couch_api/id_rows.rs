//! Rows of documents by id, written page by page: headers, ranges, lists of keys.
//!
//! Framing is CouchDB's to the byte. A row is written straight from the scan into the page; with
//! documents, a batch of bodies is read at once, as large as a page.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use serde_json::Value;

use crate::database::{Database, Direction, Head, IdRange, Local};
use crate::document::encode::{write_rev, write_string, write_unsigned};
use crate::document::id::{DESIGN_PREFIX, LOCAL_PREFIX};
use crate::document::{DocId, Document, Rev, RevHash};

use super::error::ApiError;
use super::feed::write_seq;
use super::local_docs::write_local;
use super::row_documents::RowDocuments;
use super::stream::{PAGE_BYTES, Pages};
use super::view_query::ViewQuery;

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
    AllDocs,
    DesignDocs,
    LocalDocs,
}

/// One answer of rows.
pub struct Listing {
    db: Arc<Database>,
    namespace: Namespace,
    query: ViewQuery,
    documents: RowDocuments,
    /// Where a list of keys is asked for.
    keys: Option<VecDeque<Value>>,
    ids: IdRange,
    skip: u64,
    left: u64,
    is_first: bool,
    header_written: bool,
    batch: usize,
}

/// One listing, or several in one answer.
pub struct Listings {
    listings: VecDeque<Listing>,
    several: bool,
    begun: bool,
}

impl Listings {
    #[must_use]
    pub fn single(listing: Listing) -> Self {
        Self { listings: [listing].into(), several: false, begun: false }
    }

    #[must_use]
    pub fn many(listings: Vec<Listing>) -> Self {
        Self { listings: listings.into(), several: true, begun: false }
    }
}

impl Pages for Listings {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if !self.begun && self.several {
            out.extend_from_slice(b"{\"results\":[\r\n");
        }
        self.begun = true;
        while let Some(listing) = self.listings.front_mut() {
            if listing.write_rows(out)? {
                return Ok(true);
            }
            out.extend_from_slice(b"\r\n]}");
            self.listings.pop_front();
            if !self.listings.is_empty() {
                out.extend_from_slice(b",\r\n");
                if out.len() >= PAGE_BYTES {
                    return Ok(true);
                }
            }
        }
        out.extend_from_slice(if self.several { b"\r\n]}\n" } else { b"\n" });
        Ok(false)
    }
}

impl Listing {
    #[must_use]
    pub fn new(db: Arc<Database>, namespace: Namespace, mut query: ViewQuery) -> Self {
        let keys = query.take_keys().map(|keys| chosen_keys(keys, &query));
        let ids = ids_of(namespace, &query);
        let documents = RowDocuments::of(query.attachments, query.att_encoding_info);
        let left = query.limit.unwrap_or(u64::MAX);
        Self {
            db,
            namespace,
            documents,
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

    /// Appends the next rows, about a page of them. Returns whether more may come.
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
            (Namespace::LocalDocs, _) => self.write_locals(out),
            (Namespace::AllDocs | Namespace::DesignDocs, false) => self.write_plain(out),
            (Namespace::AllDocs | Namespace::DesignDocs, true) => self.write_with_documents(out),
        }
    }

    fn write_header(&self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let state = self.db.state();
        out.extend_from_slice(b"{\"total_rows\":");
        let total = match self.namespace {
            Namespace::AllDocs => Some(state.doc_count),
            Namespace::DesignDocs => Some(self.count_design_docs()?),
            Namespace::LocalDocs => None,
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
        out.extend_from_slice(b",\"rows\":[\r\n");
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
    fn next_heads(&mut self) -> Result<(Vec<(DocId, Rev)>, Option<String>), ApiError> {
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
            let documents = self.db.revisions(&heads)?;
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
        if let Some(document) = document {
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

    /// Rows of a list of keys, in its order.
    fn write_keys(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        while out.len() < PAGE_BYTES {
            let batch = self.batch;
            let Some(keys) = &mut self.keys else { return Ok(false) };
            let taken: Vec<Value> = keys.drain(..batch.min(keys.len())).collect();
            if taken.is_empty() {
                return Ok(false);
            }
            let before = out.len();
            let mut ids = Vec::new();
            let parsed = taken.iter().map(|key| DocId::parse(key.as_str()?).ok());
            let places: Vec<Option<usize>> = parsed
                .map(|id| {
                    let id = id.filter(|id| !id.is_local())?;
                    ids.push(id);
                    Some(ids.len() - 1)
                })
                .collect();
            let heads = self.db.heads(&ids)?;
            let documents = self.documents_of(&ids, &heads)?;
            let rows = taken.len();
            for (key, place) in taken.into_iter().zip(places) {
                begin_row(out, &mut self.is_first);
                let at = place.unwrap_or(usize::MAX);
                match (ids.get(at), heads.get(at).and_then(Option::as_ref)) {
                    (Some(id), Some(head)) => {
                        let document = documents.get(at).and_then(Option::as_ref);
                        self.write_key_row(out, id, head, document)?;
                    }
                    (None, _) => self.write_local_key_row(out, &key)?,
                    (Some(_), None) => write_not_found(out, &key),
                }
            }
            self.tune(out.len() - before, rows);
        }
        Ok(true)
    }

    /// The winners' documents where rows show them.
    fn documents_of(
        &self,
        ids: &[DocId],
        heads: &[Option<Head>],
    ) -> Result<Vec<Option<Document>>, ApiError> {
        if !self.query.include_docs {
            return Ok(Vec::new());
        }
        let mut wanted = Vec::new();
        let mut places = Vec::with_capacity(ids.len());
        for (id, head) in ids.iter().zip(heads) {
            let winner = head.as_ref().and_then(|head| head.tree.winner());
            let live = winner.filter(|winner| !winner.deleted);
            places.push(live.map(|_| wanted.len()));
            wanted.extend(live.map(|winner| (id.clone(), winner.rev())));
        }
        let mut documents = self.db.revisions(&wanted)?;
        let mut take = |at: usize| documents.get_mut(at).and_then(Option::take);
        Ok(places.into_iter().map(|place| take(place?)).collect())
    }

    fn write_key_row(
        &self,
        out: &mut Vec<u8>,
        id: &DocId,
        head: &Head,
        document: Option<&Document>,
    ) -> Result<(), ApiError> {
        let Some(winner) = head.tree.winner() else {
            write_not_found(out, &id.as_str().into());
            return Ok(());
        };
        write_head(out, id.as_str(), &winner.rev());
        if winner.deleted {
            // Inside the value, which the head has closed.
            out.pop();
            out.extend_from_slice(b",\"deleted\":true}");
        }
        if self.query.include_docs {
            return self.write_doc(out, document, Some(head));
        }
        out.push(b'}');
        Ok(())
    }

    /// A key that is no document's: a local document's, or nothing.
    fn write_local_key_row(&self, out: &mut Vec<u8>, key: &Value) -> Result<(), ApiError> {
        let id = key.as_str().and_then(|key| DocId::parse(key).ok()).filter(DocId::is_local);
        let local = match &id {
            Some(id) => self.db.local(id)?,
            None => None,
        };
        let (Some(id), Some(local)) = (id, local) else {
            write_not_found(out, key);
            return Ok(());
        };
        write_local_row(out, id.as_str(), &local, self.query.include_docs);
        Ok(())
    }
}

/// The keys to show, in order, after `descending`, `skip` and `limit`.
fn chosen_keys(mut keys: Vec<Value>, query: &ViewQuery) -> VecDeque<Value> {
    if query.direction == Direction::Backward {
        keys.reverse();
    }
    let skip = usize::try_from(query.skip).unwrap_or(usize::MAX);
    let limit = query.limit.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    keys.into_iter().skip(skip).take(limit).collect()
}

/// A place among ids that a key names: all keys that are no strings stand before every id.
fn place(key: &Value) -> &str {
    key.as_str().unwrap_or_default()
}

/// The ids that keys, namespace and partition leave.
fn ids_of(namespace: Namespace, query: &ViewQuery) -> IdRange {
    let (low, high) = match query.direction {
        Direction::Forward => (&query.start_key, &query.end_key),
        Direction::Backward => (&query.end_key, &query.start_key),
    };
    let start_is_low = query.direction == Direction::Forward;
    let included = |key: &Value| Bound::Included(place(key).to_owned());
    let end = |key: &Value| {
        let id = place(key).to_owned();
        if query.inclusive_end { Bound::Included(id) } else { Bound::Excluded(id) }
    };
    let bound = |key: &Option<Value>, is_start: bool| match key {
        None => Bound::Unbounded,
        Some(key) if is_start => included(key),
        Some(key) => end(key),
    };
    let asked = IdRange { start: bound(low, start_is_low), end: bound(high, !start_is_low) };
    let within = match (namespace, query.partition.as_deref()) {
        (Namespace::AllDocs, Some(partition)) => IdRange::prefix(&format!("{partition}:")),
        (Namespace::AllDocs, None) => return asked,
        (Namespace::DesignDocs, _) => IdRange::prefix(DESIGN_PREFIX),
        (Namespace::LocalDocs, _) => IdRange::prefix(LOCAL_PREFIX),
    };
    intersection(asked, within)
}

/// What two ranges share.
fn intersection(one: IdRange, other: IdRange) -> IdRange {
    // Of two starts the later one holds, of two ends the earlier; an excluding bound is stricter.
    let key = |bound: &Bound<String>| match bound {
        Bound::Included(id) => Some((id.clone(), 0)),
        Bound::Excluded(id) => Some((id.clone(), 1)),
        Bound::Unbounded => None,
    };
    let start = if key(&one.start) >= key(&other.start) { one.start } else { other.start };
    let end = match (key(&one.end), key(&other.end)) {
        (Some((id, excluded)), Some((limit, limit_excluded))) => {
            if (&id, -excluded) <= (&limit, -limit_excluded) { one.end } else { other.end }
        }
        (Some(_), None) => one.end,
        (None, _) => other.end,
    };
    IdRange { start, end }
}

fn begin_row(out: &mut Vec<u8>, is_first: &mut bool) {
    if !*is_first {
        out.extend_from_slice(b",\r\n");
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

fn write_not_found(out: &mut Vec<u8>, key: &Value) {
    out.extend_from_slice(b"{\"key\":");
    match key {
        Value::String(key) => write_string(out, key),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
    out.extend_from_slice(b",\"error\":\"not_found\"}");
}

/// The leaves beside the winner that are no tombstones.
fn conflicts_of(head: &Head) -> Vec<Rev> {
    let others = head.tree.leaves().into_iter().skip(1);
    others.filter(|leaf| !leaf.deleted).map(crate::document::revtree::Node::rev).collect()
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
