//! `POST /{db}/{id}` as multipart/form-data: how a browser's form uploads files.

use std::sync::Arc;

use axum::http::header;
use futures_util::StreamExt;

use crate::config::Settings;
use crate::database::{Database, EditAttachment, Source};
use crate::document::incoming::Incoming;
use crate::document::{DocId, Rev};
use crate::http::multipart::{Boundary, MultipartError, MultipartReader};

use super::compress::{self, Arrival, AttachmentSink};
use super::documents_write::parse;
use super::error::ApiError;
use super::request::Request;

/// A page of another site must not write with the cookies of this one.
///
/// # Errors
/// 400 where the `Referer` is missing or of another host.
pub fn check_referer(request: &Request) -> Result<(), ApiError> {
    let referer = request
        .header(header::REFERER.as_str())
        .ok_or_else(|| ApiError::bad_request("Referer header required."))?;
    let host = referer.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    if request.header(header::HOST.as_str()) == Some(host) {
        Ok(())
    } else {
        Err(ApiError::bad_request("Referer header must match host."))
    }
}

/// The fields of a form that mean something here.
#[derive(Debug, Default)]
pub struct Form {
    document: Option<Vec<u8>>,
    rev: Option<Rev>,
    files: Vec<EditAttachment>,
}

fn broken(error: MultipartError<ApiError>) -> ApiError {
    match error {
        MultipartError::Source(error) => error,
        other => ApiError::bad_request(other.to_string()),
    }
}

/// Reads the form; files become uploads as they come.
///
/// # Errors
/// 400 for what is no form.
pub async fn read(request: &mut Request, db: &Arc<Database>) -> Result<Form, ApiError> {
    let content_type = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let boundary = Boundary::from_content_type(content_type)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let document_bytes_max = request.settings.chttpd.max_http_request_size.min(64 << 20);
    let document_bytes_max = usize::try_from(document_bytes_max).unwrap_or(usize::MAX);
    let mut parts = MultipartReader::new(request.take_body()?, &boundary);
    let mut form = Form::default();
    while let Some(head) = parts.next_part().await.map_err(broken)? {
        match (head.field_name().as_deref(), head.filename()) {
            (Some("_attachments"), Some(name)) if !name.is_empty() => {
                let kind = head.header("content-type").unwrap_or(compress::DEFAULT_CONTENT_TYPE);
                let kind = kind.to_owned();
                let sink = AttachmentSink::new(db, &request.settings, name, kind, Arrival::Plain);
                let chunks = parts.part_chunks().map(|chunk| chunk.map_err(broken));
                form.files.push(compress::store(sink, chunks).await?);
            }
            (Some(field @ ("_doc" | "_rev")), _) => {
                let text = parts.read_part(document_bytes_max).await.map_err(broken)?;
                if field == "_doc" {
                    form.document = Some(text.to_vec());
                } else {
                    form.rev = Some(Rev::parse(&String::from_utf8_lossy(&text))?);
                }
            }
            _ => while parts.read_part_chunk().await.map_err(broken)?.is_some() {},
        }
    }
    Ok(form)
}

impl Form {
    /// The document that the form makes: its own text, or the named revision, with the files
    /// before the attachments that were there.
    ///
    /// # Errors
    /// 404 where the form names a revision that is not there.
    pub fn into_document(
        self,
        settings: &Settings,
        db: &Database,
        id: &DocId,
    ) -> Result<(Incoming, Vec<EditAttachment>), ApiError> {
        let mut attachments = self.files;
        let incoming = match (self.document, self.rev) {
            (Some(text), _) => parse(settings, &text)?,
            (None, Some(rev)) => {
                let old = db.revision(id, &rev)?.ok_or_else(ApiError::missing)?;
                let mut incoming = parse(settings, &old.body)?;
                incoming.rev = Some(rev);
                let new = |name: &str| attachments.iter().any(|file| file.name == name);
                let kept: Vec<EditAttachment> = old
                    .attachments
                    .into_iter()
                    .filter(|old| !new(&old.name))
                    .map(|old| EditAttachment {
                        name: old.name,
                        revpos: None,
                        source: Source::Stub,
                    })
                    .collect();
                attachments.extend(kept);
                incoming
            }
            (None, None) => parse(settings, b"{}")?,
        };
        Ok((incoming, attachments))
    }
}
