//! The answer of `_find`, page by page, framed as CouchDB does it.

use std::sync::Arc;

use serde_json::json;

use crate::couch_api::error::ApiError;
use crate::couch_api::stream::{PAGE_BYTES, Pages};
use crate::document::encode::{write_string, write_unsigned};
use crate::mango::cursor::FindCursor;
use crate::mango::index::IndexDefinition;
use crate::mango::request::FindRequest;
use crate::mango::warnings::warnings;
use crate::metrics;

/// An answer of `_find`.
pub enum FindAnswer {
    /// The query cannot find anything: then there is neither a bookmark nor a warning.
    Nothing {
        counts: bool,
    },
    Documents(Box<Found>),
    /// How many documents there are, and none of them.
    Count(Box<Found>),
}

/// A query that is being answered.
pub struct Found {
    pub cursor: FindCursor,
    pub query: Arc<FindRequest>,
    pub definition: IndexDefinition,
    /// Documents read for each result from which on the answer warns.
    pub threshold: u64,
    /// A document has been written.
    pub is_begun: bool,
}

impl Pages for FindAnswer {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        match self {
            Self::Nothing { counts } => {
                out.extend_from_slice(b"{\"docs\":[\r\n]");
                if *counts {
                    out.extend_from_slice(b",\r\n\"count\": 0");
                }
                out.extend_from_slice(b"}\r\n\n");
                Ok(false)
            }
            Self::Documents(found) => found.write(out),
            Self::Count(found) => {
                if found.cursor.count_page()? {
                    return Ok(true);
                }
                out.extend_from_slice(b"{\"docs\":[\r\n],\r\n\"count\": ");
                write_unsigned(out, found.cursor.stats().results);
                found.write_end(out);
                Ok(false)
            }
        }
    }
}

impl Found {
    fn write(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        let Self { cursor, is_begun, .. } = self;
        let mut begin = |out: &mut Vec<u8>| {
            let between: &[u8] = if *is_begun { b",\r\n" } else { b"{\"docs\":[\r\n" };
            out.extend_from_slice(between);
            *is_begun = true;
        };
        if cursor.page(out, PAGE_BYTES, &mut begin)? {
            return Ok(true);
        }
        if !self.is_begun {
            out.extend_from_slice(b"{\"docs\":[");
        }
        out.extend_from_slice(b"\r\n],\r\n\"bookmark\": ");
        write_string(out, &self.cursor.bookmark());
        self.write_end(out);
        Ok(false)
    }

    fn write_end(&self, out: &mut Vec<u8>) {
        let stats = self.cursor.stats();
        metrics::MANGO_KEYS_EXAMINED.add(stats.keys);
        metrics::MANGO_DOCS_EXAMINED.add(stats.docs);
        metrics::MANGO_EVALUATE_SELECTOR.add(stats.docs + stats.quorum_docs);
        metrics::MANGO_RESULTS_RETURNED.add(stats.results);
        metrics::MANGO_QUERY_TIME.update(stats.elapsed_ms());
        if self.query.execution_stats {
            let stats = json!({
                "total_keys_examined": stats.keys,
                "total_docs_examined": stats.docs,
                "total_quorum_docs_examined": stats.quorum_docs,
                "results_returned": stats.results,
                "execution_time_ms": (stats.elapsed_ms() * 1_000.0).round() / 1_000.0,
            });
            out.extend_from_slice(b",\r\n\"execution_stats\": ");
            out.extend_from_slice(stats.to_string().as_bytes());
        }
        if let Some(warning) = warnings(&self.query, &self.definition, stats, self.threshold) {
            out.extend_from_slice(b",\r\n\"warning\": ");
            write_string(out, &warning);
        }
        out.extend_from_slice(b"}\r\n\n");
    }
}
