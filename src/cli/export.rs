//! `settee export`: a database of any CouchDB-compatible server, as a file of JSON lines.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::replicator::Peer;
use crate::replicator::archive::{ArchiveWriter, Header, Tally, export};

use super::transfer::{self, Meter, MoveError, Output, Peers, Reached, Server};

/// `settee export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The database: its name at the server, or its whole address
    #[arg(value_name = "NAME|URL")]
    source: String,
    /// The file to write, compressed where its name ends in .gz; - is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    server: Server,
}

/// Writes the file.
pub fn run(arguments: &Export) -> Result<(), MoveError> {
    transfer::run(export_database(arguments))
}

async fn export_database(arguments: &Export) -> Result<(), MoveError> {
    let address = arguments.server.database(&arguments.source)?;
    let failed = |error| MoveError::of_peer(error, &[&address]);
    let peers = Peers::new();
    let first = peers.impatient(&address)?;
    let description = first.describe().await.map_err(failed)?;
    let security = first.security().await.map_err(failed)?;
    let source: Arc<dyn Peer> = Arc::new(peers.peer(&address)?);
    let header = Header::new(&address.name(), description.is_partitioned(), security);

    let path = arguments.output.display().to_string();
    let of_file = |error| MoveError::File { path: path.clone().into(), error };
    let output = Output::open(&arguments.output).map_err(|error| of_file(error.into()))?;
    let writer = ArchiveWriter::new(output, &header).map_err(|error| of_file(error.into()))?;
    let (tally, meter) = (Tally::default(), Meter::new(description.documents()));
    let reached = || {
        let documents = tally.documents();
        Reached { documents, bytes: Some(tally.bytes()), position: documents }
    };
    let written = meter.watch(export(&source, writer, &tally), reached).await;
    let output = written.map_err(|error| MoveError::of_transfer(error, &[&address], &path))?;
    output.finish().map_err(|error| of_file(error.into()))?;
    let (told, took) = (meter.told(reached()), meter.took());
    eprintln!("exported {} in {took}: {told}", address.shown());
    transfer::check_failures(&tally)
}
