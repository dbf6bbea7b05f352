//! Rewrite rules: the first rule that fits a path and a method says which request is meant.
//!
//! Pure. `from` and `to` are paths of literal segments, `:variables` and a `*` for all that
//! follows; `to` and `query` take the values of variables, which come from the path or from the
//! query of the request. What is odd here is so in CouchDB: a rule without `from` fits all, what
//! the query of a rule names hides what the request says of it, and deeper values than the
//! elements of a list stay as they are.

use serde_json::{Map, Value};

use crate::couch_api::error::ApiError;
use crate::http::path::quote_plus;

/// Parameters whose values are JSON.
const JSON_PARAMETERS: [&str; 6] = ["key", "startkey", "start_key", "endkey", "end_key", "keys"];
/// Steps up that a target may take: to its database, but not out of it.
const STEPS_UP_MAX: usize = 2;

/// Whether rules may leave their database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Database,
    Server,
}

/// The `rewrites` of a design document.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    method: Option<String>,
    from: Vec<Segment>,
    to: Vec<Segment>,
    query: Map<String, Value>,
    formats: Map<String, Value>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Rest,
    Variable(String),
    Literal(String),
}

/// Variables and their values; the first of a name counts.
type Bindings = Vec<(String, Value)>;

impl Rules {
    /// Reads all rules.
    ///
    /// # Errors
    /// Where a rule has no target, or one that is out of reach: one bad rule spoils all.
    pub fn parse(rules: &[Value], reach: Reach) -> Result<Self, ApiError> {
        let rules = rules.iter().filter_map(Value::as_object);
        Ok(Self(rules.map(|rule| Rule::parse(rule, reach)).collect::<Result<_, _>>()?))
    }

    /// The path, relative to the design document, and query that a request stands for.
    ///
    /// # Errors
    /// 400 where a parameter of the request should be JSON.
    pub fn apply<'q>(
        &self,
        method: &str,
        path: &[String],
        query: impl Iterator<Item = (&'q str, &'q str)>,
    ) -> Result<Option<String>, ApiError> {
        let query = query.map(|(name, text)| {
            let value = if JSON_PARAMETERS.contains(&name) {
                serde_json::from_str(text).map_err(|_| ApiError::invalid_json())?
            } else {
                Value::from(text)
            };
            Ok::<_, ApiError>((name.to_owned(), value))
        });
        let query: Bindings = query.collect::<Result<_, _>>()?;
        Ok(self.0.iter().find_map(|rule| rule.apply(method, path, &query)))
    }
}

impl Rule {
    fn parse(rule: &Map<String, Value>, reach: Reach) -> Result<Self, ApiError> {
        let bad_target = || ApiError::PlainError("invalid_rewrite_target");
        let object = |name: &str| rule.get(name).and_then(Value::as_object).cloned();
        let method = rule.get("method").and_then(Value::as_str);
        Ok(Self {
            method: method.filter(|method| *method != "*").map(str::to_owned),
            from: match rule.get("from") {
                None => vec![Segment::Rest],
                Some(from) => segments(from.as_str().ok_or_else(bad_target)?, reach)?,
            },
            to: segments(rule.get("to").and_then(Value::as_str).ok_or_else(bad_target)?, reach)?,
            query: object("query").unwrap_or_default(),
            formats: object("formats").unwrap_or_default(),
        })
    }

    fn apply(&self, method: &str, path: &[String], query: &Bindings) -> Option<String> {
        if self.method.as_ref().is_some_and(|own| own != method) {
            return None;
        }
        let (mut bindings, rest) = self.bind(path)?;
        // A variable that stands in the path twice has its last value.
        bindings.reverse();
        bindings.extend(query.iter().cloned());
        let own: Bindings = self
            .query
            .iter()
            .map(|(name, value)| (name.clone(), self.replaced(value, &bindings)))
            .collect();
        bindings.retain(|(name, _)| !self.query.contains_key(name));
        let mut target: Vec<String> = Vec::new();
        for segment in &self.to {
            match segment {
                Segment::Rest => {
                    target.extend(rest.iter().map(|segment| quote_plus(segment)));
                    break;
                }
                Segment::Variable(name) => {
                    let value = find(&bindings, name).or_else(|| find(&own, name));
                    let text = value.map_or_else(|| "undefined".to_owned(), plain);
                    target.push(quote_plus(&text));
                }
                Segment::Literal(literal) => target.push(quote_plus(literal)),
            }
        }
        let mut text = target.join("/");
        let parameters = own.iter().chain(bindings.iter().rev());
        let parameters = parameters.filter(|(name, _)| name != "*");
        for (at, (name, value)) in parameters.enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            let is_json = JSON_PARAMETERS.contains(&name.as_str());
            let value = if is_json { value.to_string() } else { plain(value) };
            text.extend([quote_plus(name).as_str(), "=", quote_plus(&value).as_str()]);
        }
        Some(text)
    }

    /// The values of the variables in `from`, and what `*` stands for, where the path fits.
    fn bind<'p>(&self, path: &'p [String]) -> Option<(Bindings, &'p [String])> {
        let mut bindings = Bindings::new();
        let mut rest = path;
        for (at, segment) in self.from.iter().enumerate() {
            match (segment, rest) {
                (Segment::Rest, _) if at + 1 == self.from.len() => return Some((bindings, rest)),
                (Segment::Rest, [value, after @ ..]) => {
                    bindings.push(("*".to_owned(), value.as_str().into()));
                    rest = after;
                }
                (Segment::Variable(name), [value, after @ ..]) => {
                    bindings.push((name.clone(), value.as_str().into()));
                    rest = after;
                }
                (Segment::Literal(literal), [value, after @ ..]) if literal == value => {
                    rest = after;
                }
                _ => return None,
            }
        }
        rest.is_empty().then_some((bindings, rest))
    }

    /// A value of `query` with variables replaced.
    fn replaced(&self, value: &Value, bindings: &Bindings) -> Value {
        match value {
            Value::String(text) if text == "*" => self.value_of("*", value, bindings),
            Value::String(text) => self.replaced_text(text, value, bindings),
            Value::Array(items) => {
                let items = items.iter().map(|item| match item {
                    Value::String(text) => self.replaced_text(text, item, bindings),
                    other => other.clone(),
                });
                items.collect()
            }
            other => other.clone(),
        }
    }

    fn replaced_text(&self, text: &str, value: &Value, bindings: &Bindings) -> Value {
        match text.strip_prefix(':') {
            Some(name) => self.value_of(name, value, bindings),
            None => value.clone(),
        }
    }

    fn value_of(&self, name: &str, otherwise: &Value, bindings: &Bindings) -> Value {
        let value = find(bindings, name).unwrap_or(otherwise);
        let format = self.formats.get(name).and_then(Value::as_str);
        let formatted = match (format, value) {
            (Some("int"), Value::String(text)) => text.parse::<i64>().ok().map(Value::from),
            (Some("bool"), Value::String(text)) => {
                text.to_lowercase().parse::<bool>().ok().map(Value::from)
            }
            _ => None,
        };
        formatted.unwrap_or_else(|| value.clone())
    }
}

fn find<'b>(bindings: &'b Bindings, name: &str) -> Option<&'b Value> {
    bindings.iter().find_map(|(known, value)| (known == name).then_some(value))
}

/// CouchDB takes texts alone; its predecessors took all values.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn segments(path: &str, reach: Reach) -> Result<Vec<Segment>, ApiError> {
    let mut steps_up = 0;
    let mut segments = Vec::new();
    for text in path.split('/').filter(|text| !text.is_empty()) {
        segments.push(match (text, text.strip_prefix(':')) {
            ("*", _) => Segment::Rest,
            (_, Some(name)) => Segment::Variable(name.to_owned()),
            _ => Segment::Literal(text.to_owned()),
        });
        steps_up += usize::from(text == "..");
        if steps_up > STEPS_UP_MAX && reach == Reach::Database {
            return Err(ApiError::InsecureRewrite);
        }
    }
    Ok(segments)
}

/// A path without empty segments and steps up or in place; what climbs above the root stays.
#[must_use]
pub fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| *last != "..") => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::path::{Plus, parse_query, split_path};

    fn apply(rules: &Value, method: &str, path: &str) -> Result<Option<String>, ApiError> {
        let rules = Rules::parse(rules.as_array().unwrap(), Reach::Database)?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = split_path(path, Plus::Space).unwrap();
        let query = parse_query(query).unwrap();
        let query = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        rules.apply(method, &path, query)
    }

    fn check(rules: &Value, path: &str, expect: Option<&str>) {
        assert_eq!(apply(rules, "GET", path).unwrap().as_deref(), expect, "{path} by {rules}");
    }

    #[test]
    fn paths_are_matched_by_segment() {
        let rules = json!([
            {"from": "", "to": "index.html"},
            {"from": "/only", "to": "post", "method": "POST"},
            {"from": "/blog/:id", "to": "_show/post/:id"},
            {"from": "blog/:year/:id/", "to": "../../:id"},
            {"from": "/css/*", "to": "css/*"},
            {"from": "/*/x", "to": "star", "query": {"was": "*"}},
            {"from": "/none", "to": "_show/:nothing"},
            17,
        ]);
        check(&rules, "/", Some("index.html"));
        check(&rules, "/only", None);
        assert_eq!(apply(&rules, "POST", "/only").unwrap().as_deref(), Some("post"));
        check(&rules, "/blog/a%2Fb+c", Some("_show/post/a%2Fb+c?id=a%2Fb+c"));
        check(&rules, "/blog/2026/x", Some("../../x?year=2026&id=x"));
        check(&rules, "/css", Some("css"));
        check(&rules, "/css/a/b.css?v=1", Some("css/a/b.css?v=1"));
        check(&rules, "/b/x", Some("star?was=b"));
        check(&rules, "/none", Some("_show/undefined"));
        check(&rules, "/blog", None);
        check(&json!([{"to": "x/*"}]), "/a/b", Some("x/a/b"));
        check(&json!([{"from": "/*", "to": "*/more"}]), "/a", Some("a"));
    }

    #[test]
    fn queries_take_variables() {
        let rules = |query: Value, formats: Value| json!([{"from": "/r/:a", "to": "v", "query": query, "formats": formats}]);
        let none = || json!({});
        check(&rules(json!({"q": ":a"}), none()), "/r/1", Some("v?q=1&a=1"));
        check(&rules(json!({"a": "x"}), none()), "/r/1?b=2&c=3", Some("v?a=x&c=3&b=2"));
        check(&rules(json!({"key": ":a"}), none()), "/r/1", Some("v?key=%221%22&a=1"));
        check(&rules(json!({"key": ":a"}), json!({"a": "int"})), "/r/1", Some("v?key=1&a=1"));
        check(&rules(json!({"q": ":a"}), json!({"a": "int"})), "/r/1", Some("v?q=1&a=1"));
        check(&rules(json!({"key": ":a"}), json!({"a": "int"})), "/r/b", Some("v?key=%22b%22&a=b"));
        check(
            &rules(json!({"key": ":a"}), json!({"a": "bool"})),
            "/r/TRUE",
            Some("v?key=true&a=TRUE"),
        );
        check(
            &rules(json!({"startkey": [":a"], "endkey": [":a", {}]}), none()),
            "/r/x",
            Some("v?startkey=%5B%22x%22%5D&endkey=%5B%22x%22%2C%7B%7D%5D&a=x"),
        );
        let odd = json!({"group_level": 1, "descending": true, "x": {"a": ":a"}, "n": null});
        check(
            &rules(odd, none()),
            "/r/x",
            Some("v?group_level=1&descending=true&x=%7B%22a%22%3A%22%3Aa%22%7D&n=null&a=x"),
        );
        check(&rules(json!({"q": ":b"}), none()), "/r/1?b=2", Some("v?q=2&b=2&a=1"));
        check(&rules(json!({"q": ":zz"}), none()), "/r/1", Some("v?q=%3Azz&a=1"));
        check(&rules(none(), none()), "/r/1?key=%22k%22", Some("v?key=%22k%22&a=1"));
        let bad = apply(&rules(none(), none()), "GET", "/r/1?key=k");
        assert!(matches!(bad, Err(ApiError::BadRequest(_))));
    }

    #[test]
    fn one_bad_rule_spoils_all() {
        let far = json!([{"from": "/a", "to": "b"}, {"from": "/c", "to": "../../../x"}]);
        assert!(matches!(apply(&far, "GET", "/a"), Err(ApiError::InsecureRewrite)));
        let rules = far.as_array().unwrap();
        assert!(Rules::parse(rules, Reach::Server).is_ok());
        for bad in [json!([{"from": "/a"}]), json!([{"to": 5}]), json!([{"from": 1, "to": "a"}])] {
            assert!(matches!(apply(&bad, "GET", "/"), Err(ApiError::PlainError(_))), "{bad}");
        }
    }

    #[test]
    fn paths_become_normal() {
        for (path, expect) in [
            ("/db/_design/d/../../x", "/db/x"),
            ("/db/_design/d/../..", "/db"),
            ("//a/./b//c/", "/a/b/c"),
            ("/a/../../b", "/../b"),
            ("", "/"),
        ] {
            assert_eq!(normal_path(path), expect);
        }
    }

    proptest! {
        /// What `*` takes is what the target gets, whatever its letters.
        #[test]
        fn rests_come_through(rest in prop::collection::vec("[^/]{1,8}", 1..4)) {
            prop_assume!(rest.iter().all(|segment| segment != "." && segment != ".."));
            let rules = [json!({"from": "/x/*", "to": "y/*"})];
            let rules = Rules::parse(&rules, Reach::Database).unwrap();
            let path: Vec<String> = [vec!["x".to_owned()], rest.clone()].concat();
            let target = rules.apply("GET", &path, std::iter::empty()).unwrap().unwrap();
            let decoded = split_path(&target, Plus::Space).unwrap();
            prop_assert_eq!(&decoded[1..], rest.as_slice());
        }
    }
}
