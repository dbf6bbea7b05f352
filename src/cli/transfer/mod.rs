//! What `settee export` and `settee import` share: where databases are, how files are opened and
//! finished, what is shown meanwhile, and what is said when something is wrong.

mod address;
mod input;
mod meter;
mod output;

pub use address::{Address, Server, is_address};
pub use input::Input;
pub use meter::{Meter, Reached, count};
pub use output::Output;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;

use crate::blocking::Interrupted;
use crate::config::Settings;
use crate::http::client::HttpClients;
use crate::replicator::archive::{ArchiveError, Tally, TransferError};
use crate::replicator::{HttpPeer, PeerError, Tuning};

/// How long work on other threads may go on after the end.
const LAST_WORK_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a database could not be moved, or not all of it.
#[derive(Debug, Error)]
pub enum MoveError {
    /// It cannot be shown: there may be a password in it.
    #[error("{0} is no address such as http://127.0.0.1:5984/name")]
    Address(&'static str),
    #[error("{0} is a server; say which of its databases")]
    NoDatabase(String),
    #[error("the file does not say which database it was; say where it is to go: --to NAME")]
    NoTarget,
    #[error("no server answers: {0}")]
    NoServer(String),
    #[error("{0} wants a name and a password: http://NAME:PASSWORD@..., best in SETTEE_URL")]
    NoCredentials(String),
    #[error("{0} does not take this name and password, or they may not do this")]
    Refused(String),
    #[error("there is no database at {0}")]
    NoSuchDatabase(String),
    #[error("is this a CouchDB? {0}")]
    Stranger(String),
    #[error(transparent)]
    Peer(PeerError),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: ArchiveError },
    #[error(
        "{} was cut: its end is missing. Nothing has been imported; --truncated takes what is there",
        .0.display()
    )]
    Truncated(PathBuf),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
    #[error("stopped")]
    Stopped,
    #[error("{} failed", count(*.0))]
    SomeFailed(u64),
}

impl MoveError {
    /// What a failed call to one of the databases at `addresses` means to people.
    pub fn of_peer(error: PeerError, addresses: &[&Address]) -> Self {
        match error {
            PeerError::Unreachable(text) => Self::NoServer(text),
            PeerError::Unauthorized(name) => {
                let named = addresses.iter().find(|address| address.shown() == name);
                let is_known = named.is_none_or(|address| address.has_credentials());
                if is_known { Self::Refused(name) } else { Self::NoCredentials(name) }
            }
            PeerError::NotFound(name) => Self::NoSuchDatabase(name),
            PeerError::Garbage(text) => Self::Stranger(text),
            other => Self::Peer(other),
        }
    }

    /// Why moving stopped between `addresses` and a file.
    pub fn of_transfer(error: TransferError, addresses: &[&Address], path: &str) -> Self {
        match error {
            TransferError::Peer(error) => Self::of_peer(error, addresses),
            TransferError::Archive(error) => Self::File { path: path.into(), error },
            TransferError::Interrupted(error) => Self::Interrupted(error),
        }
    }
}

/// What databases are reached with.
pub struct Peers {
    clients: HttpClients,
    tuning: Tuning,
}

impl Peers {
    pub fn new() -> Self {
        let tuning = Tuning::of(&Settings::default().replicator);
        Self { clients: HttpClients::new(), tuning }
    }

    pub fn peer(&self, address: &Address) -> Result<HttpPeer, MoveError> {
        self.peer_with(address, &self.tuning)
    }

    /// A peer that gives up at once: somebody waits for the first answer.
    pub fn impatient(&self, address: &Address) -> Result<HttpPeer, MoveError> {
        self.peer_with(address, &Tuning { retries_per_request: 0, ..self.tuning.clone() })
    }

    fn peer_with(&self, address: &Address, tuning: &Tuning) -> Result<HttpPeer, MoveError> {
        let peer = HttpPeer::new(&self.clients, &address.remote, tuning, true);
        peer.map_err(|error| MoveError::of_peer(error, &[address]))
    }
}

/// Runs `work` to its end, or until Ctrl-C.
pub fn run<T>(work: impl Future<Output = Result<T, MoveError>>) -> Result<T, MoveError> {
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = work => ended,
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                Err(MoveError::Stopped)
            }
        }
    });
    // A read of a terminal may last.
    runtime.shutdown_timeout(LAST_WORK_TIME_MAX);
    ended
}

/// Names the documents that failed.
pub fn check_failures(tally: &Tally) -> Result<(), MoveError> {
    let (failures, failed) = (tally.failures(), tally.failed());
    for failure in &failures {
        eprintln!("  {}: {}: {}", failure.id, failure.error, failure.reason);
    }
    let unnamed = failed - failures.len() as u64;
    if unnamed > 0 {
        eprintln!("  and {} more", count(unnamed));
    }
    if failed == 0 { Ok(()) } else { Err(MoveError::SomeFailed(failed)) }
}
