//! A view's answer: what stands before the rows, and the rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::couch_api::error::ApiError;
use crate::couch_api::feed::write_seq;
use crate::couch_api::listings::{BETWEEN_ROWS, Listed, ROWS_OPEN};
use crate::database::Database;
use crate::document::encode::write_unsigned;
use crate::views::{FirstPiece, Index, MapHeader};

use super::rows::{RowTexts, Rows};

/// What stands before the rows of a view, as the members of a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// All rows and those before the first; a reduce view does not count them.
    pub counts: Option<(u64, u64)>,
    /// Where the query asks for it.
    pub update_seq: Option<u64>,
}

impl Head {
    /// The head of a map view's rows of which `skip` are left out.
    #[must_use]
    pub fn of_map(header: MapHeader, skip: u64, update_seq: bool) -> Self {
        let offset = header.offset.saturating_add(skip).min(header.total_rows);
        let update_seq = update_seq.then_some(header.seq);
        Self { counts: Some((header.total_rows, offset)), update_seq }
    }

    /// Appends the members, each with a comma behind it.
    pub fn write(self, out: &mut Vec<u8>, db: &Database) {
        if let Some((total_rows, offset)) = self.counts {
            out.extend_from_slice(b"\"total_rows\":");
            write_unsigned(out, total_rows);
            out.extend_from_slice(b",\"offset\":");
            write_unsigned(out, offset);
            out.push(b',');
        }
        if let Some(seq) = self.update_seq {
            out.extend_from_slice(b"\"update_seq\":");
            write_seq(out, Some(db.seq(seq)));
            out.push(b',');
        }
    }
}

/// The answer to one query.
pub struct ViewListing {
    pub db: Arc<Database>,
    pub index: Arc<Index>,
    pub rows: Rows,
    /// Of the query, for the head.
    pub skip: u64,
    pub update_seq: bool,
    pub is_begun: bool,
    pub is_first: bool,
}

impl ViewListing {
    /// What stands before the rows. For threads that may block.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn head(&self) -> Result<Head, ApiError> {
        Ok(match &self.rows {
            Rows::Map(reader) => Head::of_map(reader.header()?, self.skip, self.update_seq),
            Rows::Documents(rows) => Head::of_map(rows.header()?, self.skip, self.update_seq),
            Rows::Reduce(_) => {
                let seq = self.index.subscribe().borrow().seq;
                Head { counts: None, update_seq: self.update_seq.then_some(seq) }
            }
        })
    }
}

impl Listed for ViewListing {
    fn write_rows(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if !self.is_begun {
            write_opening(out, self.head()?, &self.db);
            self.is_begun = true;
        }
        let is_first = &mut self.is_first;
        self.rows.write(&mut RowTexts { out, between: BETWEEN_ROWS, is_first })
    }

    fn write_rows_at_once(&mut self, out: &mut Vec<u8>) -> Result<Option<bool>, ApiError> {
        let (start, mut is_first) = (out.len(), true);
        let reduce_head = match &self.rows {
            Rows::Reduce(_) => Some(self.head()?),
            _ => None,
        };
        let (skip, update_seq) = (self.skip, self.update_seq);
        let begun = match &mut self.rows {
            Rows::Documents(_) => return Ok(None),
            Rows::Map(reader) => reader.begin_at_once(&mut |piece| match piece {
                FirstPiece::Header(header) => {
                    write_opening(out, Head::of_map(header, skip, update_seq), &self.db);
                    ControlFlow::Continue(())
                }
                FirstPiece::Row(row) => {
                    let is_first = &mut is_first;
                    RowTexts { out, between: BETWEEN_ROWS, is_first }.map_row(row)
                }
            })?,
            Rows::Reduce(reader) => {
                if let Some(head) = reduce_head {
                    write_opening(out, head, &self.db);
                }
                let mut texts = RowTexts { out, between: BETWEEN_ROWS, is_first: &mut is_first };
                reader.begin_at_once(&mut |row| texts.reduce_row(&row))?
            }
        };
        if begun.is_some() {
            (self.is_begun, self.is_first) = (true, is_first);
        } else {
            out.truncate(start);
        }
        Ok(begun)
    }
}

fn write_opening(out: &mut Vec<u8>, head: Head, db: &Database) {
    out.push(b'{');
    head.write(out, db);
    out.extend_from_slice(ROWS_OPEN);
}
