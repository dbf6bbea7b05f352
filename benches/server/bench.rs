//! What the workloads share: the server, the database that reads read, the report.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;

use crate::documents;
use crate::error::{BenchError, Result, check};
use crate::http::{self, Connection};
use crate::meter::Measured;
use crate::process::Process;
use crate::report::Report;
use crate::scale::Scale;

/// settee on a data folder that goes with it.
#[derive(Debug)]
pub struct Server {
    // Before the folder: dropped first.
    pub process: Process,
    pub folder: TempDir,
}

impl Server {
    pub fn start() -> Result<Self> {
        let folder = folder()?;
        let process = Process::settee(folder.path())?;
        Ok(Self { process, folder })
    }

    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(self.process.address).await
    }

    /// Stops the server and starts it again on the same data.
    pub fn restart(self) -> Result<Self> {
        self.process.stop()?;
        let process = Process::settee(self.folder.path())?;
        Ok(Self { process, folder: self.folder })
    }
}

/// A folder on the disk that the build uses, removed when dropped.
pub fn folder() -> Result<TempDir> {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(parent)?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(parent)?)
}

/// The database that reads read; no workload changes it.
#[derive(Debug)]
pub struct Base {
    pub documents: usize,
    /// The revision of each document.
    pub revs: Vec<String>,
}

impl Base {
    pub const PATH: &str = "/base";

    /// The numbers of `count` documents, in no order.
    pub fn sample(&self, count: usize) -> Vec<usize> {
        let mut random = documents::Random::new(21);
        (0..count).map(|_| random.below(self.documents)).collect()
    }

    pub fn rev(&self, number: usize) -> &str {
        self.revs.get(number).map_or("", String::as_str)
    }
}

#[derive(Debug)]
pub struct Bench {
    pub server: Server,
    pub scale: Scale,
    pub report: Report,
    base: Option<Rc<Base>>,
    databases: usize,
    /// What raw writes cost, by records in a batch and bytes of a body.
    pub raw_writes: BTreeMap<(usize, usize), Measured>,
}

impl Bench {
    pub fn start(scale: Scale) -> Result<Self> {
        Ok(Self {
            server: Server::start()?,
            scale,
            report: Report::default(),
            base: None,
            databases: 0,
            raw_writes: BTreeMap::new(),
        })
    }

    /// The shared database, filled at first use.
    pub async fn base(&mut self) -> Result<Rc<Base>> {
        if let Some(base) = &self.base {
            return Ok(Rc::clone(base));
        }
        let mut connection = self.server.connect().await?;
        connection.expect(&http::put(Base::PATH, b"")).await?;
        let mut revs = Vec::new();
        for first in (0..self.scale.documents).step_by(1000) {
            let numbers = first..(first + 1000).min(self.scale.documents);
            let body = documents::bulk(numbers);
            let request = http::post(&format!("{}/_bulk_docs", Base::PATH), &body);
            let answer = connection.expect(&request).await?.json()?;
            let rows = answer.as_array().into_iter().flatten();
            revs.extend(rows.filter_map(|row| Some(row.get("rev")?.as_str()?.to_owned())));
        }
        check("revisions of loaded documents", &self.scale.documents, &revs.len())?;
        let base = Rc::new(Base { documents: revs.len(), revs });
        self.base = Some(Rc::clone(&base));
        Ok(base)
    }

    /// Creates a database for one workload and gives its path.
    pub async fn database(&mut self) -> Result<String> {
        self.databases += 1;
        let path = format!("/bench-{}", self.databases);
        self.server.connect().await?.expect(&http::put(&path, b"")).await?;
        Ok(path)
    }

    pub async fn drop_database(&self, path: &str) -> Result<()> {
        self.server.connect().await?.expect(&http::delete(path)).await?;
        Ok(())
    }
}

/// The documents of the database at `path`.
pub async fn count(connection: &mut Connection, path: &str) -> Result<usize> {
    let info = connection.expect(&http::get(path)).await?.json()?;
    let found = info.get("doc_count").and_then(serde_json::Value::as_u64).unwrap_or(0);
    usize::try_from(found).map_err(|_| BenchError::Sample("doc_count"))
}

/// Fails unless the database at `path` has `expected` documents.
pub async fn check_count(connection: &mut Connection, path: &str, expected: usize) -> Result<()> {
    check("doc_count", &expected, &count(connection, path).await?)
}
