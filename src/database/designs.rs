//! Design documents as the server uses them: loaded once, until one of them changes.
//!
//! A handle has an epoch, which its writer renews with every commit that touches a design
//! document, before the commit is acknowledged. What is read is noted with the epoch from before
//! the reading, so a note that may be out of date is not used.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::design::{Ddoc, MODULE_BYTES_MAX, module_attachment};
use crate::document::id::DESIGN_PREFIX;
use crate::document::{DocId, Document};
use crate::storage::{Direction, StorageError, Table};

use super::design_cache::DesignCache;
use super::{Database, DatabaseError, IdRange};

/// What a handle knows of its database's design documents.
#[derive(Debug)]
pub(super) struct Designs {
    cache: Arc<DesignCache>,
    epoch: AtomicU64,
    all: Noted,
    validators: Noted,
}

/// Some of the design documents, in the order of their ids, as of an epoch.
#[derive(Debug, Default)]
struct Noted(Mutex<Option<(u64, Arc<[DocId]>)>>);

impl Noted {
    fn get(&self, epoch: u64) -> Option<Arc<[DocId]>> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.as_ref().filter(|(of, _)| *of == epoch).map(|(_, ids)| ids.clone())
    }

    /// What is noted, or what is found now.
    fn get_or_find(
        &self,
        epoch: u64,
        find: impl FnOnce() -> Result<Arc<[DocId]>, DatabaseError>,
    ) -> Result<Arc<[DocId]>, DatabaseError> {
        if let Some(ids) = self.get(epoch) {
            return Ok(ids);
        }
        let ids = find()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((epoch, ids.clone()));
        Ok(ids)
    }
}

impl Designs {
    pub(super) fn new(cache: Arc<DesignCache>) -> Self {
        let epoch = AtomicU64::new(cache.new_epoch());
        Self { cache, epoch, all: Noted::default(), validators: Noted::default() }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A design document has changed.
    pub(super) fn renew(&self) {
        self.epoch.store(self.cache.new_epoch(), Ordering::Release);
    }
}

impl Database {
    /// The design documents that are not deleted, in the order of their ids. Blocks where one of
    /// them has changed since the last call.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn design_ids(&self) -> Result<Arc<[DocId]>, DatabaseError> {
        self.designs.all.get_or_find(self.designs.epoch(), || {
            let mut ids = Vec::new();
            let all = IdRange::prefix(DESIGN_PREFIX);
            self.scan_heads(&all, Direction::Forward, &mut |row| {
                if !row.deleted {
                    ids.extend(DocId::parse(row.id));
                }
                ControlFlow::Continue(())
            })?;
            Ok(ids.into())
        })
    }

    /// The winner of a design document that is not deleted, ready to be used. Blocks.
    pub fn design(&self, id: &DocId) -> Result<Option<Arc<Ddoc>>, DatabaseError> {
        let epoch = self.designs.epoch();
        if let Some(ddoc) = self.designs.cache.get(self.number, id, epoch) {
            return Ok(Some(ddoc));
        }
        let Some(winner) = self.winner(id)?.filter(|winner| !winner.deleted) else {
            return Ok(None);
        };
        let ddoc = self.load_design(&winner)?;
        let bytes = winner.body.len() + ddoc.module_bytes();
        self.designs.cache.put(self.number, epoch, ddoc.clone(), bytes);
        Ok(Some(ddoc))
    }

    fn load_design(&self, document: &Document) -> Result<Arc<Ddoc>, DatabaseError> {
        let module = self.attached_module(document)?;
        let corrupt = |_| StorageError::Corrupt {
            table: Table::Bodies.name(),
            what: "a body is no JSON object",
        };
        Ok(Arc::new(Ddoc::new(document, module.as_deref()).map_err(corrupt)?))
    }

    /// The attachment that a design document in WebAssembly names as its module.
    fn attached_module(&self, document: &Document) -> Result<Option<Vec<u8>>, DatabaseError> {
        if document.attachments.is_empty() {
            return Ok(None);
        }
        let Some(name) = module_attachment(&document.body) else { return Ok(None) };
        let named = document.attachments.iter().find(|attachment| attachment.name == name);
        let Some(attachment) = named else { return Ok(None) };
        match self.attachment_bytes(attachment, MODULE_BYTES_MAX + 1) {
            // The revision was replaced meanwhile; whoever asks again gets the next one.
            Err(DatabaseError::AttachmentGone) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Whether it is known, without reading, that no function has to be asked about a write.
    pub(super) fn nobody_validates(&self) -> bool {
        let state = self.state();
        if state.doc_count == 0 && state.doc_del_count == 0 {
            return true;
        }
        self.designs.validators.get(self.designs.epoch()).is_some_and(|ids| ids.is_empty())
    }

    /// The design documents whose functions are asked about a write, in the order of asking.
    pub(super) fn validators(&self) -> Result<Vec<Arc<Ddoc>>, DatabaseError> {
        let epoch = self.designs.epoch();
        let ids = self.designs.validators.get_or_find(epoch, || self.find_validators(epoch))?;
        let mut ddocs = Vec::with_capacity(ids.len());
        for id in ids.iter() {
            ddocs.extend(self.design(id)?.filter(|ddoc| ddoc.validates()));
        }
        Ok(ddocs)
    }

    fn find_validators(&self, epoch: u64) -> Result<Arc<[DocId]>, DatabaseError> {
        let mut validating = Vec::new();
        for id in self.design_ids()?.iter() {
            let Some(winner) = self.winner(id)?.filter(|winner| !winner.deleted) else {
                continue;
            };
            let ddoc = self.load_design(&winner)?;
            if ddoc.validates() {
                let bytes = winner.body.len() + ddoc.module_bytes();
                self.designs.cache.put(self.number, epoch, ddoc, bytes);
                validating.push(id.clone());
            }
        }
        Ok(validating.into())
    }
}
