//! `settee compact`.

use clap::Args;

use crate::app::control::Request;
use crate::app::{self, StartOptions, Storage};

use super::super::arguments::DataDir;
use super::{StoreError, control};

/// `settee compact`.
#[derive(Debug, Args)]
pub struct Compact {
    /// Databases to compact [default: all, and everything else in the store]
    databases: Vec<String>,
    #[command(flatten)]
    data: DataDir,
}

/// Compacts databases.
pub fn compact(arguments: &Compact) -> Result<(), StoreError> {
    let data_dir = &arguments.data.folder()?;
    let databases = arguments.databases.clone();
    if let Some(mut server) = control::connect(data_dir)? {
        server.ask(&Request::Compact { databases })?;
        return Ok(());
    }
    let folder = data_dir.join("store");
    if !folder.is_dir() {
        return Err(app::backup::BackupError::NoStore(folder).into());
    }
    let options = StartOptions {
        data_dir: data_dir.clone(),
        config_files: Vec::new(),
        overrides: Vec::new(),
        storage: Storage::RocksDb,
        node_name: None,
    };
    let app = app::start(&options)?.app;
    let compacted = app.compact(&databases).map_err(StoreError::Compaction);
    let closed = app.registry.close().map_err(|error| StoreError::Compaction(error.to_string()));
    compacted.and(closed)
}
