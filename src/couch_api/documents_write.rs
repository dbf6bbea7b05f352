//! Writing one document: `PUT`, `DELETE`, `COPY`, and forms from browsers.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::Response;

use crate::app::SharedApp;
use crate::blocking;
use crate::config::Settings;
use crate::database::{Base, Database, Edit, EditAttachment};
use crate::design::{self, DesignError, ModuleSource, Partitioning};
use crate::document::incoming::{self, AttachmentSource, Incoming, Limits};
use crate::document::{DocId, Rev, Revisions};
use crate::http::multipart::Boundary;
use crate::http::path::{self, Plus, encode_segment};
use crate::mango::validation::validating_selector;

use super::databases::write_ok;
use super::error::ApiError;
use super::form;
use super::multipart_put;
use super::request::{Request, check_doc_id};
use super::respond::{self, Answer};
use super::router::Role;
use super::viewer::Viewer;
use super::views::build_ahead;
use super::writing;

/// Reads a document's text, within `max_document_size`.
///
/// # Errors
/// 400, and 413 with the id that the text itself names.
pub fn parse(settings: &Settings, text: &[u8]) -> Result<Incoming, ApiError> {
    let incoming = incoming::parse(text, &Limits::default())?;
    if incoming.body.len() as u64 > settings.couchdb.max_document_size {
        return Err(ApiError::DocumentTooLarge(incoming.id.unwrap_or_default()));
    }
    Ok(incoming)
}

/// Design documents are their admins' affair.
///
/// # Errors
/// 401 for anonymous users, 403 for others.
pub fn require_design_role(request: &Request, role: Role) -> Result<(), ApiError> {
    match (role, &request.user.name) {
        (Role::Admin, _) => Ok(()),
        (Role::Member, None) => Err(crate::auth::AuthError::AnonymousNotDatabaseAdmin.into()),
        (Role::Member, Some(_)) => Err(crate::auth::AuthError::NotDatabaseAdmin.into()),
    }
}

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledge {
    Durable,
    /// `batch=ok`: as soon as it is queued.
    Queued,
}

/// How a write was answered.
#[derive(Debug)]
pub enum Answered {
    Saved { id: DocId, rev: Rev, deleted: bool },
    Accepted { id: DocId },
}

impl Answered {
    /// The JSON answer; `created` is the status of what is no deletion.
    #[must_use]
    pub fn respond(&self, created: StatusCode) -> Response {
        let mut out = Vec::with_capacity(96);
        match self {
            Self::Saved { id, rev, deleted } => {
                write_ok(&mut out, id.as_str(), &rev.to_string());
                out.push(b'\n');
                let status = if *deleted { StatusCode::OK } else { created };
                respond::json_bytes(status, out)
            }
            Self::Accepted { id } => {
                out.extend_from_slice(b"{\"ok\":true,\"id\":");
                crate::document::encode::write_string(&mut out, id.as_str());
                out.extend_from_slice(b"}\n");
                respond::json_bytes(StatusCode::ACCEPTED, out)
            }
        }
    }
}

/// One document's write with everything checked that needs no database.
#[derive(Debug)]
pub struct Write {
    id: DocId,
    incoming: Incoming,
    base: Base,
    /// Attachments that are uploaded already, with multipart requests.
    attachments: Option<Vec<EditAttachment>>,
    acknowledge: Acknowledge,
}

impl Write {
    /// Finds out on what revision the write stands: `_rev`, `?rev=`, `If-Match`.
    ///
    /// # Errors
    /// Where these disagree; where a design document is written by who may not.
    pub fn of(
        request: &Request,
        id: DocId,
        incoming: Incoming,
        role: Role,
    ) -> Result<Self, ApiError> {
        if id.is_design() {
            require_design_role(request, role)?;
        }
        let replicated = request.query.get("new_edits") == Some("false");
        let rev = write_rev(request, incoming.rev.as_ref())?;
        let base = if replicated {
            Base::Replicated(replicated_path(incoming.revisions.as_ref(), rev)?)
        } else {
            rev.map_or(Base::New, Base::On)
        };
        let queued = request.query.get("batch") == Some("ok");
        Ok(Self {
            id,
            incoming,
            base,
            attachments: None,
            acknowledge: if queued { Acknowledge::Queued } else { Acknowledge::Durable },
        })
    }

    /// A write that an update function asks for: of the request only its user counts.
    ///
    /// # Errors
    /// Where a design document is written by who may not.
    pub fn by_function(
        request: &Request,
        id: DocId,
        incoming: Incoming,
        role: Role,
    ) -> Result<Self, ApiError> {
        if id.is_design() {
            require_design_role(request, role)?;
        }
        let base = incoming.rev.clone().map_or(Base::New, Base::On);
        Ok(Self { id, incoming, base, attachments: None, acknowledge: Acknowledge::Durable })
    }

    /// Writes and waits as long as the answer needs.
    ///
    /// # Errors
    /// 409, 412, what makes the document no valid one, and what a validation function says.
    pub async fn run(self, request: &Request, db: &Arc<Database>) -> Result<Answered, ApiError> {
        // The rare parts are in boxes, so that the others need no room for them.
        if self.id.is_design() {
            Box::pin(check_design(&request.app, db, &self.id, &self.incoming)).await?;
        }
        let Self { id, incoming, base, attachments, acknowledge } = self;
        let replicated = matches!(base, Base::Replicated(_));
        let attachments = match (attachments, incoming.attachments) {
            (Some(attachments), _) => attachments,
            (None, Some(listed)) => {
                Box::pin(multipart_put::edit_attachments(db, &request.settings, listed)).await?
            }
            (None, None) => Vec::new(),
        };
        let Incoming { deleted, body, body_term, .. } = incoming;
        let edit = Edit { id: id.clone(), base, deleted, body, body_term, attachments };
        let reply = db.edit(writing::admit(db, &request.user, vec![edit]).await?)?;
        if acknowledge == Acknowledge::Queued {
            // Nobody is told of a refusal, as nobody is of a conflict.
            tokio::spawn(blocking::settle(reply));
            return Ok(Answered::Accepted { id });
        }
        let outcomes = blocking::settle(reply).await?;
        maybe_compact(&request.app, db);
        let rev = writing::saved(&id, outcomes)?;
        if !deleted {
            build_ahead(&request.app, db, &id);
        }
        Ok(Answered::Saved { id, rev, deleted: deleted && !replicated })
    }
}

/// Compacts in the background once more is obsolete than alive.
pub fn maybe_compact(app: &SharedApp, db: &Arc<Database>) {
    if db.wants_compaction() {
        let (app, db) = (app.clone(), db.clone());
        blocking::start("compact", move || {
            if let Err(error) = app.compact_database(&db) {
                tracing::warn!(db.name = %db.name(), %error, "compaction failed");
            }
        });
    }
}

/// Whether a design document may be saved as it is.
///
/// # Errors
/// 400 `invalid_design_doc`, `compilation_error`.
pub async fn check_design(
    app: &SharedApp,
    db: &Arc<Database>,
    id: &DocId,
    incoming: &Incoming,
) -> Result<(), ApiError> {
    if !id.is_design() || incoming.deleted {
        return Ok(());
    }
    let body = incoming.body.clone();
    let attached = module_at_hand(incoming);
    let app = app.clone();
    let partitioning =
        if db.is_partitioned() { Partitioning::Partitioned } else { Partitioning::NotPartitioned };
    blocking::run("check design document", move || {
        let body = serde_json::from_slice(&body).map_err(|_| ApiError::invalid_json())?;
        let sandbox = app.functions.sandbox();
        design::validate(&body, partitioning, |source| sandbox.check_function(source))?;
        if let Some(Err(reason)) = validating_selector(&body) {
            return Err(DesignError::SelectorCompilation(reason).into());
        }
        if design::is_wasm(&body) {
            let module = ModuleSource::of(&body)?.module(attached.as_deref());
            let check =
                module.map(|module| move |name: Option<&str>| sandbox.check_module(&module, name));
            design::validate_wasm(&body, check)?;
        }
        Ok(())
    })
    .await?
}

/// The module of a design document in WebAssembly, where it comes as an attachment in the
/// document itself. One that comes otherwise, or later, is looked at when it is used.
fn module_at_hand(incoming: &Incoming) -> Option<Vec<u8>> {
    let attachments = incoming.attachments.as_deref().filter(|listed| !listed.is_empty())?;
    let name = design::module_attachment(&incoming.body)?;
    let attachment = attachments.iter().find(|attachment| attachment.name == name)?;
    match &attachment.source {
        AttachmentSource::Inline(bytes) => Some(bytes.clone()),
        AttachmentSource::Stub | AttachmentSource::Follows => None,
    }
}

/// The one revision that the request gives in up to three places.
pub fn write_rev(request: &Request, body: Option<&Rev>) -> Result<Option<Rev>, ApiError> {
    let (query, etag) = (request.query_rev()?, request.if_match()?);
    if let (Some(body), Some(query)) = (body, &query)
        && body != query
    {
        return Err(ApiError::bad_request(
            "Document rev from request body and query string have different values",
        ));
    }
    let rev = body.cloned().or(query);
    if let (Some(rev), Some(etag)) = (&rev, &etag)
        && rev != etag
    {
        return Err(ApiError::bad_request("Document rev and etag have different values"));
    }
    Ok(rev.or(etag))
}

/// The path of a replicated document.
///
/// # Errors
/// 400 where it names no revision.
pub fn replicated_path(
    revisions: Option<&Revisions>,
    rev: Option<Rev>,
) -> Result<Revisions, ApiError> {
    match (revisions, rev) {
        (Some(revisions), _) => Ok(revisions.clone()),
        (None, Some(rev)) => Ok(Revisions::of(rev)),
        (None, None) => Err(ApiError::bad_request(
            "When `new_edits: false`, the document needs `_rev` or `_revisions` specified",
        )),
    }
}

fn location(request: &Request, db: &Database, id: &DocId) -> String {
    let (db, id) = (encode_segment(db.name().as_str()), encode_segment(id.as_str()));
    format!("{}/{db}/{id}", request.base_url())
}

fn saved(request: &Request, db: &Database, answered: &Answered) -> Response {
    let response = answered.respond(StatusCode::CREATED);
    match answered {
        Answered::Saved { id, rev, .. } => {
            let response =
                respond::with(response, header::ETAG, &respond::quoted(&rev.to_string()));
            respond::with(response, header::LOCATION, &location(request, db, id))
        }
        Answered::Accepted { id } => {
            respond::with(response, header::LOCATION, &location(request, db, id))
        }
    }
}

/// `PUT /{db}/{id}`, as JSON or multipart/related.
pub async fn put(mut request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    let content_type = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let multipart = content_type.to_ascii_lowercase().starts_with("multipart/related");
    let (incoming, attachments) = if multipart {
        let boundary = Boundary::from_content_type(content_type)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let (incoming, attachments) =
            Box::pin(multipart_put::read_multipart_document(&mut request, &db, &boundary)).await?;
        (incoming, Some(attachments))
    } else {
        let body = request.bytes().await?;
        (parse(&request.settings, &body)?, None)
    };
    let mut write = Write::of(&request, id, incoming, role)?;
    write.attachments = attachments;
    let answered = write.run(&request, &db).await?;
    Ok(saved(&request, &db, &answered))
}

/// `DELETE /{db}/{id}`.
pub async fn delete(request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    Viewer::of(&request, &db)?.check(&id)?;
    let nothing = Incoming {
        id: None,
        rev: None,
        revisions: None,
        deleted: true,
        attachments: None,
        body: b"{}".to_vec(),
        body_term: empty_term()?,
    };
    let write = Write::of(&request, id, nothing, role)?;
    match db.winner(&write.id)? {
        None => return Err(ApiError::missing()),
        Some(winner) if winner.deleted => return Err(ApiError::not_found("deleted")),
        Some(_) if matches!(write.base, Base::New) => return Err(ApiError::Conflict),
        Some(_) => {}
    }
    let answered = write.run(&request, &db).await?;
    let response = answered.respond(StatusCode::OK);
    Ok(match &answered {
        Answered::Saved { rev, .. } => {
            respond::with(response, header::ETAG, &respond::quoted(&rev.to_string()))
        }
        Answered::Accepted { .. } => response,
    })
}

fn empty_term() -> Result<Vec<u8>, ApiError> {
    Ok(incoming::parse(b"{}", &Limits::default())?.body_term)
}

/// Where `Destination` says that the copy goes, and on which revision.
fn destination(request: &Request) -> Result<(String, Option<Rev>), ApiError> {
    let header = request
        .header("destination")
        .ok_or_else(|| ApiError::bad_request("Destination header is mandatory for COPY."))?;
    if header.contains("://") || header.starts_with('/') {
        return Err(ApiError::bad_request("Destination URL must be relative."));
    }
    let (id, query) = header.split_once('?').unwrap_or((header, ""));
    let rev = path::parse_query(query)?.into_iter().find(|(name, _)| name == "rev");
    let rev = rev.map(|(_, value)| Rev::parse(&value)).transpose()?;
    Ok((path::decode(id, Plus::Literal)?, rev))
}

/// `COPY /{db}/{id}`: the copy has the same body and attachments.
pub async fn copy(request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    let (target, target_rev) = destination(&request)?;
    let target = check_doc_id(&db, &request.settings, &target)?;
    if target.is_design() {
        require_design_role(&request, role)?;
    }
    let viewer = Viewer::of(&request, &db)?;
    viewer.check(&id)?;
    let source_rev = request.query_rev()?;
    let source = match source_rev {
        Some(rev) => db.revision(&id, &rev)?.ok_or_else(ApiError::missing)?,
        None => {
            let winner = db.winner(&id)?.ok_or_else(ApiError::missing)?;
            if winner.deleted {
                return Err(ApiError::not_found("deleted"));
            }
            winner
        }
    };
    let source = viewer.show(source)?;
    let incoming = parse(&request.settings, &source.body)?;
    check_design(&request.app, &db, &target, &incoming).await?;
    let shared = source.attachments.into_iter().map(EditAttachment::shared);
    let edit = Edit {
        id: target.clone(),
        base: target_rev.map_or(Base::New, Base::On),
        deleted: false,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: shared.collect(),
    };
    let outcomes = writing::write(&db, &request.user, vec![edit]).await?;
    let rev = match writing::saved(&target, outcomes) {
        // An attachment that has gone since it was listed went with its revision.
        Err(ApiError::MissingStub { .. }) => return Err(ApiError::Conflict),
        saved => saved?,
    };
    Ok(saved(&request, &db, &Answered::Saved { id: target, rev, deleted: false }))
}

/// `POST /{db}/{id}`: a form of a browser with files.
pub async fn post_form(mut request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    form::check_referer(&request)?;
    let form = form::read(&mut request, &db).await?;
    let (incoming, attachments) = form.into_document(&request.settings, &db, &id)?;
    let mut write = Write::of(&request, id, incoming, role)?;
    write.attachments = Some(attachments);
    let answered = write.run(&request, &db).await?;
    Ok(saved(&request, &db, &answered))
}
