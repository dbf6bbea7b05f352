//! Why a workload gave no figure.

use thiserror::Error;

pub type Result<T> = std::result::Result<T, BenchError>;

#[derive(Debug, Error)]
pub enum BenchError {
    #[error("input or output: {0}")]
    Io(#[from] std::io::Error),
    #[error("storage: {0}")]
    Storage(#[from] settee::storage::StorageError),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0} did not say that it is ready")]
    NotReady(&'static str),
    #[error("settee did not end within {0} s of SIGTERM")]
    NotStopped(u64),
    #[error("not an HTTP/1.1 answer: {0}")]
    Protocol(&'static str),
    #[error("the peer closed the connection")]
    Closed,
    #[error("{request}: status {status}: {body}")]
    Status { request: String, status: u16, body: String },
    /// The server answered, but not what it should have.
    #[error("{what}: expected {expected}, found {found}")]
    Check { what: &'static str, expected: String, found: String },
    #[error("a sample is no {0}")]
    Sample(&'static str),
    #[error("/proc does not tell {0}")]
    Proc(&'static str),
    #[error("{needed} open files are needed, {allowed} are allowed: raise `ulimit -n`")]
    OpenFiles { needed: usize, allowed: usize },
    #[error("interrupted")]
    Interrupted,
    #[error("nothing arrived within {0} s")]
    Timeout(u64),
}

/// Fails unless `found` is `expected`.
pub fn check<T: PartialEq + ToString>(what: &'static str, expected: &T, found: &T) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(BenchError::Check { what, expected: expected.to_string(), found: found.to_string() })
}

/// The error for an answer that is not the one that was wanted.
pub fn unexpected(request: &[u8], status: u16, body: &[u8]) -> BenchError {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    BenchError::Status {
        request: String::from_utf8_lossy(line).chars().take(120).collect(),
        status,
        body: String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}
