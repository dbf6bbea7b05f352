//! Which documents a selector can want, as far as an index tells as it is built now: for those who
//! ask documents in another order than that of an index.

use std::sync::Arc;

use crate::database::Database;
use crate::views::{KeySpan, MapReader, RangeQuery, Views};

use super::cursor::open_index;
use super::error::MangoError;
use super::index::{IndexDefinition, IndexKind, design_documents, indexes};
use super::planner::{Spans, is_in_all_wanted, of_columns};
use super::selector::Selector;

/// Readers of the rows of indexes. Each shows a row for every document that the selector wants
/// among those that the index knows, which are all but design documents and tombstones. None where
/// the selector may fail: it has to fail then, and not to pass over the document that it fails on.
///
/// # Errors
/// Where the store cannot be read.
pub fn supersets(
    db: &Arc<Database>,
    views: &Views,
    selector: &Selector,
) -> Result<Vec<MapReader>, MangoError> {
    let mut readers = Vec::new();
    if selector.may_fail() {
        return Ok(readers);
    }
    let ddocs = design_documents(db)?;
    for definition in indexes(db, &ddocs) {
        if !has_all_wanted(&definition, selector) {
            continue;
        }
        let Some(index) = open_index(views, db, &ddocs, &definition)? else { continue };
        let Some(view) = index.group().view(&definition.name) else { continue };
        let Spans { spans, .. } = of_columns(selector.root(), &definition.columns());
        let spans = spans.into_iter().map(|span| KeySpan { start: span.start, end: span.end });
        let query = RangeQuery { spans: Some(spans.collect()), ..RangeQuery::default() };
        readers.push(MapReader::new(index, view, query));
    }
    Ok(readers)
}

/// Whether an index has a row for all documents that a selector wants. Whether what a partial
/// index has is enough, nobody says.
fn has_all_wanted(definition: &IndexDefinition, selector: &Selector) -> bool {
    matches!(definition.kind, IndexKind::Json { .. })
        && !definition.is_partial()
        && !definition.partitioned
        && definition.columns().iter().all(|column| is_in_all_wanted(selector.root(), column))
}
