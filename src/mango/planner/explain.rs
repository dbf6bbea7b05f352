//! `_explain`: what a query would do, with CouchDB's members.

use serde_json::{Value, json};

use crate::mango::index::{IndexDefinition, IndexKind};
use crate::mango::request::FindRequest;

use super::choice::{Candidate, Choice, Chosen};
use super::field_range::{Bounds, FieldRange};
use super::needs::{indexable_fields, named_fields};

/// Stands for the end of all keys.
const MAX: &str = "<MAX>";

/// The answer of `_explain`.
pub fn explain(
    db_name: &str,
    is_partitioned: bool,
    indexes: &[IndexDefinition],
    request: &FindRequest,
    choice: &Choice,
) -> Value {
    let chosen = choice.chosen.as_ref();
    let fields = request.field_names();
    // CouchDB's order, which is from the last to the first.
    let candidates: Vec<Value> = choice
        .candidates
        .iter()
        .rev()
        .map(|candidate| candidate_json(&indexes[candidate.at], candidate, fields.as_deref()))
        .collect();
    let mut answer = json!({
        "dbname": db_name,
        "index": chosen.map(|chosen| indexes[chosen.at].to_json()),
        "partitioned": is_partitioned,
        "selector": request.selector.to_json(),
        "opts": request.to_json(),
        "limit": request.limit,
        "skip": request.skip,
        "fields": fields.unwrap_or_default(),
        "index_candidates": candidates,
        "selector_hints": [hints(request)],
    });
    if let Some(chosen) = chosen {
        let index = &indexes[chosen.at];
        let covering = is_covering(index, request);
        answer["mrargs"] = arguments(index, chosen, request, covering);
        answer["covering"] = covering.into();
    }
    answer
}

/// Whether a query can be answered from the rows of an index alone.
pub fn is_covering(index: &IndexDefinition, request: &FindRequest) -> bool {
    let Some(mut fields) = request.field_names() else { return false };
    fields.extend(named_fields(request.selector.root()));
    index.covers(Some(&fields))
}

fn candidate_json(
    index: &IndexDefinition,
    candidate: &Candidate,
    fields: Option<&[&str]>,
) -> Value {
    let covering = match index.kind {
        IndexKind::Json { .. } => index.covers(fields).into(),
        IndexKind::AllDocs => Value::Null,
    };
    json!({
        "index": index.to_json(),
        "analysis": {
            "usable": candidate.usable,
            "reasons": [{"name": candidate.reason}],
            "ranking": candidate.ranking,
            "covering": covering,
        },
    })
}

/// Which fields of the selector an index could bound.
fn hints(request: &FindRequest) -> Value {
    let selector = request.selector.root();
    // What stands behind a colon is the type of a field in a text index.
    let plain = |field: &str| field.split(':').next().unwrap_or_default().to_owned();
    let mut indexable: Vec<String> = indexable_fields(selector).into_iter().map(plain).collect();
    indexable.dedup();
    let is_other = |field: &&str| !indexable.iter().any(|indexable| indexable == field);
    let others: Vec<&str> = named_fields(selector).into_iter().filter(is_other).collect();
    json!({"type": "json", "indexable_fields": indexable, "unindexable_fields": others})
}

/// The query of the view that CouchDB would make.
fn arguments(
    index: &IndexDefinition,
    chosen: &Chosen,
    request: &FindRequest,
    covering: bool,
) -> Value {
    let (low, high) = match (chosen.ranges.as_slice(), &index.kind) {
        ([FieldRange::Empty], _) => (Value::Null, Value::Null),
        (ranges, IndexKind::Json { .. }) => (start_key(ranges), end_key(ranges)),
        (ranges, IndexKind::AllDocs) => {
            let bounds = ranges.first().and_then(FieldRange::bounds);
            let low = bounds.and_then(|bounds| bounds.low.clone());
            let high = bounds.and_then(|bounds| bounds.high.clone());
            (low.unwrap_or_else(|| "".into()), high.unwrap_or_else(|| MAX.into()))
        }
    };
    let descending = request.sort.is_descending();
    let (start, end) = if descending { (high, low) } else { (low, high) };
    json!({
        "include_docs": request.r == 1 && !covering,
        "view_type": "map",
        "reduce": false,
        "partition": request.partition,
        "start_key": start,
        "end_key": end,
        "direction": if descending { "rev" } else { "fwd" },
        "stable": request.stable || request.stale,
        "update": request.updates(),
        "conflicts": if request.conflicts { json!(true) } else { json!("undefined") },
    })
}

impl FieldRange {
    fn bounds(&self) -> Option<&Bounds> {
        match self {
            Self::Empty => None,
            Self::Between(bounds) => Some(bounds),
        }
    }
}

fn start_key(ranges: &[FieldRange]) -> Value {
    ranges.iter().map_while(|range| range.bounds()?.low.clone()).collect()
}

fn end_key(ranges: &[FieldRange]) -> Value {
    let bounds = ranges.iter().map_while(|range| range.bounds()?.high.clone());
    bounds.chain([MAX.into()]).collect()
}
