//! The rows of a view as JSON texts, for answers and for list functions.
//!
//! Rows go from the store into the page as they are; only with documents are they held back, a
//! batch at a time, while the documents are read.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use crate::couch_api::error::ApiError;
use crate::couch_api::stream::PAGE_BYTES;
use crate::document::Document;
use crate::document::encode::write_string;
use crate::views::{
    MapHeader, MapReader, MapRow, ReduceReader, ReduceRow, ReducedValue, ViewsError,
};

use super::documents::{RowDocumentReader, Wanted};

/// Documents read together: at first, and at most.
const BATCH_FIRST: usize = 32;
const BATCH_MAX: usize = 256;
/// A page stops here inside a batch: attachments can be much larger than bodies.
const PAGE_BYTES_MAX: usize = 4 * PAGE_BYTES;

/// Where rows are written: one text after the other, with something between them.
pub struct RowTexts<'a> {
    pub out: &'a mut Vec<u8>,
    pub between: &'static [u8],
    pub is_first: &'a mut bool,
}

impl RowTexts<'_> {
    fn begin(&mut self) {
        if !*self.is_first {
            self.out.extend_from_slice(self.between);
        }
        *self.is_first = false;
    }

    fn has_page(&self) -> bool {
        self.out.len() >= PAGE_BYTES
    }

    /// A whole row of a map view.
    pub fn map_row(&mut self, row: MapRow<'_>) -> ControlFlow<()> {
        self.begin();
        write_map_row(self.out, row);
        self.out.push(b'}');
        self.until_full()
    }

    /// A row of a reduce view.
    pub fn reduce_row(&mut self, row: &ReduceRow) -> ControlFlow<()> {
        self.begin();
        write_reduce_row(self.out, row);
        self.until_full()
    }

    fn until_full(&self) -> ControlFlow<()> {
        if self.has_page() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The rows of one query.
pub enum Rows {
    Map(MapReader),
    Documents(Box<RowsWithDocuments>),
    Reduce(ReduceReader),
}

impl Rows {
    /// Writes the next rows, about a page of them. Returns whether more may come.
    pub fn write(&mut self, texts: &mut RowTexts<'_>) -> Result<bool, ApiError> {
        match self {
            Self::Map(reader) => Ok(reader.page(&mut |row| texts.map_row(row))?),
            Self::Documents(rows) => rows.write(texts),
            Self::Reduce(reader) => Ok(reader.page(&mut |row| texts.reduce_row(&row))?),
        }
    }
}

/// Rows of a map view with their documents.
pub struct RowsWithDocuments {
    reader: MapReader,
    documents: RowDocumentReader,
    /// Whether the reader may have more.
    more: bool,
    /// The texts of held rows, each without its document and its end.
    texts: Vec<u8>,
    held: VecDeque<Held>,
    batch: usize,
}

struct Held {
    text: Range<usize>,
    wanted: Wanted,
    document: Option<Document>,
}

impl RowsWithDocuments {
    #[must_use]
    pub fn new(reader: MapReader, documents: RowDocumentReader) -> Self {
        let (texts, held) = (Vec::new(), VecDeque::new());
        Self { reader, documents, more: true, texts, held, batch: BATCH_FIRST }
    }

    /// As [`MapReader::header`].
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn header(&self) -> Result<MapHeader, ViewsError> {
        self.reader.header()
    }

    fn write(&mut self, texts: &mut RowTexts<'_>) -> Result<bool, ApiError> {
        while !texts.has_page() {
            if self.held.is_empty() {
                if !self.more {
                    return Ok(false);
                }
                self.read_batch()?;
            }
            let (before, mut rows) = (texts.out.len(), 0);
            while texts.out.len() < PAGE_BYTES_MAX
                && let Some(row) = self.held.pop_front()
            {
                texts.begin();
                texts.out.extend_from_slice(self.texts.get(row.text).unwrap_or_default());
                texts.out.extend_from_slice(b",\"doc\":");
                self.documents.write(texts.out, &row.wanted, row.document.as_ref())?;
                texts.out.push(b'}');
                rows += 1;
            }
            self.tune(texts.out.len() - before, rows);
        }
        Ok(self.more || !self.held.is_empty())
    }

    fn read_batch(&mut self) -> Result<(), ApiError> {
        let Self { reader, texts, batch, .. } = self;
        texts.clear();
        let (mut wanted, mut ends) = (Vec::new(), Vec::new());
        self.more = reader.page(&mut |row| {
            write_map_row(texts, row);
            ends.push(texts.len());
            wanted.push(Wanted::of(row.id, row.value));
            let full = wanted.len() >= *batch || texts.len() >= PAGE_BYTES_MAX;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let documents = self.documents.read(&wanted)?;
        let mut start = 0;
        for ((wanted, end), document) in wanted.into_iter().zip(ends).zip(documents) {
            self.held.push_back(Held { text: start..end, wanted, document });
            start = end;
        }
        Ok(())
    }

    /// Makes the next batch about as large as a page.
    fn tune(&mut self, bytes: usize, rows: usize) {
        let average = bytes / rows.max(1) + 1;
        self.batch = (PAGE_BYTES / average).clamp(1, (self.batch * 2).min(BATCH_MAX));
    }
}

/// A row without its end.
fn write_map_row(out: &mut Vec<u8>, row: MapRow<'_>) {
    out.reserve(row.id.len() + row.key.len() + row.value.len() + 32);
    out.extend_from_slice(b"{\"id\":");
    write_string(out, row.id);
    out.extend_from_slice(b",\"key\":");
    out.extend_from_slice(row.key.as_bytes());
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(row.value.as_bytes());
}

fn write_reduce_row(out: &mut Vec<u8>, row: &ReduceRow) {
    out.extend_from_slice(b"{\"key\":");
    match &row.value {
        ReducedValue::Value(value) => {
            out.extend_from_slice(row.key.as_bytes());
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(value.as_bytes());
        }
        ReducedValue::Error { error, reason } => {
            // CouchDB forgets the key of a row that is an error.
            out.extend_from_slice(b"null,\"error\":");
            write_string(out, error);
            out.extend_from_slice(b",\"reason\":");
            write_string(out, reason);
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduce_rows_are_values_or_errors() {
        let check = |key: &str, value, expect: &str| {
            let mut out = Vec::new();
            write_reduce_row(&mut out, &ReduceRow { key: key.to_owned(), value });
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check("[1]", ReducedValue::Value("{\"a\":1}".to_owned()), r#"{"key":[1],"value":{"a":1}}"#);
        let (error, reason) = ("reduce_overflow_error".to_owned(), "a \"b\"".to_owned());
        let expect = r#"{"key":null,"error":"reduce_overflow_error","reason":"a \"b\""}"#;
        check("[1]", ReducedValue::Error { error, reason }, expect);
    }
}
