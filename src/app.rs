//! What all requests share: the databases, the configuration, who is who.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::database::Registry;
use crate::sandbox::Sandbox;

mod clock;
mod uuids;

pub use clock::now_s;
pub use uuids::UuidGenerator;

/// The bundle of handles that a request works with.
#[derive(Debug)]
pub struct App {
    pub registry: Registry,
    pub config: Config,
    pub authenticator: Authenticator,
    pub sandbox: Sandbox,
    pub uuids: UuidGenerator,
    /// The server's stable identity.
    pub uuid: String,
    /// Cancelled when the server stops: feeds end.
    pub stopping: CancellationToken,
}

/// A shared [`App`].
pub type SharedApp = Arc<App>;
