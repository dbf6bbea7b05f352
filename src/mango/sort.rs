//! Sort specifications: of queries, and the fields of indexes, which have the same form.

use serde_json::{Map, Value};

use super::error::MangoError;

/// Fields with their directions, which are all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sort {
    fields: Vec<String>,
    descending: bool,
}

impl Sort {
    /// Reads `["a", {"b": "asc"}]`.
    pub fn parse(value: &Value) -> Result<Self, MangoError> {
        let Value::Array(fields) = value else {
            let words = "Sort must be an array of sort specs, not: ";
            return Err(MangoError::readable_member("invalid_sort_json", words, value));
        };
        let mut sort = Self::default();
        let mut descending = None;
        let mut is_mixed = false;
        for field in fields {
            let (name, desc) = read_field(field)?;
            is_mixed |= descending.is_some_and(|other| other != desc);
            descending = Some(desc);
            sort.fields.push(name.to_owned());
        }
        if is_mixed {
            return Err(MangoError::MixedSort);
        }
        sort.descending = descending.unwrap_or(false);
        Ok(sort)
    }

    pub fn fields(&self) -> Vec<&str> {
        self.fields.iter().map(String::as_str).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn is_descending(&self) -> bool {
        self.descending
    }

    /// `{"a": "asc", ...}`, as maps of indexes and `_explain` have it.
    pub fn to_json(&self) -> Map<String, Value> {
        let direction = if self.descending { "desc" } else { "asc" };
        self.fields.iter().map(|field| (field.clone(), direction.into())).collect()
    }
}

fn read_field(field: &Value) -> Result<(&str, bool), MangoError> {
    let refused =
        || MangoError::readable_member("invalid_sort_field", "Invalid sort field: ", field);
    match field {
        Value::String(name) if !name.is_empty() => Ok((name, false)),
        Value::Object(members) if members.len() == 1 => {
            let (name, direction) = members.iter().next().ok_or_else(refused)?;
            match direction.as_str() {
                Some("asc") => Ok((name, false)),
                Some("desc") => Ok((name, true)),
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sorts_are_read_or_refused() {
        let read = |value: Value| {
            let sort = Sort::parse(&value).map_err(|error| error.to_string());
            sort.map(|sort| Value::Object(sort.to_json()).to_string())
        };
        for (value, expect) in [
            (json!([]), Ok("{}")),
            (json!(["a", {"b": "asc"}]), Ok(r#"{"a":"asc","b":"asc"}"#)),
            (json!([{"a": "desc"}, {"b": "desc"}]), Ok(r#"{"a":"desc","b":"desc"}"#)),
            (json!("x"), Err(r#"Sort must be an array of sort specs, not: <<"x">>"#)),
            (json!([1]), Err("Invalid sort field: 1")),
            (json!([""]), Err("Invalid sort field: <<>>")),
            (json!([{"a": "up"}]), Err(r#"Invalid sort field: {[{<<"a">>,<<"up">>}]}"#)),
            (
                json!(["a", {"b": "desc"}]),
                Err("Sorts currently only support a single direction for all fields."),
            ),
        ] {
            let expect = expect.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read(value.clone()), expect, "{value}");
        }
    }
}
