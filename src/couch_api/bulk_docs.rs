//! `POST /{db}/_bulk_docs`: many documents in one request.

use std::ops::Range;
use std::sync::Arc;

use axum::http::{Method, StatusCode};

use crate::app::SharedApp;
use crate::blocking;
use crate::config::Settings;
use crate::database::{Base, Database, Edit, EditOutcome, LocalEdit, LocalOutcome};
use crate::document::encode::{write_rev, write_string};
use crate::document::incoming::Incoming;
use crate::document::{DocId, Rev};
use crate::metrics;

use super::bulk_body::BulkBody;
use super::databases::write_ok;
use super::documents_write::{self, parse, replicated_path, require_design_role};
use super::error::ApiError;
use super::local_docs;
use super::multipart_put;
use super::request::{Request, check_doc_id};
use super::respond::{self, Answer};
use super::router::Role;
use super::views::build_ahead;
use super::writing;

/// Requests up to this size are read on the async worker.
const INLINE_BYTES_MAX: usize = 16 << 10;
/// Text of the documents that are held as edits at one time. A larger request is checked as a
/// whole first and then written part by part.
const PART_BYTES_MAX: u64 = 4 << 20;

/// Where the outcome of each document is found.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Edit(usize),
    Local(usize),
    /// A design document that has not been judged yet.
    Design,
    Refused(usize),
}

/// A design document on its way: it may be refused while the others are written.
#[derive(Debug)]
struct Design {
    slot: usize,
    edit: Edit,
    checked: Incoming,
}

/// What an answer calls a document by; of a replicated one it names the revision too.
#[derive(Debug)]
struct Named {
    id: DocId,
    replicated: Option<Rev>,
}

impl Named {
    fn of(edit: &Edit) -> Self {
        let replicated = match &edit.base {
            Base::Replicated(path) => path.newest(),
            Base::New | Base::On(_) => None,
        };
        Self { id: edit.id.clone(), replicated }
    }
}

/// A design document that is not written, and why.
#[derive(Debug)]
struct Refusal {
    named: Named,
    error: ApiError,
}

/// Documents that are written together.
#[derive(Debug, Default)]
struct Part {
    slots: Vec<Slot>,
    edits: Vec<Edit>,
    locals: Vec<LocalEdit>,
    designs: Vec<Design>,
    refusals: Vec<Refusal>,
    replicated: bool,
}

/// What reading a document needs of the server.
#[derive(Debug, Clone)]
struct Reader {
    app: SharedApp,
    settings: Arc<Settings>,
    db: Arc<Database>,
}

/// `POST /{db}/_bulk_docs`.
pub async fn bulk_docs(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    let bulk = BulkBody::receive(&mut request).await?;
    metrics::BULK_REQUESTS.add(1);
    let count = u32::try_from(bulk.documents.len()).unwrap_or(u32::MAX);
    metrics::BULK_DOCS.update(f64::from(count));
    let large = bulk.bytes_in_memory().is_none_or(|bytes| bytes > INLINE_BYTES_MAX);
    let (app, settings) = (request.app.clone(), request.settings.clone());
    let reader = Reader { app, settings, db: db.clone() };
    if bulk.all_or_nothing {
        let refused = blocking::run("refuse bulk documents", move || reader.refuse(&bulk));
        return Ok(respond::json_bytes(StatusCode::EXPECTATION_FAILED, refused.await??));
    }
    let parts = parts(&bulk.documents);
    if parts.len() > 1 {
        let (checking, all) = (reader.clone(), bulk.clone());
        blocking::run("check bulk documents", move || checking.check(&all)).await??;
    }
    let mut out = vec![b'['];
    for part in parts {
        let (reading, all) = (reader.clone(), bulk.clone());
        let read = move || reading.read(&all, part);
        let mut part =
            if large { blocking::run("read bulk documents", read).await?? } else { read()? };
        part.judge_designs(&request, &db, role).await?;
        part.write(&request, &db, &mut out).await?;
    }
    documents_write::maybe_compact(&request.app, &db);
    out.extend_from_slice(b"]\n");
    Ok(respond::json_bytes(StatusCode::CREATED, out))
}

/// Ranges of documents whose text is about [`PART_BYTES_MAX`] together.
fn parts(documents: &[Range<u64>]) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, document) in documents.iter().enumerate() {
        let length = document.end - document.start;
        if bytes > 0 && bytes + length > PART_BYTES_MAX {
            parts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += length;
    }
    parts.push(start..documents.len());
    parts
}

impl Reader {
    /// A document's id, from the server where it brings none, and its content.
    fn document(&self, text: &[u8]) -> Result<(DocId, Incoming), ApiError> {
        let mut incoming = parse(&self.settings, text)?;
        let new_id = || self.app.uuids.next(&self.settings.uuids);
        let id = incoming.id.take().unwrap_or_else(new_id);
        Ok((check_doc_id(&self.db, &self.settings, &id)?, incoming))
    }

    /// One wrong document is the end of the whole request, before anything is written.
    fn check(&self, bulk: &BulkBody) -> Result<(), ApiError> {
        for document in bulk.documents.iter() {
            let (id, incoming) = self.document(&bulk.document(document)?)?;
            if id.is_local() {
                local_docs::edit(id, incoming)?;
            } else if !bulk.new_edits {
                replicated_path(incoming.revisions.as_ref(), incoming.rev)?;
            }
        }
        Ok(())
    }

    fn read(&self, bulk: &BulkBody, part: Range<usize>) -> Result<Part, ApiError> {
        let mut read = Part { replicated: !bulk.new_edits, ..Part::default() };
        for document in bulk.documents.get(part).unwrap_or_default() {
            let (id, incoming) = self.document(&bulk.document(document)?)?;
            if id.is_local() {
                read.slots.push(Slot::Local(read.locals.len()));
                read.locals.push(local_docs::edit(id, incoming)?);
                continue;
            }
            let base = if bulk.new_edits {
                incoming.rev.clone().map_or(Base::New, Base::On)
            } else {
                let rev = incoming.rev.clone();
                Base::Replicated(replicated_path(incoming.revisions.as_ref(), rev)?)
            };
            let checked =
                id.is_design().then(|| Incoming { attachments: None, ..incoming.clone() });
            let attachments = match incoming.attachments {
                Some(listed) => {
                    multipart_put::edit_attachments_blocking(&self.db, &self.settings, listed)?
                }
                None => Vec::new(),
            };
            let Incoming { deleted, body, body_term, .. } = incoming;
            let edit = Edit { id, base, deleted, body, body_term, attachments };
            if let Some(checked) = checked {
                let slot = read.slots.len();
                read.slots.push(Slot::Design);
                read.designs.push(Design { slot, edit, checked });
                continue;
            }
            read.slots.push(Slot::Edit(read.edits.len()));
            read.edits.push(edit);
        }
        Ok(read)
    }

    /// CouchDB's answer to `all_or_nothing`: every document refused.
    fn refuse(&self, bulk: &BulkBody) -> Result<Vec<u8>, ApiError> {
        let mut out = vec![b'['];
        for document in bulk.documents.iter() {
            let (id, incoming) = self.document(&bulk.document(document)?)?;
            write_refused(&mut out, &id, incoming.rev.as_ref());
        }
        out.extend_from_slice(b"]\n");
        Ok(out)
    }
}

impl Part {
    /// Finds out which design documents this user may write, and which are valid. The others are
    /// refused one by one, as CouchDB does: a replication goes on without them.
    async fn judge_designs(
        &mut self,
        request: &Request,
        db: &Arc<Database>,
        role: Role,
    ) -> Result<(), ApiError> {
        for Design { slot, edit, checked } in std::mem::take(&mut self.designs) {
            let judged = match require_design_role(request, role) {
                Ok(()) => documents_write::check_design(&request.app, db, &edit.id, &checked).await,
                refused => refused,
            };
            let place = match judged {
                Ok(()) => {
                    self.edits.push(edit);
                    Slot::Edit(self.edits.len() - 1)
                }
                Err(error @ (ApiError::Auth(_) | ApiError::Design(_))) => {
                    self.refusals.push(Refusal { named: Named::of(&edit), error });
                    Slot::Refused(self.refusals.len() - 1)
                }
                Err(error) => return Err(error),
            };
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = place;
            }
        }
        Ok(())
    }

    /// Writes the part durably and appends the outcomes.
    async fn write(
        self,
        request: &Request,
        db: &Arc<Database>,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let named: Vec<Named> = self.edits.iter().map(Named::of).collect();
        let local_ids: Vec<DocId> = self.locals.iter().map(|edit| edit.id.clone()).collect();
        let (mut edited, mut locals) = (Vec::new(), Vec::new());
        if !self.edits.is_empty() {
            let outcomes = writing::write(db, &request.user, self.edits).await?;
            edited = outcomes.into_iter().map(Some).collect();
            for written in &named {
                build_ahead(&request.app, db, &written.id);
            }
        }
        if !self.locals.is_empty() {
            locals = blocking::settle(db.edit_locals(self.locals)?).await?;
        }
        for slot in self.slots {
            let start = out.len();
            if start > 1 {
                out.push(b',');
            }
            let written = match slot {
                Slot::Edit(at) => {
                    let outcome = edited.get_mut(at).and_then(Option::take);
                    write_edit(out, named.get(at), outcome)?
                }
                Slot::Local(at) => {
                    write_local(out, local_ids.get(at), locals.get(at), self.replicated)
                }
                Slot::Refused(at) => {
                    let refusal = self.refusals.get(at);
                    refusal.is_some_and(|Refusal { named, error }| write_refusal(out, named, error))
                }
                Slot::Design => false,
            };
            if !written {
                out.truncate(start);
            }
        }
        Ok(())
    }
}

/// Appends why a document was not written.
fn write_refusal(out: &mut Vec<u8>, named: &Named, error: &ApiError) -> bool {
    let (_, name, _) = error.describe();
    out.extend_from_slice(b"{\"id\":");
    write_string(out, named.id.as_str());
    if let Some(rev) = &named.replicated {
        out.extend_from_slice(b",\"rev\":");
        write_rev(out, rev);
    }
    out.extend_from_slice(b",\"error\":");
    write_string(out, &name);
    out.extend_from_slice(b",\"reason\":");
    out.extend_from_slice(error.reason().to_string().as_bytes());
    out.push(b'}');
    true
}

/// Replicated documents are listed only where they failed.
fn write_edit(
    out: &mut Vec<u8>,
    named: Option<&Named>,
    outcome: Option<EditOutcome>,
) -> Result<bool, ApiError> {
    let (Some(named), Some(outcome)) = (named, outcome) else { return Ok(false) };
    match outcome {
        EditOutcome::Saved(_) | EditOutcome::Known(_) if named.replicated.is_some() => Ok(false),
        EditOutcome::Saved(rev) | EditOutcome::Known(rev) => {
            write_ok(out, named.id.as_str(), &rev.to_string());
            Ok(true)
        }
        EditOutcome::Conflict => Ok(write_refusal(out, named, &ApiError::Conflict)),
        EditOutcome::Refused(error) => Ok(write_refusal(out, named, &error.into())),
        EditOutcome::PartitionOverflow => {
            let error = ApiError::PartitionOverflow(named.id.to_string());
            Ok(write_refusal(out, named, &error))
        }
        // CouchDB refuses the request as a whole; what it has written by then stays.
        EditOutcome::MissingStub { name } => {
            Err(ApiError::MissingStub { id: named.id.to_string(), name })
        }
    }
}

fn write_local(
    out: &mut Vec<u8>,
    id: Option<&DocId>,
    outcome: Option<&LocalOutcome>,
    replicated: bool,
) -> bool {
    match (id, outcome) {
        (Some(id), Some(LocalOutcome::Saved(rev))) if !replicated => {
            write_ok(out, id.as_str(), &format!("0-{rev}"));
            true
        }
        (Some(id), Some(LocalOutcome::Missing)) => {
            out.extend_from_slice(b"{\"id\":");
            write_string(out, id.as_str());
            out.extend_from_slice(b",\"error\":\"not_found\",\"reason\":\"missing\"}");
            true
        }
        _ => false,
    }
}

fn write_refused(out: &mut Vec<u8>, id: &DocId, rev: Option<&Rev>) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"id\":");
    write_string(out, id.as_str());
    out.extend_from_slice(b",\"rev\":");
    let rev = rev.map_or_else(|| "0-".to_owned(), ToString::to_string);
    write_string(out, &rev);
    out.extend_from_slice(
        b",\"error\":\"not_implemented\",\"reason\":\"all_or_nothing is not supported\"}",
    );
}
