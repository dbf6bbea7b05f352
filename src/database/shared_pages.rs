//! The last few pages that feeds of one database have sent, so that many who follow it and stand
//! at the same place share one read and one copy.
//!
//! The pages are bytes to this layer; their readers say by `form` how they were written.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Pages kept a database.
const PAGES_MAX: usize = 4;

/// Which page: how it is written, and which changes it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    pub form: u8,
    /// The changes after this sequence...
    pub after: u64,
    /// ...up to this one, as of when it was the newest.
    pub upto: u64,
}

/// A page, and the sequence up to which it really goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPage {
    pub bytes: Bytes,
    pub reached: u64,
}

/// The pages of one database.
#[derive(Debug, Default)]
pub struct SharedPages(Mutex<VecDeque<(PageKey, SharedPage)>>);

impl SharedPages {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(PageKey, SharedPage)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that somebody else has read.
    #[must_use]
    pub fn get(&self, key: PageKey) -> Option<SharedPage> {
        let pages = self.lock();
        pages.iter().rev().find_map(|(known, page)| (*known == key).then(|| page.clone()))
    }

    /// Keeps a page for others.
    pub fn put(&self, key: PageKey, page: SharedPage) {
        let mut pages = self.lock();
        if pages.len() == PAGES_MAX {
            pages.pop_front();
        }
        pages.push_back((key, page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pages_are_kept() {
        let pages = SharedPages::default();
        let key = |after| PageKey { form: 1, after, upto: 100 };
        let page = |reached| SharedPage { bytes: Bytes::from_static(b"x"), reached };
        for after in 0..6 {
            pages.put(key(after), page(after + 1));
        }
        assert_eq!(pages.get(key(1)), None);
        assert_eq!(pages.get(key(5)), Some(page(6)));
        assert_eq!(pages.get(PageKey { form: 2, ..key(5) }), None);
    }
}
