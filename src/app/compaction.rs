//! Compacting databases: what is done where it begins, whoever asks for it.

use std::sync::Arc;

use crate::database::{Database, DatabaseError};
use crate::views::ViewsError;

use super::{App, now_s};

impl App {
    /// Compacts a database, unless that is under way already. Blocks. The log tells of indexes that
    /// lack purges for longer than `[purge] index_lag_warn_seconds`.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn compact_database(&self, db: &Arc<Database>) -> Result<(), DatabaseError> {
        if let Err(error) = self.warn_of_lags(db) {
            tracing::warn!(db.name = %db.name(), %error, "its indexes could not be looked at");
        }
        db.compact().map(drop)
    }

    fn warn_of_lags(&self, db: &Database) -> Result<(), ViewsError> {
        let most = self.config.snapshot().purge.index_lag_warn_seconds;
        let now = now_s();
        for (signature, purged_s) in self.views.purge_lags(db)? {
            let lag_s = now.saturating_sub(purged_s);
            if lag_s >= most {
                tracing::warn!(
                    db.name = %db.name(),
                    index.signature = signature,
                    lag_s,
                    "an index lacks purges of its database: ask one of its views, or clean it up"
                );
            }
        }
        Ok(())
    }
}
