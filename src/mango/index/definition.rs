//! The indexes of a database, as the planner and `_index` see them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::database::{Database, DatabaseError};
use crate::design::Ddoc;
use crate::mango::mapper::LANGUAGE;
use crate::mango::selector::FieldPath;

/// An index that queries may use.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexDefinition {
    /// The id of its design document; none for what every database has.
    pub ddoc: Option<String>,
    pub name: String,
    pub kind: IndexKind,
    /// Its rows are kept by partition.
    pub partitioned: bool,
}

/// What kind of index it is.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexKind {
    /// The documents by their ids.
    AllDocs,
    /// A view over the values of fields; its map, as the design document has it.
    Json { map: Map<String, Value>, columns: Columns },
}

/// The fields of an index, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns(Vec<FieldPath>);

impl Columns {
    /// The fields of a map of the language `query`; none where it is no such map.
    fn of(map: &Map<String, Value>) -> Option<Self> {
        let fields = map.get("fields")?.as_object()?;
        let paths = fields.keys().map(|name| FieldPath::parse(name));
        paths.collect::<Result<_, _>>().ok().map(Self)
    }

    /// The names of the fields, as they were written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(FieldPath::text)
    }

    /// The fields as paths.
    pub fn paths(&self) -> &[FieldPath] {
        &self.0
    }
}

impl IndexDefinition {
    /// The documents by their ids.
    pub fn all_docs() -> Self {
        let name = "_all_docs".to_owned();
        Self { ddoc: None, name, kind: IndexKind::AllDocs, partitioned: false }
    }

    /// The names of its fields.
    pub fn columns(&self) -> Vec<&str> {
        match &self.kind {
            IndexKind::AllDocs => vec!["_id"],
            IndexKind::Json { columns, .. } => columns.names().collect(),
        }
    }

    /// Whether it has only documents that a selector of its own wants.
    pub fn is_partial(&self) -> bool {
        let IndexKind::Json { map, .. } = &self.kind else { return false };
        let filter = map.get("partial_filter_selector").or_else(|| map.get("selector"));
        filter.is_some_and(|filter| filter.as_object().is_none_or(|filter| !filter.is_empty()))
    }

    /// Whether rows of it have all of these fields.
    pub fn covers(&self, fields: Option<&[&str]>) -> bool {
        let (IndexKind::Json { columns, .. }, Some(fields)) = (&self.kind, fields) else {
            return false;
        };
        fields.iter().all(|field| *field == "_id" || columns.names().any(|name| name == *field))
    }

    /// The index as `_index` and `_explain` show it.
    pub fn to_json(&self) -> Value {
        let IndexKind::Json { map, .. } = &self.kind else {
            return json!({
                "ddoc": null,
                "name": self.name,
                "type": "special",
                "def": {"fields": [{"_id": "asc"}]},
            });
        };
        let definition = map.iter().filter_map(|(name, value)| match (name.as_str(), value) {
            ("fields", Value::Object(fields)) => {
                let fields = fields.iter().map(|(name, direction)| json!({name: direction}));
                Some((name.clone(), fields.collect()))
            }
            ("partial_filter_selector", Value::Object(filter)) if filter.is_empty() => None,
            _ => Some((name.clone(), value.clone())),
        });
        json!({
            "ddoc": self.ddoc,
            "name": self.name,
            "type": "json",
            "partitioned": self.partitioned,
            "def": definition.collect::<Map<_, _>>(),
        })
    }
}

/// The design documents of a database that hold indexes, in the order of their ids. Blocks.
///
/// # Errors
/// Where they cannot be read.
pub fn design_documents(db: &Database) -> Result<Vec<Arc<Ddoc>>, DatabaseError> {
    let mut ddocs = Vec::new();
    for id in db.design_ids()?.iter() {
        ddocs.extend(db.design(id)?.filter(|ddoc| ddoc.language() == LANGUAGE));
    }
    Ok(ddocs)
}

/// Every index of a database: that of the ids first, then by design document and name.
pub fn indexes(db: &Database, ddocs: &[Arc<Ddoc>]) -> Vec<IndexDefinition> {
    let mut all = vec![IndexDefinition::all_docs()];
    for ddoc in ddocs {
        let partitioned = ddoc.body.get("options").and_then(|options| options.get("partitioned"));
        let partitioned = partitioned.and_then(Value::as_bool).unwrap_or(db.is_partitioned());
        let views = ddoc.body.get("views").and_then(Value::as_object).into_iter().flatten();
        let mut found: Vec<IndexDefinition> = views
            .filter_map(|(name, view)| {
                // A view without the options that `_index` writes is none to CouchDB.
                view.get("options")?.as_object()?;
                let map = view.get("map")?.as_object()?.clone();
                let columns = Columns::of(&map)?;
                Some(IndexDefinition {
                    ddoc: Some(ddoc.id.as_str().to_owned()),
                    name: name.clone(),
                    kind: IndexKind::Json { map, columns },
                    partitioned,
                })
            })
            .collect();
        found.sort_by(|one, two| one.name.cmp(&two.name));
        all.extend(found);
    }
    all
}
