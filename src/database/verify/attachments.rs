//! Attachments: the bytes are what their digests say, and somebody refers to them.

use std::ops::ControlFlow;

use md5::{Digest as _, Md5};
use sha1::Sha1;

use crate::document::Digest;
use crate::storage::values::Blob;
use crate::storage::{Direction, StorageError, Table, keys};

use super::super::attachments::CHUNK_BYTES;
use super::documents::Referred;
use super::{Checked, Findings, each};

/// Checks the attachments of a database.
///
/// # Errors
/// Those of the store. What is wrong with a record is a finding.
pub fn verify(
    db: &Checked<'_>,
    referred: Referred,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let mut known_chunks = 0;
    let blobs =
        each(db, Table::Blobs, &keys::blobs(db.number), findings, |key, value, findings| {
            let Some(digest) = keys::blob_digest(key) else {
                findings.problem(db.name, "an attachment's digest cannot be read");
                return Ok(());
            };
            known_chunks += check_blob(db, digest, &Blob::decode(value)?, findings)?;
            Ok(())
        })?;
    findings.attachments += blobs;
    let range = keys::all_references(db.number);
    let references = each(db, Table::Blobs, &range, findings, |_, _, _| Ok(()))?;
    findings.compare(db.name, "references to attachments", references, referred.references);
    // Uploads that no document adopted are removed when the store is next opened.
    let mut uploading = 0;
    let mut visit = |key: &[u8], _: &[u8]| {
        let parts = keys::upload_parts(key).filter(|(number, _)| *number == db.number);
        let mut count = |_: &[u8], _: &[u8]| {
            uploading += 1;
            ControlFlow::Continue(())
        };
        if let Some((number, blob)) = parts {
            let range = keys::chunks(number, blob);
            // What fails here fails again below.
            let _ = db.snapshot.scan(Table::Chunks, &range, Direction::Forward, &mut count);
        }
        ControlFlow::Continue(())
    };
    db.snapshot.scan(Table::Catalogue, &keys::uploads(), Direction::Forward, &mut visit)?;
    let range = keys::database_range(db.number);
    let chunks = each(db, Table::Chunks, &range, findings, |_, _, _| Ok(()))?;
    findings.compare(db.name, "chunks of attachments", chunks, known_chunks + uploading);
    Ok(())
}

/// Reads all bytes of an attachment. Returns in how many chunks they are.
fn check_blob(
    db: &Checked<'_>,
    digest: Digest,
    blob: &Blob,
    findings: &mut Findings,
) -> Result<u64, StorageError> {
    let (mut md5, mut sha1, mut length, mut short) = (Md5::new(), Sha1::new(), 0, 0);
    let mut chunks = 0;
    let mut visit = |_: &[u8], bytes: &[u8]| {
        md5.update(bytes);
        sha1.update(bytes);
        length += bytes.len() as u64;
        chunks += 1;
        short += u64::from(bytes.len() != CHUNK_BYTES);
        ControlFlow::Continue(())
    };
    let range = keys::chunks(db.number, blob.id);
    db.snapshot.scan(Table::Chunks, &range, Direction::Forward, &mut visit)?;
    let whole = length == blob.encoded_length && short <= 1;
    let right = Digest(md5.finalize().into()) == digest && blob.sha1 == *sha1.finalize();
    if !(whole && right) {
        let what = format_args!("attachment {digest}: its bytes are not what they were");
        findings.problem(db.name, what);
    }
    let mut held = false;
    let mut visit = |_: &[u8], _: &[u8]| {
        held = true;
        ControlFlow::Break(())
    };
    let range = keys::references(db.number, digest);
    db.snapshot.scan(Table::Blobs, &range, Direction::Forward, &mut visit)?;
    if !held {
        findings.problem(db.name, format_args!("attachment {digest}: nothing refers to it"));
    }
    Ok(chunks)
}
