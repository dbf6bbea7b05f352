//! Response objects: what shows, updates and lists answer with.
//!
//! The rules are those that CouchDB has for the answers of its external processes: few members,
//! each of one type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::FunctionError;

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
    /// Where it has a member that none has, or one of another type.
    pub fn from_json(text: &str) -> Result<Self, FunctionError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Self::from_object(object),
            _ => Err(FunctionError::InvalidAnswer(text.to_owned())),
        }
    }

    /// Checks a response object.
    ///
    /// # Errors
    /// As for [`Self::from_json`].
    pub fn from_object(object: Map<String, Value>) -> Result<Self, FunctionError> {
        let mut response = Self::default();
        let mut body = None;
        for (name, value) in object {
            match (name.as_str(), value) {
                ("", _) => {}
                ("code", value) => response.code = Some(code(value)?),
                ("stop", Value::Bool(true)) => response.stop = true,
                // It wins over all others.
                ("json", value) => response.body = Some(ResponseBody::Json(value)),
                ("body", Value::String(text)) => body = Some(ResponseBody::Text(text)),
                ("base64", Value::String(text)) => match STANDARD.decode(&text) {
                    Ok(bytes) => body = Some(ResponseBody::Bytes(bytes)),
                    Err(_) => return Err(invalid(&name, &text.into())),
                },
                ("headers", Value::Object(headers)) => {
                    let headers = headers.into_iter();
                    let headers = headers.map(|(name, value)| match header(&value) {
                        Some(value) => Ok((name, value)),
                        None => Err(invalid(&name, &value)),
                    });
                    response.headers = headers.collect::<Result<_, _>>()?;
                }
                (_, value) => return Err(invalid(&name, &value)),
            }
        }
        response.body = response.body.or(body);
        Ok(response)
    }
}

/// A status that can be sent.
fn code(value: Value) -> Result<u16, FunctionError> {
    let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
    code.filter(|code| (200..1000).contains(code)).ok_or_else(|| invalid("code", &value))
}

fn header(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn invalid(name: &str, value: &Value) -> FunctionError {
    FunctionError::InvalidAnswer(format!("{{<<\"{name}\">>,{value}}}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expect: Response) {
        assert_eq!(Response::from_json(text), Ok(expect), "{text}");
    }

    #[test]
    fn members_have_their_types() {
        let text = |text: &str| Some(ResponseBody::Text(text.to_owned()));
        check("{}", Response::default());
        check(r#"{"body":"b","":5}"#, Response { body: text("b"), ..Response::default() });
        let headers = r#"{"code":418,"stop":true,"headers":{"X-B":"1","X-A":5,"X-C":true}}"#;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        check(
            headers,
            Response {
                code: Some(418),
                stop: true,
                headers: vec![pair("X-B", "1"), pair("X-A", "5"), pair("X-C", "true")],
                body: None,
            },
        );
        let bytes = Some(ResponseBody::Bytes(b"hi".to_vec()));
        check(r#"{"base64":"aGk="}"#, Response { body: bytes, ..Response::default() });
        let json = Some(ResponseBody::Json(json!([1])));
        check(r#"{"json":[1],"body":"b"}"#, Response { body: json, ..Response::default() });
    }

    #[test]
    fn other_members_are_refused() {
        for text in [
            r#"{"foo":1}"#,
            r#"{"body":5}"#,
            r#"{"code":"200"}"#,
            r#"{"code":99}"#,
            r#"{"code":1000}"#,
            r#"{"code":200.5}"#,
            r#"{"stop":false}"#,
            r#"{"headers":[]}"#,
            r#"{"headers":{"X":{}}}"#,
            r#"{"base64":"?"}"#,
            "[]",
            "5",
        ] {
            let found = Response::from_json(text);
            assert!(matches!(found, Err(FunctionError::InvalidAnswer(_))), "{text}: {found:?}");
        }
    }
}
