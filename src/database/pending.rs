//! How many changes there are after a sequence, without counting them all each time.
//!
//! A few answers are kept as anchors: the next question counts only from the nearest one, which
//! for a reader that goes on page by page is its page. The writer keeps the anchors true.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers kept a database.
const ANCHORS_MAX: usize = 8;

/// So many changes stand after a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) since: u64,
    pub(super) count: u64,
}

#[derive(Debug, Default)]
struct Kept {
    /// Commits that have begun, and those that have also been noted here: what is counted while
    /// one is on its way may be either side of it.
    begun: u64,
    noted: u64,
    anchors: VecDeque<Anchor>,
}

/// The anchors of one database.
#[derive(Debug, Default)]
pub(super) struct Pendings(Mutex<Kept>);

/// Proof that no commit was on its way when counting began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet(u64);

impl Pendings {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is about to change the sequences.
    pub(super) fn begin(&self) {
        self.lock().begun += 1;
    }

    /// The commit has ended and is published, or has failed: each document that got a new
    /// sequence or went, with its sequence before and whether it still is.
    pub(super) fn note(&self, moved: &[(Option<u64>, bool)]) {
        let mut kept = self.lock();
        kept.noted += 1;
        for Anchor { since, count } in &mut kept.anchors {
            for (before, still_is) in moved {
                let was_after = before.is_some_and(|before| before > *since);
                match (was_after, still_is) {
                    (false, true) => *count += 1,
                    (true, false) => *count = count.saturating_sub(1),
                    (true, true) | (false, false) => {}
                }
            }
        }
    }

    /// Whether answers that are counted from now on may be kept.
    pub(super) fn quiet(&self) -> Option<Quiet> {
        let kept = self.lock();
        (kept.begun == kept.noted).then_some(Quiet(kept.begun))
    }

    /// The kept answer nearest to `since`, unless a commit has begun.
    pub(super) fn nearest(&self, quiet: Quiet, since: u64) -> Option<Anchor> {
        let kept = self.lock();
        let nearest = kept.anchors.iter().min_by_key(|anchor| anchor.since.abs_diff(since));
        nearest.copied().filter(|_| kept.begun == quiet.0)
    }

    /// Keeps an answer, unless a commit has begun meanwhile.
    pub(super) fn keep(&self, quiet: Quiet, anchor: Anchor) {
        let mut kept = self.lock();
        if kept.begun != quiet.0 || kept.anchors.iter().any(|known| known.since == anchor.since) {
            return;
        }
        if kept.anchors.len() == ANCHORS_MAX {
            kept.anchors.pop_front();
        }
        kept.anchors.push_back(anchor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_follow_the_writer() {
        let pendings = Pendings::default();
        let quiet = pendings.quiet().unwrap();
        pendings.keep(quiet, Anchor { since: 10, count: 5 });
        for (before, still_is, expect) in [
            (None, true, 6),
            (Some(3), true, 7),
            (Some(10), true, 8),
            (Some(11), true, 8),
            (Some(11), false, 7),
            (Some(3), false, 7),
        ] {
            pendings.begin();
            assert!(pendings.quiet().is_none());
            pendings.note(&[(before, still_is)]);
            let quiet = pendings.quiet().unwrap();
            let anchor = pendings.nearest(quiet, 99).unwrap();
            assert_eq!((anchor.since, anchor.count), (10, expect), "{before:?} {still_is}");
        }
        // An answer from before a commit is neither kept nor given.
        pendings.keep(quiet, Anchor { since: 90, count: 1 });
        assert_eq!(pendings.nearest(quiet, 99), None);
        let quiet = pendings.quiet().unwrap();
        assert_eq!(pendings.nearest(quiet, 99).unwrap().since, 10);
        for since in 20..30 {
            pendings.keep(quiet, Anchor { since, count: 0 });
        }
        assert_eq!(pendings.lock().anchors.len(), ANCHORS_MAX);
        assert_eq!(pendings.nearest(quiet, 0).unwrap().since, 22);
    }
}
