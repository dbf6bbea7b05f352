//! The replicator as the rest of the server sees it: replications by request, by document, and
//! what is known of them.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::auth::UserCtx;
use crate::http::client::HttpClients;

use super::documents::{DocumentView, Documents};
use super::job::{Job, JobView, Origin};
use super::local_peer::LocalServer;
use super::replications::Replications;
use super::scheduler::Scheduler;
use super::{ReplicationError, Specification, SpecificationError, Tuning};

/// The replications of this server.
pub struct Replicator {
    replications: Replications,
    scheduler: Arc<Scheduler>,
    documents: Arc<Documents>,
}

/// Why a replication was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCancelled {
    NotFound,
    /// It is another user's.
    Forbidden,
}

impl Replicator {
    /// A replicator that does nothing until it is driven. `uuid` is the server's identity.
    #[must_use]
    pub fn new(server: LocalServer, uuid: String) -> Self {
        let clients = Arc::new(HttpClients::new());
        let replications = Replications { server, uuid, clients };
        let scheduler = Arc::new(Scheduler::new(Arc::new(replications.clone())));
        let documents = Arc::new(Documents::new(replications.clone(), scheduler.clone()));
        Self { replications, scheduler, documents }
    }

    /// Runs replications until `stop`, and until the last checkpoints have been written.
    pub async fn drive(&self, stop: CancellationToken) {
        let following = self.documents.clone().follow_all(stop.clone());
        tokio::join!(self.scheduler.clone().drive(stop), following);
    }

    /// Reads what a request or a document asks for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn specification(
        &self,
        body: &Map<String, Value>,
    ) -> Result<Specification, SpecificationError> {
        let settings = &self.replications.server.config.snapshot().replicator;
        Specification::parse(body, &Tuning::of(settings))
    }

    /// Begins a replication for a user, or finds the same one under way.
    ///
    /// # Errors
    /// Where the filter function of the source cannot be read.
    pub async fn start(
        &self,
        specification: Specification,
        user: &UserCtx,
    ) -> Result<Arc<Job>, ReplicationError> {
        let id = self.replications.id_of(&specification, user).await?;
        let now_s = (self.replications.server.now_s)();
        let job = Job::new(id, Arc::new(specification), user.clone(), Origin::Request, now_s);
        Ok(self.scheduler.add(job).unwrap_or_else(|known| known))
    }

    /// Ends a replication.
    ///
    /// # Errors
    /// See [`NotCancelled`].
    pub fn cancel(&self, id: &str, user: &UserCtx) -> Result<(), NotCancelled> {
        let known = self.scheduler.job(id).ok_or(NotCancelled::NotFound)?;
        if known.job.user.name != user.name && !user.is_server_admin() {
            return Err(NotCancelled::Forbidden);
        }
        self.scheduler.remove(id).map(drop).ok_or(NotCancelled::NotFound)
    }

    /// The id of a replication that is asked for, to cancel it.
    ///
    /// # Errors
    /// Where the filter function of the source cannot be read.
    pub async fn id_of(
        &self,
        specification: &Specification,
        user: &UserCtx,
    ) -> Result<String, ReplicationError> {
        Ok(self.replications.id_of(specification, user).await?.to_string())
    }

    /// A job, by its whole id.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<JobView> {
        self.scheduler.job(id)
    }

    /// All jobs in the order of their ids.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        self.scheduler.jobs()
    }

    /// What is known of a document of a replicator database whose replication has not ended.
    #[must_use]
    pub fn document(&self, database: &str, doc_id: &str) -> Option<DocumentView> {
        self.documents.view(database, doc_id)
    }
}
