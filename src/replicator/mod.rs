//! Replication: what a replication is, how it runs, when it runs.
//!
//! A replication is a [`Specification`]: two [`Endpoint`]s and what is chosen between them. Its
//! [`ReplicationId`] names it; its [`Checkpoint`] documents on both sides say how far it has come.
//! Each side is a [`Peer`].

pub mod archive;
mod attachments;
mod checkpoint;
mod documents;
mod endpoint;
mod error;
mod http_peer;
mod id;
mod job;
mod local_peer;
mod peer;
mod progress;
mod replications;
mod retries;
mod rules;
mod run;
mod scheduler;
#[cfg(test)]
mod scheduler_tests;
mod service;
mod shares;
mod specification;

#[cfg(test)]
mod simulation;

pub use attachments::{AttachmentSource, AttachmentStream};
pub use checkpoint::{Checkpoint, Session, Statistics, agree};
pub use documents::{DocumentState, DocumentView, is_replicator_database};
pub use endpoint::{Credentials, Endpoint, Remote, Scheme, strip_password};
pub use error::{PeerError, ReplicationError, SpecificationError};
pub use http_peer::{Description, HttpPeer};
pub use id::ReplicationId;
pub use job::{Completed, Event, Happened, Job, JobView, Origin, Outcome};
pub use local_peer::{LocalPeer, LocalServer};
pub use peer::{
    Answer, AttachmentBody, AttachmentHolder, Changed, ChangesBatch, ChangesQuery, ChangesReader,
    Fetched, Missing, Peer, PeerInfo, Revision, Stub, WriteFailure,
};
pub use progress::{Progress, Snapshot};
pub use retries::{Attempts, Retries};
pub use rules::ReplicatorRules;
pub use run::{Ended, Replication};
pub use service::{NotCancelled, Replicator};
pub use specification::{CreateTarget, Selection, Specification, Tuning};
