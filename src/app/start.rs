//! Building an [`App`]: configuration, accounts, store, system databases.
//!
//! When this has ended, all that a request may rely on is there and on disk: the server's uuid,
//! the cookie secret, hashes in the place of clear passwords, and the system databases.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::{self, Authenticator, NewAdmin, SecurityObject};
use crate::collation::compare_strings;
use crate::config::{Config, ConfigError, Override, Persist};
use crate::database::{Admitted, CreateOptions, DatabaseError, DatabaseName, NameError, Registry};
use crate::design::Functions;
use crate::mango::mapper;
use crate::mango::validation::SelectorValidator;
use crate::replicator::{LocalServer, Replicator, ReplicatorRules};
use crate::sandbox::{self, Sandbox};
use crate::storage::{Engine, MemoryEngine, RocksEngine, RocksOptions, StorageError};
use crate::users::{Accounts, Peruser, UsersRules, missing_auth_design};
use crate::views::Views;

use super::node_name::set_node_name;
use super::uuids::random_hex;
use super::{App, Jwks, Resharding, SharedApp, UuidGenerator, log, now_s, process};

/// The account that is made when there is no other.
const FIRST_ADMIN: &str = "admin";
const SYSTEM_DATABASES: [&str; 3] = ["_global_changes", "_replicator", "_users"];

/// Where documents are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In the data folder.
    RocksDb,
    /// In memory only: they are gone with the process.
    Memory,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Holds `local.ini` and the store; made if it is not there.
    pub data_dir: PathBuf,
    /// Read before `local.ini`; they must exist.
    pub config_files: Vec<PathBuf>,
    /// Settings from the command line and the environment; they win over all files.
    pub overrides: Vec<Override>,
    pub storage: Storage,
    /// What the node is called, or its host.
    pub node_name: Option<String>,
}

/// A server's app, and the account that was made for it on its very first start.
pub struct Started {
    pub app: SharedApp,
    pub new_admin: Option<NewAdmin>,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot make the data folder {}: {source}", path.display())]
    DataFolder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot open the store: {0}")]
    Storage(#[from] StorageError),
    #[error("cannot open the databases: {0}")]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("cannot start the sandbox's threads: {0}")]
    Sandbox(io::Error),
    #[error("the admins' passwords could not be hashed")]
    Accounts,
}

/// Builds the app.
///
/// # Errors
/// See [`StartError`]; what was made until then stays.
pub fn start(options: &StartOptions) -> Result<Started, StartError> {
    process::start_clock();
    if let Some(name) = &options.node_name {
        set_node_name(name);
    }
    make_folder(&options.data_dir)?;
    let local_ini = options.data_dir.join("local.ini");
    let config = Config::open(&options.config_files, local_ini, options.overrides.clone())?;
    let config = Arc::new(config);
    log::set(&config.snapshot().log);
    auth::ensure_cookie_secret(&config)?;
    let uuid = ensure_uuid(&config)?;
    let sandboxed = sandbox::Options { collate: compare_strings, ..Default::default() };
    let sandbox = Sandbox::new(sandboxed).map_err(StartError::Sandbox)?;
    let functions = Arc::new(Functions::new(sandbox));
    // Hashing a password takes a tenth of a second and more; the store opens meanwhile.
    let (new_admin, registry) = thread::scope(|scope| {
        let accounts = scope.spawn(|| prepare_accounts(&config));
        let registry = open_registry(options, &config, functions.clone());
        (accounts.join().map_err(|_| StartError::Accounts), registry)
    });
    let views = Views::new(functions.clone());
    views.set_language(mapper::LANGUAGE, mapper::make_mapper());
    let views = Arc::new(views);
    let registry = Arc::new(registry?);
    let local = LocalServer {
        registry: registry.clone(),
        functions: functions.clone(),
        views: views.clone(),
        config: config.clone(),
        now_s,
    };
    let accounts = Accounts::new(registry.clone(), config.clone());
    let authenticator = Authenticator::new(config.clone(), Arc::new(accounts));
    let app = App {
        jwks: Arc::new(Jwks::new(authenticator.tokens().clone())),
        authenticator,
        peruser: Arc::new(Peruser::new(registry.clone(), &config.snapshot(), now_s)),
        registry,
        config,
        replicator: Replicator::new(local, uuid.clone()),
        views,
        functions,
        uuids: UuidGenerator::default(),
        resharding: Resharding::default(),
        uuid,
        scratch: make_scratch(&options.data_dir)?,
        restarted: watch::Sender::default(),
        stopping: CancellationToken::new(),
    };
    app.apply_settings();
    Ok(Started { app: Arc::new(app), new_admin: new_admin?? })
}

fn make_folder(path: &Path) -> Result<(), StartError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    owner_only(&mut builder);
    builder.create(path).map_err(|source| StartError::DataFolder { path: path.to_owned(), source })
}

/// Makes the folder of temporary files anew, without what a crash may have left in it. The store
/// is open by then, so no other process uses the data folder.
fn make_scratch(data_dir: &Path) -> Result<PathBuf, StartError> {
    let scratch = data_dir.join("tmp");
    if let Err(source) = std::fs::remove_dir_all(&scratch)
        && source.kind() != io::ErrorKind::NotFound
    {
        return Err(StartError::DataFolder { path: scratch, source });
    }
    make_folder(&scratch)?;
    Ok(scratch)
}

#[cfg(unix)]
fn owner_only(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn owner_only(_: &mut DirBuilder) {}

fn ensure_uuid(config: &Config) -> Result<String, ConfigError> {
    if let Some(uuid) = config.snapshot().couchdb.uuid.clone() {
        return Ok(uuid);
    }
    let uuid = random_hex(32);
    config.set("couchdb", "uuid", &uuid, Persist::Yes)?;
    Ok(uuid)
}

fn prepare_accounts(config: &Config) -> Result<Option<NewAdmin>, ConfigError> {
    auth::hash_plain_text_admins(config)?;
    auth::create_first_admin(config, FIRST_ADMIN)
}

fn open_registry(
    options: &StartOptions,
    config: &Arc<Config>,
    functions: Arc<Functions>,
) -> Result<Registry, StartError> {
    let engine: Arc<dyn Engine> = match options.storage {
        Storage::RocksDb => {
            let folder = options.data_dir.join("store");
            Arc::new(RocksEngine::open(&folder, &RocksOptions::default())?)
        }
        Storage::Memory => Arc::new(MemoryEngine::default()),
    };
    let default_security = config.snapshot().couchdb.default_security;
    let security = SecurityObject::default_object(default_security).to_json();
    let validator = Arc::new(SelectorValidator::new(functions));
    let registry = Registry::open(engine, security.into_bytes().into(), validator)?
        .with_rules(Arc::new(ReplicatorRules { config: config.clone() }))
        .with_rules(Arc::new(UsersRules { config: config.clone() }));
    for name in SYSTEM_DATABASES {
        let name = DatabaseName::parse(name)?;
        if !registry.exists(&name)? {
            let options = CreateOptions { created_s: now_s(), ..CreateOptions::default() };
            registry.create(&name, options)?;
        }
    }
    if let Ok(name) = DatabaseName::parse(config.snapshot().auth.users_database())
        && let Ok(db) = registry.get(&name)
        && let Some(edit) = missing_auth_design(&db)?
        && let Some(driver) = db.edit(Admitted::by_server(vec![edit]))?.driver
    {
        // Nobody else writes yet, so it is done when the driver is.
        driver.run();
    }
    Ok(registry)
}
