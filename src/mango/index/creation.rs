//! Creating and removing indexes: what `_index` requests ask for, and what becomes of the design
//! documents that hold the indexes.

use serde_json::{Map, Value, json};

use crate::mango::erlang_term;
use crate::mango::error::MangoError;
use crate::mango::mapper::LANGUAGE;
use crate::mango::members::Members;
use crate::mango::selector::Selector;
use crate::mango::sort::Sort;

use super::names::{Given, default_name};

const DESIGN: &str = "_design/";

/// An index that is to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIndex {
    /// The id of the design document that is to have it.
    pub ddoc: String,
    pub name: String,
    partitioned: Option<bool>,
    /// The definition as it was sent, which the view keeps beside what it means.
    definition: Value,
    map: Value,
}

impl NewIndex {
    /// Reads the body of `POST /{db}/_index`.
    pub fn parse(body: Map<String, Value>) -> Result<Self, MangoError> {
        let mut members = Members::new(body);
        let definition = members.required("index")?;
        let index_type = members.string("type")?.unwrap_or_else(|| "json".to_owned());
        let name = non_empty(members.string("name")?)?;
        let ddoc = non_empty(members.string("ddoc")?)?;
        let w = members.positive("w", 2)?;
        let partitioned = match members.take("partitioned") {
            None => None,
            Some(Value::Bool(partitioned)) => Some(partitioned),
            Some(other) => {
                let term = erlang_term::print(&other);
                let reason =
                    format!("Unknown Error: mango_opts :: {{invalid_partitioned_value,{term}}}");
                return Err(MangoError::Unknown(reason));
            }
        };
        members.finish()?;
        match index_type.as_str() {
            "json" => {}
            "text" | "nouveau" => return Err(MangoError::ServiceUnavailable(index_type)),
            _ => return Err(MangoError::InvalidIndexType(index_type)),
        }
        let given = Given {
            name: name.as_deref(),
            ddoc: ddoc.as_deref(),
            partitioned,
            index_type: &index_type,
            w,
        };
        let default = default_name(&definition, given);
        let ddoc = design_id(ddoc.as_deref().unwrap_or(&default));
        let name = name.unwrap_or(default);
        let map = read_definition(&definition)?;
        Ok(Self { ddoc, name, partitioned, definition, map })
    }

    /// The design document with this index; `body` is what it has now, if it is there. None where
    /// it has the index already.
    pub fn add_to(
        &self,
        body: Option<&Map<String, Value>>,
    ) -> Result<Option<Map<String, Value>>, MangoError> {
        let mut new = match body {
            Some(body) => body.clone(),
            None => Map::from_iter([("language".to_owned(), LANGUAGE.into())]),
        };
        match new.get("language") {
            Some(language) if language == LANGUAGE => {}
            other => {
                let term = erlang_term::print(other.unwrap_or(&"undefined".into()));
                let term = if other.is_some() { term } else { "undefined".to_owned() };
                return Err(MangoError::DesignLanguage { term });
            }
        }
        let view = json!({
            "map": self.map,
            "reduce": "_count",
            "options": {"def": self.definition},
        });
        let views = new.entry("views").or_insert_with(|| Value::Object(Map::new()));
        if !views.is_object() {
            *views = Value::Object(Map::new());
        }
        if let Value::Object(views) = views {
            views.insert(self.name.clone(), view);
        }
        self.set_partitioned(&mut new, body.is_some())?;
        Ok((body != Some(&new)).then_some(new))
    }

    /// All indexes of a design document are partitioned, or none.
    fn set_partitioned(
        &self,
        new: &mut Map<String, Value>,
        exists: bool,
    ) -> Result<(), MangoError> {
        let has = new.get("options").and_then(|options| options.get("partitioned"));
        if self.partitioned == has.and_then(Value::as_bool) {
            return Ok(());
        }
        match self.partitioned {
            _ if exists => Err(MangoError::PartitionedOption { ddoc: self.ddoc.clone() }),
            None => Ok(()),
            Some(partitioned) => {
                new.insert("options".to_owned(), json!({ "partitioned": partitioned }));
                Ok(())
            }
        }
    }
}

fn non_empty(name: Option<String>) -> Result<Option<String>, MangoError> {
    if name.as_deref() == Some("") {
        let reason = "Invalid empty string".to_owned();
        return Err(MangoError::Member { error: "invalid_empty_string", reason });
    }
    Ok(name)
}

/// The id of a design document that may be named without `_design/`.
pub fn design_id(name: &str) -> String {
    if name.starts_with(DESIGN) { name.to_owned() } else { format!("{DESIGN}{name}") }
}

/// The map of an index.
fn read_definition(definition: &Value) -> Result<Value, MangoError> {
    let Value::Object(members) = definition else {
        let words = "JSON indexes must be an object, not: ";
        return Err(MangoError::member("invalid_index", words, definition));
    };
    let mut members = Members::new(members.clone());
    let fields = Sort::parse(&members.required("fields")?)?;
    let filter = match members.take("partial_filter_selector") {
        None => Value::Object(Map::new()),
        Some(selector) => Selector::parse(&selector)?.to_json(),
    };
    members.finish()?;
    Ok(json!({"fields": fields.to_json(), "partial_filter_selector": filter}))
}

/// A design document without one of its indexes; none where it is to be deleted, because nothing
/// is left of it.
pub fn without_index(body: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    let mut new = body.clone();
    if let Some(Value::Object(views)) = new.get_mut("views") {
        views.shift_remove(name);
        if views.is_empty() {
            new.shift_remove("views");
        }
    }
    let is_empty = new.len() == 1 && new.contains_key("language");
    (!is_empty).then_some(new)
}

/// Reads the body of `POST /{db}/_index/_bulk_delete`: the names of design documents.
pub fn designs_to_clear(body: Map<String, Value>) -> Result<Vec<String>, MangoError> {
    let mut members = Members::new(body);
    let names = members.required("docids")?;
    members.positive("w", 2)?;
    members.finish()?;
    let Value::Array(names) = &names else {
        let words = "Bulk Delete requires an array of non-null docids. Docids: ";
        return Err(MangoError::member("invalid_bulk_docs", words, &names));
    };
    let read = |name: &Value| {
        let refused = || MangoError::member("invalid_index_name", "Invalid index name: ", name);
        name.as_str().map(str::to_owned).ok_or_else(refused)
    };
    names.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: Value) -> Result<NewIndex, MangoError> {
        let Value::Object(body) = body else { panic!("no object") };
        NewIndex::parse(body)
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("no object") };
        object
    }

    #[test]
    fn indexes_come_into_design_documents_and_go() {
        let city = json!({
            "index": {"fields": [{"city": "desc"}]}, "name": "city", "ddoc": "idx", "type": "json"
        });
        let city = parse(city).unwrap();
        let one = city.add_to(None).unwrap().unwrap();
        let expect = json!({"language": "query", "views": {"city": {
            "map": {"fields": {"city": "desc"}, "partial_filter_selector": {}},
            "reduce": "_count",
            "options": {"def": {"fields": [{"city": "desc"}]}},
        }}});
        assert_eq!(Value::Object(one.clone()), expect);
        assert_eq!(city.add_to(Some(&one)).unwrap(), None);
        let partial = json!({
            "index": {"fields": ["name"], "partial_filter_selector": {"a": 1}},
            "name": "name", "ddoc": "_design/idx",
        });
        let partial = parse(partial).unwrap();
        assert_eq!(partial.ddoc, city.ddoc);
        let two = partial.add_to(Some(&one)).unwrap().unwrap();
        let map = &two["views"]["name"]["map"];
        assert_eq!(map["partial_filter_selector"], json!({"a": {"$eq": 1}}));
        assert_eq!(without_index(&two, "name"), Some(one.clone()));
        assert_eq!(without_index(&one, "city"), None);
    }

    #[test]
    fn a_design_document_is_partitioned_or_not() {
        let index = |partitioned: Option<bool>| {
            let mut body = json!({"index": {"fields": ["a"]}, "ddoc": "d", "name": "n"});
            if let Some(partitioned) = partitioned {
                body["partitioned"] = partitioned.into();
            }
            parse(body).unwrap()
        };
        let new = index(Some(false)).add_to(None).unwrap().unwrap();
        assert_eq!(new["options"], json!({"partitioned": false}));
        assert_eq!(index(Some(false)).add_to(Some(&new)).unwrap(), None);
        for other in [None, Some(true)] {
            let refused = index(other).add_to(Some(&new)).unwrap_err();
            assert_eq!(refused.name(), Some("invalid_partitioned_option"));
        }
        let plain = index(None).add_to(None).unwrap().unwrap();
        assert!(!plain.contains_key("options"));
        assert!(index(Some(true)).add_to(Some(&plain)).is_err());
    }

    #[test]
    fn bad_indexes_are_refused_in_couchdbs_words() {
        let table = [
            (json!({}), "missing_required_key", "Missing required key: index"),
            (json!({"index": {}}), "missing_required_key", "Missing required key: fields"),
            (
                json!({"index": {"fields": "x"}}),
                "invalid_sort_json",
                "Sort must be an array of sort specs, not: <<\"x\">>",
            ),
            (json!({"index": {"fields": [1]}}), "invalid_sort_field", "Invalid sort field: 1"),
            (
                json!({"index": {"fields": ["a"]}, "type": "nonsense"}),
                "invalid_index",
                "Invalid type for index: nonsense",
            ),
            (
                json!({"index": {"fields": ["a"]}, "type": "text"}),
                "required index service unavailable",
                "text",
            ),
            (json!({"index": {"fields": ["a"]}, "name": 1}), "invalid_string", "Invalid string: 1"),
            (
                json!({"index": {"fields": ["a"]}, "zz": 1}),
                "invalid_key",
                "Invalid key zz for this request.",
            ),
            (
                json!({"index": {"fields": ["a"], "zz": 1}}),
                "invalid_key",
                "Invalid key zz for this request.",
            ),
            (json!({"index": [1]}), "invalid_index", "JSON indexes must be an object, not: [1]"),
        ];
        for (body, name, reason) in table {
            let error = parse(body.clone()).unwrap_err();
            assert_eq!((error.name(), &*error.to_string()), (Some(name), reason), "{body}");
        }
        let script = object(json!({"language": "javascript", "views": {}}));
        let index = parse(json!({"index": {"fields": ["a"]}})).unwrap();
        let error = index.add_to(Some(&script)).unwrap_err();
        assert_eq!(error.name(), Some("invalid_ddoc_lang"));
    }
}
