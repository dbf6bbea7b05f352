//! Replications of this server: their sides, their ids, and how the scheduler runs them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::auth::UserCtx;
use crate::config::ReplicatorSettings;
use crate::http::client::HttpClients;

use super::endpoint::Remote;
use super::job::Job;
use super::local_peer::{LocalPeer, LocalServer};
use super::peer::Peer;
use super::run::{Ended, Replication};
use super::scheduler::Runner;
use super::{
    Endpoint, HttpPeer, PeerError, Progress, ReplicationError, ReplicationId, Scheme, Selection,
    Specification,
};

/// What replications are made of.
#[derive(Clone)]
pub struct Replications {
    pub server: LocalServer,
    /// The server's stable identity.
    pub uuid: String,
    /// What all replications reach other servers with.
    pub clients: Arc<HttpClients>,
}

impl Replications {
    fn peer(
        &self,
        endpoint: &Endpoint,
        specification: &Specification,
        user: &UserCtx,
    ) -> Result<Arc<dyn Peer>, PeerError> {
        Ok(match endpoint {
            Endpoint::Local(name) => {
                Arc::new(LocalPeer::new(self.server.clone(), name.clone(), user.clone()))
            }
            Endpoint::Remote(remote) => {
                let tuning = &specification.tuning;
                let bulk = tuning.use_bulk_get;
                Arc::new(HttpPeer::new(&self.clients, remote, tuning, bulk)?)
            }
        })
    }

    /// The id of a replication. Where it has a filter function, the source is asked for its code.
    ///
    /// # Errors
    /// Where the code cannot be read.
    pub async fn id_of(
        &self,
        specification: &Specification,
        user: &UserCtx,
    ) -> Result<ReplicationId, ReplicationError> {
        let code = match &specification.selection {
            Selection::Filter { name, .. } => match name.split_once('/') {
                Some((ddoc, filter)) if !name.starts_with('_') => {
                    Some(self.filter_code(specification, user, ddoc, filter).await?)
                }
                _ => None,
            },
            _ => None,
        };
        let local = self.own_address(user);
        Ok(ReplicationId::of(specification, &self.uuid, code.as_deref(), &local))
    }

    async fn filter_code(
        &self,
        specification: &Specification,
        user: &UserCtx,
        ddoc: &str,
        filter: &str,
    ) -> Result<String, ReplicationError> {
        let source = self.peer(&specification.source, specification, user)?;
        source.filter_code(ddoc, filter).await.map_err(|error| ReplicationError::Filter {
            ddoc: format!("_design/{ddoc}"),
            source_name: source.name(),
            error: Box::new(error),
        })
    }

    /// Where this server's own databases are, as it stands in ids.
    fn own_address(&self, user: &UserCtx) -> Remote {
        let chttpd = &self.server.config.snapshot().chttpd;
        let credentials = user.name.as_ref();
        let credentials = credentials
            .map(|name| super::Credentials { name: name.clone(), password: String::new() });
        Remote {
            scheme: Scheme::Http,
            host: chttpd.bind_address.to_string(),
            port: chttpd.port,
            path: "/".to_owned(),
            credentials,
            headers: Vec::new(),
            proxy: None,
        }
    }
}

impl Runner for Replications {
    fn run<'a>(
        &'a self,
        job: &'a Job,
        progress: &'a Progress,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Ended, ReplicationError>> {
        Box::pin(async move {
            let specification = &job.specification;
            let replication = Replication {
                id: job.id.clone(),
                specification: specification.clone(),
                source: self.peer(&specification.source, specification, &job.user)?,
                target: self.peer(&specification.target, specification, &job.user)?,
                now_s: self.server.now_s,
            };
            replication.run(progress, stop).await
        })
    }

    fn settings(&self) -> ReplicatorSettings {
        self.server.config.snapshot().replicator.clone()
    }

    fn now_s(&self) -> u64 {
        (self.server.now_s)()
    }
}
