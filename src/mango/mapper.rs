//! Mango's indexes as views: what makes their rows. A map of the language `query` is
//! `{"fields": {"name": "asc", ...}, "partial_filter_selector": {...}}`; a document that the filter
//! wants has one row where it has every field, its key the list of their values.
//!
//! As in CouchDB design documents have no rows here, and a map that is anything else makes none.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::sandbox::{Emitted, EmittedRow, MapResults};
use crate::views::{MakeMapper, Mapper, ViewsError};

use super::selector::{FieldPath, Found, Projection, Selector};

/// The language of design documents that hold Mango's indexes.
pub const LANGUAGE: &str = "query";

/// Makes the mappers of Mango's indexes.
#[must_use]
pub fn make_mapper() -> MakeMapper {
    Arc::new(|_, sources: &[&Value]| {
        let maps = sources.iter().map(|source| FieldMap::parse(source)).collect();
        Ok(Arc::new(FieldMapper { maps }))
    })
}

/// The maps of one index; one that is no map of fields makes no rows.
#[derive(Debug)]
struct FieldMapper {
    maps: Vec<Option<FieldMap>>,
}

#[derive(Debug)]
struct FieldMap {
    fields: Vec<FieldPath>,
    filter: Option<(Selector, Projection)>,
    projection: Projection,
}

impl Mapper for FieldMapper {
    fn map(&self, documents: Vec<String>) -> Result<MapResults, ViewsError> {
        let mut results = MapResults::default();
        for document in documents {
            let emitted = self.maps.iter().map(|map| {
                let key = map.as_ref().and_then(|map| map.write_key(&document, &mut results.text));
                let row = key.map(|key| {
                    let start = results.text.len();
                    results.text.push_str("null");
                    EmittedRow { key, value: start..results.text.len() }
                });
                Emitted::Rows(row.into_iter().collect())
            });
            let emitted = emitted.collect();
            results.documents.push(emitted);
        }
        Ok(results)
    }
}

impl FieldMap {
    fn parse(source: &Value) -> Option<Self> {
        let fields = source.get("fields")?.as_object()?;
        let fields = fields.keys().map(|name| FieldPath::parse(name)).collect();
        let fields: Vec<FieldPath> = Result::ok(fields)?;
        let filter = match source.get("partial_filter_selector") {
            None => None,
            Some(selector) => {
                let selector = Selector::parse(selector).ok()?;
                let projection = Projection::of_selector(&selector);
                Some((selector, projection))
            }
        };
        let projection = Projection::of_paths(&fields);
        Some(Self { fields, filter, projection })
    }

    /// Appends the key of a document's row, if it has one, and tells where it stands.
    fn write_key(&self, document: &str, out: &mut String) -> Option<Range<usize>> {
        if document.starts_with("{\"_id\":\"_design/") || !self.wants(document) {
            return None;
        }
        let members = self.projection.read(document.as_bytes())?;
        let start = out.len();
        for (at, field) in self.fields.iter().enumerate() {
            let Found::Value(value) = field.find(&members) else {
                out.truncate(start);
                return None;
            };
            out.push(if at == 0 { '[' } else { ',' });
            out.push_str(&value.to_string());
        }
        out.push_str(if self.fields.is_empty() { "[]" } else { "]" });
        Some(start..out.len())
    }

    fn wants(&self, document: &str) -> bool {
        let Some((selector, projection)) = &self.filter else { return true };
        let members = projection.read(document.as_bytes());
        members.is_some_and(|members| selector.matches(&members).unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_with_all_fields_have_a_row() {
        let check = |map: Value, document: &str, expect: Option<&str>| {
            let mapper = FieldMapper { maps: vec![FieldMap::parse(&map)] };
            let results = mapper.map(vec![document.to_owned()]).unwrap();
            let [emitted] = results.documents[0].as_slice() else { panic!("one map") };
            let Emitted::Rows(rows) = emitted else { panic!("rows") };
            let text = |range: &Range<usize>| results.text[range.clone()].to_owned();
            let rows: Vec<_> = rows.iter().map(|row| (text(&row.key), text(&row.value))).collect();
            let expect = expect.map(|key| (key.to_owned(), "null".to_owned()));
            assert_eq!(rows, Vec::from_iter(expect), "{map} {document}");
        };
        let fields = |fields: Value| json!({"fields": fields});
        let n = fields(json!({"n": "asc"}));
        check(n.clone(), r#"{"_id":"a","n":1.5}"#, Some("[1.5]"));
        check(n.clone(), r#"{"_id":"a","n":null}"#, Some("[null]"));
        check(n.clone(), r#"{"_id":"a","m":1}"#, None);
        check(n, r#"{"_id":"_design/a","n":1}"#, None);
        let two = fields(json!({"b.c": "desc", "a": "desc"}));
        check(
            two.clone(),
            r#"{"_id":"a","a":[1,"é"],"b":{"c":{"x":2}}}"#,
            Some(r#"[{"x":2},[1,"é"]]"#),
        );
        check(two, r#"{"_id":"a","a":1,"b":2}"#, None);
        check(fields(json!({})), r#"{"_id":"a"}"#, Some("[]"));
        let partial = json!({"fields": {"n": "asc"}, "partial_filter_selector": {"m": {"$gt": 1}}});
        check(partial.clone(), r#"{"_id":"a","n":1,"m":2}"#, Some("[1]"));
        check(partial, r#"{"_id":"a","n":1,"m":1}"#, None);
        for map in [json!("text"), json!({}), json!({"fields": []})] {
            check(map, r#"{"_id":"a","n":1}"#, None);
        }
    }
}
