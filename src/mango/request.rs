//! What `_find` and `_explain` are asked.

use serde_json::{Map, Value, json};

use super::erlang_term;
use super::error::MangoError;
use super::members::Members;
use super::selector::{FieldPath, Selector};
use super::sort::Sort;

/// The text of a bookmark that says nothing.
pub const NO_BOOKMARK: &str = "nil";

/// The planners that a request may name.
const ESTIMATES: &str = "estimates";
const COUCHDB: &str = "couchdb";

/// Which index a query wants to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseIndex {
    /// The design document's id or name, as it was given.
    pub ddoc: String,
    pub name: Option<String>,
}

/// A query that has been read.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the request")]
pub struct FindRequest {
    pub selector: Selector,
    pub use_index: Option<UseIndex>,
    /// None where the query begins at the beginning.
    pub bookmark: Option<String>,
    pub limit: u64,
    pub skip: u64,
    pub sort: Sort,
    /// None for whole documents.
    pub fields: Option<Vec<FieldPath>>,
    pub partition: Option<String>,
    /// How many copies of a document are to be compared; more than one changes what is counted.
    pub r: u64,
    pub conflicts: bool,
    /// `stale=ok`.
    pub stale: bool,
    pub update: bool,
    pub stable: bool,
    pub execution_stats: bool,
    pub allow_fallback: bool,
    /// How many documents are wanted is asked, not which. CouchDB does not know it.
    pub count: bool,
    /// The plan that reads least is taken, not CouchDB's choice. CouchDB does not know it.
    pub estimates: bool,
}

impl FindRequest {
    /// Reads the body of a request, members in CouchDB's order of complaints.
    pub fn parse(body: Map<String, Value>, default_limit: u64) -> Result<Self, MangoError> {
        let mut members = Members::new(body);
        let selector = members.required("selector")?;
        let mut request = Self {
            selector: Selector::parse(&selector)?,
            use_index: members
                .take("use_index")
                .map_or(Ok(None), |value| read_use_index(&value))?,
            bookmark: members.take("bookmark").map_or(Ok(None), read_bookmark)?,
            limit: members.unsigned("limit", default_limit)?,
            skip: members.unsigned("skip", 0)?,
            sort: members.take("sort").map_or(Ok(Sort::default()), |sort| Sort::parse(&sort))?,
            fields: members.take("fields").map_or(Ok(None), |value| read_fields(&value))?,
            partition: members
                .take("partition")
                .map_or(Ok(None), |value| read_partition(&value))?,
            r: members.positive("r", 1)?,
            conflicts: members.boolean("conflicts", false)?,
            stale: members.take("stale").map_or(Ok(false), |value| read_stale(&value))?,
            update: members.boolean("update", true)?,
            stable: members.boolean("stable", false)?,
            execution_stats: members.boolean("execution_stats", false)?,
            allow_fallback: members.boolean("allow_fallback", true)?,
            count: members.boolean("count", false)?,
            estimates: members.take("planner").map_or(Ok(false), |value| read_planner(&value))?,
        };
        members.finish()?;
        if request.count {
            // All of them, and nothing of each.
            (request.limit, request.skip, request.bookmark) = (u64::MAX, 0, None);
            request.fields = Some(Vec::new());
        }
        Ok(request)
    }

    /// Whether the index is brought up to date first.
    pub fn updates(&self) -> bool {
        self.update && !self.stale
    }

    /// The names of the fields to show; none for whole documents.
    pub fn field_names(&self) -> Option<Vec<&str>> {
        self.fields.as_ref().map(|fields| fields.iter().map(FieldPath::text).collect())
    }

    /// The request as `_explain` shows it.
    pub fn to_json(&self) -> Value {
        let use_index = self.use_index.as_ref().map_or_else(Vec::new, |wanted| {
            [Some(&wanted.ddoc), wanted.name.as_ref()].into_iter().flatten().collect()
        });
        let mut shown = json!({
            "use_index": use_index,
            "bookmark": self.bookmark.as_deref().unwrap_or(NO_BOOKMARK),
            "limit": self.limit,
            "skip": self.skip,
            "sort": self.sort.to_json(),
            "fields": self.field_names().unwrap_or_default(),
            "partition": self.partition.as_deref().unwrap_or_default(),
            "r": self.r,
            "conflicts": self.conflicts,
            "stale": if self.stale { json!("ok") } else { json!(false) },
            "update": self.update,
            "stable": self.stable,
            "execution_stats": self.execution_stats,
            "allow_fallback": self.allow_fallback,
        });
        if self.count {
            shown["count"] = true.into();
        }
        if self.estimates {
            shown["planner"] = ESTIMATES.into();
        }
        shown
    }
}

fn read_use_index(value: &Value) -> Result<Option<UseIndex>, MangoError> {
    let refused = || MangoError::member("invalid_index_name", "Invalid index name: ", value);
    let parts: Vec<&str> = match value {
        Value::Null => return Ok(None),
        Value::String(text) => match text.split('/').collect::<Vec<_>>().as_slice() {
            ["_design", ddoc] => vec![*ddoc],
            ["_design", ddoc, name] => vec![*ddoc, *name],
            parts => parts.to_vec(),
        },
        Value::Array(parts) => {
            let parts = parts.iter().map(Value::as_str).collect::<Option<_>>();
            parts.ok_or_else(refused)?
        }
        _ => return Err(refused()),
    };
    let (ddoc, name) = match parts.as_slice() {
        [] => return Ok(None),
        [ddoc] => (*ddoc, None),
        [ddoc, name] => (*ddoc, Some((*name).to_owned())),
        _ => return Err(refused()),
    };
    Ok(Some(UseIndex { ddoc: ddoc.to_owned(), name }))
}

fn read_bookmark(value: Value) -> Result<Option<String>, MangoError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() || text == NO_BOOKMARK => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => {
            let term = erlang_term::print(&other);
            let reason = format!("Unknown Error: mango_opts :: {{invalid_bookmark,{term}}}");
            Err(MangoError::Unknown(reason))
        }
    }
}

fn read_fields(value: &Value) -> Result<Option<Vec<FieldPath>>, MangoError> {
    let Value::Array(fields) = value else {
        let words = "Fields must be an array of strings, not: ";
        return Err(MangoError::member("invalid_fields", words, value));
    };
    if fields.is_empty() {
        return Ok(None);
    }
    let mut paths = Vec::with_capacity(fields.len());
    for field in fields {
        let Value::String(name) = field else {
            let words = "Invalid JSON for field spec: ";
            return Err(MangoError::member("invalid_field", words, field));
        };
        paths.push(FieldPath::parse(name)?);
    }
    Ok(Some(paths))
}

fn read_partition(value: &Value) -> Result<Option<String>, MangoError> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(name) if name.starts_with('_') => {
            Err(MangoError::IllegalPartition("Partition must not start with an underscore"))
        }
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(MangoError::IllegalPartition("Partition must be a string")),
    }
}

fn read_planner(value: &Value) -> Result<bool, MangoError> {
    match value.as_str() {
        Some(ESTIMATES) => Ok(true),
        Some(COUCHDB) => Ok(false),
        _ => Err(MangoError::member("invalid_value", "Invalid value for planner: ", value)),
    }
}

fn read_stale(value: &Value) -> Result<bool, MangoError> {
    match value {
        Value::Bool(false) => Ok(false),
        Value::String(text) if text == "false" => Ok(false),
        Value::String(text) if text == "ok" => Ok(true),
        other => {
            let term = erlang_term::print(other);
            let reason =
                format!("Unknown Error: mango_opts :: {{invalid_ok_or_false_value,{term}}}");
            Err(MangoError::Unknown(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &Value) -> Result<FindRequest, MangoError> {
        FindRequest::parse(body.as_object().unwrap().clone(), 25)
    }

    #[test]
    fn requests_show_as_couchdb_shows_them() {
        let shown = parse(&json!({"selector": {"a": 1}})).unwrap().to_json();
        let defaults = json!({
            "use_index": [], "bookmark": "nil", "limit": 25, "skip": 0, "sort": {}, "fields": [],
            "partition": "", "r": 1, "conflicts": false, "stale": false, "update": true,
            "stable": false, "execution_stats": false, "allow_fallback": true,
        });
        assert_eq!(shown, defaults);
        for (use_index, parts) in [
            (json!("a"), json!(["a"])),
            (json!("_design/a"), json!(["a"])),
            (json!("a/b"), json!(["a", "b"])),
            (json!("_design/a/b"), json!(["a", "b"])),
            (json!(["_design/a", "b"]), json!(["_design/a", "b"])),
            (json!([]), json!([])),
            (json!(null), json!([])),
        ] {
            let request = parse(&json!({"selector": {}, "use_index": use_index})).unwrap();
            assert_eq!(request.to_json()["use_index"], parts);
        }
    }

    #[test]
    fn bad_requests_are_refused_in_couchdbs_words() {
        let with = |name: &str, value: Value| json!({"selector": {}, name: value});
        let table = [
            (json!({}), "missing_required_key", "Missing required key: selector"),
            (with("zz", json!(1)), "invalid_key", "Invalid key zz for this request."),
            (
                with("limit", json!(-1)),
                "invalid_non_neg_integer",
                "-1 is not an integer greater than or equal to zero",
            ),
            (
                with("skip", json!("a")),
                "invalid_non_neg_integer",
                "<<97>> is not an integer greater than or equal to zero",
            ),
            (with("r", json!(0)), "invalid_pos_integer", "0 is not an integer greater than zero"),
            (with("conflicts", json!(1)), "invalid_boolean", "Invalid boolean value: 1"),
            (with("use_index", json!(1)), "invalid_index_name", "Invalid index name: 1"),
            (
                with("use_index", json!(["a", 1])),
                "invalid_index_name",
                "Invalid index name: [<<97>>,1]",
            ),
            (
                with("fields", json!("a")),
                "invalid_fields",
                "Fields must be an array of strings, not: <<97>>",
            ),
            (with("fields", json!([1])), "invalid_field", "Invalid JSON for field spec: 1"),
            (
                with("bookmark", json!(1)),
                "unknown_error",
                "Unknown Error: mango_opts :: {invalid_bookmark,1}",
            ),
        ];
        for (body, name, reason) in table {
            let error = parse(&body).unwrap_err();
            assert_eq!((error.name(), &*error.to_string()), (Some(name), reason), "{body}");
        }
        let error = parse(&json!({"selector": []})).unwrap_err();
        assert_eq!(error.to_string(), "Selector must be a JSON object, not: []");
    }
}
