//! Which ids, in which order: what keys, namespace and partition leave of all.

use std::collections::VecDeque;
use std::ops::Bound;

use serde_json::Value;

use crate::couch_api::view_query::ViewQuery;
use crate::database::{Direction, IdRange};
use crate::document::id::{DESIGN_PREFIX, LOCAL_PREFIX};

use super::Namespace;

/// The keys to show, in order, after `descending`, `skip` and `limit`.
pub(super) fn chosen_keys(mut keys: Vec<Value>, query: &ViewQuery) -> VecDeque<Value> {
    if query.direction == Direction::Backward {
        keys.reverse();
    }
    let skip = usize::try_from(query.skip).unwrap_or(usize::MAX);
    let limit = query.limit.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    keys.into_iter().skip(skip).take(limit).collect()
}

/// A place among ids that a key names: all keys that are no strings stand before every id.
fn place(key: &Value) -> &str {
    key.as_str().unwrap_or_default()
}

/// The ids that keys, namespace and partition leave.
pub(super) fn ids_of(namespace: Namespace, query: &ViewQuery) -> IdRange {
    let (low, high) = match query.direction {
        Direction::Forward => (&query.start_key, &query.end_key),
        Direction::Backward => (&query.end_key, &query.start_key),
    };
    let start_is_low = query.direction == Direction::Forward;
    let included = |key: &Value| Bound::Included(place(key).to_owned());
    let end = |key: &Value| {
        let id = place(key).to_owned();
        if query.inclusive_end { Bound::Included(id) } else { Bound::Excluded(id) }
    };
    let bound = |key: &Option<Value>, is_start: bool| match key {
        None => Bound::Unbounded,
        Some(key) if is_start => included(key),
        Some(key) => end(key),
    };
    let asked = IdRange { start: bound(low, start_is_low), end: bound(high, !start_is_low) };
    let within = match (namespace, query.partition.as_deref()) {
        (Namespace::All, Some(partition)) => IdRange::prefix(&format!("{partition}:")),
        (Namespace::All, None) => return asked,
        (Namespace::Design, _) => IdRange::prefix(DESIGN_PREFIX),
        (Namespace::Local, _) => IdRange::prefix(LOCAL_PREFIX),
    };
    intersection(asked, within)
}

/// What two ranges share.
fn intersection(one: IdRange, other: IdRange) -> IdRange {
    // Of two starts the later one holds, of two ends the earlier; an excluding bound is stricter.
    let key = |bound: &Bound<String>| match bound {
        Bound::Included(id) => Some((id.clone(), 0)),
        Bound::Excluded(id) => Some((id.clone(), 1)),
        Bound::Unbounded => None,
    };
    let start = if key(&one.start) >= key(&other.start) { one.start } else { other.start };
    let end = match (key(&one.end), key(&other.end)) {
        (Some((id, excluded)), Some((limit, limit_excluded))) => {
            if (&id, -excluded) <= (&limit, -limit_excluded) { one.end } else { other.end }
        }
        (Some(_), None) => one.end,
        (None, _) => other.end,
    };
    IdRange { start, end }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(start: Option<Value>, end: Option<Value>, direction: Direction) -> ViewQuery {
        let mut query = ViewQuery::default();
        (query.start_key, query.end_key, query.direction) = (start, end, direction);
        query
    }

    fn included(id: &str) -> Bound<String> {
        Bound::Included(id.to_owned())
    }

    #[test]
    fn keys_make_ranges_of_ids() {
        let (forward, backward) = (Direction::Forward, Direction::Backward);
        let none = Bound::Unbounded;
        for (start, end, direction, expect) in [
            (None, None, forward, (none.clone(), none.clone())),
            (Some(json!("b")), None, forward, (included("b"), none.clone())),
            (Some(json!("b")), Some(json!("c")), forward, (included("b"), included("c"))),
            (Some(json!("c")), Some(json!("b")), backward, (included("b"), included("c"))),
            (Some(json!("c")), None, backward, (none.clone(), included("c"))),
            // What is no string stands before every id.
            (Some(json!(1)), None, forward, (included(""), none)),
            (Some(json!(["a"])), Some(json!(["a"])), forward, (included(""), included(""))),
        ] {
            let query = query(start, end, direction);
            let ids = ids_of(Namespace::All, &query);
            assert_eq!((ids.start, ids.end), expect, "{query:?}");
        }
        let mut exclusive = query(Some(json!("c")), Some(json!("b")), backward);
        exclusive.inclusive_end = false;
        assert_eq!(ids_of(Namespace::All, &exclusive).start, Bound::Excluded("b".to_owned()));
    }

    #[test]
    fn namespaces_and_partitions_bound_the_keys() {
        let all = query(None, None, Direction::Forward);
        let design = IdRange::prefix(DESIGN_PREFIX);
        assert_eq!(ids_of(Namespace::Design, &all), design);
        assert_eq!(ids_of(Namespace::Local, &all), IdRange::prefix(LOCAL_PREFIX));
        let wide = query(Some(json!("A")), Some(json!("zz")), Direction::Forward);
        assert_eq!(ids_of(Namespace::Design, &wide), design);
        let inner = query(Some(json!("_design/b")), Some(json!("_design/c")), Direction::Forward);
        let ids = ids_of(Namespace::Design, &inner);
        assert_eq!((ids.start, ids.end), (included("_design/b"), included("_design/c")));
        let mut partition = all;
        partition.partition = Some("p".to_owned());
        assert_eq!(ids_of(Namespace::All, &partition), IdRange::prefix("p:"));
    }

    #[test]
    fn lists_of_keys_are_turned_and_cut() {
        let keys = || vec![json!("a"), json!("b"), json!("c"), json!("d")];
        let mut query = query(None, None, Direction::Backward);
        (query.skip, query.limit) = (1, Some(2));
        assert_eq!(chosen_keys(keys(), &query), [json!("c"), json!("b")]);
        query.skip = 9;
        assert!(chosen_keys(keys(), &query).is_empty());
    }
}
