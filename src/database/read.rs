//! Point reads: heads, revisions, local documents, what is missing.

use std::ops::ControlFlow;

use crate::document::{DocId, Document, Rev};
use crate::metrics;
use crate::storage::values::{self, Head, HeadSummary, Local};
use crate::storage::{Direction, KeyRange, Table, keys};

use super::{Database, DatabaseError, PurgeInfo};

impl Database {
    /// A document's revision tree and sequence; `None` where it never was.
    pub fn head(&self, id: &DocId) -> Result<Option<Head>, DatabaseError> {
        let value = self.engine.get(Table::Heads, &keys::head(self.number, id.as_str()))?;
        Ok(value.map(|value| Head::decode(&value)).transpose()?)
    }

    /// One stored revision; `None` where its body is not (or no longer) there.
    pub fn revision(&self, id: &DocId, rev: &Rev) -> Result<Option<Document>, DatabaseError> {
        metrics::DATABASE_READS.add(1);
        let value = self.engine.get(Table::Bodies, &keys::body(self.number, id, rev))?;
        let decode = |value| values::decode_body(id.clone(), rev.clone(), value);
        Ok(value.map(decode).transpose()?)
    }

    /// The winner without its tree: the fast path of a plain GET. A tombstone is `Some`.
    pub fn winner(&self, id: &DocId) -> Result<Option<Document>, DatabaseError> {
        let key = keys::head(self.number, id.as_str());
        let Some(value) = self.engine.get(Table::Heads, &key)? else { return Ok(None) };
        let summary = HeadSummary::decode(&value)?;
        match self.revision(id, &summary.winner)? {
            Some(document) => Ok(Some(document)),
            // Updated and compacted between the two reads: look again in one view.
            None => self.winner_in_snapshot(id),
        }
    }

    fn winner_in_snapshot(&self, id: &DocId) -> Result<Option<Document>, DatabaseError> {
        let snapshot = self.engine.snapshot();
        let key = keys::head(self.number, id.as_str());
        let Some(value) = snapshot.get(Table::Heads, &key)? else { return Ok(None) };
        let rev = HeadSummary::decode(&value)?.winner;
        let value = snapshot.get(Table::Bodies, &keys::body(self.number, id, &rev))?;
        let decode = |value| values::decode_body(id.clone(), rev.clone(), value);
        Ok(value.map(decode).transpose()?)
    }

    /// Many stored revisions at once, in the order asked for.
    pub fn revisions(
        &self,
        wanted: &[(DocId, Rev)],
    ) -> Result<Vec<Option<Document>>, DatabaseError> {
        metrics::DATABASE_READS.add(wanted.len() as u64);
        let body_keys: Vec<Vec<u8>> =
            wanted.iter().map(|(id, rev)| keys::body(self.number, id, rev)).collect();
        let found = self.engine.snapshot().multi_get(Table::Bodies, &body_keys)?;
        let decode = |((id, rev), value): (&(DocId, Rev), Option<Vec<u8>>)| {
            let decode = |value| values::decode_body(id.clone(), rev.clone(), value);
            Ok(value.map(decode).transpose()?)
        };
        wanted.iter().zip(found).map(decode).collect()
    }

    /// Many stored revisions at once, asked for in the order of their ids: where they lie close
    /// together, one scan over them costs less than looking each up.
    pub fn revisions_in_order(
        &self,
        wanted: &[(DocId, Rev)],
    ) -> Result<Vec<Option<Document>>, DatabaseError> {
        let body_keys: Vec<Vec<u8>> =
            wanted.iter().map(|(id, rev)| keys::body(self.number, id, rev)).collect();
        let (Some(first), Some(last)) = (body_keys.first(), body_keys.last()) else {
            return Ok(Vec::new());
        };
        let range = KeyRange { start: first.clone(), end: [&last[..], &[0]].concat() };
        let mut found: Vec<Option<Vec<u8>>> = vec![None; wanted.len()];
        let (mut at, mut passed) = (0, 0);
        let mut visit = |key: &[u8], value: &[u8]| {
            while body_keys.get(at).is_some_and(|wanted| wanted.as_slice() < key) {
                at += 1;
            }
            match (body_keys.get(at), found.get_mut(at)) {
                (Some(wanted), Some(place)) if wanted == key => *place = Some(value.to_vec()),
                _ => passed += 1,
            }
            // Old revisions lie between: too many of them, and looking up is better.
            if passed > wanted.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.engine.snapshot().scan(Table::Bodies, &range, Direction::Forward, &mut visit)?;
        if passed > wanted.len() {
            return self.revisions(wanted);
        }
        metrics::DATABASE_READS.add(wanted.len() as u64);
        let decode = |((id, rev), value): (&(DocId, Rev), Option<Vec<u8>>)| {
            let decode = |value| values::decode_body(id.clone(), rev.clone(), value);
            Ok(value.map(decode).transpose()?)
        };
        wanted.iter().zip(found).map(decode).collect()
    }

    /// The winners of many documents at once, in the order asked for. A tombstone is `Some`.
    pub fn winners(&self, ids: &[DocId]) -> Result<Vec<Option<Document>>, DatabaseError> {
        let head_keys: Vec<Vec<u8>> =
            ids.iter().map(|id| keys::head(self.number, id.as_str())).collect();
        let snapshot = self.engine.snapshot();
        let mut revs = Vec::with_capacity(ids.len());
        for head in snapshot.multi_get(Table::Heads, &head_keys)? {
            revs.push(match head {
                Some(head) => Some(HeadSummary::decode(&head)?.winner),
                None => None,
            });
        }
        let known = ids.iter().zip(&revs);
        let body_keys: Vec<Vec<u8>> = known
            .filter_map(|(id, rev)| Some(keys::body(self.number, id, rev.as_ref()?)))
            .collect();
        metrics::DATABASE_READS.add(body_keys.len() as u64);
        let mut bodies = snapshot.multi_get(Table::Bodies, &body_keys)?.into_iter();
        let known = ids.iter().zip(revs);
        let documents = known.map(|(id, rev)| {
            let Some(rev) = rev else { return Ok(None) };
            let body = bodies.next().flatten();
            let decode = |value| values::decode_body(id.clone(), rev, value);
            Ok(body.map(decode).transpose()?)
        });
        documents.collect()
    }

    /// Many heads at once, in the order asked for.
    pub fn heads(&self, ids: &[DocId]) -> Result<Vec<Option<Head>>, DatabaseError> {
        let head_keys: Vec<Vec<u8>> =
            ids.iter().map(|id| keys::head(self.number, id.as_str())).collect();
        let found = self.engine.snapshot().multi_get(Table::Heads, &head_keys)?;
        let decode =
            |value: Option<Vec<u8>>| Ok(value.map(|value| Head::decode(&value)).transpose()?);
        found.into_iter().map(decode).collect()
    }

    /// A `_local` document.
    pub fn local(&self, id: &DocId) -> Result<Option<Local>, DatabaseError> {
        let value = self.engine.get(Table::Locals, &keys::local(self.number, id.as_str()))?;
        Ok(value.map(|value| Local::decode(&value)).transpose()?)
    }

    /// When the purge of this number was, in seconds since 1970, if that is remembered.
    pub fn purged_s(&self, purge_seq: u64) -> Result<Option<u64>, DatabaseError> {
        let value = self.engine.get(Table::Databases, &keys::purge(self.number, purge_seq))?;
        let purge = value.map(|value| values::Purge::decode(&value)).transpose()?;
        Ok(purge.map(|purge| purge.purged_s).filter(|seconds| *seconds > 0))
    }

    /// The remembered purges, oldest first, at most `limit`.
    pub fn purges(&self, limit: usize) -> Result<Vec<PurgeInfo>, DatabaseError> {
        let (mut purges, mut broken) = (Vec::new(), None);
        let mut visit = |_: &[u8], value: &[u8]| {
            match values::Purge::decode(value) {
                Ok(purge) => purges.push(purge),
                Err(error) => broken = Some(error),
            }
            if purges.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let range = keys::purges(self.number);
        self.engine.snapshot().scan(Table::Databases, &range, Direction::Forward, &mut visit)?;
        match broken {
            Some(error) => Err(error.into()),
            None => Ok(purges),
        }
    }
}
