//! What can go wrong with the configuration store. Bad *values* are no errors: see `Warning`.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the configuration could not be read, changed or kept.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read configuration file {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write configuration file {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A configuration file is larger than the reader takes, or would become so by this change.
    #[error("configuration file {} is larger than {bytes_max} bytes", path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
    #[error("configuration file {} is not UTF-8", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("Invalid configuration section")]
    InvalidSection,
    #[error("Invalid configuration key")]
    InvalidKey,
    #[error("Invalid configuration value")]
    InvalidValue,
}
