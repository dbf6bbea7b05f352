//! A second matcher, as slow and plain as possible: it reads the JSON of the selector while it
//! matches, carries a sign for negation, and shares only the order of values and the patterns.

use serde_json::Value;

use crate::collation::{compare, compare_raw};
use crate::mango::selector::Pattern;

/// Whether the document matches; `None` where CouchDB would fail.
pub(in crate::mango) fn matches(selector: &Value, doc: &Value) -> Option<bool> {
    Naive { negation: Negation::AtTheField, raw: false }.ask(selector, "", doc, true)
}

/// What `$not` means.
#[derive(Clone, Copy, PartialEq)]
enum Negation {
    /// Of a document: the field must exist, and its condition must fail.
    AtTheField,
    /// Of an element: the rest must fail, for whatever reason.
    OfTheWhole,
}

#[derive(Clone, Copy)]
struct Naive {
    negation: Negation,
    raw: bool,
}

impl Naive {
    /// Asks for `selector` where `wanted`, else for its opposite.
    fn ask(self, selector: &Value, path: &str, doc: &Value, wanted: bool) -> Option<bool> {
        let Some(entries) = selector.as_object().filter(|entries| !entries.is_empty()) else {
            return self.leaf("$eq", selector, path, doc, wanted);
        };
        let all: Vec<_> = entries.iter().collect();
        if all.len() > 1 {
            let ask = |(name, value): &(&String, &Value)| self.one(name, value, path, doc, wanted);
            return combine(all.iter().map(ask), wanted);
        }
        self.one(all[0].0, all[0].1, path, doc, wanted)
    }

    fn one(self, name: &str, value: &Value, path: &str, doc: &Value, wanted: bool) -> Option<bool> {
        let parts = || value.as_array().unwrap().iter();
        match name {
            "$and" => combine(parts().map(|part| self.ask(part, path, doc, wanted)), wanted),
            "$or" => combine(parts().map(|part| self.ask(part, path, doc, wanted)), !wanted),
            "$nor" if self.negation == Negation::OfTheWhole => None,
            "$nor" => combine(parts().map(|part| self.ask(part, path, doc, !wanted)), wanted),
            "$not" if self.negation == Negation::OfTheWhole => {
                self.ask(value, path, doc, true).map(|holds| !holds)
            }
            "$not" => self.ask(value, path, doc, !wanted),
            operator if operator.starts_with('$') => self.leaf(operator, value, path, doc, wanted),
            field if path.is_empty() => self.ask(value, field, doc, wanted),
            field => self.ask(value, &format!("{path}.{field}"), doc, wanted),
        }
    }

    fn leaf(
        self,
        operator: &str,
        arg: &Value,
        path: &str,
        doc: &Value,
        wanted: bool,
    ) -> Option<bool> {
        let mut at = doc;
        let pieces = path.replace("\\.", "\u{1}");
        for piece in pieces.split('.').filter(|_| !path.is_empty()) {
            let piece = piece.replace('\u{1}', ".");
            at = match at {
                Value::Object(entries) => match entries.get(&piece) {
                    Some(value) => value,
                    None => return Some(operator == "$exists" && arg == &Value::Bool(!wanted)),
                },
                Value::Array(elements) => {
                    match piece.parse().ok().and_then(|n: usize| elements.get(n)) {
                        Some(value) => value,
                        None => return Some(false),
                    }
                }
                _ => return Some(false),
            };
        }
        let raw = self.raw || path == "_id";
        Some(Self { raw, ..self }.holds(operator, arg, at)? == wanted)
    }

    fn holds(self, operator: &str, arg: &Value, value: &Value) -> Option<bool> {
        let order = |a: &Value, b: &Value| if self.raw { compare_raw(a, b) } else { compare(a, b) };
        let args = || arg.as_array().unwrap().iter();
        let inside = Self { negation: Negation::OfTheWhole, ..self };
        let one_of = |value: &Value| args().any(|arg| order(value, arg).is_eq());
        Some(match operator {
            "$lt" => order(value, arg).is_lt(),
            "$lte" => order(value, arg).is_le(),
            "$eq" => order(value, arg).is_eq(),
            "$ne" => order(value, arg).is_ne(),
            "$gte" => order(value, arg).is_ge(),
            "$gt" => order(value, arg).is_gt(),
            "$in" => value.as_array().map_or_else(|| one_of(value), |all| all.iter().any(one_of)),
            "$nin" => !self.holds("$in", arg, value)?,
            "$exists" => arg == &Value::Bool(true),
            "$type" => match arg.as_str().unwrap() {
                "null" => value.is_null(),
                "number" => value.is_number(),
                "array" => value.is_array(),
                _ => false,
            },
            "$mod" => match (value.as_i64(), arg[0].as_i64().unwrap()) {
                (None, _) => false,
                (Some(_), 0) => return None,
                (Some(value), divisor) => value % divisor == arg[1].as_i64().unwrap(),
            },
            "$regex" => {
                let pattern = Pattern::compile(arg.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| pattern.is_match(text))
            }
            "$beginsWith" => value.as_str().is_some_and(|t| t.starts_with(arg.as_str().unwrap())),
            "$size" => {
                value.as_array().is_some_and(|all| all.len() as u64 == arg.as_u64().unwrap())
            }
            "$all" => value.as_array().is_some_and(|all| {
                let texts: Vec<String> = all.iter().map(Value::to_string).collect();
                let held = |arg: &Value| texts.contains(&arg.to_string());
                let whole =
                    args().len() == 1 && arg[0].is_array() && compare_raw(&arg[0], value).is_eq();
                args().len() > 0 && (whole || args().all(held))
            }),
            "$elemMatch" => value.as_array().is_some_and(|all| {
                combine(all.iter().map(|v| inside.ask(arg, "", v, true)), false) == Some(true)
                    && !all.is_empty()
            }),
            "$allMatch" => value.as_array().is_some_and(|all| {
                combine(all.iter().map(|v| inside.ask(arg, "", v, true)), true) == Some(true)
                    && !all.is_empty()
            }),
            "$keyMapMatch" => value.as_object().is_some_and(|entries| {
                let keys = entries.keys().map(|key| Value::from(key.as_str()));
                combine(keys.map(|key| inside.ask(arg, "", &key, true)), false) == Some(true)
                    && !entries.is_empty()
            }),
            other => panic!("{other}"),
        })
    }
}

/// All of the answers, or any of them; stops at the first that decides. Of none both hold.
fn combine(answers: impl Iterator<Item = Option<bool>>, all: bool) -> Option<bool> {
    let mut asked = false;
    for answer in answers {
        asked = true;
        if answer? != all {
            return Some(!all);
        }
    }
    Some(all || !asked)
}
