//! The rows of a view as a list function reads them: one JSON text after the other.

use crate::couch_api::error::ApiError;
use crate::sandbox::RowSource;

use super::listing::ViewListing;
use super::rows::RowTexts;

/// Stands between texts here; JSON without spaces holds none.
const BETWEEN: &[u8] = b"\n";

/// Rows for a list function, read page by page.
pub struct ListRows {
    listing: ViewListing,
    page: Vec<u8>,
    /// Where the next row begins in the page.
    at: usize,
    more: bool,
}

impl ListRows {
    #[must_use]
    pub fn new(listing: ViewListing) -> Self {
        Self { listing, page: Vec::new(), at: 0, more: true }
    }

    /// `{"total_rows":..., "offset":...}`, or `{}` for a reduce view. Blocks.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn head(&self) -> Result<String, ApiError> {
        let mut head = b"{".to_vec();
        self.listing.head()?.write(&mut head, &self.listing.db);
        if head.last() == Some(&b',') {
            head.pop();
        }
        head.push(b'}');
        Ok(String::from_utf8_lossy(&head).into_owned())
    }
}

impl RowSource for ListRows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        while self.at >= self.page.len() {
            if !self.more {
                return Ok(None);
            }
            self.page.clear();
            self.at = 0;
            let (out, mut is_first) = (&mut self.page, true);
            let mut texts = RowTexts { out, between: BETWEEN, is_first: &mut is_first };
            let written = self.listing.rows.write(&mut texts);
            self.more = written.map_err(|error| error.to_string())?;
        }
        let rest = self.page.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| BETWEEN.contains(byte)).unwrap_or(rest.len());
        let row = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned();
        self.at += length + BETWEEN.len();
        Ok(Some(row))
    }
}
