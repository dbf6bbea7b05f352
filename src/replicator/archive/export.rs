//! Writes all leaves of a source's documents to a file.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _, try_unfold};
use serde_json::json;

use crate::blocking;
use crate::document::Encoding;
use crate::replicator::{
    AttachmentSource, ChangesBatch, ChangesQuery, Missing, Peer, PeerError, Retries, Revision,
    Selection, Stub, WriteFailure,
};

use super::arrivals::lost;
use super::{ArchiveError, ArchiveWriter, Tally, TransferError};

/// Changes of one batch, and batches that are read side by side.
const BATCH: usize = 500;
const BATCHES: usize = 4;
/// Documents of a batch whose attachments are read side by side.
const WITH_ATTACHMENTS: usize = 4;
/// Attachments of one document that are taken into memory; larger ones are written as they come.
const TAKEN_BYTES_MAX: u64 = 1 << 20;
/// Bytes of such a larger one that are written in one go.
const WRITE_BYTES: usize = 1 << 20;
/// How often reading an attachment is taken up again.
pub(super) const RETRIES: u32 = 5;

/// A revision that is to be written.
struct Fetched {
    revision: Arc<Revision>,
    attachments: Attachments,
}

enum Attachments {
    /// They are here.
    Taken(Vec<Taken>),
    /// They are to be read.
    Large,
    /// The source no longer has them.
    Lost(WriteFailure),
}

/// An attachment that has been read.
struct Taken {
    stub: Stub,
    encoding: Encoding,
    bytes: Vec<Bytes>,
}

/// Writes the documents of `source` after the header that `writer` has begun with. Returns where
/// it was written to. Says in `tally` which documents the source could not give.
///
/// # Errors
/// Where the source cannot be read or the file not be written.
pub async fn export<W: Write + Send + 'static>(
    source: &Arc<dyn Peer>,
    writer: ArchiveWriter<W>,
    tally: &Tally,
) -> Result<W, TransferError> {
    let batches = changes(source).await?;
    let attachments = AttachmentSource::new(source.clone(), Retries::new(RETRIES));
    let fetched = batches
        .map_ok(|batch| fetch(source, &attachments, batch, tally))
        .try_flatten_unordered(BATCHES);
    let mut fetched = std::pin::pin!(fetched);
    let mut writer = writer;
    while let Some(documents) = fetched.try_next().await? {
        writer = write(writer, documents, &attachments, tally).await?;
        tally.reach(writer.written());
    }
    let written = blocking::run("finish export", move || writer.finish()).await?;
    Ok(written.map_err(ArchiveError::from)?)
}

/// All leaves of a source.
pub(super) async fn changes(
    source: &Arc<dyn Peer>,
) -> Result<impl Stream<Item = Result<ChangesBatch, PeerError>> + use<>, PeerError> {
    let query = ChangesQuery {
        since: json!(0),
        selection: Selection::Everything,
        winning_revs_only: false,
        continuous: false,
        batch: BATCH,
    };
    let reader = source.changes(query).await?;
    Ok(try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|batch| (batch, reader)))
    }))
}

/// The leaves of a batch's documents, in as many portions as it takes.
fn fetch<'a>(
    source: &'a Arc<dyn Peer>,
    attachments: &'a AttachmentSource,
    batch: ChangesBatch,
    tally: &'a Tally,
) -> impl Stream<Item = Result<Vec<Fetched>, PeerError>> + Send + Unpin + 'a {
    let leaves = batch.changed.into_iter().map(|changed| Missing {
        id: changed.id,
        revs: changed.revs,
        possible_ancestors: Vec::new(),
    });
    let wanted: Vec<Missing> = leaves.collect();
    let portions = try_unfold((wanted, 0), move |(wanted, at)| async move {
        let rest = &wanted[at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let fetched = source.fetch(rest).await?;
        let next = at + fetched.done.clamp(1, rest.len());
        tally.fail_gone(fetched.not_found);
        let documents = stream::iter(fetched.revisions)
            .map(|revision| take(Arc::new(revision), attachments))
            .buffered(WITH_ATTACHMENTS)
            .try_collect()
            .await?;
        Ok(Some((documents, (wanted, next))))
    });
    portions.boxed()
}

/// A revision with its attachments, if they are small.
async fn take(revision: Arc<Revision>, source: &AttachmentSource) -> Result<Fetched, PeerError> {
    let bytes = revision.attachments.iter().map(|stub| stub.length.max(stub.encoded_length)).sum();
    let attachments = if TAKEN_BYTES_MAX < bytes {
        Attachments::Large
    } else {
        let mut taken = Vec::with_capacity(revision.attachments.len());
        let mut failure = None;
        for stub in &revision.attachments {
            match take_one(&revision, stub, source).await {
                Ok(attachment) => taken.push(attachment),
                Err(error) => failure = Some(lost(&revision, error)?),
            }
        }
        failure.map_or(Attachments::Taken(taken), Attachments::Lost)
    };
    Ok(Fetched { revision, attachments })
}

async fn take_one(
    revision: &Arc<Revision>,
    stub: &Stub,
    source: &AttachmentSource,
) -> Result<Taken, PeerError> {
    let stream = source.open(revision, stub).await?;
    let (stub, encoding) = (stub.clone(), stream.encoding);
    let bytes = stream.bytes.try_collect().await?;
    Ok(Taken { stub, encoding, bytes })
}

async fn write<W: Write + Send + 'static>(
    mut writer: ArchiveWriter<W>,
    documents: Vec<Fetched>,
    source: &AttachmentSource,
    tally: &Tally,
) -> Result<ArchiveWriter<W>, TransferError> {
    let count = documents.len();
    let mut large = Vec::new();
    let mut small = Vec::with_capacity(count);
    for Fetched { revision, attachments } in documents {
        match attachments {
            Attachments::Taken(taken) => small.push((revision, taken)),
            Attachments::Large => large.push(revision),
            Attachments::Lost(failure) => tally.fail([failure]),
        }
    }
    tally.count(count - large.len(), small.len());
    writer = on(writer, move |writer| {
        small.iter().try_for_each(|(revision, taken)| write_whole(writer, revision, taken))
    })
    .await?;
    for revision in large {
        writer = write_large(writer, &revision, source, tally).await?;
    }
    Ok(writer)
}

/// Works with the writer on a thread that may block.
async fn on<W: Write + Send + 'static>(
    mut writer: ArchiveWriter<W>,
    work: impl FnOnce(&mut ArchiveWriter<W>) -> io::Result<()> + Send + 'static,
) -> Result<ArchiveWriter<W>, TransferError> {
    let done = blocking::run("write export", move || work(&mut writer).map(|()| writer)).await?;
    Ok(done.map_err(ArchiveError::from)?)
}

fn write_whole<W: Write>(
    writer: &mut ArchiveWriter<W>,
    revision: &Revision,
    attachments: &[Taken],
) -> io::Result<()> {
    writer.document(&revision.text)?;
    for Taken { stub, encoding, bytes } in attachments {
        begin(writer, stub, *encoding)?;
        bytes.iter().try_for_each(|bytes| writer.data(bytes))?;
        writer.end_attachment()?;
    }
    Ok(())
}

fn begin<W: Write>(
    writer: &mut ArchiveWriter<W>,
    stub: &Stub,
    encoding: Encoding,
) -> io::Result<()> {
    let length = match encoding {
        Encoding::Identity => stub.length,
        Encoding::Gzip => stub.encoded_length,
    };
    writer.attachment(&stub.name, length, encoding)
}

/// Writes a revision whose attachments are read meanwhile.
async fn write_large<W: Write + Send + 'static>(
    writer: ArchiveWriter<W>,
    revision: &Arc<Revision>,
    source: &AttachmentSource,
    tally: &Tally,
) -> Result<ArchiveWriter<W>, TransferError> {
    let text = revision.text.clone();
    let mut writer = on(writer, move |writer| writer.document(&text)).await?;
    for stub in &revision.attachments {
        let (after, read) = write_attachment(writer, revision, stub, source, tally).await?;
        writer = after;
        if let Err(error) = read {
            let failure = lost(revision, error)?;
            let reason = failure.reason.clone();
            tally.fail([failure]);
            tally.count(1, 0);
            return on(writer, move |writer| writer.skip(&reason)).await;
        }
    }
    tally.count(1, 1);
    Ok(writer)
}

/// Copies an attachment; how reading it ended.
async fn write_attachment<W: Write + Send + 'static>(
    mut writer: ArchiveWriter<W>,
    revision: &Arc<Revision>,
    stub: &Stub,
    source: &AttachmentSource,
    tally: &Tally,
) -> Result<(ArchiveWriter<W>, Result<(), PeerError>), TransferError> {
    let mut stream = match source.open(revision, stub).await {
        Ok(stream) => stream,
        Err(error) => return Ok((writer, Err(error))),
    };
    let (stub, encoding) = (stub.clone(), stream.encoding);
    writer = on(writer, move |writer| begin(writer, &stub, encoding)).await?;
    let mut waiting = Vec::new();
    loop {
        let ended = match stream.bytes.try_next().await {
            Ok(Some(bytes)) => {
                waiting.push(bytes);
                false
            }
            Ok(None) => true,
            Err(error) => return Ok((writer, Err(error))),
        };
        if ended || waiting.iter().map(Bytes::len).sum::<usize>() >= WRITE_BYTES {
            let pieces = std::mem::take(&mut waiting);
            writer =
                on(writer, move |writer| pieces.iter().try_for_each(|bytes| writer.data(bytes)))
                    .await?;
            tally.reach(writer.written());
        }
        if ended {
            return Ok((on(writer, ArchiveWriter::end_attachment).await?, Ok(())));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use serde_json::Value;

    use super::*;
    use crate::replicator::archive::Header;
    use crate::replicator::http_peer::revision;
    use crate::replicator::simulation::simulate;
    use crate::replicator::{Answer, AttachmentBody, AttachmentHolder};

    /// Gives the beginning of an attachment, and fails then.
    struct Losing(PeerError);

    impl AttachmentHolder for Losing {
        fn attachment<'a>(
            &'a self,
            _: &'a Revision,
            _: &'a Stub,
            offset: u64,
        ) -> Answer<'a, AttachmentBody> {
            let parts = [Ok(Bytes::from(vec![7; 2 << 20])), Err(self.0.clone())];
            let bytes = stream::iter(parts).boxed();
            let body = AttachmentBody { encoding: Encoding::Identity, offset, bytes };
            Box::pin(std::future::ready(Ok(body)))
        }
    }

    async fn written(error: PeerError) -> Result<(String, Tally), TransferError> {
        let document = json!({"_id": "a", "_rev": "1-b", "_attachments": {
            "t": {"length": 3 << 20, "digest": "md5-x", "revpos": 1, "stub": true}}});
        let revision = Arc::new(revision::read(document.to_string().into()).unwrap());
        let source = AttachmentSource::new(Arc::new(Losing(error)), Retries::new(0));
        let fetched = take(revision, &source).await?;
        let header = Header::new("db", false, serde_json::Map::new());
        let (writer, tally) = (ArchiveWriter::new(Vec::new(), &header).unwrap(), Tally::default());
        let writer = write(writer, vec![fetched], &source, &tally).await?;
        Ok((String::from_utf8(writer.finish().unwrap()).unwrap(), tally))
    }

    #[test]
    fn a_document_whose_attachment_is_lost_is_taken_back() {
        simulate(async {
            let gone = PeerError::Local("gone".to_owned());
            let (text, tally) = written(gone).await.unwrap();
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(lines.iter().any(|line| line.get("data").is_some()));
            let [.., skipped, end] = lines.as_slice() else { panic!("{} lines", lines.len()) };
            assert_eq!((&skipped["skipped"], &end["docs"]), (&json!("gone"), &json!(0)));
            assert_eq!((tally.documents(), tally.written(), tally.failed()), (1, 0, 1));
            let down = PeerError::Unreachable("down".to_owned());
            assert!(written(down).await.is_err(), "the whole source is down");
        });
    }
}
