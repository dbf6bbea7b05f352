//! Asking the server that runs on a data folder.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::app::control::{self, Answer, Request};

use super::StoreError;

/// A connection to the server; what it made goes when this is dropped.
pub struct Connection(BufReader<UnixStream>);

impl Drop for Connection {
    fn drop(&mut self) {
        // The server closes its side once it has cleaned up, or is gone.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.0, &mut io::sink());
    }
}

/// The server on a data folder; `None` where none runs.
///
/// # Errors
/// Where one may run, but cannot be reached.
pub fn connect(data_dir: &Path) -> Result<Option<Connection>, StoreError> {
    match UnixStream::connect(control::path(data_dir)) {
        Ok(stream) => Ok(Some(Connection(BufReader::new(stream)))),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(StoreError::Control(error)),
        },
    }
}

impl Connection {
    /// # Errors
    /// What the server says, or that it is gone.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, StoreError> {
        let mut line = serde_json::to_string(request).map_err(io::Error::other)?;
        line.push('\n');
        self.0.get_mut().write_all(line.as_bytes()).map_err(StoreError::Control)?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).map_err(StoreError::Control)?;
        match serde_json::from_str(&answer) {
            Ok(Answer::Error(reason)) => Err(StoreError::Refused(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(StoreError::Control(io::Error::other(error))),
        }
    }
}
