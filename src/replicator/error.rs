//! Why a replication cannot be begun, and why it stopped.

use thiserror::Error;

/// What is wrong with the parameters of a replication.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecificationError {
    /// No source or no target.
    #[error("Missing replicator database")]
    MissingDatabase,
    /// A parameter of the wrong type: CouchDB's `bad_request`.
    #[error("{0}")]
    Parameter(String),
    /// Parameters that exclude each other; `bad_request` too.
    #[error("{0}")]
    Exclusive(String),
    /// An address that cannot be read.
    #[error("{0} has an invalid url")]
    Address(&'static str),
    /// A source or a target that is neither a text nor an object: CouchDB fails over it.
    #[error("function_clause")]
    NoEndpoint,
}

/// Why a call of a peer failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerError {
    /// There is no such database.
    #[error("could not open {0}")]
    NotFound(String),
    /// The peer wants to know who asks, or does not let them.
    #[error("unauthorized to access or create database {0}")]
    Unauthorized(String),
    /// No connection, one that was cut, or no answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// Any other status than the wanted one.
    #[error("{name} answered {status} {error}: {reason}")]
    Status { name: String, status: u16, error: String, reason: String },
    /// The answer makes no sense.
    #[error("{0}")]
    Garbage(String),
    /// The address, a header or the proxy is of no use.
    #[error("{0}")]
    Invalid(String),
    /// The body is too large for the peer, or its answer for us.
    #[error("the request is too large for {0}")]
    TooLarge(String),
    /// A stub names an attachment that the target does not have.
    #[error("a stub names no attachment of the target")]
    MissingStub,
    /// A database of this server failed.
    #[error("{0}")]
    Local(String),
}

impl PeerError {
    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Garbage(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502..),
            Self::NotFound(_)
            | Self::Unauthorized(_)
            | Self::Invalid(_)
            | Self::TooLarge(_)
            | Self::MissingStub
            | Self::Local(_) => false,
        }
    }
}

/// Why a replication stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplicationError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The filter function of the source cannot be read.
    #[error("Couldn't open document `{ddoc}` from source database `{source_name}`: {error}")]
    Filter { ddoc: String, source_name: String, error: Box<PeerError> },
    /// A side was deleted and created anew, or restarted without what was written.
    #[error("instance_start_time on {0} database has changed since last checkpoint.")]
    InstanceChanged(&'static str),
    /// A checkpoint could not be written.
    #[error("Error updating the {side} checkpoint document: {error}")]
    Checkpoint { side: &'static str, error: Box<PeerError> },
}

impl ReplicationError {
    /// What CouchDB calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Peer(PeerError::NotFound(_)) => "db_not_found",
            Self::Peer(PeerError::Unauthorized(_)) => "unauthorized",
            Self::Peer(PeerError::Local(_)) => "replication_error",
            Self::Peer(_) => "http_request_failed",
            Self::Filter { .. } => "filter_fetch_error",
            Self::InstanceChanged(_) | Self::Checkpoint { .. } => "checkpoint_commit_failure",
        }
    }
}
