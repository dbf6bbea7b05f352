//! CouchDB's checks of a design document that is about to be written.
//!
//! Types first, in CouchDB's order, so that of several mistakes the same one is told; then views,
//! whose functions are compiled where the language is one that runs here. Functions outside of
//! views are not compiled, and a view in an unknown language is not looked into: both may be saved.
//! The caller must leave deleted design documents unchecked. Rules and texts: couchdb-api.md 1.12.

use std::fmt;

use serde_json::{Map, Value};

use crate::sandbox::CompileError;

/// Why a design document may not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesignError {
    /// A member has the wrong type or value: `invalid_design_doc` with this text as its reason.
    #[error("{reason}")]
    InvalidDesignDoc { reason: String },
    /// A view's function is none: `compilation_error` with this text as its reason.
    #[error(
        "Compilation of the {kind} function in the '{view}' view failed: {error} ({source_text})"
    )]
    CompilationError { kind: FunctionKind, view: String, error: CompileError, source_text: String },
    /// A design document in WebAssembly names a function that its module does not have:
    /// `compilation_error`.
    #[error("Compilation of the function `{path}` failed: {error}")]
    FunctionCompilation { path: String, error: CompileError },
    /// The module of a design document in WebAssembly is none: `compilation_error`.
    #[error("Compilation of the WebAssembly module failed: {0}")]
    ModuleCompilation(CompileError),
    /// The selector that validates is none: `compilation_error`.
    #[error("Compilation of the validation selector failed: {0}")]
    SelectorCompilation(String),
    /// A view's function is empty: `not_found` with this text as its reason.
    #[error("missing function")]
    MissingFunction,
    /// A view's function could not be compiled now; it says nothing about the function.
    #[error("{0}")]
    NotCompiled(CompileError),
}

/// Which of a view's functions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    Map,
    Reduce,
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "map",
            Self::Reduce => "reduce",
        })
    }
}

/// Whether the database was created with `partitioned=true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    Partitioned,
    NotPartitioned,
}

/// Checks the body of a design document; `compile` tells whether a JavaScript source is a function.
pub fn validate(
    ddoc: &Map<String, Value>,
    partitioning: Partitioning,
    compile: impl Fn(&str) -> Result<(), CompileError>,
) -> Result<(), DesignError> {
    let language = Language::of(ddoc);
    check_types(ddoc, language)?;
    let views: Vec<(&str, &Map<String, Value>)> = views(ddoc).collect();
    for (name, view) in &views {
        if !view.contains_key("map") {
            return Err(invalid(format!("View `{name}` must contain map function")));
        }
    }
    let wants_partitions = member(ddoc, "options").and_then(|options| options.get("partitioned"));
    if wants_partitions == Some(&Value::Bool(true)) && partitioning == Partitioning::NotPartitioned
    {
        let reason = "partitioned option cannot be true in a non-partitioned database.";
        return Err(invalid(reason.to_owned()));
    }
    views.into_iter().try_for_each(|(name, view)| check_view(name, view, language, &compile))
}

/// The views by name, without `lib`, which holds modules.
fn views(ddoc: &Map<String, Value>) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    let members = member(ddoc, "views").into_iter().flatten();
    let views = members.filter(|(name, _)| *name != "lib");
    views.filter_map(|(name, view)| Some((name.as_str(), view.as_object()?)))
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    object.get(name).and_then(Value::as_object)
}

fn invalid(reason: String) -> DesignError {
    DesignError::InvalidDesignDoc { reason }
}

/// What the views' functions are written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    JavaScript,
    /// Mango indexes: a map is an object and needs no compiling.
    Query,
    /// Maps and reduces are names of exports.
    Wasm,
    /// Nothing here runs it; CouchDB saves the document and refuses to build the view.
    Unknown,
}

impl Language {
    fn of(ddoc: &Map<String, Value>) -> Self {
        match ddoc.get("language").and_then(Value::as_str) {
            None => Self::JavaScript,
            Some(name) if name.eq_ignore_ascii_case("javascript") => Self::JavaScript,
            Some(name) if name.eq_ignore_ascii_case("wasm") => Self::Wasm,
            Some("query") => Self::Query,
            Some(_) => Self::Unknown,
        }
    }
}

/// A type that a member may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Boolean,
    Object,
    Text,
}

impl Kind {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Array => value.is_array(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Text => value.is_string(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Text => "string",
        }
    }
}

/// One step of a path into a design document: a member's name, or every member.
#[derive(Clone, Copy)]
enum Step {
    Named(&'static str),
    Every,
}

/// A path and, for each of its steps, the types that stand there, in the order they are told.
type Rule = &'static [(Step, &'static [Kind])];

const OBJECT: &[Kind] = &[Kind::Object];
const BOOLEAN: &[Kind] = &[Kind::Boolean];
const TEXT: &[Kind] = &[Kind::Text];
const FUNCTIONS: &[Kind] = &[Kind::Text, Kind::Object];

const BEFORE_MAPS: [Rule; 11] = [
    &[(Step::Named("filters"), OBJECT), (Step::Every, FUNCTIONS)],
    &[(Step::Named("language"), TEXT)],
    &[(Step::Named("lists"), OBJECT), (Step::Every, FUNCTIONS)],
    &[(Step::Named("options"), OBJECT)],
    &[(Step::Named("options"), OBJECT), (Step::Named("include_design"), BOOLEAN)],
    &[(Step::Named("options"), OBJECT), (Step::Named("local_seq"), BOOLEAN)],
    &[(Step::Named("options"), OBJECT), (Step::Named("partitioned"), BOOLEAN)],
    &[(Step::Named("rewrites"), &[Kind::Array, Kind::Text])],
    &[(Step::Named("shows"), OBJECT), (Step::Every, FUNCTIONS)],
    &[(Step::Named("updates"), OBJECT), (Step::Every, FUNCTIONS)],
    &[(Step::Named("views"), OBJECT), (Step::Named("lib"), OBJECT)],
];

const VALIDATION: Rule = &[(Step::Named("validate_doc_update"), TEXT)];
/// In Mango's language a selector validates.
const VALIDATION_IN_QUERY: Rule = &[(Step::Named("validate_doc_update"), FUNCTIONS)];
const MAP_SOURCES: Rule =
    &[(Step::Named("views"), OBJECT), (Step::Every, OBJECT), (Step::Named("map"), TEXT)];
const MAP_OBJECTS: Rule =
    &[(Step::Named("views"), OBJECT), (Step::Every, OBJECT), (Step::Named("map"), OBJECT)];
const REDUCES: Rule =
    &[(Step::Named("views"), OBJECT), (Step::Every, OBJECT), (Step::Named("reduce"), TEXT)];

fn check_types(ddoc: &Map<String, Value>, language: Language) -> Result<(), DesignError> {
    let (validation, maps) = match language {
        Language::Query => (VALIDATION_IN_QUERY, MAP_OBJECTS),
        _ => (VALIDATION, MAP_SOURCES),
    };
    let rules = BEFORE_MAPS.into_iter().chain([validation, maps, REDUCES]);
    for rule in rules {
        check_rule(ddoc, rule, &mut Vec::new())?;
    }
    Ok(())
}

/// Checks what `rule` says about the members of `object`, which stands at `path`.
fn check_rule<'a>(
    object: &'a Map<String, Value>,
    rule: Rule,
    path: &mut Vec<&'a str>,
) -> Result<(), DesignError> {
    let Some(((step, kinds), rest)) = rule.split_first() else { return Ok(()) };
    let members = object.iter().filter(|(name, _)| match step {
        Step::Named(wanted) => name == wanted,
        Step::Every => true,
    });
    for (name, value) in members {
        path.push(name);
        if !kinds.iter().any(|kind| kind.holds(value)) {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let (path, names) = (path.join("."), names.join(" or "));
            return Err(invalid(format!("`{path}` field must have {names} type")));
        }
        if let Value::Object(inner) = value {
            check_rule(inner, rest, path)?;
        }
        path.pop();
    }
    Ok(())
}

fn check_view(
    name: &str,
    view: &Map<String, Value>,
    language: Language,
    compile: &impl Fn(&str) -> Result<(), CompileError>,
) -> Result<(), DesignError> {
    if language == Language::Unknown {
        return Ok(());
    }
    // Mango's map is an object and its reduce, if it is no built-in one, is never run.
    let source = |member| view.get(member).and_then(Value::as_str);
    let compiled = |kind, source| match language {
        Language::JavaScript => check_function(kind, name, source, compile),
        // The exports are looked at with the module.
        Language::Wasm | Language::Query | Language::Unknown => Ok(()),
    };
    if let Some(map) = source("map") {
        compiled(FunctionKind::Map, map)?;
    }
    match source("reduce") {
        Some(reduce) if reduce.starts_with('_') => check_built_in_reduce(reduce),
        Some(reduce) => compiled(FunctionKind::Reduce, reduce),
        None => Ok(()),
    }
}

fn check_function(
    kind: FunctionKind,
    view: &str,
    source: &str,
    compile: &impl Fn(&str) -> Result<(), CompileError>,
) -> Result<(), DesignError> {
    compile(source).map_err(|error| match error {
        CompileError::Missing => DesignError::MissingFunction,
        error if !error.is_about_the_source() => DesignError::NotCompiled(error),
        error => DesignError::CompilationError {
            kind,
            view: view.to_owned(),
            error,
            source_text: source.to_owned(),
        },
    })
}

/// Reduces that CouchDB knows by the beginning of their names: `_stats_x` is `_stats`.
const BUILT_IN_REDUCES: [&str; 6] =
    ["_sum", "_count", "_stats", "_approx_count_distinct", "_first", "_last"];

/// Reduces that carry a number: how many values they keep.
const RANK_REDUCES: [&str; 2] = ["_top_", "_bottom_"];

fn check_built_in_reduce(name: &str) -> Result<(), DesignError> {
    if let Some(rank) = RANK_REDUCES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        // The number may have signs and zeros in front, as Erlang reads integers.
        return match rank.parse::<i64>() {
            Ok(1..=100) => Ok(()),
            _ => Err(invalid("invalid rank reducer".to_owned())),
        };
    }
    if BUILT_IN_REDUCES.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(());
    }
    Err(invalid(format!("`{name}` is not a supported reduce function.")))
}
