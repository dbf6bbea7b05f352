//! The members of a document that begin with `_`.

use std::borrow::Cow;

use super::attachments::read_attachments;
use super::{Incoming, IncomingError, Limits};
use crate::document::json::reader::{Check, InvalidJson, Reader, Scalar};
use crate::document::json::text::Minified;
use crate::document::{Rev, RevHash, Revisions};

/// What a member's name makes of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Member {
    /// Part of the body.
    Body,
    Special(Special),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Special {
    Id,
    Rev,
    Revisions,
    Deleted,
    Attachments,
    /// Sent out by `GET`, so clients send it back; says nothing.
    Ignored,
    /// Refused, by its name.
    Unknown(String),
}

impl Member {
    #[inline]
    pub fn of(name: &str) -> Self {
        if name.as_bytes().first() == Some(&b'_') { Self::of_special(name) } else { Self::Body }
    }

    fn of_special(name: &str) -> Self {
        Self::Special(match name {
            "_id" => Special::Id,
            "_rev" => Special::Rev,
            "_revisions" => Special::Revisions,
            "_deleted" => Special::Deleted,
            "_attachments" => Special::Attachments,
            "_revs_info" | "_local_seq" | "_conflicts" | "_deleted_conflicts" => Special::Ignored,
            "_access"
            | "_replication_id"
            | "_replication_state"
            | "_replication_state_time"
            | "_replication_state_reason"
            | "_replication_stats" => return Self::Body,
            _ => Special::Unknown(name.to_owned()),
        })
    }
}

/// The special members of one document with their normalised values, in their order.
#[derive(Debug, Default)]
pub struct SpecialMembers<'a> {
    members: Vec<(Special, Cow<'a, [u8]>)>,
}

impl<'a> SpecialMembers<'a> {
    /// Reads the value at which `reader` stands. It takes the place of an earlier one.
    pub fn read(&mut self, member: Special, reader: &mut Reader<'a>) -> Result<(), InvalidJson> {
        match member {
            Special::Ignored => return reader.value(&mut Check),
            Special::Unknown(_) => {
                reader.value(&mut Check)?;
                // The first one is reported; the others would only take memory.
                if !self.members.iter().any(|(known, _)| matches!(known, Special::Unknown(_))) {
                    self.members.push((member, Cow::default()));
                }
            }
            _ => {
                reader.peek(&mut Check)?;
                let mut value = Minified::new(reader.text(), reader.position());
                reader.value(&mut value)?;
                self.members.retain(|(known, _)| *known != member);
                self.members.push((member, value.finish(reader.position())));
            }
        }
        Ok(())
    }

    /// Checks the members and puts what they say into `incoming`.
    pub fn apply(self, incoming: &mut Incoming, limits: &Limits) -> Result<(), IncomingError> {
        for (member, value) in self.members {
            match member {
                Special::Id => incoming.id = Some(read_id(&value, limits)?),
                // A `_revisions` before it has said what the newest revision is.
                Special::Rev if incoming.revisions.is_some() => {}
                Special::Rev => incoming.rev = Some(read_rev(&value, limits)?),
                Special::Revisions => {
                    if let Some(revisions) = read_revisions(&value, limits)? {
                        incoming.rev = revisions.newest();
                        incoming.revisions = Some(revisions);
                    }
                }
                Special::Deleted => incoming.deleted = read_deleted(&value)?,
                Special::Attachments => {
                    incoming.attachments = Some(read_attachments(&value, limits)?);
                }
                Special::Ignored => {}
                Special::Unknown(name) => return Err(IncomingError::BadMember(name)),
            }
        }
        Ok(())
    }
}

fn read_id(value: &[u8], limits: &Limits) -> Result<String, IncomingError> {
    match Reader::new(value, limits)?.scalar()? {
        Scalar::String(id) => Ok(id.to_owned()),
        _ => Err(IncomingError::IdNotAString),
    }
}

fn read_rev(value: &[u8], limits: &Limits) -> Result<Rev, IncomingError> {
    let mut reader = Reader::new(value, limits)?;
    let Scalar::String(text) = reader.scalar()? else { return Err(IncomingError::InvalidRev) };
    let rev = Rev::parse(text).map_err(|_| IncomingError::InvalidRev)?;
    if is_bad_hexadecimal(&rev.hash) { Err(IncomingError::InvalidRev) } else { Ok(rev) }
}

fn read_deleted(value: &[u8]) -> Result<bool, IncomingError> {
    match value {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(IncomingError::BadMember("_deleted".to_owned())),
    }
}

/// CouchDB reads every text of 32 bytes as hexadecimal.
fn is_bad_hexadecimal(hash: &RevHash) -> bool {
    matches!(hash, RevHash::Text(text) if text.len() == 32)
}

/// `None` for the path without revisions, `{"start": 0, "ids": []}`.
fn read_revisions(value: &[u8], limits: &Limits) -> Result<Option<Revisions>, IncomingError> {
    let mut reader = Reader::new(value, limits)?;
    if reader.peek(&mut Check)? != b'{' {
        return Err(IncomingError::BadMember("_revisions".to_owned()));
    }
    let (mut start, mut ids) = (None, None);
    reader.open_object(&mut Check)?;
    while let Some(key) = reader.next_key(&mut Check)? {
        let (is_start, is_ids) = (reader.content(key) == "start", reader.content(key) == "ids");
        reader.colon(&mut Check)?;
        if is_ids && reader.peek(&mut Check)? == b'[' {
            ids = Some(read_rev_ids(&mut reader)?);
        } else if let (true, Scalar::Unsigned(number)) = (is_start, reader.scalar()?) {
            start = Some(number);
        }
    }
    let start = start.ok_or(IncomingError::RevisionsStart)?;
    let ids = ids.ok_or(IncomingError::RevisionsIds)??;
    if ids.is_empty() {
        return if start == 0 { Ok(None) } else { Err(IncomingError::RevisionsIds) };
    }
    if u64::try_from(ids.len()).is_ok_and(|count| count > start) {
        return Err(IncomingError::RevisionsStart);
    }
    Ok(Some(Revisions { start, ids }))
}

/// The inner error is for later: CouchDB looks at `start` first.
type RevIds = Result<Vec<RevHash>, IncomingError>;

fn read_rev_ids(reader: &mut Reader<'_>) -> Result<RevIds, InvalidJson> {
    let mut ids = Ok(Vec::new());
    reader.open_array(&mut Check)?;
    while reader.next_element(&mut Check)? {
        let id = match reader.scalar()? {
            Scalar::String(text) => Some(RevHash::parse(text)),
            _ => None,
        };
        if let Ok(known) = &mut ids {
            match id {
                None => ids = Err(IncomingError::RevIdNotAString),
                Some(id) if is_bad_hexadecimal(&id) => {
                    ids = Err(IncomingError::RevIdNotHexadecimal);
                }
                Some(id) => known.push(id),
            }
        }
    }
    Ok(ids)
}
