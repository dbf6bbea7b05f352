//! The few requests of the crash test. A request that breaks off gives `None`: whether the server
//! carried it out is unknown then. Any status that the test does not expect panics.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::server::{ADMIN, PASSWORD};

/// A type that is stored as it is, so that digests are those of the bytes sent.
pub const CONTENT_TYPE: &str = "application/octet-stream";
const DATABASE: &str = "crash";

/// One client's connection to the server under test.
#[derive(Debug)]
pub struct Couch {
    client: Client,
    base: String,
}

impl Couch {
    pub fn new(port: u16) -> Self {
        // No request here is encrypted, but a client is not made without a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().expect("a client can be made");
        Self { client, base: format!("http://127.0.0.1:{port}/{DATABASE}") }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.client.request(method, url).basic_auth(ADMIN, Some(PASSWORD))
    }

    pub async fn create_database(&self) {
        let answer = self.request(Method::PUT, "").send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Writes a document; the new revision.
    pub async fn put(&self, id: &str, document: &Value) -> Option<String> {
        let request = self.request(Method::PUT, &format!("/{id}")).json(document);
        answer(request).await.map(|answer| revision(&answer))
    }

    /// Writes an attachment `file` onto revision `rev`; the new revision.
    pub async fn attach(&self, id: &str, rev: &str, bytes: Vec<u8>) -> Option<String> {
        let request = self
            .request(Method::PUT, &format!("/{id}/file?rev={rev}"))
            .header("content-type", CONTENT_TYPE)
            .body(bytes);
        answer(request).await.map(|answer| revision(&answer))
    }

    /// Deletes a document; the revision of its tombstone.
    pub async fn delete(&self, id: &str, rev: &str) -> Option<String> {
        let request = self.request(Method::DELETE, &format!("/{id}?rev={rev}"));
        answer(request).await.map(|answer| revision(&answer))
    }

    /// Writes new documents in one request; their revisions in the same order.
    pub async fn bulk(&self, documents: &[Value]) -> Option<Vec<String>> {
        let request = self.request(Method::POST, "/_bulk_docs").json(&json!({"docs": documents}));
        let answer = answer(request).await?;
        let rows = answer.as_array().expect("_bulk_docs answers with a list");
        let ids = |list: &[Value], name: &str| -> Vec<Value> {
            list.iter().map(|row| row[name].clone()).collect()
        };
        assert_eq!(ids(rows, "id"), ids(documents, "_id"), "each answer in its place");
        Some(rows.iter().map(revision).collect())
    }

    /// The JSON at a path below the database.
    pub async fn read(&self, path: &str) -> Value {
        answer(self.request(Method::GET, path)).await.expect("the server answers")
    }

    /// The answer to a query that is sent as JSON.
    pub async fn ask(&self, path: &str, query: &Value) -> Option<Value> {
        answer(self.request(Method::POST, path).json(query)).await
    }

    /// A document and its conflicts; `None` where it is missing or deleted.
    pub async fn document(&self, id: &str) -> Option<Value> {
        let request = self.request(Method::GET, &format!("/{id}?conflicts=true"));
        let answer = request.send().await.expect("the server answers");
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(answer.status(), StatusCode::OK, "GET {id}");
        Some(answer.json().await.expect("the answer is JSON"))
    }

    pub async fn attachment(&self, id: &str) -> Vec<u8> {
        let request = self.request(Method::GET, &format!("/{id}/file"));
        let answer = request.send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::OK, "GET {id}/file");
        answer.bytes().await.expect("the whole attachment comes").to_vec()
    }
}

/// What the server answers, once it has said that the request is carried out.
async fn answer(request: RequestBuilder) -> Option<Value> {
    let answer = request.send().await.ok()?;
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    let body = answer.text().await.ok();
    assert!(status.is_success(), "{path} was refused: {status} {body:?}");
    // The status acknowledges a write, but without the body its revision is not known.
    serde_json::from_str(&body?).ok()
}

fn revision(answer: &Value) -> String {
    answer["rev"].as_str().unwrap_or_else(|| panic!("no revision in {answer}")).to_owned()
}
