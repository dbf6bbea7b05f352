//! Which rows of an index can be wanted at all: spans of its keys, found from the whole selector.
//!
//! For each field of an index the selector leaves a set of values, as disjoint ranges of their
//! collation keys: `$and` cuts sets, `$or` joins them, `$in` is a list of points and the range of
//! arrays. Each point of a leading field is multiplied with the set of the next field. A span may
//! hold rows that are not wanted, but every row that is wanted lies in one, so each row is still
//! asked.
//!
//! An index has one row a document, with an array as one value; so of `$elemMatch`, `$all`,
//! `$size` and `$allMatch` it is known only that the value is an array.

use serde_json::{Value, json};

use crate::collation::write_key;
use crate::mango::selector::{Comparison, Condition, Node};

/// More spans than this are joined.
const SPANS_MAX: usize = 4_096;

/// Keys from `start` to before `end`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
}

/// What is left of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    /// Disjoint, in order.
    pub spans: Vec<Span>,
    /// Every row in them is wanted.
    pub exact: bool,
}

/// What the keys of an index are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// View keys of single values.
    Values,
    /// Document ids as they are: a text is its bytes.
    Ids,
}

/// The rows of a view index that a selector can want.
pub fn of_columns(selector: &Node, columns: &[&str]) -> Spans {
    let sets = columns.iter().map(|column| values_of(selector, column, Keys::Values));
    let sets: Vec<ValueSet> = sets.collect();
    let mut exact = mentions_only(selector, columns);
    let (mut levels, mut heads, mut ended) = (Vec::new(), 1_usize, 0_usize);
    for (level, set) in sets.iter().enumerate() {
        let too_many = heads.saturating_mul(set.ranges.len()).saturating_add(ended) > SPANS_MAX;
        let ranges = if too_many { hull(&set.ranges) } else { set.ranges.clone() };
        let points = ranges.iter().filter(|range| range.is_point).count();
        exact &= set.exact && !too_many;
        if points < ranges.len() {
            // What ends here says nothing of the fields behind.
            let all = ValueSet::all(Keys::Values).ranges;
            exact &= sets.iter().skip(level + 1).all(|set| set.exact && set.ranges == all);
        }
        ended += heads * (ranges.len() - points);
        heads *= points;
        levels.push(ranges);
        if heads == 0 {
            break;
        }
    }
    let mut spans = Vec::new();
    extend(&array_head(), &levels, &mut spans);
    Spans { spans, exact }
}

/// Adds the spans of the keys that begin with `head`, in order: a range ends there, a point goes
/// on with the next field.
fn extend(head: &[u8], levels: &[Vec<ValueRange>], spans: &mut Vec<Span>) {
    let Some((ranges, rest)) = levels.split_first() else {
        spans.push(Span { end: after(head), start: head.to_vec() });
        return;
    };
    for ValueRange { span, is_point } in ranges {
        let start = concat(head, &span.start);
        if *is_point {
            extend(&start, rest, spans);
        } else {
            spans.push(Span { start, end: concat(head, &span.end) });
        }
    }
}

/// The documents that a selector can want, by their ids.
pub fn of_ids(selector: &Node) -> Spans {
    let set = values_of(selector, "_id", Keys::Ids);
    let exact = set.exact && mentions_only(selector, &["_id"]);
    let ranges = if set.ranges.len() > SPANS_MAX { hull(&set.ranges) } else { set.ranges };
    let exact = exact && ranges.len() <= SPANS_MAX;
    Spans { spans: ranges.into_iter().map(|range| range.span).collect(), exact }
}

/// Whether nothing is asked but fields of the index, and nothing across them but that all hold.
fn mentions_only(selector: &Node, columns: &[&str]) -> bool {
    match selector {
        Node::Everything => true,
        Node::And(parts) => parts.iter().all(|part| mentions_only(part, columns)),
        Node::Field(path, _) => columns.contains(&path.text()),
        // Of one field: its set has joined the parts.
        Node::Or(_) => single_field(selector).is_some_and(|field| columns.contains(&field)),
        Node::Not(_) | Node::Nor(_) | Node::Text(_) => false,
    }
}

/// The one field that a part of a selector asks about.
fn single_field(node: &Node) -> Option<&str> {
    match node {
        Node::Field(path, _) => Some(path.text()),
        Node::And(parts) | Node::Or(parts) => {
            let mut fields = parts.iter().map(single_field);
            let first = fields.next()??;
            fields.all(|field| field == Some(first)).then_some(first)
        }
        _ => None,
    }
}

/// Where the elements of a row's key begin.
fn array_head() -> Vec<u8> {
    let mut key = Vec::new();
    write_key(&mut key, &json!([]));
    key.pop();
    key
}

fn concat(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, tail].concat()
}

/// One range over all of them.
fn hull(ranges: &[ValueRange]) -> Vec<ValueRange> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Vec::new() };
    let span = Span { start: first.span.start.clone(), end: last.span.end.clone() };
    vec![ValueRange { span, is_point: false }]
}

/// The first bytes after all that begin with `key`.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    while let Some(last) = next.pop() {
        if last < 0xff {
            next.push(last + 1);
            return next;
        }
    }
    vec![0xff]
}

/// A range of values by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ValueRange {
    span: Span,
    /// It is the key of one value, whole.
    is_point: bool,
}

/// A set of values: disjoint ranges in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ValueSet {
    ranges: Vec<ValueRange>,
    /// Every value in it is wanted.
    exact: bool,
}

/// The values of a field that a selector can want.
fn values_of(node: &Node, field: &str, keys: Keys) -> ValueSet {
    match node {
        Node::And(parts) => parts
            .iter()
            .map(|part| values_of(part, field, keys))
            .fold(ValueSet::all(keys), |all, part| all.and(&part)),
        Node::Or(parts) if !parts.is_empty() => parts
            .iter()
            .map(|part| values_of(part, field, keys))
            .fold(ValueSet::none(), |all, part| all.or(&part)),
        Node::Field(path, condition) if path.text() == field => {
            let is_raw_in_view = keys == Keys::Values && field == "_id";
            if is_raw_in_view { raw_in_view(condition) } else { wanted(condition, keys) }
        }
        // Whether these hold does not depend on the field.
        _ => ValueSet::all(keys),
    }
}

/// The values of `_id` in a view, which stand in another order there than selectors compare them
/// in; values that are equal as ids are so in the view.
fn raw_in_view(condition: &Condition) -> ValueSet {
    let mut set = match condition {
        Condition::Compare(Comparison::Eq, _) | Condition::In(_) => wanted(condition, Keys::Values),
        _ => ValueSet::all(Keys::Values),
    };
    set.exact = false;
    set
}

/// The values that fulfil a condition.
fn wanted(condition: &Condition, keys: Keys) -> ValueSet {
    let inexact = |mut set: ValueSet| {
        set.exact = false;
        set
    };
    match condition {
        Condition::Compare(comparison, value) => compared(*comparison, value, keys),
        Condition::In(values) => {
            let points = values.values().iter().map(|value| compared(Comparison::Eq, value, keys));
            let points = points.fold(ValueSet::none(), |all, point| all.or(&point));
            // Of an array any element counts.
            let arrays = if values.values().is_empty() { ValueSet::none() } else { arrays(keys) };
            inexact(points.or(&arrays))
        }
        Condition::NotIn(values) => {
            let points = values.values().iter().map(|value| compared(Comparison::Ne, value, keys));
            let others = points.fold(ValueSet::all(keys), |all, point| all.and(&point));
            inexact(others.or(&arrays(keys)))
        }
        Condition::Exists(true) => ValueSet::all(keys),
        Condition::Exists(false) => ValueSet::none(),
        Condition::Type(name) => of_type(name, keys),
        Condition::Mod { .. } => inexact(of_type("number", keys)),
        Condition::Regex(_) => inexact(of_type("string", keys)),
        Condition::BeginsWith(prefix) => beginning_with(prefix, keys),
        Condition::Size(_)
        | Condition::All(_)
        | Condition::ElemMatch(_)
        | Condition::AllMatch(_) => inexact(arrays(keys)),
        Condition::KeyMapMatch(_) => inexact(of_type("object", keys)),
        Condition::Not(_) => inexact(ValueSet::all(keys)),
    }
}

fn arrays(keys: Keys) -> ValueSet {
    of_type("array", keys)
}

fn compared(comparison: Comparison, value: &Value, keys: Keys) -> ValueSet {
    let Some(point) = point(value, keys) else {
        // Texts stand behind all other values.
        let all = match comparison {
            Comparison::Lt | Comparison::Lte | Comparison::Eq => false,
            Comparison::Gt | Comparison::Gte | Comparison::Ne => true,
        };
        return if all { ValueSet::all(keys) } else { ValueSet::none() };
    };
    let (low, high) = ends(keys);
    let range = |start: &[u8], end: &[u8]| ValueRange {
        span: Span { start: start.to_vec(), end: end.to_vec() },
        is_point: false,
    };
    let below = |end: &[u8]| range(&low, end);
    let above = |start: &[u8]| range(start, &high);
    let ranges = match comparison {
        Comparison::Lt => vec![below(&point.start)],
        Comparison::Lte => vec![below(&point.end)],
        Comparison::Eq => vec![ValueRange { span: point, is_point: true }],
        Comparison::Gte => vec![above(&point.start)],
        Comparison::Gt => vec![above(&point.end)],
        Comparison::Ne => vec![below(&point.start), above(&point.end)],
    };
    ValueSet::of(ranges)
}

/// The keys of one value; none where no id can be that value.
fn point(value: &Value, keys: Keys) -> Option<Span> {
    match (keys, value) {
        (Keys::Values, _) => {
            let mut start = Vec::new();
            write_key(&mut start, value);
            Some(Span { end: after(&start), start })
        }
        (Keys::Ids, Value::String(id)) => {
            let start = id.clone().into_bytes();
            Some(Span { end: concat(&start, &[0]), start })
        }
        (Keys::Ids, _) => None,
    }
}

/// Before and behind all values.
fn ends(keys: Keys) -> (Vec<u8>, Vec<u8>) {
    match keys {
        Keys::Values => (vec![1], vec![0xff]),
        Keys::Ids => (Vec::new(), vec![0xff]),
    }
}

fn of_type(name: &str, keys: Keys) -> ValueSet {
    if keys == Keys::Ids {
        return if name == "string" { ValueSet::all(keys) } else { ValueSet::none() };
    }
    // A value of the type that has the lowest tag, and one of the next type.
    let (first, next) = match name {
        "null" => (json!(null), Some(json!(false))),
        "boolean" => (json!(false), Some(json!(0))),
        "number" => (json!(0), Some(json!(""))),
        "string" => (json!(""), Some(json!([]))),
        "array" => (json!([]), Some(json!({}))),
        "object" => (json!({}), None),
        _ => return ValueSet::none(),
    };
    let tag = |value: &Value| {
        let mut key = Vec::new();
        write_key(&mut key, value);
        key.truncate(1);
        key
    };
    let end = next.map_or_else(|| ends(keys).1, |next| tag(&next));
    ValueSet::of(vec![ValueRange { span: Span { start: tag(&first), end }, is_point: false }])
}

/// The texts that begin with a prefix. In view order these are among the texts whose sort key
/// begins with the first level of the prefix's; that is certain of ASCII only, which is part of no
/// contraction.
fn beginning_with(prefix: &str, keys: Keys) -> ValueSet {
    if keys == Keys::Ids {
        let span = Span { start: prefix.as_bytes().to_vec(), end: after_text(prefix) };
        return ValueSet::of(vec![ValueRange { span, is_point: false }]);
    }
    let mut key = Vec::new();
    write_key(&mut key, &prefix.into());
    let mut set = of_type("string", keys);
    set.exact = false;
    if prefix.is_ascii() && !prefix.is_empty() {
        // A level ends with 01.
        let level = key.iter().position(|byte| *byte == 1).unwrap_or(key.len());
        key.truncate(level);
        if key.len() > 1 {
            let span = Span { end: after(&key), start: key };
            set = set.and(&ValueSet::of(vec![ValueRange { span, is_point: false }]));
            set.exact = false;
        }
    }
    set
}

/// The first text behind all that begin with `prefix`, whose bytes are a text again.
fn after_text(prefix: &str) -> Vec<u8> {
    let mut rest = prefix;
    while let Some(last) = rest.chars().next_back() {
        rest = &rest[..rest.len() - last.len_utf8()];
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            return format!("{rest}{next}").into_bytes();
        }
    }
    vec![0xff]
}

impl ValueSet {
    fn of(ranges: Vec<ValueRange>) -> Self {
        let ranges = ranges.into_iter().filter(|range| range.span.start < range.span.end).collect();
        Self { ranges, exact: true }
    }

    fn all(keys: Keys) -> Self {
        let (start, end) = ends(keys);
        Self::of(vec![ValueRange { span: Span { start, end }, is_point: false }])
    }

    fn none() -> Self {
        Self::of(Vec::new())
    }

    fn and(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut ranges = Vec::new();
        while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
            let start = (&a.span.start).max(&b.span.start);
            let end = (&a.span.end).min(&b.span.end);
            if start < end {
                let is_point = a.is_point || b.is_point;
                let span = Span { start: start.clone(), end: end.clone() };
                ranges.push(ValueRange { span, is_point });
            }
            if a.span.end <= b.span.end {
                one.next();
            } else {
                two.next();
            }
        }
        Self { ranges, exact: self.exact && other.exact }
    }

    fn or(&self, other: &Self) -> Self {
        let mut all: Vec<ValueRange> = self.ranges.iter().chain(&other.ranges).cloned().collect();
        all.sort_by(|a, b| a.span.cmp(&b.span));
        let mut ranges: Vec<ValueRange> = Vec::with_capacity(all.len());
        for range in all {
            match ranges.last_mut() {
                Some(last) if last.span == range.span => last.is_point |= range.is_point,
                // Points side by side stay points.
                Some(last) if range.span.start < last.span.end => {
                    last.span.end = (&last.span.end).max(&range.span.end).clone();
                    last.is_point = false;
                }
                _ => ranges.push(range),
            }
        }
        Self { ranges, exact: self.exact && other.exact }
    }
}
