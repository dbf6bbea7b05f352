//! The documents of a database as the rows of a list function: `_list/{function}/_all_docs`.

use crate::couch_api::error::ApiError;
use crate::couch_api::id_rows::Listing;
use crate::couch_api::listings::{BETWEEN_ROWS, Listed, ROWS_OPEN};
use crate::sandbox::RowSource;

/// Rows taken out of the pages of `_all_docs`, whose framing cannot stand inside of JSON.
pub struct AllDocsRows {
    listing: Listing,
    page: Vec<u8>,
    /// Where the next row begins in the page.
    at: usize,
    more: bool,
}

impl AllDocsRows {
    /// The rows, and what stands before them as a JSON object. Reads from disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn begin(mut listing: Listing) -> Result<(String, Self), ApiError> {
        let mut page = Vec::new();
        let more = listing.write_rows(&mut page)?;
        let open = find(&page, ROWS_OPEN).unwrap_or(page.len());
        let mut head = String::from_utf8_lossy(page.get(..open).unwrap_or_default()).into_owned();
        if head.ends_with(',') {
            head.pop();
        }
        head.push('}');
        Ok((head, Self { listing, page, at: open + ROWS_OPEN.len(), more }))
    }
}

impl RowSource for AllDocsRows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        loop {
            let rest = self.page.get(self.at..).unwrap_or_default();
            let rest = match rest.strip_prefix(BETWEEN_ROWS) {
                Some(row) => row,
                None => rest,
            };
            if !rest.is_empty() {
                let row = rest.get(..find(rest, BETWEEN_ROWS).unwrap_or(rest.len()));
                let row = row.unwrap_or_default();
                self.at = self.page.len() - rest.len() + row.len();
                return Ok(Some(String::from_utf8_lossy(row).into_owned()));
            }
            if !self.more {
                return Ok(None);
            }
            self.page.clear();
            self.at = 0;
            let written = self.listing.write_rows(&mut self.page);
            self.more = written.map_err(|error| error.to_string())?;
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
