//! What each plan of a query would read, from the counts that views keep of runs of rows: for
//! queries that ask for the cheapest plan in the place of CouchDB's choice.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::database::{Database, Direction};
use crate::design::Ddoc;
use crate::mango::cursor::open_index;
use crate::mango::error::MangoError;
use crate::mango::index::{IndexDefinition, IndexKind};
use crate::mango::request::FindRequest;
use crate::mango::rows::{Reading, RowSource};
use crate::views::Views;

use super::choice::{Choice, Chosen};
use super::explain::is_covering;
use super::field_range::FieldRange;
use super::spans::{Spans, of_columns, of_ids};

/// What reading costs, in keys: a document after the other as they are stored, and one that is
/// looked up.
const NEXT_DOCUMENT: u64 = 2;
const LOOKED_UP_DOCUMENT: u64 = 5;

/// Spans of ids that are counted; more are taken for single documents.
const COUNTED_SPANS_MAX: usize = 64;

/// What one plan would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The place of its index.
    at: usize,
    spans: usize,
    keys: u64,
    documents: u64,
    /// Changes that the index does not have yet; each may be a key more.
    pending: u64,
    cost: u64,
}

/// What is looked at for estimates.
#[derive(Debug, Clone, Copy)]
pub struct Estimating<'a> {
    pub db: &'a Arc<Database>,
    pub views: &'a Views,
    pub ddocs: &'a [Arc<Ddoc>],
    pub indexes: &'a [IndexDefinition],
}

impl Estimating<'_> {
    /// All plans that can answer a query, the cheapest first; of two that cost the same the one
    /// that CouchDB would take.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn plans(
        &self,
        request: &FindRequest,
        choice: &Choice,
    ) -> Result<Vec<Estimate>, MangoError> {
        let open = choice.candidates.iter().filter(|candidate| candidate.is_open());
        let open = choice.chosen.iter().map(|chosen| chosen.at).chain(open.map(|open| open.at));
        let mut plans = Vec::new();
        for at in open {
            plans.push(self.plan(at, request)?);
        }
        plans.sort_by_key(|plan| plan.cost);
        Ok(plans)
    }

    fn plan(&self, at: usize, request: &FindRequest) -> Result<Estimate, MangoError> {
        let definition = &self.indexes[at];
        let Spans { spans, .. } = spans_of(definition, request);
        let count = spans.len();
        let partition = request.partition.as_deref();
        let reading = Reading { spans, direction: Direction::Forward, partition, bookmark: None };
        let index = open_index(self.views, self.db, self.ddocs, definition)?;
        let view = index.and_then(|index| Some((index.group().view(&definition.name)?, index)));
        let (keys, pending, each) = match view {
            Some((view, index)) => {
                let info = index.info()?;
                let rows = RowSource::view(index, view, reading).count(COUNTED_SPANS_MAX)?;
                let each = if is_covering(definition, request) { 0 } else { LOOKED_UP_DOCUMENT };
                (rows, info.pending, each)
            }
            None => {
                let rows = RowSource::ids(self.db.clone(), reading).count(COUNTED_SPANS_MAX)?;
                (rows, 0, NEXT_DOCUMENT)
            }
        };
        let all = keys.saturating_add(pending);
        Ok(Estimate {
            at,
            spans: count,
            keys,
            documents: if each == 0 { 0 } else { keys },
            pending,
            cost: all.saturating_mul(1 + each),
        })
    }
}

/// The rows of an index that a query can want.
pub fn spans_of(definition: &IndexDefinition, request: &FindRequest) -> Spans {
    let selector = request.selector.root();
    match &definition.kind {
        IndexKind::AllDocs => of_ids(selector),
        IndexKind::Json { .. } => of_columns(selector, &definition.columns()),
    }
}

/// The cheapest plan takes the place of the choice.
pub fn choose_cheapest(choice: &mut Choice, plans: &[Estimate]) {
    let is_impossible =
        choice.chosen.as_ref().is_some_and(|chosen| chosen.ranges == [FieldRange::Empty]);
    if let Some(best) = plans.first().filter(|_| !is_impossible) {
        choice.chosen = Some(Chosen { at: best.at, ranges: Vec::new() });
    }
}

/// What `_explain` says of the plans.
pub fn estimates_json(indexes: &[IndexDefinition], plans: &[Estimate]) -> Value {
    let name = |plan: &Estimate| {
        let index = &indexes[plan.at];
        json!({"ddoc": index.ddoc, "name": index.name})
    };
    let shown = |plan: &Estimate| {
        json!({
            "index": name(plan),
            "spans": plan.spans,
            "keys": plan.keys,
            "documents": plan.documents,
            "pending_changes": plan.pending,
            "cost": plan.cost,
        })
    };
    let why = match plans {
        [] => "no index serves the query".to_owned(),
        [_] => "nothing else serves the query".to_owned(),
        [best, next, ..] => {
            let next_name = &indexes[next.at].name;
            format!("it costs {}, the next best ({next_name}) {}", best.cost, next.cost)
        }
    };
    json!({
        "plans": plans.iter().map(shown).collect::<Vec<_>>(),
        "chosen": plans.first().map(name),
        "why": why,
        "units": {
            "key": 1,
            "document_in_order": NEXT_DOCUMENT,
            "document_looked_up": LOOKED_UP_DOCUMENT,
        },
    })
}
