//! The control socket of a running server, `control.sock` in its data folder: what the command
//! line asks of it that nobody may ask over the network. Whoever may write to the data folder may
//! use it, and nobody else.
//!
//! A request is one line of JSON, an answer another. A checkpoint is there for as long as its
//! connection is open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::blocking;
use crate::database::{DatabaseError, DatabaseName};

use super::SharedApp;

const NAME: &str = "control.sock";
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Requests worked on at one time.
const REQUESTS_MAX: usize = 2;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Request {
    /// Make a checkpoint of the store.
    Checkpoint,
    /// Compact these databases, or everything.
    Compact { databases: Vec<String> },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The folder of the checkpoint.
    Checkpoint(PathBuf),
    Compacted,
    Error(String),
}

/// Where the socket of a data folder is.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Takes requests until the server stops. Where there can be no socket, a warning says so.
pub async fn listen(app: SharedApp, data_dir: PathBuf) {
    let path = path(&data_dir);
    // One of a server that is gone: the store is open, so there is no other server here.
    let _ = std::fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "no control socket: backups need the server to be stopped");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let stopping = app.stopping.clone();
    let accept = async {
        // The semaphore is never closed.
        while let Ok(place) = room.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let app = app.clone();
                    tokio::spawn(async move {
                        let stopping = app.stopping.clone();
                        let served = stopping.run_until_cancelled(serve(&app, stream)).await;
                        if let Some(Err(error)) = served {
                            tracing::debug!(%error, "a control connection was cut");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a control connection could not be accepted");
                    return;
                }
            }
        }
    };
    stopping.run_until_cancelled(accept).await;
    let _ = std::fs::remove_file(&path);
}

async fn serve(app: &SharedApp, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(REQUEST_BYTES_MAX));
    let mut line = String::new();
    read.read_line(&mut line).await?;
    let (answer, made) = match serde_json::from_str(&line) {
        Ok(Request::Checkpoint) => checkpoint(app).await,
        Ok(Request::Compact { databases }) => (compact(app, databases).await, None),
        Err(error) => (Answer::Error(error.to_string()), None),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    if let Some(made) = made {
        // Until the client is done with it.
        read.read_line(&mut String::new()).await?;
        drop(made);
    }
    Ok(())
}

/// A folder that goes when nobody needs it any more.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn checkpoint(app: &SharedApp) -> (Answer, Option<Temporary>) {
    let folder = app.scratch.join(format!("checkpoint-{}", uuid::Uuid::new_v4().simple()));
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let temporary = Temporary(folder.clone());
    let app = app.clone();
    let into = folder.clone();
    let made = blocking::run("make a checkpoint", move || app.registry.checkpoint(&into)).await;
    match made {
        Ok(Ok(())) => (Answer::Checkpoint(folder), Some(temporary)),
        Ok(Err(error)) => (Answer::Error(error.to_string()), None),
        Err(error) => (Answer::Error(error.to_string()), None),
    }
}

async fn compact(app: &SharedApp, names: Vec<String>) -> Answer {
    let app = app.clone();
    let compacted = blocking::run("compact", move || app.compact(&names)).await;
    match compacted {
        Ok(Ok(())) => Answer::Compacted,
        Ok(Err(error)) => Answer::Error(error),
        Err(error) => Answer::Error(error.to_string()),
    }
}

impl super::App {
    /// Compacts these databases, or all of them and everything else in the store.
    ///
    /// # Errors
    /// Says which database could not be compacted, and why.
    pub fn compact(&self, names: &[String]) -> Result<(), String> {
        let all = names.is_empty();
        let names = if all { self.all_names()? } else { names.to_vec() };
        for name in names {
            let compacted = DatabaseName::parse(&name)
                .map_err(|error| error.to_string())
                .and_then(|name| self.registry.get(&name).map_err(|error| error.to_string()))
                .and_then(|db| self.compact_database(&db).map_err(|error| error.to_string()));
            compacted.map_err(|error| format!("{name}: {error}"))?;
        }
        if all {
            self.registry.compact_store();
        }
        Ok(())
    }

    fn all_names(&self) -> Result<Vec<String>, String> {
        use std::ops::{Bound, ControlFlow};
        let mut names = Vec::new();
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let mut visit = |name: &str| {
            names.push(name.to_owned());
            ControlFlow::Continue(())
        };
        let direction = crate::database::Direction::Forward;
        let listed: Result<(), DatabaseError> =
            self.registry.names(everything, direction, &mut visit);
        listed.map_err(|error| error.to_string())?;
        Ok(names)
    }
}
