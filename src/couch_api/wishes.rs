//! What a client may wish of the form of any answer: JSONP, one piece instead of a stream, few
//! headers (couchdb-api: `callback`, `buffer_response`, `Prefer: return=minimal`).

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::config::Settings;
use crate::http::path::parse_query;

use super::error::ApiError;
use super::respond;

/// The largest answer that is gathered before it is sent.
const GATHERED_BYTES_MAX: usize = 256 << 20;

/// The wishes of one request.
#[derive(Debug, Default)]
pub struct Wishes {
    callback: Option<String>,
    gathered: bool,
    minimal: bool,
}

impl Wishes {
    /// Reads the wishes that the configuration lets a client have.
    ///
    /// # Errors
    /// 400 for a callback that is no name.
    pub fn of(parts: &Parts, settings: &Settings) -> Result<Self, ApiError> {
        let chttpd = &settings.chttpd;
        let prefer = parts.headers.get("prefer").and_then(|prefer| prefer.to_str().ok());
        let minimal = prefer.is_some_and(|prefer| prefer.contains("return=minimal"));
        let text = parts.uri.query().unwrap_or_default();
        if !chttpd.buffer_response && !text.contains("buffer_response") && !chttpd.allow_jsonp {
            return Ok(Self { minimal, ..Self::default() });
        }
        let query = parse_query(text)?;
        let get = |name: &str| {
            query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        // A feed that goes on has no end to wait for.
        let endless = matches!(get("feed").as_deref(), Some("continuous" | "live" | "eventsource"));
        let gathered = match get("buffer_response").as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => chttpd.buffer_response,
        };
        let callback = get("callback").filter(|_| chttpd.allow_jsonp);
        let named = |name: &String| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._[]".contains(&byte))
        };
        match callback {
            Some(name) if !named(&name) => Err(ApiError::bad_request("invalid_callback")),
            callback => Ok(Self { callback, gathered: gathered && !endless, minimal }),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.callback.is_none() && !self.gathered && !self.minimal
    }

    /// Gives an answer the form that was wished.
    pub async fn shape(&self, mut response: Response, settings: &Settings) -> Response {
        if let Some(callback) = &self.callback {
            response = wrap(response, callback);
        }
        if self.gathered {
            response = gather(response).await;
        }
        if self.minimal {
            let kept = &settings.chttpd.prefer_minimal;
            let names: Vec<HeaderName> = response.headers().keys().cloned().collect();
            for name in names {
                let keep = |kept: &String| kept.eq_ignore_ascii_case(name.as_str());
                if !kept.iter().any(keep) {
                    response.headers_mut().remove(&name);
                }
            }
        }
        response
    }
}

/// A call of the client's function with the JSON as its argument.
fn wrap(mut response: Response, callback: &str) -> Response {
    let json = HeaderValue::from_static("application/json");
    if response.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let script = HeaderValue::from_static("application/javascript");
    response.headers_mut().insert(header::CONTENT_TYPE, script);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.map(|body| {
        let before = Bytes::from(format!("/* CouchDB */{callback}("));
        let after = Bytes::from_static(b");\n");
        let whole = stream::once(async { Ok(before) })
            .chain(body.into_data_stream())
            .chain(stream::once(async { Ok(after) }));
        Body::from_stream(whole)
    })
}

/// The whole answer, with its length.
async fn gather(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    match to_bytes(body, GATHERED_BYTES_MAX).await {
        Ok(bytes) => Response::from_parts(parts, Body::from(bytes)),
        Err(_) => {
            let reason = "the answer is too large to be buffered";
            let value = serde_json::json!({"error": "too_large", "reason": reason});
            respond::json(StatusCode::INTERNAL_SERVER_ERROR, &value)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::config::{Config, Override};

    fn settings(keys: &[(&str, &str)]) -> Settings {
        let set = keys.iter().map(|(key, value)| Override::new("chttpd", *key, *value));
        Config::in_memory(set.collect()).unwrap().snapshot().as_ref().clone()
    }

    async fn shaped(uri: &str, prefer: &str, settings: &Settings) -> (Response, String) {
        let request = Request::get(uri).header("prefer", prefer).body(()).unwrap();
        let wishes = Wishes::of(&request.into_parts().0, settings).unwrap();
        let rows = stream::iter([Ok::<_, ApiError>(Bytes::from("[1,")), Ok(Bytes::from("2]\n"))]);
        let response = wishes.shape(respond::json_stream(rows), settings).await;
        let (parts, body) = response.into_parts();
        let exact = axum::body::HttpBody::size_hint(&body).exact();
        let text = to_bytes(body, 1000).await.unwrap();
        let length = exact.map_or(String::new(), |length| length.to_string());
        let text = format!("{length}|{}", String::from_utf8_lossy(&text));
        (Response::from_parts(parts, Body::empty()), text)
    }

    #[tokio::test]
    async fn answers_take_the_wished_form() {
        let plain = settings(&[]);
        let jsonp = settings(&[("allow_jsonp", "true")]);
        let buffered = settings(&[("buffer_response", "true")]);
        for (uri, settings, expect) in [
            ("/db?callback=f", &plain, "|[1,2]\n"),
            ("/db?callback=a.f[0]", &jsonp, "|/* CouchDB */a.f[0]([1,2]\n);\n"),
            ("/db?buffer_response=true", &plain, "6|[1,2]\n"),
            ("/db", &buffered, "6|[1,2]\n"),
            ("/db?buffer_response=false", &buffered, "|[1,2]\n"),
            ("/db?feed=continuous", &buffered, "|[1,2]\n"),
        ] {
            let (response, body) = shaped(uri, "", settings).await;
            assert_eq!(body, expect, "{uri}");
            let script = response.headers()[header::CONTENT_TYPE] == "application/javascript";
            assert_eq!(script, expect.contains("CouchDB"), "{uri}");
        }
    }

    #[tokio::test]
    async fn few_headers_are_kept_on_request() {
        let settings = settings(&[("prefer_minimal", "Content-Type, ETag")]);
        let (all, _) = shaped("/db", "", &settings).await;
        let (few, _) = shaped("/db", "return=minimal", &settings).await;
        assert!(all.headers().contains_key(header::CACHE_CONTROL));
        let names: Vec<&str> = few.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type"]);
    }

    #[test]
    fn a_callback_must_be_a_name() {
        let settings = settings(&[("allow_jsonp", "true")]);
        let request = Request::get("/db?callback=alert(1)").body(()).unwrap();
        let refused = Wishes::of(&request.into_parts().0, &settings);
        assert!(
            matches!(refused, Err(ApiError::BadRequest(reason)) if reason == "invalid_callback")
        );
    }
}
