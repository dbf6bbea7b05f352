//! The members of a document that a selector can look at, and reading only those.
//!
//! Most of what a selector costs is building the values of a document, of which it looks at few.
//! Matching what a projection reads gives the same answer as matching the whole document, errors
//! included. Relies on the text being one JSON object without duplicate members.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::path::FieldPath;
use super::{Node, Selector};

/// Which members of documents are of interest.
#[derive(Debug, Clone)]
pub struct Projection {
    /// In order, each once; `None` for all members.
    names: Option<Box<[Box<str>]>>,
}

impl Projection {
    /// What a selector can look at.
    #[must_use]
    pub fn of_selector(selector: &Selector) -> Self {
        let mut names = BTreeSet::new();
        Self::of_names(collect(selector.root(), &mut names).then_some(names))
    }

    /// What paths lead to.
    #[must_use]
    pub fn of_paths(paths: &[FieldPath]) -> Self {
        let mut names = BTreeSet::new();
        let known = paths.iter().all(|path| collect_path(path, &mut names));
        Self::of_names(known.then_some(names))
    }

    fn of_names(names: Option<BTreeSet<&str>>) -> Self {
        Self { names: names.map(|names| names.into_iter().map(Box::from).collect()) }
    }

    /// Whether no member of interest is one of the server's own, which bodies do not have.
    #[must_use]
    pub fn is_of_bodies(&self) -> bool {
        let names = self.names.as_deref();
        names.is_some_and(|names| names.iter().all(|name| !name.starts_with('_')))
    }

    /// Reads the members of interest of a document's JSON text, as an object.
    ///
    /// `None` where the text is no JSON or one of these members cannot be held as a value (it is
    /// nested more than about 120 levels deep, or has a number beyond doubles). Other members do
    /// not matter, and what follows the last member of interest is not read.
    #[must_use]
    pub fn read(&self, text: &[u8]) -> Option<Value> {
        let Some(names) = &self.names else { return serde_json::from_slice(text).ok() };
        let mut found = Map::new();
        let mut reader = serde_json::Deserializer::from_slice(text);
        let end = Members { names, found: &mut found }.deserialize(&mut reader);
        // A visitor that stops early is told so by an error.
        (end.is_ok() || found.len() == names.len()).then_some(Value::Object(found))
    }
}

/// Adds the members that a part of a selector looks at; `false` where that may be any member.
/// Element matches look at elements of a member that is of interest already.
fn collect<'a>(node: &'a Node, names: &mut BTreeSet<&'a str>) -> bool {
    match node {
        Node::Everything | Node::Text(_) => true,
        Node::And(parts) | Node::Or(parts) | Node::Nor(parts) => {
            parts.iter().all(|part| collect(part, names))
        }
        Node::Not(part) => collect(part, names),
        Node::Field(path, _) => collect_path(path, names),
    }
}

fn collect_path<'a>(path: &'a FieldPath, names: &mut BTreeSet<&'a str>) -> bool {
    let Some(name) = path.pieces().first() else { return false };
    names.insert(name);
    true
}

fn is_in(names: &[Box<str>], name: &str) -> bool {
    names.binary_search_by(|known| (**known).cmp(name)).is_ok()
}

/// Reads the members of an object that are among `names`, until all are found.
struct Members<'p> {
    names: &'p [Box<str>],
    found: &'p mut Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while self.found.len() < self.names.len() {
            match map.next_key_seed(Name { names: self.names })? {
                None => break,
                Some(None) => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Some(name)) => {
                    self.found.insert(name, map.next_value()?);
                }
            }
        }
        Ok(())
    }
}

/// Reads a member's name, and keeps it where it is among `names`.
struct Name<'p> {
    names: &'p [Box<str>],
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(is_in(self.names, name).then(|| name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_look_at_the_members_that_their_paths_begin_with() {
        let table: [(Value, Option<&[&str]>); 12] = [
            (json!({}), Some(&[])),
            (json!({"$or": []}), Some(&[])),
            (json!({"$text": "x"}), Some(&[])),
            (json!({"b": 1, "a": {"x": 2, "y": {"$gt": 3}}}), Some(&["a", "b"])),
            (json!({"a.b.c": 1}), Some(&["a"])),
            (json!({"a\\.b": 1}), Some(&["a.b"])),
            (
                json!({"$or": [{"a": 1}, {"$nor": [{"b": 1}, {"$not": {"c": 1}}]}]}),
                Some(&["a", "b", "c"]),
            ),
            (json!({"a": {"$elemMatch": {"$gt": 1, "x": 2, "$nor": [{"y": 1}]}}}), Some(&["a"])),
            (json!({"_id": {"$gt": null}, "_rev": "1-a"}), Some(&["_id", "_rev"])),
            (json!({"a": {"$exists": false}}), Some(&["a"])),
            // The whole document is compared.
            (json!({"$or": [{"a": 1}, {"$gt": 1}]}), None),
            (json!({"$and": [{"$keyMapMatch": {"$eq": "a"}}]}), None),
        ];
        for (selector, names) in table {
            let found = Projection::of_selector(&Selector::parse(&selector).unwrap()).names;
            let found = found.as_deref().map(|names| names.iter().map(|n| &**n).collect());
            assert_eq!(found, names.map(<[&str]>::to_vec), "{selector}");
        }
    }

    fn read(paths: &[&str], text: &str) -> Option<Value> {
        let paths: Vec<_> = paths.iter().map(|path| FieldPath::parse(path).unwrap()).collect();
        Projection::of_paths(&paths).read(text.as_bytes())
    }

    #[test]
    fn only_the_members_of_interest_are_read() {
        let text = r#"{"_id":"d","a":{"b":[1]},"c":[{"a":2}],"\u0001\"é":3,"z":null}"#;
        let table: [(&[&str], Value); 7] = [
            (&[], json!({})),
            (&["a.x"], json!({"a": {"b": [1]}})),
            (&["z", "_id", "z.y"], json!({"_id": "d", "z": null})),
            (&["missing"], json!({})),
            (&["c", "missing"], json!({"c": [{"a": 2}]})),
            (&["\u{1}\"é"], json!({"\u{1}\"é": 3})),
            (&["a", ""], serde_json::from_str(text).unwrap()),
        ];
        for (paths, expect) in table {
            assert_eq!(read(paths, text), Some(expect), "{paths:?}");
        }
        assert_eq!(read(&["a"], "{}"), Some(json!({})));
    }

    #[test]
    fn only_members_of_interest_can_be_too_much_for_a_value() {
        let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
        for value in [&deep, "1e999"] {
            let text = format!(r#"{{"a":1,"deep":{value},"z":2}}"#);
            assert_eq!(read(&["a", "z"], &text), Some(json!({"a": 1, "z": 2})));
            assert_eq!(read(&["a"], &text), Some(json!({"a": 1})));
            assert_eq!(read(&["deep"], &text), None);
            assert_eq!(read(&[""], &text), None);
        }
        assert_eq!(read(&["z"], r#"{"a":1"#), None);
    }
}
