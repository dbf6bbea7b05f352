//! Response objects: what shows, updates, lists and rewrites answer with.
//!
//! Members are taken in their order, as CouchDB does: of two bodies the later one counts, and a
//! member that CouchDB does not know is an error that names it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::sandbox::erlang_term;

use super::functions::FunctionError;

/// A response object, with every member of the type that CouchDB wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    pub code: Option<u16>,
    pub stop: bool,
    /// In the order of the object; a value is shown as text.
    pub headers: Vec<(String, String)>,
    pub body: Option<ResponseBody>,
}

/// What a response object has as its body.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseBody {
    Text(String),
    /// `json`; it brings its content type.
    Json(Value),
    /// `base64`, decoded.
    Bytes(Vec<u8>),
}

impl Response {
    /// Reads a response object from JSON text.
    ///
    /// # Errors
    /// Where it is no object, or has a member that CouchDB does not take.
    pub fn from_json(json: &str) -> Result<Self, FunctionError> {
        Self::from_value(read_json(json)?)
    }

    /// Checks a response object.
    ///
    /// # Errors
    /// As for [`Self::from_json`].
    pub fn from_value(value: Value) -> Result<Self, FunctionError> {
        let Value::Object(members) = value else {
            return Err(FunctionError::InvalidAnswer(erlang_term(&value)));
        };
        let mut response = Self::default();
        let mut json = None;
        for (name, value) in members {
            match (name.as_str(), value) {
                ("", _) => {}
                ("code", Value::Number(number)) if status(&number).is_some() => {
                    response.code = status(&number);
                }
                ("stop", Value::Bool(true)) => response.stop = true,
                ("json", value) => json = Some(value),
                ("body", Value::String(text)) => response.body = Some(ResponseBody::Text(text)),
                ("base64", Value::String(text)) => {
                    let Some(bytes) = decode(&text) else {
                        return Err(invalid_member(name, &Value::String(text)));
                    };
                    response.body = Some(ResponseBody::Bytes(bytes));
                }
                ("headers", Value::Object(headers)) => {
                    response.headers = read_headers(headers)?;
                }
                (_, value) => return Err(invalid_member(name, &value)),
            }
        }
        if let Some(json) = json {
            response.replace_body(json);
        }
        Ok(response)
    }

    /// Puts `json` in the place of another body, whose content type stays.
    fn replace_body(&mut self, json: Value) {
        let kind = match self.body {
            Some(ResponseBody::Text(_)) => Some("text/html; charset=utf-8"),
            Some(ResponseBody::Bytes(_)) => Some("application/binary"),
            Some(ResponseBody::Json(_)) | None => None,
        };
        let has_type = |name: &String| name.eq_ignore_ascii_case("content-type");
        if let Some(kind) = kind
            && !self.headers.iter().any(|(name, _)| has_type(name))
        {
            self.headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        self.body = Some(ResponseBody::Json(json));
    }
}

fn read_headers(headers: Map<String, Value>) -> Result<Vec<(String, String)>, FunctionError> {
    let headers = headers.into_iter().map(|(name, value)| match value {
        Value::Array(_) | Value::Object(_) => Err(invalid_member(name, &value)),
        plain => Ok((name, shown(plain))),
    });
    headers.collect()
}

pub(super) fn read_json(json: &str) -> Result<Value, FunctionError> {
    serde_json::from_str(json).map_err(|error| FunctionError::InvalidAnswer(error.to_string()))
}

fn invalid_member(name: String, value: &Value) -> FunctionError {
    let name = erlang_term(&Value::String(name));
    FunctionError::InvalidAnswer(format!("{{{name},{}}}", erlang_term(value)))
}

/// A status that can be sent.
fn status(number: &serde_json::Number) -> Option<u16> {
    u16::try_from(number.as_u64()?).ok().filter(|status| (200..1000).contains(status))
}

fn decode(base64: &str) -> Option<Vec<u8>> {
    let packed: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}

pub(super) fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Response, String> {
        Response::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_read() {
        let text = |text: &str| Some(ResponseBody::Text(text.to_owned()));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (value, expect) in [
            (json!({}), Response::default()),
            (json!({"body": "b"}), Response { body: text("b"), ..Response::default() }),
            (
                json!({"code": 418, "stop": true, "headers": {"B": "x", "A": 5}}),
                Response {
                    code: Some(418),
                    stop: true,
                    headers: vec![header("B", "x"), header("A", "5")],
                    body: None,
                },
            ),
            (
                json!({"base64": "aGV s\nbG8="}),
                Response {
                    body: Some(ResponseBody::Bytes(b"hello".to_vec())),
                    ..Response::default()
                },
            ),
            (
                json!({"body": "a", "base64": ""}),
                Response { body: Some(ResponseBody::Bytes(vec![])), ..Response::default() },
            ),
            (
                json!({"json": null}),
                Response { body: Some(ResponseBody::Json(Value::Null)), ..Response::default() },
            ),
            (
                json!({"json": 1, "body": "x"}),
                Response {
                    headers: vec![header("Content-Type", "text/html; charset=utf-8")],
                    body: Some(ResponseBody::Json(json!(1))),
                    ..Response::default()
                },
            ),
        ] {
            assert_eq!(read(value.clone()), Ok(expect), "{value}");
        }
    }

    #[test]
    fn other_members_are_told() {
        for (value, expect) in [
            (json!({"foo": 1}), "{<<\"foo\">>,1}"),
            (json!({"body": 5}), "{<<\"body\">>,5}"),
            (json!({"body": null}), "{<<\"body\">>,null}"),
            (json!({"code": "200"}), "{<<\"code\">>,<<\"200\">>}"),
            (json!({"code": 99}), "{<<\"code\">>,99}"),
            (json!({"code": 70000}), "{<<\"code\">>,70000}"),
            (json!({"stop": false}), "{<<\"stop\">>,false}"),
            (json!({"headers": []}), "{<<\"headers\">>,[]}"),
            (json!({"headers": {"X": {}}}), "{<<\"X\">>,{[]}}"),
            (json!({"base64": "!"}), "{<<\"base64\">>,<<\"!\">>}"),
            (json!([1]), "[1]"),
            (json!("boxed"), "<<\"boxed\">>"),
        ] {
            let expect = format!("Invalid data from external server: {expect}");
            assert_eq!(read(value.clone()), Err(expect), "{value}");
        }
    }
}
