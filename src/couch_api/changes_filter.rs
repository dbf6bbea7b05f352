//! The filter of a `_changes` request, from its parameters and its body, with CouchDB's words for
//! what is wrong. Of a body, only `doc_ids`, `selector` and `fields` count.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::changes::{Filter, SelectorFilter};
use crate::document::DocId;

use super::changes_function::{FunctionAsked, Kind};
use super::changes_options::ChangesOptions;
use super::error::ApiError;

/// The body of the request.
#[derive(Debug, Clone)]
pub enum Posted {
    /// It was no POST.
    Nothing,
    /// There was none; the object is empty.
    Empty(Map<String, Value>),
    Json(Map<String, Value>),
}

impl Posted {
    /// What a POST says; nothing where it was none.
    #[must_use]
    pub fn json(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Nothing => None,
            Self::Empty(body) | Self::Json(body) => Some(body),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum Asked {
    Filter(Filter),
    /// A function that is still to be found.
    Function(FunctionAsked),
}

/// The filter that is asked for. `body` is that of a POST.
///
/// # Errors
/// 400 for what makes no filter.
pub fn filter(
    options: &ChangesOptions,
    body: Option<&Map<String, Value>>,
) -> Result<Asked, ApiError> {
    match options.filter.as_str() {
        "_doc_ids" => Ok(Asked::Filter(doc_ids(options, body)?)),
        "_selector" => Ok(Asked::Filter(selector(body)?)),
        "_design" => Ok(Asked::Filter(Filter::Design)),
        "_view" => Ok(Asked::Function(view(options)?)),
        name if name.starts_with('_') => Err(ApiError::bad_request("unknown builtin filter name")),
        name => match pieces(name).as_slice() {
            [] => Ok(Asked::Filter(Filter::Everything)),
            [ddoc, function] => {
                Ok(Asked::Function(FunctionAsked::of(Kind::Filter, ddoc, function)?))
            }
            _ => Err(ApiError::bad_request("`filter` must be of the form `designname/filtername`")),
        },
    }
}

fn pieces(name: &str) -> Vec<&str> {
    name.split('/').filter(|piece| !piece.is_empty()).collect()
}

fn doc_ids(
    options: &ChangesOptions,
    body: Option<&Map<String, Value>>,
) -> Result<Filter, ApiError> {
    let bad = || ApiError::bad_request("`doc_ids` filter parameter is not a list of doc ids.");
    let parsed: Value;
    let given = match (body, &options.doc_ids) {
        (Some(body), _) => body.get("doc_ids"),
        (None, Some(text)) => {
            parsed = serde_json::from_str(text).map_err(|_| ApiError::invalid_json())?;
            Some(&parsed)
        }
        (None, None) => None,
    };
    let listed = given.and_then(Value::as_array).ok_or_else(bad)?;
    let mut ids = HashSet::with_capacity(listed.len());
    for id in listed {
        // What can be no id names no document.
        ids.extend(DocId::parse(id.as_str().ok_or_else(bad)?));
    }
    Ok(Filter::DocIds(ids))
}

fn selector(body: Option<&Map<String, Value>>) -> Result<Filter, ApiError> {
    let body =
        body.ok_or_else(|| ApiError::bad_request("Selector must be specified in POST payload"))?;
    let selector = body.get("selector").filter(|selector| selector.is_object());
    let selector =
        selector.ok_or_else(|| ApiError::bad_request("Selector error: expected a JSON object"))?;
    let bad = || ApiError::bad_request("Selector error: fields must be JSON array");
    let fields = match body.get("fields") {
        None => &[],
        Some(fields) => fields.as_array().ok_or_else(bad)?.as_slice(),
    };
    let fields: Option<Vec<&str>> = fields.iter().map(Value::as_str).collect();
    let fields = fields.ok_or_else(|| {
        ApiError::bad_request("Selector error: fields must be an array of strings")
    })?;
    let filter = SelectorFilter::parse(selector, &fields);
    Ok(Filter::Selector(filter.map_err(|error| ApiError::bad_request(error.to_string()))?))
}

fn view(options: &ChangesOptions) -> Result<FunctionAsked, ApiError> {
    if options.view.is_empty() {
        return Err(ApiError::bad_request("`view` filter parameter is not provided."));
    }
    match pieces(&options.view).as_slice() {
        [ddoc, view] => FunctionAsked::of(Kind::View, ddoc, view),
        [] => Err(ApiError::bad_request("`view` must be of the form `designname/viewname`")),
        _ => Err(ApiError::UnknownError("case_clause")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_need_their_parameters() {
        let list = "`doc_ids` filter parameter is not a list of doc ids.";
        let reason = |filter: Result<Filter, ApiError>| filter.unwrap_err().to_string();
        let object = |value: Value| value.as_object().cloned().unwrap();
        for body in [json!({}), json!({"doc_ids": "a"}), json!({"doc_ids": ["a", 1]})] {
            let options = ChangesOptions::default();
            assert_eq!(reason(doc_ids(&options, Some(&object(body)))), list);
        }
        let mut options = ChangesOptions { doc_ids: Some("x".into()), ..Default::default() };
        assert_eq!(reason(doc_ids(&options, None)), "invalid UTF-8 JSON");
        options.doc_ids = Some("[\"a\", \"_no\"]".into());
        let Ok(Filter::DocIds(ids)) = doc_ids(&options, None) else { panic!("no filter") };
        assert_eq!(ids, HashSet::from([DocId::parse("a").unwrap()]));
        assert_eq!(reason(selector(None)), "Selector must be specified in POST payload");
        for (body, expect) in [
            (json!({}), "Selector error: expected a JSON object"),
            (json!({"selector": 1}), "Selector error: expected a JSON object"),
            (json!({"selector": {}, "fields": 1}), "Selector error: fields must be JSON array"),
            (json!({"selector": {"$x": 1}}), "Invalid operator: $x"),
        ] {
            assert_eq!(reason(selector(Some(&object(body)))), expect);
        }
    }
    #[test]
    fn functions_are_named_by_two_pieces() {
        let asked = |filter: &str, view: &str| {
            let (filter, view) = (filter.to_owned(), view.to_owned());
            super::filter(&ChangesOptions { filter, view, ..Default::default() }, None)
        };
        for (name, view, kind, ddoc, function) in [
            ("d/f", "", Kind::Filter, "d", "f"),
            ("/d//f/", "", Kind::Filter, "d", "f"),
            ("a%2Fb/c+d", "", Kind::Filter, "a%2Fb", "c+d"),
            ("_view", "d/v", Kind::View, "d", "v"),
        ] {
            let Ok(Asked::Function(found)) = asked(name, view) else { panic!("no function") };
            assert_eq!(found, FunctionAsked::of(kind, ddoc, function).unwrap());
        }
        assert!(matches!(asked("/", ""), Ok(Asked::Filter(Filter::Everything))));
        for (name, view, reason) in [
            ("d", "", "`filter` must be of the form `designname/filtername`"),
            ("a/b/c", "", "`filter` must be of the form `designname/filtername`"),
            ("_view", "", "`view` filter parameter is not provided."),
            ("_view", "/", "`view` must be of the form `designname/viewname`"),
            ("_view", "d", "case_clause"),
            ("_none", "", "unknown builtin filter name"),
        ] {
            assert_eq!(asked(name, view).unwrap_err().to_string(), reason, "{name} {view}");
        }
    }
}
