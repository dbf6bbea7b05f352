//! Documents: heads, their trees, their rows of changes, their bodies, and `_local` documents.

use std::collections::HashSet;

use crate::document::json::{self, Limits};
use crate::document::revtree::Node;
use crate::document::{DocId, Document};
use crate::storage::values::{self, Change, Head, HeadSummary, Local};
use crate::storage::{StorageError, Table, keys};

use super::partitions::Partitions;
use super::{Checked, Findings, each};

/// What the bodies of a database refer to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Referred {
    /// Pairs of a revision and the bytes of an attachment that it has.
    pub references: u64,
}

/// Checks the documents of a database.
///
/// # Errors
/// Those of the store. What is wrong with a record is a finding.
pub fn verify(db: &Checked<'_>, findings: &mut Findings) -> Result<Referred, StorageError> {
    let mut referred = Referred::default();
    let (mut live, mut deleted, mut bodies) = (0, 0, 0);
    let mut partitions = Partitions::default();
    let range = keys::database_range(db.number);
    let heads = each(db, Table::Heads, &range, findings, |key, value, findings| {
        let Some(id) = keys::id_of(key).and_then(|id| DocId::parse(id).ok()) else {
            findings.problem(db.name, "a document's id cannot be read");
            return Ok(());
        };
        let head = Head::decode(value)?;
        let summary = HeadSummary::decode(value)?;
        *(if summary.deleted { &mut deleted } else { &mut live }) += 1;
        if db.partitioned {
            partitions.count(db, &id, &head, findings)?;
        }
        check_tree(db, &id, &head, &summary, findings);
        check_change(db, &id, &head, findings)?;
        for node in head.tree.nodes().iter().filter(|node| node.stored) {
            bodies += 1;
            check_body(db, &id, node, &mut referred, findings)?;
        }
        Ok(())
    })?;
    partitions.finish(db, findings)?;
    findings.documents += heads;
    findings.bodies += bodies;
    findings.compare(db.name, "documents", live, db.state.doc_count);
    findings.compare(db.name, "deleted documents", deleted, db.state.doc_del_count);
    let changes = each(db, Table::Changes, &range, findings, |key, value, findings| {
        let change = Change::decode(value)?;
        if keys::seq_of(key).is_none_or(|seq| seq > db.state.update_seq) {
            let id = change.id;
            findings.problem(db.name, format_args!("{id}: its sequence is not reached yet"));
        }
        Ok(())
    })?;
    findings.compare(db.name, "rows of changes", changes, heads);
    let stored = each(db, Table::Bodies, &range, findings, |_, _, _| Ok(()))?;
    findings.compare(db.name, "bodies", stored, bodies);
    let locals = each(db, Table::Locals, &range, findings, |key, value, findings| {
        let local = Local::decode(value)?;
        if json::minify(&local.body, &Limits::default()).is_err() {
            let id = keys::id_of(key).unwrap_or_default();
            findings.problem(db.name, format_args!("{id}: its body is no JSON"));
        }
        Ok(())
    })?;
    findings.compare(db.name, "local documents", locals, db.state.local_doc_count);
    Ok(referred)
}

fn check_tree(
    db: &Checked<'_>,
    id: &DocId,
    head: &Head,
    summary: &HeadSummary,
    findings: &mut Findings,
) {
    let leaves = head.tree.leaves();
    let is_winner = |node: &&Node| node.rev() == summary.winner && node.deleted == summary.deleted;
    if !leaves.first().is_some_and(is_winner) {
        findings.problem(db.name, format_args!("{id}: its winner is not the best of its leaves"));
    }
    for leaf in leaves.into_iter().filter(|leaf| !leaf.stored) {
        findings.problem(db.name, format_args!("{id}: leaf {} has no body", leaf.rev()));
    }
}

fn check_change(
    db: &Checked<'_>,
    id: &DocId,
    head: &Head,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let Some(value) = db.snapshot.get(Table::Changes, &keys::change(db.number, head.seq))? else {
        findings.problem(db.name, format_args!("{id}: sequence {} has no row", head.seq));
        return Ok(());
    };
    let change = Change::decode(&value)?;
    let leaves = head.tree.leaves();
    let leaves: Vec<_> = leaves.into_iter().map(|leaf| (leaf.rev(), leaf.deleted)).collect();
    let deleted = leaves.first().is_some_and(|(_, deleted)| *deleted);
    if change.id != *id || change.leaves != leaves || change.deleted != deleted {
        findings.problem(db.name, format_args!("{id}: its row of changes is another's"));
    }
    Ok(())
}

fn check_body(
    db: &Checked<'_>,
    id: &DocId,
    node: &Node,
    referred: &mut Referred,
    findings: &mut Findings,
) -> Result<(), StorageError> {
    let rev = node.rev();
    let Some(value) = db.snapshot.get(Table::Bodies, &keys::body(db.number, id, &rev))? else {
        findings.problem(db.name, format_args!("{id}: the body of {rev} is missing"));
        return Ok(());
    };
    let Document { deleted, body, attachments, .. } =
        values::decode_body(id.clone(), rev.clone(), value)?;
    if deleted != node.deleted {
        findings.problem(db.name, format_args!("{id}: {rev} is a tombstone on one side only"));
    }
    if json::minify(&body, &Limits::default()).is_err() {
        findings.problem(db.name, format_args!("{id}: the body of {rev} is no JSON"));
    }
    let digests: HashSet<_> = attachments.iter().map(|attachment| attachment.digest).collect();
    referred.references += digests.len() as u64;
    for attachment in attachments {
        let key = keys::blob(db.number, attachment.digest);
        let blob = db.snapshot.get(Table::Blobs, &key)?;
        let blob = blob.map(|value| values::Blob::decode(&value)).transpose()?;
        let name = attachment.name;
        match blob {
            None => findings.problem(db.name, format_args!("{id}: attachment {name} is missing")),
            Some(blob) if blob.encoded_length != attachment.encoded_length => {
                let what = format_args!("{id}: attachment {name} has another length");
                findings.problem(db.name, what);
            }
            Some(_) => {}
        }
        let key = keys::reference(db.number, attachment.digest, id, &rev);
        if db.snapshot.get(Table::Blobs, &key)?.is_none() {
            findings.problem(db.name, format_args!("{id}: attachment {name} may be removed"));
        }
    }
    Ok(())
}
