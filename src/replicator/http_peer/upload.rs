//! Writes a revision with its attachments: as multipart/related, where attachments that the
//! database has stay stubs and all others are sent as they are read from the source. Where the
//! source fails, the request is cut off, so that nothing is stored of it.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};

use crate::document::Encoding;
use crate::http::client::{Body, BodyError, BodyStream, Method};
use crate::http::gzip::{Gunzip, GunzipError};
use crate::http::multipart::Boundary;
use crate::http::multipart::writer::{
    self, AttachmentPart, CLOSE, PartEncoding, Subtype, related_head, related_length,
};
use crate::replicator::{AttachmentSource, PeerError, Revision, Stub, WriteFailure};

use super::connection::{Call, Connection, Failed};
use super::document_path;
use super::revision::{Ancestry, History};
use super::write::failure;

/// An answer tells the revision that was written.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Writes `revision`; why the database did not take it, if it did not.
pub(super) async fn write(
    connection: &Connection,
    revision: &Arc<Revision>,
    source: &AttachmentSource,
) -> Result<Option<WriteFailure>, PeerError> {
    let mut upload = Upload::new(connection, revision, source)?;
    loop {
        match connection.retried(|| upload.attempt(connection)).await {
            Ok(()) => return Ok(None),
            // The target lacks what it should have: it gets all.
            Err(PeerError::MissingStub) if upload.known > 0 => upload.known = 0,
            Err(error) if is_refusal(&error) => return Ok(Some(failure(&revision.id, error))),
            Err(error) => return Err(error),
        }
    }
}

/// Whether it is this document that the database does not want.
fn is_refusal(error: &PeerError) -> bool {
    match error {
        PeerError::Unauthorized(_)
        | PeerError::TooLarge(_)
        | PeerError::MissingStub
        | PeerError::Invalid(_) => true,
        PeerError::Status { status, .. } => matches!(status, 400 | 403 | 409 | 412 | 415),
        _ => false,
    }
}

/// A revision on its way to a database.
struct Upload {
    revision: Arc<Revision>,
    source: AttachmentSource,
    /// The value of `_attachments`, and where it stands in the text.
    listed: Map<String, Value>,
    place: Range<usize>,
    /// The database has the attachments up to this generation.
    known: u64,
    /// The database knows that attachments may be packed.
    takes_packed: bool,
    state: Arc<Mutex<State>>,
}

/// What was found out while sending.
#[derive(Default)]
struct State {
    /// Why the source failed.
    failure: Option<PeerError>,
    /// Attachments that the source gives only unpacked.
    unpacked: Vec<String>,
}

/// An attachment that is sent.
#[derive(Clone)]
struct Part {
    stub: Stub,
    encoding: Encoding,
}

impl Upload {
    fn new(
        connection: &Connection,
        revision: &Arc<Revision>,
        source: &AttachmentSource,
    ) -> Result<Self, PeerError> {
        let text = &revision.text;
        let History { attachments, revisions } = connection.parse(text)?;
        let (listed, place) = match attachments {
            Some(listed) => {
                let start = listed.get().as_ptr().addr() - text.as_ptr().addr();
                (connection.parse(listed.get().as_bytes())?, start..start + listed.get().len())
            }
            None => (Map::new(), 0..0),
        };
        let known = Ancestry::newest_of(&revisions, &revision.possible_ancestors).unwrap_or(0);
        let (revision, source) = (revision.clone(), source.clone());
        let takes_packed = connection.takes_packed();
        Ok(Self { revision, source, listed, place, known, takes_packed, state: Arc::default() })
    }

    async fn attempt(&self, connection: &Connection) -> Result<(), Failed> {
        let answer = connection.bytes(&self.call(), ANSWER_BYTES_MAX).await;
        let failure = lock(&self.state).failure.take();
        match (answer, failure) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(failure)) => Err(failure.into()),
            (Err(failed), None) => Err(failed),
        }
    }

    fn call(&self) -> Call {
        let path = format!("{}?new_edits=false", document_path(&self.revision.id));
        let parts = self.parts();
        let call = if parts.is_empty() {
            Call::put(path, self.revision.text.clone())
        } else {
            let boundary = Boundary::new(rand::random());
            let content_type = writer::content_type(Subtype::Related, &boundary);
            let body = self.body(&boundary, parts);
            Call::new(Method::Put, path, body).typed(content_type)
        };
        call.with("x-couch-full-commit", "false")
    }

    /// The attachments that the database lacks.
    fn parts(&self) -> Vec<Part> {
        let unpacked = lock(&self.state).unpacked.clone();
        let stubs = self.revision.attachments.iter();
        // Without a generation nobody knows which of its revisions had it first.
        let lacking = stubs.filter(|stub| stub.revpos == 0 || stub.revpos > self.known);
        let part = |stub: &Stub| {
            let is_unpacked = !self.takes_packed || unpacked.contains(&stub.name);
            let encoding = if is_unpacked { Encoding::Identity } else { stub.encoding };
            Part { stub: stub.clone(), encoding }
        };
        lacking.map(part).collect()
    }

    fn body(&self, boundary: &Boundary, parts: Vec<Part>) -> Body {
        let json = self.json(&parts);
        let heads: Vec<_> = parts.iter().map(Part::head).collect();
        let length = related_length(boundary, json.len() as u64, &heads);
        let boundary = boundary.clone();
        let sending = Sending {
            revision: self.revision.clone(),
            source: self.source.clone(),
            state: self.state.clone(),
        };
        let open = move || -> BodyStream {
            let begin = [related_head(&boundary), json.clone(), writer::next(&boundary)];
            let mut streams = vec![stream::iter(begin.map(Ok)).boxed()];
            for part in &parts {
                streams.push(stream::iter([Ok(part.head().head())]).boxed());
                streams.push(sending.clone().bytes(part.clone()));
                streams.push(stream::iter([Ok(writer::next(&boundary))]).boxed());
            }
            streams.push(stream::iter([Ok(CLOSE)]).boxed());
            stream::iter(streams).flatten().boxed()
        };
        Body::Stream { length: Some(length), open: Arc::new(open) }
    }

    /// The document, which tells of `parts` that they follow.
    fn json(&self, parts: &[Part]) -> Bytes {
        let mut listed = self.listed.clone();
        for Part { stub, encoding } in parts {
            let Some(Value::Object(members)) = listed.get_mut(&stub.name) else { continue };
            members.shift_remove("stub");
            members.insert("follows".to_owned(), true.into());
            if *encoding != stub.encoding {
                // All three are about the packed bytes.
                for name in ["encoding", "encoded_length", "digest"] {
                    members.shift_remove(name);
                }
            }
        }
        let text = &self.revision.text;
        let listed = Value::Object(listed).to_string();
        [&text[..self.place.start], listed.as_bytes(), &text[self.place.end..]].concat().into()
    }
}

impl Part {
    fn length(&self) -> u64 {
        match self.encoding {
            Encoding::Identity => self.stub.length,
            Encoding::Gzip => self.stub.encoded_length,
        }
    }

    fn head(&self) -> AttachmentPart<'_> {
        AttachmentPart {
            name: &self.stub.name,
            content_type: &self.stub.content_type,
            length: self.length(),
            encoding: match self.encoding {
                Encoding::Identity => PartEncoding::Identity,
                Encoding::Gzip => PartEncoding::Gzip,
            },
        }
    }
}

/// Where the bytes of attachments come from.
#[derive(Clone)]
struct Sending {
    revision: Arc<Revision>,
    source: AttachmentSource,
    state: Arc<Mutex<State>>,
}

impl Sending {
    /// The bytes of an attachment, as many as were announced.
    fn bytes(self, part: Part) -> BodyStream {
        let state = self.state.clone();
        let opened = async move {
            let opened = self.source.open(&self.revision, &part.stub).await?;
            let bytes = match (opened.encoding, part.encoding) {
                (Encoding::Identity, Encoding::Gzip) => {
                    lock(&self.state).unpacked.push(part.stub.name.clone());
                    let reason = "the source gives an attachment only unpacked".to_owned();
                    return Err(PeerError::Unreachable(reason));
                }
                (Encoding::Gzip, Encoding::Identity) => {
                    Gunzip::new(opened.bytes).map_err(not_unpacked).boxed()
                }
                _ => opened.bytes,
            };
            let mut left = part.length();
            Ok(bytes.and_then(move |bytes| {
                let fits = left.checked_sub(bytes.len() as u64);
                left = fits.unwrap_or(0);
                let too_long = || PeerError::Local("an attachment is too long".to_owned());
                std::future::ready(fits.map(|_| bytes).ok_or_else(too_long))
            }))
        };
        let keep = move |error| {
            lock(&state).failure = Some(error);
            BodyError
        };
        opened.boxed().try_flatten_stream().map_err(keep).boxed()
    }
}

fn not_unpacked(error: GunzipError<PeerError>) -> PeerError {
    match error {
        GunzipError::Source(error) => error,
        GunzipError::Gzip(error) => PeerError::Local(format!("an attachment's bytes: {error}")),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
