//! The choice of an index, as CouchDB makes it and explains it.
//!
//! An index can be used where the selector needs all its fields (those of the sort are needed
//! anyway) and its order serves the sort. Of these a view is better than all documents, then the
//! one whose leading fields the selector bounds most of, then the one with fewer fields, then the
//! first by design document and name.

use std::cmp::Ordering;

use crate::mango::error::MangoError;
use crate::mango::index::{IndexDefinition, IndexKind, design_id};
use crate::mango::request::{FindRequest, UseIndex};
use crate::mango::selector::Selector;

use super::field_range::{FieldRange, NamedRange, all_ids, field_ranges};
use super::needs::{indexable_fields, is_constant, requires_all};

/// What a query uses, and why it uses nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its place among the indexes; none where no index serves the sort.
    pub chosen: Option<Chosen>,
    /// What was against the other indexes, in the order of the indexes.
    pub candidates: Vec<Candidate>,
}

/// The index that is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub at: usize,
    /// The ranges of its leading fields that the selector bounds.
    pub ranges: Vec<FieldRange>,
}

/// An index that was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub at: usize,
    pub usable: bool,
    /// The first reason, as CouchDB calls it.
    pub reason: &'static str,
    pub ranking: usize,
}

impl Candidate {
    /// Whether the query could be answered through it, and nobody has forbidden it.
    pub fn is_open(&self) -> bool {
        self.usable && self.reason != "excluded_by_user"
    }
}

/// How far an index came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Partial,
    OutOfScope,
    NotUsable(&'static str),
    Excluded,
    Unfavoured,
    /// Its place among those that were compared.
    Compared {
        place: usize,
        overlaps_less: bool,
    },
}

/// Whether something is wrong with a query that no index can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Find,
    Explain,
}

/// Chooses.
///
/// # Errors
/// Where the query may not be answered without another index; to explain it is no error that no
/// index serves the sort.
pub fn choose(
    indexes: &[IndexDefinition],
    request: &FindRequest,
    is_partitioned: bool,
    purpose: Purpose,
) -> Result<Choice, MangoError> {
    let mut stages: Vec<Option<Stage>> =
        indexes.iter().map(|index| hindrance(index, request)).collect();
    let usable: Vec<usize> = (0..indexes.len()).filter(|at| stages[*at].is_none()).collect();
    if usable.is_empty() && purpose == Purpose::Find {
        return Err(sort_error(is_partitioned, request.partition.is_some()));
    }
    let named = |at: &usize| {
        request.use_index.as_ref().is_some_and(|wanted| is_named(&indexes[*at], wanted))
    };
    let mut open: Vec<usize> = usable.iter().copied().filter(named).collect();
    if open.is_empty() {
        if !request.allow_fallback && (request.use_index.is_some() || usable.len() < 2) {
            return Err(no_fallback(request.use_index.as_ref()));
        }
        open.clone_from(&usable);
    }
    usable
        .iter()
        .filter(|at| !open.contains(at))
        .for_each(|at| stages[*at] = Some(Stage::Excluded));
    let is_json = |at: &usize| matches!(indexes[*at].kind, IndexKind::Json { .. });
    if open.iter().any(is_json) {
        open.iter().filter(|at| !is_json(at)).for_each(|at| stages[*at] = Some(Stage::Unfavoured));
        open.retain(is_json);
    }
    let mut compared = compare(indexes, &open, &request.selector);
    for (place, (at, _, distance)) in compared.iter().enumerate() {
        stages[*at] = Some(Stage::Compared { place, overlaps_less: *distance > 0 });
    }
    let rows = compared.len();
    let chosen = (rows > 0).then(|| compared.swap_remove(0)).map(|(at, mut ranges, _)| {
        if request.selector.is_empty_combination() {
            ranges = vec![FieldRange::Empty];
        }
        Chosen { at, ranges }
    });
    let candidates = candidates(indexes, &stages, chosen.as_ref(), rows);
    Ok(Choice { chosen, candidates })
}

/// Why an index cannot be used for a query, if it cannot.
fn hindrance(index: &IndexDefinition, request: &FindRequest) -> Option<Stage> {
    let is_named = request.use_index.as_ref().is_some_and(|wanted| is_named(index, wanted));
    if index.is_partial() && !is_named {
        return Some(Stage::Partial);
    }
    let is_json = matches!(index.kind, IndexKind::Json { .. });
    if is_json && index.partitioned != request.partition.is_some() {
        return Some(Stage::OutOfScope);
    }
    let (columns, sort) = (index.columns(), request.sort.fields());
    let selector = request.selector.root();
    let (has_fields, serves_sort) = if is_json {
        let in_every_row =
            |column: &&str| !sort.contains(column) && !["_id", "_rev"].contains(column);
        let needed: Vec<&str> = columns.iter().copied().filter(in_every_row).collect();
        (requires_all(selector, &needed), serves_sort(&columns, &sort, &request.selector))
    } else if sort.is_empty() {
        (true, true)
    } else {
        (indexable_fields(selector).contains(&"_id"), columns.starts_with(&sort))
    };
    if !has_fields {
        Some(Stage::NotUsable("field_mismatch"))
    } else if !serves_sort {
        Some(Stage::NotUsable("sort_order_mismatch"))
    } else if is_json && request.selector.has_text() {
        Some(Stage::NotUsable("needs_text_search"))
    } else {
        None
    }
}

/// Whether rows of an index are in the order that is wanted. Leading fields of which only one
/// value is wanted do not matter.
fn serves_sort(columns: &[&str], sort: &[&str], selector: &Selector) -> bool {
    let Some(first) = sort.first() else { return true };
    let is_free = |column: &&&str| *column != first && is_constant(selector.root(), column);
    let free = columns.iter().take_while(is_free).count();
    columns.get(free..).is_some_and(|rest| rest.starts_with(sort))
}

fn is_named(index: &IndexDefinition, wanted: &UseIndex) -> bool {
    index.ddoc.as_deref() == Some(design_id(&wanted.ddoc).as_str())
        && wanted.name.as_ref().is_none_or(|name| *name == index.name)
}

impl UseIndex {
    /// Whether this is the index that is wanted.
    pub fn names(&self, index: &IndexDefinition) -> bool {
        is_named(index, self)
    }

    /// The index in CouchDB's messages.
    pub fn shown(&self) -> String {
        let ddoc = design_id(&self.ddoc);
        self.name.as_ref().map_or_else(|| ddoc.clone(), |name| format!("{ddoc}, {name}"))
    }
}

fn sort_error(is_partitioned: bool, in_partition: bool) -> MangoError {
    let scope = match (is_partitioned, in_partition) {
        (false, _) => "",
        (true, true) => "partitioned ",
        (true, false) => "global ",
    };
    MangoError::NoSortIndex { scope }
}

fn no_fallback(wanted: Option<&UseIndex>) -> MangoError {
    MangoError::NoFallback(wanted.map_or_else(
        || "There is no index available for this selector.".to_owned(),
        |wanted| {
            let shown = wanted.shown();
            format!("{shown} specified by `use_index` could not be found or it is not suitable.")
        },
    ))
}

/// An index, the ranges of its leading fields, and how many bound fields it does not have there.
type Compared = (usize, Vec<FieldRange>, usize);

/// Indexes of one kind, the best one first.
fn compare(indexes: &[IndexDefinition], open: &[usize], selector: &Selector) -> Vec<Compared> {
    let mut ranges = field_ranges(selector.root());
    if open.iter().any(|at| indexes[*at].kind == IndexKind::AllDocs) {
        ranges.push(all_ids());
    }
    let mut compared: Vec<Compared> = open
        .iter()
        .map(|at| {
            let leading = leading_ranges(&indexes[*at].columns(), &ranges);
            let distance = ranges.len() - leading.len();
            (*at, leading, distance)
        })
        .collect();
    compared.sort_by(|one, two| {
        let (a, b) = (&indexes[one.0], &indexes[two.0]);
        let by_columns = || a.columns().len().cmp(&b.columns().len());
        let by_name = || a.ddoc.cmp(&b.ddoc).then_with(|| a.name.cmp(&b.name));
        one.2.cmp(&two.2).then_with(by_columns).then_with(by_name)
    });
    compared
}

fn leading_ranges(columns: &[&str], ranges: &[NamedRange<'_>]) -> Vec<FieldRange> {
    let range = |column: &&str| {
        let found = ranges.iter().find(|(field, _)| field == column);
        found.map(|(_, range)| range.clone())
    };
    columns.iter().map_while(range).collect()
}

fn candidates(
    indexes: &[IndexDefinition],
    stages: &[Option<Stage>],
    chosen: Option<&Chosen>,
    compared: usize,
) -> Vec<Candidate> {
    let has = |wanted: fn(&Stage) -> bool| usize::from(stages.iter().flatten().any(wanted));
    let unfavoured = compared.max(1);
    let excluded = unfavoured + has(|stage| *stage == Stage::Unfavoured);
    let not_usable = excluded + has(|stage| *stage == Stage::Excluded);
    let out_of_scope = not_usable + has(|stage| matches!(stage, Stage::NotUsable(_)));
    let partial = out_of_scope + has(|stage| *stage == Stage::OutOfScope);
    let width = chosen.map_or(0, |chosen| indexes[chosen.at].columns().len());
    let candidate = |(at, stage): (usize, &Option<Stage>)| {
        let (usable, reason, ranking) = match (*stage)? {
            Stage::Partial => (false, "is_partial", partial),
            Stage::OutOfScope => (false, "scope_mismatch", out_of_scope),
            Stage::NotUsable(reason) => (false, reason, not_usable),
            Stage::Excluded => (true, "excluded_by_user", excluded),
            Stage::Unfavoured => (true, "unfavored_type", unfavoured),
            Stage::Compared { place, overlaps_less } => {
                let is_wider = indexes[at].columns().len().cmp(&width) == Ordering::Greater;
                let reason = match (overlaps_less, is_wider) {
                    (true, _) => "less_overlap",
                    (false, true) => "too_many_fields",
                    (false, false) => "alphabetically_comes_after",
                };
                (true, reason, place)
            }
        };
        Some(Candidate { at, usable, reason, ranking })
    };
    let all = stages.iter().enumerate().filter_map(candidate);
    all.filter(|candidate| chosen.is_none_or(|chosen| chosen.at != candidate.at)).collect()
}
