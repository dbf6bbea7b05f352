//! From JSON to the tree: operators are checked, `$eq` and `$and` made explicit, paths joined.
//!
//! Negations still stand where they were written; `normalize` moves them.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::mango::erlang_term;

use super::error::SelectorError;
use super::path::FieldPath;
use super::pattern::Pattern;
use super::value_set::{AllOf, OneOf};
use super::{Comparison, Condition, Node, entry};

/// How many levels of operators and fields a selector may have: they are walked by recursion.
/// Values to compare with are not counted.
const DEPTH_MAX: usize = 128;

/// How long all field paths may be together, in bytes: each condition holds its whole path.
const PATHS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many conditions and combinations a selector may have.
const NODES_MAX: usize = 100_000;

/// How many regular expressions a selector may have: compiling takes time and memory.
const PATTERNS_MAX: usize = 256;

const UNSUPPORTED: [&str; 5] = ["$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere"];

/// Reads a whole selector.
pub(super) fn parse(selector: &Value) -> Result<Node, SelectorError> {
    match selector {
        Value::Object(entries) if entries.is_empty() => Ok(Node::Everything),
        Value::Object(_) => Parser::default().value(selector, &Scope::default(), 0),
        other => {
            let term = erlang_term::print(other);
            Err(SelectorError::NotAnObject { term })
        }
    }
}

/// Counts what is limited.
#[derive(Default)]
struct Parser {
    nodes: usize,
    paths_bytes: usize,
    patterns: usize,
}

/// Where in the document something is read. No text is the whole document, or the element.
#[derive(Default)]
struct Scope {
    text: String,
    path: OnceCell<Arc<FieldPath>>,
}

impl Scope {
    /// A condition on the value at this place.
    fn field(&self, condition: Condition) -> Result<Node, SelectorError> {
        if let Some(path) = self.path.get() {
            return Ok(Node::Field(path.clone(), condition));
        }
        let path = Arc::new(FieldPath::parse(&self.text)?);
        let path = self.path.get_or_init(|| path).clone();
        Ok(Node::Field(path, condition))
    }
}

impl Parser {
    fn value(&mut self, value: &Value, scope: &Scope, depth: usize) -> Result<Node, SelectorError> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(SelectorError::TooComplex);
        }
        let mut parts = Vec::new();
        for (name, value) in value.as_object().into_iter().flatten() {
            parts.push(self.entry(name, value, scope, depth + 1)?);
        }
        match (parts.pop(), parts.is_empty()) {
            (None, _) => scope.field(Condition::Compare(Comparison::Eq, value.clone())),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                parts.push(last);
                Ok(Node::And(parts))
            }
        }
    }

    /// Reads one member of a selector: an operator, or a field. `depth` is that of its value.
    fn entry(
        &mut self,
        name: &str,
        value: &Value,
        scope: &Scope,
        depth: usize,
    ) -> Result<Node, SelectorError> {
        match name {
            "$and" => Ok(Node::And(self.list("$and", value, scope, depth)?)),
            "$or" => Ok(Node::Or(self.list("$or", value, scope, depth)?)),
            "$nor" => Ok(Node::Nor(self.list("$nor", value, scope, depth)?)),
            "$not" => {
                let part = self.value(object("$not", value)?, scope, depth)?;
                Ok(Node::Not(Box::new(part)))
            }
            "$elemMatch" => {
                let part = self.element("$elemMatch", value, depth)?;
                scope.field(Condition::ElemMatch(part))
            }
            "$allMatch" => {
                let part = self.element("$allMatch", value, depth)?;
                scope.field(Condition::AllMatch(part))
            }
            "$keyMapMatch" => {
                let part = self.element("$keyMapMatch", value, depth)?;
                scope.field(Condition::KeyMapMatch(part))
            }
            operator if operator.starts_with('$') => self.leaf(operator, value, scope),
            field => {
                let scope = self.below(scope, field)?;
                self.value(value, &scope, depth)
            }
        }
    }

    /// An operator that holds no selector.
    fn leaf(
        &mut self,
        operator: &str,
        value: &Value,
        scope: &Scope,
    ) -> Result<Node, SelectorError> {
        match operator {
            "$text" => text(value, scope),
            "$default" => default_field(value, scope),
            _ => {
                let condition = self.condition(operator, value)?;
                scope.field(condition)
            }
        }
    }

    fn list(
        &mut self,
        operator: &'static str,
        value: &Value,
        scope: &Scope,
        depth: usize,
    ) -> Result<Vec<Node>, SelectorError> {
        let parts = array(operator, value)?;
        let mut nodes = Vec::new();
        for part in parts {
            nodes.push(self.value(part, scope, depth + 1)?);
        }
        Ok(nodes)
    }

    /// The scope of a field below this one.
    fn below(&mut self, scope: &Scope, field: &str) -> Result<Scope, SelectorError> {
        let text = if scope.text.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", scope.text)
        };
        self.paths_bytes += text.len();
        if self.paths_bytes > PATHS_BYTES_MAX {
            return Err(SelectorError::TooComplex);
        }
        Ok(Scope { text, path: OnceCell::new() })
    }

    fn condition(&mut self, operator: &str, value: &Value) -> Result<Condition, SelectorError> {
        let compare = |comparison| Ok(Condition::Compare(comparison, value.clone()));
        match operator {
            "$lt" => compare(Comparison::Lt),
            "$lte" => compare(Comparison::Lte),
            "$eq" => compare(Comparison::Eq),
            "$ne" => compare(Comparison::Ne),
            "$gte" => compare(Comparison::Gte),
            "$gt" => compare(Comparison::Gt),
            "$in" => Ok(Condition::In(OneOf::new(array("$in", value)?.to_vec()))),
            "$nin" => Ok(Condition::NotIn(OneOf::new(array("$nin", value)?.to_vec()))),
            "$all" => Ok(Condition::All(AllOf::new(array("$all", value)?.to_vec()))),
            "$exists" => {
                let exists = value.as_bool().ok_or_else(bad("$exists", value))?;
                Ok(Condition::Exists(exists))
            }
            "$type" => {
                let name = value.as_str().ok_or_else(bad("$type", value))?;
                Ok(Condition::Type(name.to_owned()))
            }
            "$size" => {
                let size = value.as_u64().ok_or_else(bad("$size", value))?;
                Ok(Condition::Size(size))
            }
            "$mod" => modulus(value),
            "$regex" => self.regex(value),
            "$beginsWith" => match value {
                Value::String(prefix) => Ok(Condition::BeginsWith(prefix.clone())),
                _ => Err(SelectorError::invalid_operator(operator)),
            },
            _ => Err(refuse(operator)),
        }
    }

    /// The selector of an element match: paths begin anew at the element.
    fn element(
        &mut self,
        operator: &'static str,
        value: &Value,
        depth: usize,
    ) -> Result<Box<Node>, SelectorError> {
        let part = object(operator, value)?;
        Ok(Box::new(self.value(part, &Scope::default(), depth)?))
    }

    fn regex(&mut self, value: &Value) -> Result<Condition, SelectorError> {
        let Value::String(source) = value else {
            return Err(SelectorError::invalid_operator("$regex"));
        };
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(SelectorError::TooComplex);
        }
        let pattern = Pattern::compile(source).ok_or_else(bad("$regex", value))?;
        Ok(Condition::Regex(pattern))
    }
}

fn bad<'a>(operator: &'static str, value: &'a Value) -> impl FnOnce() -> SelectorError + 'a {
    move || SelectorError::bad_argument(operator, value)
}

fn array<'a>(operator: &'static str, value: &'a Value) -> Result<&'a [Value], SelectorError> {
    value.as_array().map(Vec::as_slice).ok_or_else(bad(operator, value))
}

fn object<'a>(operator: &'static str, value: &'a Value) -> Result<&'a Value, SelectorError> {
    if value.is_object() { Ok(value) } else { Err(SelectorError::bad_argument(operator, value)) }
}

fn modulus(value: &Value) -> Result<Condition, SelectorError> {
    let integer = |number: &Value| {
        number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
    };
    let pair = match array("$mod", value)? {
        [divisor, remainder] => integer(divisor).zip(integer(remainder)),
        _ => None,
    };
    let (divisor, remainder) = pair.ok_or_else(bad("$mod", value))?;
    Ok(Condition::Mod { divisor, remainder })
}

fn text(sought: &Value, scope: &Scope) -> Result<Node, SelectorError> {
    match sought {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            default_field(&entry("$text", sought.clone()), scope)
        }
        _ => Err(SelectorError::bad_argument("$text", sought)),
    }
}

/// `$text` in CouchDB's normal form. It asks all fields, so it may stand below none.
fn default_field(value: &Value, scope: &Scope) -> Result<Node, SelectorError> {
    match value.as_object().and_then(|inner| inner.get("$text").filter(|_| inner.len() == 1)) {
        Some(sought) if scope.text.is_empty() => Ok(Node::Text(sought.clone())),
        _ => {
            let term = erlang_term::print(&entry("$default", value.clone()));
            Err(SelectorError::BadField { term })
        }
    }
}

fn refuse(operator: &str) -> SelectorError {
    match UNSUPPORTED.into_iter().find(|known| *known == operator) {
        Some(operator) => SelectorError::Unsupported { operator },
        None => SelectorError::invalid_operator(operator),
    }
}
