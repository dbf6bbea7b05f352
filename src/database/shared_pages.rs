//! The last few pages that feeds of one database have sent, so that many who follow it and stand
//! at the same place share one read and one copy.
//!
//! The pages are bytes to this layer; their readers say by `form` how they were written.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Pages kept a database, and bytes of them.
const PAGES_MAX: usize = 16;
const BYTES_MAX: usize = 256 << 10;

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
pub struct SharedPages(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    pages: VecDeque<(PageKey, SharedPage)>,
    bytes: usize,
}

impl SharedPages {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that somebody else has read.
    #[must_use]
    pub fn get(&self, key: PageKey) -> Option<SharedPage> {
        let kept = self.lock();
        kept.pages.iter().rev().find_map(|(known, page)| (*known == key).then(|| page.clone()))
    }

    /// Keeps a page for others.
    pub fn put(&self, key: PageKey, page: SharedPage) {
        let mut kept = self.lock();
        kept.bytes += page.bytes.len();
        kept.pages.push_back((key, page));
        while kept.pages.len() > PAGES_MAX || kept.bytes > BYTES_MAX {
            let Some((_, oldest)) = kept.pages.pop_front() else { break };
            kept.bytes -= oldest.bytes.len();
        }
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
        for after in 0..18 {
            pages.put(key(after), page(after + 1));
        }
        assert_eq!(pages.get(key(1)), None);
        assert_eq!(pages.get(key(2)), Some(page(3)));
        assert_eq!(pages.get(key(17)), Some(page(18)));
        assert_eq!(pages.get(PageKey { form: 2, ..key(17) }), None);
        let long = SharedPage { bytes: vec![0; BYTES_MAX].into(), reached: 20 };
        pages.put(key(18), long.clone());
        assert_eq!((pages.get(key(17)), pages.get(key(18))), (None, Some(long)));
    }
}
