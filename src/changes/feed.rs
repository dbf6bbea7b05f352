//! A cursor that can wait: what is shown as a feed, over HTTP or to a replication.

use std::sync::Arc;

use tokio::sync::watch;

use crate::database::{Database, Published, Seq};

use super::{Cursor, Options};

/// Where a feed begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Beginning,
    Now,
    /// After a sequence that the database (or an earlier one of its name) gave.
    Seq(Seq),
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// There is more to read.
    Changes,
    /// The database has been deleted; nothing more will come.
    DatabaseDeleted,
}

/// The changes of a database from a point on, as long as somebody asks.
#[derive(Debug)]
pub struct Feed {
    published: watch::Receiver<Published>,
    cursor: Cursor,
}

impl Feed {
    /// A feed whose first pass ends at the newest sequence of now.
    #[must_use]
    pub fn new(db: Arc<Database>, since: Since, options: Options) -> Self {
        let mut published = db.subscribe();
        let newest = published.borrow_and_update().update_seq;
        let since = match since {
            Since::Beginning => 0,
            Since::Now => newest,
            Since::Seq(seq) => db.number_of(seq),
        };
        Self { published, cursor: Cursor::new(db, since, newest, options) }
    }

    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    /// Waits for something new and begins the next pass. May be dropped and called again.
    pub async fn news(&mut self) -> News {
        // The sender lives in the database that the cursor holds, so this waits for news only.
        let _ = self.published.changed().await;
        let published = *self.published.borrow_and_update();
        if published.deleted {
            return News::DatabaseDeleted;
        }
        self.cursor.renew(published.update_seq);
        News::Changes
    }
}
