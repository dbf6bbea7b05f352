//! Rows for a list of keys, in its order: what is there, what was deleted, what never was.

use serde_json::Value;

use crate::couch_api::error::ApiError;
use crate::couch_api::stream::PAGE_BYTES;
use crate::database::Head;
use crate::document::encode::write_string;
use crate::document::{DocId, Document};

use super::{Listing, begin_row, write_head, write_local_row};

impl Listing {
    /// Rows of a list of keys, in its order.
    pub(super) fn write_keys(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        while out.len() < PAGE_BYTES {
            let batch = self.batch;
            let Some(keys) = &mut self.keys else { return Ok(false) };
            let taken: Vec<Value> = keys.drain(..batch.min(keys.len())).collect();
            if taken.is_empty() {
                return Ok(false);
            }
            let before = out.len();
            let mut ids = Vec::new();
            let parsed = taken.iter().map(|key| DocId::parse(key.as_str()?).ok());
            let places: Vec<Option<usize>> = parsed
                .map(|id| {
                    let id = id.filter(|id| !id.is_local())?;
                    ids.push(id);
                    Some(ids.len() - 1)
                })
                .collect();
            let heads = self.db.heads(&ids)?;
            let documents = self.documents_of(&ids, &heads)?;
            let rows = taken.len();
            for (key, place) in taken.into_iter().zip(places) {
                begin_row(out, &mut self.is_first);
                let at = place.unwrap_or(usize::MAX);
                match (ids.get(at), heads.get(at).and_then(Option::as_ref)) {
                    (Some(id), Some(head)) => {
                        let document = documents.get(at).and_then(Option::as_ref);
                        self.write_key_row(out, id, head, document)?;
                    }
                    (None, _) => self.write_local_key_row(out, &key)?,
                    (Some(_), None) => write_not_found(out, &key),
                }
            }
            self.tune(out.len() - before, rows);
        }
        Ok(true)
    }

    /// The winners' documents where rows show them.
    fn documents_of(
        &self,
        ids: &[DocId],
        heads: &[Option<Head>],
    ) -> Result<Vec<Option<Document>>, ApiError> {
        if !self.query.include_docs {
            return Ok(Vec::new());
        }
        let mut wanted = Vec::new();
        let mut places = Vec::with_capacity(ids.len());
        for (id, head) in ids.iter().zip(heads) {
            let winner = head.as_ref().and_then(|head| head.tree.winner());
            let live = winner.filter(|winner| !winner.deleted);
            places.push(live.map(|_| wanted.len()));
            wanted.extend(live.map(|winner| (id.clone(), winner.rev())));
        }
        let mut documents = self.db.revisions(&wanted)?;
        let mut take = |at: usize| documents.get_mut(at).and_then(Option::take);
        Ok(places.into_iter().map(|place| take(place?)).collect())
    }

    fn write_key_row(
        &self,
        out: &mut Vec<u8>,
        id: &DocId,
        head: &Head,
        document: Option<&Document>,
    ) -> Result<(), ApiError> {
        let Some(winner) = head.tree.winner() else {
            write_not_found(out, &id.as_str().into());
            return Ok(());
        };
        write_head(out, id.as_str(), &winner.rev());
        if winner.deleted {
            // Inside the value, which the head has closed.
            out.pop();
            out.extend_from_slice(b",\"deleted\":true}");
        }
        if self.query.include_docs {
            return self.write_doc(out, document, Some(head));
        }
        out.push(b'}');
        Ok(())
    }

    /// A key that is no document's: a local document's, or nothing.
    fn write_local_key_row(&self, out: &mut Vec<u8>, key: &Value) -> Result<(), ApiError> {
        let id = key.as_str().and_then(|key| DocId::parse(key).ok()).filter(DocId::is_local);
        let local = match &id {
            Some(id) => self.db.local(id)?,
            None => None,
        };
        let (Some(id), Some(local)) = (id, local) else {
            write_not_found(out, key);
            return Ok(());
        };
        write_local_row(out, id.as_str(), &local, self.query.include_docs);
        Ok(())
    }
}

fn write_not_found(out: &mut Vec<u8>, key: &Value) {
    out.extend_from_slice(b"{\"key\":");
    match key {
        Value::String(key) => write_string(out, key),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
    out.extend_from_slice(b",\"error\":\"not_found\"}");
}
