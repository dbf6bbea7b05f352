//! `settee import`: a file of JSON documents, or a database of another server, into a database of
//! any CouchDB-compatible server.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value};

use crate::blocking;
use crate::replicator::archive::{ArchiveError, ArchiveReader, Tally, Truncated, copy, import};
use crate::replicator::{CreateTarget, HttpPeer, Peer, PeerError};

use super::transfer::{self, Address, Input, Meter, MoveError, Peers, Reached, Server};

/// `settee import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A file that settee exported, or documents of another tool: JSON lines, an array, or what
    /// `_all_docs?include_docs=true` answers, compressed or not; - is stdin. What is compressed or
    /// comes through a pipe takes its room among temporary files. Or the address of a database
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Where to: a name at the server or a whole address [default: the name it was exported under]
    #[arg(long, value_name = "NAME|URL")]
    to: Option<String>,
    /// Refuse to create the database
    #[arg(long)]
    no_create: bool,
    /// Copy the security object to a database that is there already, too
    #[arg(long)]
    security: bool,
    /// Take what there is of a file whose end is missing
    #[arg(long)]
    truncated: bool,
    #[command(flatten)]
    server: Server,
}

/// Copies the documents.
pub fn run(arguments: &Import) -> Result<(), MoveError> {
    if transfer::is_address(&arguments.source) {
        transfer::run(copy_database(arguments))
    } else {
        transfer::run(import_file(arguments))
    }
}

async fn import_file(arguments: &Import) -> Result<(), MoveError> {
    let shown = arguments.source.as_str();
    let of_file = |error| match error {
        ArchiveError::Truncated => MoveError::Truncated(shown.into()),
        error => MoveError::File { path: shown.into(), error },
    };
    let truncated = if arguments.truncated { Truncated::Take } else { Truncated::Refuse };
    let path = PathBuf::from(shown);
    let opened = blocking::run("open file", move || {
        let Input { file, bytes } = Input::open(&path)?;
        Ok((ArchiveReader::open(file, truncated)?, bytes))
    });
    let (reader, bytes) = opened.await?.map_err(of_file)?;
    let header = reader.header();
    let name = arguments.to.as_deref().or(header.map(|header| header.db_name.as_str()));
    let address = arguments.server.database(name.ok_or(MoveError::NoTarget)?)?;
    let peers = Peers::new();
    let is_partitioned = header.is_some_and(|header| header.partitioned);
    let security = header.map(|header| &header.security);
    let target = open_target(arguments, &peers, &address, is_partitioned, security).await?;

    let (tally, meter) = (Arc::new(Tally::default()), Meter::new(bytes));
    let reached = || {
        let bytes = tally.bytes();
        Reached { documents: tally.documents(), bytes: Some(bytes), position: bytes }
    };
    let imported = meter.watch(import(&target, reader, &tally), reached).await;
    imported.map_err(|error| MoveError::of_transfer(error, &[&address], shown))?;
    let (told, took) = (meter.told(reached()), meter.took());
    eprintln!("imported into {} in {took}: {told}", address.shown());
    tell_known(&tally);
    transfer::check_failures(&tally)
}

fn tell_known(tally: &Tally) {
    let there = tally.documents().saturating_sub(tally.written() + tally.failed());
    if there > 0 {
        eprintln!("there already: {}", transfer::count(there));
    }
}

/// The database to write to, which is created where it is not there.
async fn open_target(
    arguments: &Import,
    peers: &Peers,
    address: &Address,
    partitioned: bool,
    security: Option<&Map<String, Value>>,
) -> Result<HttpPeer, MoveError> {
    let failed = |error| MoveError::of_peer(error, &[address]);
    let first = peers.impatient(address)?;
    let is_new = match first.describe().await {
        Err(PeerError::NotFound(_)) if !arguments.no_create => true,
        known => known.map(|_| false).map_err(failed)?,
    };
    if is_new {
        let options = CreateTarget { partitioned, ..CreateTarget::default() };
        first.create(&options).await.map_err(failed)?;
    }
    // Before the documents: nobody reads them meanwhile who should not.
    if let Some(security) = security
        && (arguments.security || is_new && !security.is_empty())
    {
        first.set_security(security).await.map_err(failed)?;
    }
    let target = peers.peer(address)?;
    target.info().await.map_err(failed)?;
    Ok(target)
}

async fn copy_database(arguments: &Import) -> Result<(), MoveError> {
    let from = arguments.server.database(&arguments.source)?;
    let name = arguments.to.clone().unwrap_or_else(|| from.name());
    let to = arguments.server.database(&name)?;
    let peers = Peers::new();
    let of_source = |error| MoveError::of_peer(error, &[&from]);
    let first = peers.impatient(&from)?;
    let description = first.describe().await.map_err(of_source)?;
    let security =
        if arguments.security { Some(first.security().await.map_err(of_source)?) } else { None };
    let is_partitioned = description.is_partitioned();
    let target = open_target(arguments, &peers, &to, is_partitioned, security.as_ref()).await?;

    let source: Arc<dyn Peer> = Arc::new(peers.peer(&from)?);
    let (tally, meter) = (Tally::default(), Meter::new(description.documents()));
    let reached = || {
        let documents = tally.documents();
        Reached { documents, bytes: None, position: documents }
    };
    let copied = meter.watch(copy(&source, &target, &tally), reached).await;
    copied.map_err(|error| MoveError::of_transfer(error, &[&from, &to], &from.shown()))?;
    let (told, took) = (meter.told(reached()), meter.took());
    eprintln!("copied {} to {} in {took}: {told}", from.shown(), to.shown());
    tell_known(&tally);
    transfer::check_failures(&tally)
}
