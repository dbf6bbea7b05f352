//! Answers of rows: one listing, or those of several queries in one answer.

use std::collections::VecDeque;

use super::error::ApiError;
use super::stream::{PAGE_BYTES, Pages};

/// What stands before the rows of a listing ends with this.
pub const ROWS_OPEN: &[u8] = b"\"rows\":[\r\n";
/// What stands between the rows of a listing.
pub const BETWEEN_ROWS: &[u8] = b",\r\n";

/// Writes one listing page by page, without what ends it.
pub trait Listed: Send + 'static {
    /// Appends what stands before the rows, once, and the next rows, about a page of them.
    /// Returns whether more may come.
    fn write_rows(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError>;

    /// The same for the first time, as [`Pages::write_at_once`].
    ///
    /// # Errors
    /// Those of the rows.
    fn write_rows_at_once(&mut self, _out: &mut Vec<u8>) -> Result<Option<bool>, ApiError> {
        Ok(None)
    }
}

/// One listing, or several in one answer.
pub struct Listings<L> {
    waiting: VecDeque<L>,
    several: bool,
    begun: bool,
}

impl<L> Listings<L> {
    #[must_use]
    pub fn single(listing: L) -> Self {
        Self { waiting: [listing].into(), several: false, begun: false }
    }

    #[must_use]
    pub fn many(listings: Vec<L>) -> Self {
        Self { waiting: listings.into(), several: true, begun: false }
    }
}

impl<L: Listed> Pages for Listings<L> {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if !self.begun && self.several {
            out.extend_from_slice(b"{\"results\":[");
            if !self.waiting.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
        }
        self.begun = true;
        while let Some(listing) = self.waiting.front_mut() {
            if listing.write_rows(out)? {
                return Ok(true);
            }
            out.extend_from_slice(b"\r\n]}");
            self.waiting.pop_front();
            if !self.waiting.is_empty() {
                out.extend_from_slice(b",\r\n");
                if out.len() >= PAGE_BYTES {
                    return Ok(true);
                }
            }
        }
        out.extend_from_slice(if self.several { b"\r\n]}\n" } else { b"\n" });
        Ok(false)
    }

    fn write_at_once(&mut self, out: &mut Vec<u8>) -> Result<Option<bool>, ApiError> {
        let Some(listing) = self.waiting.front_mut().filter(|_| !self.several && !self.begun)
        else {
            return Ok(None);
        };
        let more = listing.write_rows_at_once(out)?;
        if more == Some(false) {
            self.waiting.pop_front();
            out.extend_from_slice(b"\r\n]}\n");
        }
        self.begun = more.is_some();
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pieces(Vec<&'static str>);

    impl Listed for Pieces {
        fn write_rows(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
            out.extend_from_slice(self.0.remove(0).as_bytes());
            Ok(!self.0.is_empty())
        }
    }

    #[test]
    fn answers_are_framed_as_couchdb_does() {
        let check = |mut listings: Listings<Pieces>, expect: &str| {
            let mut out = Vec::new();
            while listings.write_page(&mut out).unwrap() {}
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check(Listings::single(Pieces(vec!["{a", "b"])), "{ab\r\n]}\n");
        check(Listings::many(Vec::new()), "{\"results\":[\r\n]}\n");
        let two = vec![Pieces(vec!["{a"]), Pieces(vec!["{b", "c"])];
        check(Listings::many(two), "{\"results\":[\r\n{a\r\n]},\r\n{bc\r\n]}\r\n]}\n");
    }
}
