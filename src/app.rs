//! What all requests share: the databases, the configuration, who is who.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::database::Registry;
use crate::design::Functions;
use crate::replicator::Replicator;
use crate::users::Peruser;
use crate::views::Views;

mod apply;
pub mod backup;
mod clock;
mod compaction;
pub mod control;
mod disk;
mod global_changes;
mod jwks;
pub mod log;
mod node_name;
pub mod process;
pub mod recent_log;
mod resharding;
mod start;
mod uuids;

pub use clock::now_s;
pub use jwks::Jwks;
pub use node_name::node_name;
pub use resharding::Resharding;
pub use start::{StartError, StartOptions, Started, Storage, start};
pub use uuids::UuidGenerator;

/// The bundle of handles that a request works with.
pub struct App {
    pub registry: Arc<Registry>,
    pub config: Arc<Config>,
    pub authenticator: Authenticator,
    /// Runs the functions of design documents.
    pub functions: Arc<Functions>,
    /// The view indexes that are in use.
    pub views: Arc<Views>,
    pub replicator: Replicator,
    /// The published keys of bearer tokens.
    pub jwks: Arc<Jwks>,
    /// The databases of single users.
    pub peruser: Arc<Peruser>,
    pub uuids: UuidGenerator,
    pub resharding: Resharding,
    /// The server's stable identity.
    pub uuid: String,
    /// The folder of temporary files; emptied at each start.
    pub scratch: PathBuf,
    /// Told when a restart is asked for: the server listens where the settings say by then.
    pub restarted: watch::Sender<()>,
    /// Cancelled when the server stops: feeds end.
    pub stopping: CancellationToken,
}

impl App {
    /// Does what nobody asks for by request, until the server stops.
    pub async fn run_services(&self) {
        let stopping = || self.stopping.clone();
        let peruser = self.peruser.clone().drive(stopping());
        let disk = self.watch_disk(stopping());
        let global_changes = self.write_global_changes(stopping());
        let log = log::keep_flushed(stopping());
        tokio::join!(self.replicator.drive(stopping()), peruser, disk, global_changes, log);
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// A shared [`App`].
pub type SharedApp = Arc<App>;
