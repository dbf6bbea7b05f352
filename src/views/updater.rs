//! The duty to update an index: one has it at a time, and who waits is always told how it ended.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::database::Database;

use super::{Index, ViewsError, build};

/// A build under way, for `_active_tasks`.
#[derive(Debug, Clone)]
pub struct Building {
    pub db: Arc<Database>,
    /// The id of a design document with this index.
    pub design_document: String,
    pub changes_done: u64,
    pub total_changes: u64,
    /// Seconds since 1970.
    pub started_s: u64,
    pub updated_s: u64,
}

/// How far an update has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) changes_done: u64,
    pub(super) total_changes: u64,
    pub(super) started_s: u64,
    pub(super) updated_s: u64,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let now = now_s();
        Self { changes_done: 0, total_changes: 0, started_s: now, updated_s: now }
    }

    pub(super) fn note_done(&mut self, changes: u64) {
        self.changes_done += changes;
        self.total_changes = self.total_changes.max(self.changes_done);
        self.updated_s = now_s();
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether somebody updates an index, and up to where it is wanted.
#[derive(Debug, Default)]
pub(super) struct Duty {
    taken: bool,
    wanted: u64,
}

impl Duty {
    /// Asks for everything up to `wanted`; whether the duty falls to who asks.
    pub(super) fn take(&mut self, wanted: u64) -> bool {
        self.wanted = self.wanted.max(wanted);
        !std::mem::replace(&mut self.taken, true)
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }
}

/// The duty to bring an index up to date.
#[derive(Debug)]
#[must_use = "an index that nobody updates keeps all who wait for it waiting"]
pub struct Updater {
    index: Arc<Index>,
    /// The duty has been given back, and somebody else may have it by now.
    ended: bool,
}

impl Updater {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { index, ended: false }
    }

    /// Brings the index up to date; blocks. Those who wait are told how it ended.
    pub fn run(mut self) {
        *self.index.lock_progress() = Some(Progress::begin());
        let failure = loop {
            match build::bring_up(&self.index) {
                Ok(reached) if !self.give_back(Some(reached)) => {}
                Ok(_) => break None,
                Err(failure) => {
                    self.give_back(None);
                    break Some(failure);
                }
            }
        };
        self.tell(failure);
    }

    /// Gives the duty back, unless more is wanted than has been reached by now.
    fn give_back(&mut self, reached: Option<u64>) -> bool {
        let mut duty = self.index.lock_duty();
        let ended = reached.is_none_or(|reached| reached >= duty.wanted);
        if ended {
            duty.taken = false;
            *self.index.lock_progress() = None;
            self.ended = true;
        }
        ended
    }

    /// Comes after the duty was given back, so that who is told of a failure can take it.
    fn tell(&self, failure: Option<ViewsError>) {
        self.index.reached.send_modify(|reached| {
            reached.updates += 1;
            reached.failure = failure;
        });
    }
}

impl Drop for Updater {
    /// After a panic, or when it never ran: nobody is left waiting for nobody.
    fn drop(&mut self) {
        if !self.ended {
            self.give_back(None);
            self.tell(Some(ViewsError::Interrupted));
        }
    }
}
