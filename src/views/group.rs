//! The views of a design document, as an index keeps them.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::collation;
use crate::design::Ddoc;

use super::ReduceFunction;

/// How the keys of a view sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Collation {
    #[default]
    Locale,
    /// `"options": {"collation": "raw"}` of the view.
    Raw,
}

impl Collation {
    /// Appends the key of a value that is given as JSON.
    pub(super) fn write_key_of_text(self, out: &mut Vec<u8>, json: &str) {
        match self {
            Self::Locale => collation::write_key_of_text(out, json),
            Self::Raw => collation::write_raw_key_of_text(out, json),
        }
    }

    #[must_use]
    pub fn compare(self, a: &Value, b: &Value) -> Ordering {
        match self {
            Self::Locale => collation::compare(a, b),
            Self::Raw => collation::compare_raw(a, b),
        }
    }
}

/// Which rows a view's name stands for, and what reduces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its place among the map functions of the index: views with the same map share rows.
    pub number: u16,
    /// Its place among the reduces of these rows.
    pub reduce: Option<usize>,
    pub collation: Collation,
}

/// All that an index is made from.
#[derive(Debug)]
pub struct ViewGroup {
    /// Names what the views compute.
    pub signature: String,
    pub language: String,
    /// Rows are kept apart by partition, and a query must name one.
    pub partitioned: bool,
    /// Documents are mapped with their sequence as `_local_seq`.
    pub(super) local_seq: bool,
    /// Design documents are mapped too.
    pub(super) include_design: bool,
    /// What is mapped; a view's number is a place in this list.
    pub(super) maps: Vec<MapView>,
    names: HashMap<String, View>,
}

/// A map of an index, and what reduces its rows.
#[derive(Debug)]
pub(super) struct MapView {
    /// A text, or for some languages an object.
    pub(super) source: Value,
    pub(super) collation: Collation,
    pub(super) reduces: Vec<ReduceFunction>,
    reduce_sources: Vec<String>,
    options: Value,
}

impl ViewGroup {
    /// Reads the views of a design document of a database. What makes no view is passed over:
    /// where design documents are saved such things are refused.
    #[must_use]
    pub fn of(ddoc: &Ddoc, database_is_partitioned: bool) -> Self {
        let options = ddoc.body.get("options").and_then(Value::as_object);
        let option = |name: &str| options.and_then(|all| all.get(name)).and_then(Value::as_bool);
        let mut group = Self {
            signature: ddoc.signature().to_owned(),
            language: ddoc.language().to_owned(),
            partitioned: database_is_partitioned && option("partitioned").unwrap_or(true),
            local_seq: option("local_seq").unwrap_or(false),
            include_design: option("include_design").unwrap_or(false),
            maps: Vec::new(),
            names: HashMap::new(),
        };
        let views = ddoc.body.get("views").and_then(Value::as_object);
        for (name, view) in views.into_iter().flatten().filter(|(name, _)| *name != "lib") {
            if let Some(view) = view.as_object() {
                group.add(ddoc, name, view);
            }
        }
        group
    }

    fn add(&mut self, ddoc: &Ddoc, name: &str, view: &Map<String, Value>) {
        let Some(source) = view.get("map").filter(|map| map.is_string() || map.is_object()) else {
            return;
        };
        let options = view.get("options").cloned().unwrap_or_default();
        let same = |map: &MapView| map.source == *source && map.options == options;
        let at = self.maps.iter().position(same).unwrap_or(self.maps.len());
        let Ok(number) = u16::try_from(at) else { return };
        if at == self.maps.len() {
            let raw = options.get("collation").and_then(Value::as_str) == Some("raw");
            let collation = if raw { Collation::Raw } else { Collation::Locale };
            let (source, reduces, reduce_sources) = (source.clone(), Vec::new(), Vec::new());
            self.maps.push(MapView { source, collation, reduces, reduce_sources, options });
        }
        let Some(map) = self.maps.get_mut(at) else { return };
        let reduce = view.get("reduce").and_then(Value::as_str).map(|source| {
            let known = map.reduce_sources.iter().position(|known| known == source);
            known.unwrap_or_else(|| {
                map.reduce_sources.push(source.to_owned());
                map.reduces.push(reduce_function(ddoc, source));
                map.reduces.len() - 1
            })
        });
        self.names.insert(name.to_owned(), View { number, reduce, collation: map.collation });
    }

    /// The names of all views, with their maps' places.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, view)| (name.as_str(), usize::from(view.number)))
    }

    /// The view of that name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<View> {
        self.names.get(name).copied()
    }
}

fn reduce_function(ddoc: &Ddoc, source: &str) -> ReduceFunction {
    let built_in = ReduceFunction::built_in(source);
    built_in.unwrap_or_else(|| ReduceFunction::Program(ddoc.reduce(source)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::document::{DocId, Document, Rev};

    fn group(body: &Value, partitioned: bool) -> ViewGroup {
        let document = Document {
            id: DocId::parse("_design/d").unwrap(),
            rev: Rev::parse("1-a").unwrap(),
            deleted: false,
            body: Bytes::from(body.to_string()),
            attachments: Vec::new(),
        };
        ViewGroup::of(&Ddoc::new(&document, None).unwrap(), partitioned)
    }

    #[test]
    fn views_of_one_map_share_their_rows() {
        let group = group(
            &json!({"views": {
                "lib": {"map": "no view"},
                "plain": {"map": "f"},
                "sum": {"map": "f", "reduce": "_sum"},
                "raw": {"map": "f", "reduce": "_sum", "options": {"collation": "raw"}},
                "count": {"map": "f", "reduce": "_count"},
                "other": {"map": "g", "reduce": "_count"},
                "same": {"map": "f", "reduce": "_sum"},
                "broken": {"reduce": "_count"},
            }}),
            true,
        );
        let known: Vec<Option<(u16, Option<usize>, Collation)>> =
            ["lib", "plain", "sum", "raw", "count", "other", "same", "broken", "none"]
                .map(|name| group.view(name).map(|view| (view.number, view.reduce, view.collation)))
                .into();
        let locale = |number, reduce| Some((number, reduce, Collation::Locale));
        assert_eq!(
            known,
            [
                None,
                locale(0, None),
                locale(0, Some(0)),
                Some((1, Some(0), Collation::Raw)),
                locale(0, Some(1)),
                locale(2, Some(0)),
                locale(0, Some(0)),
                None,
                None,
            ]
        );
        assert_eq!(group.maps.len(), 3);
        assert!(group.partitioned && !group.local_seq && !group.include_design);
    }

    #[test]
    fn options_count_where_they_belong() {
        let with = |options: Value| json!({"options": options, "views": {"v": {"map": "f"}}});
        let seq = group(&with(json!({"local_seq": true, "collation": "raw"})), false);
        assert!(seq.local_seq && !seq.include_design && !seq.partitioned);
        assert_eq!(seq.view("v").unwrap().collation, Collation::Locale);
        let designs = group(&with(json!({"include_design": true, "partitioned": false})), true);
        assert!(designs.include_design && !designs.partitioned);
        let view = json!({"views": {"v": {"map": "f", "options": {"include_design": true}}}});
        assert!(!group(&view, false).include_design);
    }
}
