//! Whose replications come first where not all can run: each replicator database has shares
//! (`[replicator.shares]`), after the Fair Share of Kay and Lauder.
//!
//! A database is charged for the time that its jobs run, and forgets it turn by turn. A job that
//! has run goes back in the queue: the further, the more its database has used, the more jobs
//! that has, and the fewer shares. All drift to the front again, so nobody waits for ever.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::SharesSettings;

use super::job::{Job, Origin};

/// Seconds of use that are as good as none.
const FORGOTTEN: f64 = 1e-6;

/// What the databases have used.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<String, Account>);

#[derive(Debug, Default)]
struct Account {
    jobs: u32,
    /// Seconds of the turns before, the older the less.
    used: f64,
    /// Seconds of this turn.
    charged: f64,
}

/// Who is charged: a database, or the user of a request.
fn owner(job: &Job) -> &str {
    match &job.origin {
        Origin::Document { database, .. } => database,
        Origin::Request => job.user.name.as_deref().unwrap_or_default(),
    }
}

impl Shares {
    fn account(&mut self, job: &Job) -> &mut Account {
        self.0.entry(owner(job).to_owned()).or_default()
    }

    /// A job came. Returns how far back it stands: as if it had run for a turn.
    pub fn add(&mut self, job: &Job, settings: &SharesSettings) -> f64 {
        self.account(job).jobs += 1;
        self.step(job, settings)
    }

    pub fn remove(&mut self, job: &Job) {
        let account = self.account(job);
        account.jobs = account.jobs.saturating_sub(1);
    }

    pub fn charge(&mut self, job: &Job, ran: Duration) {
        self.account(job).charged += ran.as_secs_f64();
    }

    /// A turn has ended.
    pub fn turn(&mut self, settings: &SharesSettings) {
        self.0.retain(|_, account| {
            account.used = account.used * settings.usage_coeff + account.charged;
            account.charged = 0.0;
            account.jobs > 0 || account.used > FORGOTTEN
        });
    }

    /// How far a job goes back that has run for a turn.
    pub fn step(&self, job: &Job, settings: &SharesSettings) -> f64 {
        let owner = owner(job);
        let Some(account) = self.0.get(owner) else { return 0.0 };
        let shares = f64::from(settings.of(owner));
        account.used * f64::from(account.jobs) / (shares * shares)
    }
}
